package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/leatstream/leat"
)

// The high-water file names what has been acknowledged. It is written after a commit is
// synced and before it is acknowledged, into one of two slots in turn, and never synced: whatever is found
// in it after a crash was durable in the database first, so that a database with less has
// lost acknowledged commits. Without it damage in the last blocks of the log would pass for
// a commit that was never finished.
//
//	slot, at most 4 KiB, the two of them 64 KiB apart:
//	┌──────────┬────┬───────┬────────┬───────┬──────────────────────────────────┬────────┐
//	│ leathigh │ id │ epoch │ commit │ count │ count × (stream 4 shard 4 next 8)│ crc32c │
//	│ 8        │ 16 │ 8     │ 8      │ 4     │                                  │ 4      │
//	└──────────┴────┴───────┴────────┴───────┴──────────────────────────────────┴────────┘
//
// The list has the shards that were put to since the last seal; next is the index behind their last record.
const (
	highWaterFile = "leat.high"
	slotSize      = 64 << 10
	slotMagic     = "leathigh"
	slotHead      = 8 + 16 + 8 + 8 + 4

	// slotShards keeps what is written within one block of 4 KiB. Both slots are rewritten many times before the kernel writes them
	// back, so that a loss of power could otherwise leave both of them in parts.
	slotShards = (4<<10 - slotHead - 4) / 16
)

// place is a shard of a stream, as a map key.
type place struct {
	stream uint32
	shard  leat.ShardID
}

// highWater is the content of a slot.
type highWater struct {
	epoch, commit uint64
	next          map[place]uint64
	slot          int64 // offset of the slot it was read from
}

func (h *highWater) newer(o *highWater) bool {
	return h.epoch > o.epoch || h.epoch == o.epoch && h.commit > o.commit
}

func (h *highWater) encode(buf []byte, id identity) []byte {
	buf = append(buf[:0], slotMagic...)
	buf = append(buf, id[:]...)
	buf = binary.BigEndian.AppendUint64(buf, h.epoch)
	buf = binary.BigEndian.AppendUint64(buf, h.commit)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(h.next)))
	for p, next := range h.next {
		buf = binary.BigEndian.AppendUint32(buf, p.stream)
		buf = binary.BigEndian.AppendUint32(buf, uint32(p.shard))
		buf = binary.BigEndian.AppendUint64(buf, next)
	}
	return binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
}

var errSlot = errors.New("slot is empty or damaged")

func decodeHighWater(slot []byte, id identity) (*highWater, error) {
	if len(slot) < slotHead+4 || string(slot[:8]) != slotMagic {
		return nil, errSlot
	}
	count := int(binary.BigEndian.Uint32(slot[slotHead-4:]))
	end := slotHead + 16*count
	if count > slotShards || len(slot) < end+4 ||
		crc32.Checksum(slot[:end], castagnoli) != binary.BigEndian.Uint32(slot[end:]) {
		return nil, errSlot
	}
	if identity(slot[8:24]) != id {
		return nil, fmt.Errorf("it belongs to another data directory, %s", identity(slot[8:24]))
	}
	h := &highWater{
		epoch: binary.BigEndian.Uint64(slot[24:]), commit: binary.BigEndian.Uint64(slot[32:]),
		next: make(map[place]uint64, count),
	}
	for at := slotHead; at < end; at += 16 {
		p := place{binary.BigEndian.Uint32(slot[at:]), leat.ShardID(binary.BigEndian.Uint32(slot[at+4:]))}
		h.next[p] = binary.BigEndian.Uint64(slot[at+8:])
	}
	return h, nil
}

// highWaterLog is the open file. The committer sees to it that one goroutine uses it at a time.
type highWaterLog struct {
	file  vfs.File
	id    identity
	slot  int64 // offset of the one written last
	buf   []byte
	state highWater
}

// createHighWater makes the file in its full size, so that writing to it later needs no room.
func createHighWater(fs vfs.FS, dir string, id identity) error {
	content := make([]byte, 2*slotSize)
	first := highWater{}
	copy(content, first.encode(nil, id))
	return writeFile(fs, dir, highWaterFile, content)
}

// readHighWater returns the newer of the two slots. A file without a good slot is an error.
func readHighWater(fs vfs.FS, dir string, id identity) (*highWater, error) {
	content, err := readFile(fs, fs.PathJoin(dir, highWaterFile))
	if err != nil {
		return nil, err
	}
	var best *highWater
	err = errSlot
	for at := 0; at+slotHead < len(content); at += slotSize {
		h, slotErr := decodeHighWater(content[at:min(at+slotSize, len(content))], id)
		switch {
		case slotErr == nil && (best == nil || h.newer(best)):
			best, h.slot = h, int64(at)
		case slotErr != nil && !errors.Is(slotErr, errSlot):
			err = slotErr
		}
	}
	if best == nil {
		return nil, fmt.Errorf("high-water file %s: %w", fs.PathJoin(dir, highWaterFile), err)
	}
	return best, nil
}

// openHighWater opens the file for writing. The older slot is written first: the newer one stays until there is one that is newer still.
func openHighWater(fs vfs.FS, dir string, id identity, epoch uint64) (*highWaterLog, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, highWaterFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open high-water file: %w", err)
	}
	l := &highWaterLog{file: f, id: id, state: highWater{epoch: epoch, next: map[place]uint64{}}}
	if last, err := readHighWater(fs, dir, id); err == nil {
		l.slot = last.slot
	}
	return l, nil
}

// write names a commit and the shards it has put to.
func (l *highWaterLog) write(commit uint64, ends []extent) error {
	l.state.commit = commit
	for i := range ends {
		l.state.next[place{ends[i].shard.stream.id, ends[i].shard.id}] = ends[i].next
	}
	l.buf = l.state.encode(l.buf, l.id)
	l.slot ^= slotSize
	if _, err := l.file.WriteAt(l.buf, l.slot); err != nil {
		return fmt.Errorf("write high-water file: %w", err)
	}
	return nil
}

// sealed forgets the shards: what they held is behind synced blocks of the log now, where damage shows.
func (l *highWaterLog) sealed() { clear(l.state.next) }

func (l *highWaterLog) close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// places returns the shards of h in order.
func (h *highWater) places() []place {
	return slices.SortedFunc(maps.Keys(h.next), func(a, b place) int {
		if a.stream != b.stream {
			return int(int64(a.stream) - int64(b.stream))
		}
		return int(int64(a.shard) - int64(b.shard))
	})
}
