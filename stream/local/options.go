package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
)

// pebbleFormat is the format of new and old databases. It must never be pebble's default, which lacks
// the sync chunks that tell a torn log from a rotten one, nor its newest: raising it cannot
// be undone and belongs into a release note.
const pebbleFormat = pebble.FormatValueSeparation

// pebbleOptions returns the options for one opening.
func (e *Engine) pebbleOptions(readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS:                          e.fs,
		Lock:                        e.pebbleLock,
		ReadOnly:                    readOnly,
		ErrorIfNotExists:            !e.opts.test.guards.noIdentity,
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                uint64(e.opts.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		FlushDelayDeleteRange:       time.Second, // retention frees the disk also while puts are refused
		L0CompactionFileThreshold:   500,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                500,
		CacheSize:                   8 << 20,
		Logger:                      pebbleLogger{e},
		EventListener:               e.listener(),
		DisableAutomaticCompactions: e.opts.test.noCompactions,
	}
	if e.opts.test.guards.oldFormat {
		o.FormatMajorVersion = pebble.FormatMinSupported
	}
	o.TargetFileSizes[0] = 64 << 20
	o.Experimental.SpanPolicyFunc = spanOf
	o.Levels[0].BlockSize = 32 << 10
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression } // batches are compressed already
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	return o
}

// spanOf makes pebble begin a new table at every shard. A shard grows at its end only, so its tables never overlap: they are
// moved down the levels as they are, where tables of several shards would be merged with those before them, again and again.
func spanOf(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	switch {
	case len(start) == 0 || start[0] < spaceRecords:
		return policy, []byte{spaceRecords}, nil
	case start[0] > spaceRecords:
		return policy, nil, nil
	}
	if len(start) < len(appendShard([]byte{spaceRecords}, 0, 0)) {
		return policy, []byte{spaceRecords + 1}, nil
	}
	// The key of a batch, or a bound of a deleted range: both name the shard.
	return policy, shardEnd(binary.BigEndian.Uint32(start[1:]), leat.ShardID(binary.BigEndian.Uint32(start[5:]))), nil
}

func (e *Engine) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: e.backgroundError,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			e.log.Error("damaged file: the records in it will be reported as a gap", "path", info.Path, "error", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) { e.log.Warn("puts wait for the disk", "reason", info.Reason) },
		DiskSlow: func(info pebble.DiskSlowInfo) {
			e.log.Warn("slow disk", "operation", info.OpType.String(), "path", info.Path, "took", info.Duration)
		},
	}
}

// backgroundError judges an error of a flush or compaction. One that found no room, or met a damaged table, has changed
// nothing; any other may have, and pebble would try again without end.
func (e *Engine) backgroundError(err error) {
	switch {
	case e.opts.test.guards.noStop:
	case pebble.IsCorruptionError(err):
		e.log.Error("damaged file met in the background", "error", err)
	case noRoom(err):
		e.space.met()
	case errors.Is(err, pebble.ErrCancelledCompaction):
	default:
		e.fail(fmt.Errorf("in the background: %w", err))
	}
}

// pebbleLogger passes on what pebble says. Fatalf never returns: pebble would go on and
// acknowledge commits that are not on disk.
type pebbleLogger struct{ e *Engine }

// Infof implements pebble.Logger; pebble tells of every flush.
func (l pebbleLogger) Infof(format string, args ...any) {
	if l.e.log.Enabled(nil, slog.LevelDebug-4) { //nolint:staticcheck // there is no context
		l.e.log.Debug(strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.e.log.Warn("pebble: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Fatalf implements pebble.Logger.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.e.lose(fmt.Errorf(format, args...)) // also while the engine is being opened: pebble would go on
}

// fileSystem returns the disk as pebble is to see it: with a reserve, and judged.
func (e *Engine) fileSystem(base vfs.FS) vfs.FS {
	if !e.opts.test.guards.noReserve {
		base = vfs.OnDiskFull(base, e.space.free)
	}
	return &watchFS{FS: base, full: e.space.met, wait: 100 * time.Millisecond, lost: e.lose}
}

// lose stops the engine and never returns.
func (e *Engine) lose(cause error) {
	if e.opts.test.guards.noStop {
		return
	}
	e.fail(cause)
	select {}
}
