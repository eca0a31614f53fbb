package jsonl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

// write writes the file of the plan, so that it is there whole or not at all.
//
//	mkdir …  ──►  create .name.epoch.tmp  ──►  write, fsync  ──►  rename to name  ──►  fsync every directory
//
// The epoch is in the temporary name because a former owner of the shard may still be writing: each
// renames a file that only it has written, and both are equal.
func (s *Sink) write(ctx context.Context, p *plan, b *leat.Batch) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.files()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	dir, base := path.Split(p.Name)
	dir = path.Clean(dir)
	unsynced, err := s.makeAll(f, dir)
	if err != nil {
		return err
	}
	if err := s.sweep(f, dir, base, b.Shard); err != nil {
		return err
	}
	temporary := path.Join(dir, fmt.Sprintf(".%s.%d.tmp", base, b.Epoch))
	if err := (&job{f, temporary, p, b}).write(ctx); err != nil {
		_ = f.Remove(temporary) // best effort: the next attempt overwrites it
		return err
	}
	if err := f.Rename(temporary, p.Name); err != nil {
		_ = f.Remove(temporary)
		return err
	}
	if err := f.Sync(dir); err != nil {
		return err
	}
	return s.syncAll(f, unsynced)
}

// files opens the directory.
func (s *Sink) files() (files, error) {
	if s.Path == "" {
		return nil, sink.Halt(s.Check())
	}
	if s.open != nil {
		return s.open(s.Path)
	}
	return openFiles(s.Path)
}

// makeAll creates dir and the directories above it, and returns those whose names may not be durable: those that
// are new, and those that this Sink sees for the first time, since a crash may have come before their sync.
func (s *Sink) makeAll(f files, dir string) (unsynced []string, err error) {
	if !s.isDone(".") {
		unsynced = append(unsynced, ".")
	}
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		err := f.Mkdir(dir[:i])
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err == nil || !s.isDone(dir[:i]) {
			unsynced = append(unsynced, dir[:i])
		}
	}
	return unsynced, nil
}

// syncAll makes the names of the directories durable.
func (s *Sink) syncAll(f files, dirs []string) error {
	for _, dir := range dirs {
		above := path.Dir(dir)
		if dir == "." {
			above = ".."
		}
		if err := f.Sync(above); err != nil {
			return err
		}
		s.setDone(dir)
	}
	return nil
}

// sweep removes what a crash has left of the file. It looks once for each shard and directory: the first range
// that a process writes is the one that a crash has interrupted, and a failure cleans up behind itself.
func (s *Sink) sweep(f files, dir, base string, shard leat.ShardID) error {
	place := path.Join(dir, shard.String())
	if s.isDone(place) {
		return nil
	}
	names, err := f.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "."+base+".") && strings.HasSuffix(name, ".tmp") {
			if err := f.Remove(path.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	s.setDone(place)
	return nil
}

func (s *Sink) isDone(place string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done[place]
}

func (s *Sink) setDone(place string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil || len(s.done) > 10_000 {
		s.done = map[string]bool{} // to forget costs a sync and a look, no more
	}
	s.done[place] = true
}

// job is one file that is to be written.
type job struct {
	files files
	name  string // for the time being
	plan  *plan
	batch *leat.Batch
}

// write writes the records to a new file and syncs it.
func (j *job) write(ctx context.Context) (err error) {
	out, err := j.files.Create(j.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buffered := bufio.NewWriterSize(out, 256<<10)
	packed, err := pack(buffered, j.plan.Compression)
	if err != nil {
		return err
	}
	shard, line := j.batch.Shard.String(), []byte(nil)
	for i := range j.batch.Records {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line = appendLine(line[:0], shard, &j.batch.Records[i], j.plan.Envelope)
		if _, err := packed.Write(line); err != nil {
			return err
		}
	}
	if err := packed.Close(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return out.Sync()
}

// pack returns a writer that compresses to w. Its output depends on nothing but its input: no time, no
// name, one goroutine.
func pack(w io.Writer, compression string) (io.WriteCloser, error) {
	switch compression {
	case "gzip":
		return gzip.NewWriter(w), nil
	case "zstd":
		// The window of 1 MiB, for 8 MiB by default, costs little at records and saves 16 MB for each file in work.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }
