// Package jsonl is a sink that writes files of JSON lines, one file for each range of records.
//
//	<path>/<stream>/dt=2026-11-21/hour=05/<shard>-<first>-<last>.jsonl[.gz|.zst]
//
// The date is that of the arrival of the first record, in UTC; first and last are sequence numbers. Name and
// bytes of a file depend on the range and the settings alone, so that writing it again, after a crash
// or for a replay, changes nothing: the file is replaced by an equal one. The only other input is this
// program: another version of a compression library may pack the same lines into other bytes.
//
// A file is written under a name that begins with a dot, synced, renamed, and its directories are synced. A
// name that matches *.jsonl* is therefore a whole file. What a crash leaves under the other name is removed when the
// range is written again.
//
// A line is the payload, if that is JSON and UTF-8, without the white space around it and with line breaks
// inside replaced by spaces. Everything else is wrapped, so that every line is JSON and a reader can tell:
//
//	{"leat_text":"…"}    the payload is this text: not JSON
//	{"leat_base64":"…"}  the payload is these bytes: not UTF-8
//
// An object whose first member is called leat_text or leat_base64 is always such a wrapper: a payload that
// looks like one is wrapped itself. With an envelope a line is
//
//	{"shard":"shardId-000000000000","sequence_number":"…","key":"…","arrived":"2026-11-21T05:59:59.123Z","time":"…","id":"…","data":…}
//
// where time and id are missing if they are unknown, and data_text or data_base64 stands in place of
// data as above. A key or an id that is not UTF-8 is key_base64 or id_base64.
package jsonl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/sink"
)

// Config says where the files go and what they look like.
type Config struct {
	// The directory for the files, one consumer's alone. It is created if it does not exist; the directory
	// above it must exist. Directories are created with mode 0700, files with 0600.
	Path string `yaml:"path,required"`

	// The directories by the time at which the first record of a file arrived, in UTC:
	// dt=2026-11-21/hour=05, dt=2026-11-21, or none.
	Partition string `yaml:"partition" default:"hour" enum:"hour,day,none"`

	// How the files are compressed: not at all (.jsonl), with gzip (.jsonl.gz) or with Zstandard (.jsonl.zst).
	Compression string `yaml:"compression" default:"none" enum:"none,gzip,zstd"`

	// What a line is. "false": the payload, and what is no JSON is wrapped as {"leat_text":"…"} or
	// {"leat_base64":"…"}. "true": an object with shard, sequence_number, key, arrived, time, id, and the
	// payload as data, data_text or data_base64. Default: false.
	Envelope bool `yaml:"envelope"`
}

// Sink is a sink.Planner. Fill in Config and use it by pointer; the zero values of its fields mean their
// defaults. Nothing happens before the first delivery, and nothing is held open between two. All methods may be
// called by any number of goroutines.
type Sink struct {
	Config

	mu   sync.Mutex
	done map[string]bool // directories that are durable, and shards in them that were swept

	open func(path string) (files, error) // of tests: in place of openFiles
}

var _ sink.Planner = (*Sink)(nil)

// plan names a file and everything that its bytes depend on beside the records.
type plan struct {
	Name        string              `json:"name"` // below Path, with slashes
	Count       int                 `json:"count"`
	First       leat.SequenceNumber `json:"first"`
	Last        leat.SequenceNumber `json:"last"`
	Compression string              `json:"compression"`
	Envelope    bool                `json:"envelope"`
	Format      int                 `json:"format"` // of the lines: 1
}

const format = 1

// Deliver writes the file of exactly these records: it executes the plan for them. Who delivers with other boundaries after
// a failure must plan instead, since the files would overlap.
func (s *Sink) Deliver(ctx context.Context, b leat.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	plan, err := s.Plan(b)
	if err != nil {
		return err
	}
	return s.Execute(ctx, plan, b)
}

// Plan returns the name of the file for b and the settings that count, as JSON.
func (s *Sink) Plan(b leat.Batch) ([]byte, error) {
	if len(b.Records) == 0 {
		return nil, errors.New("plan a file: there are no records")
	}
	if err := s.Check(); err != nil {
		return nil, sink.Halt(fmt.Errorf("plan a file: %w", err))
	}
	return json.Marshal(plan{
		Name: s.name(&b), Count: len(b.Records), First: b.First(), Last: b.Last(),
		Compression: s.compression(), Envelope: s.Envelope, Format: format,
	})
}

// Execute writes the file of the plan, in the settings of the plan and below the present Path, and
// returns nil when it is on the disk under its name. A file that exists is replaced by an equal one. When Execute fails, also
// because ctx has ended, the file is there whole or not at all.
//
// The error is sink.Halt if the directory cannot be written, or if the plan is of a later version. Every
// other error may be gone next time; a full disk is one of them.
func (s *Sink) Execute(ctx context.Context, text []byte, b leat.Batch) error {
	var p plan
	if err := p.parse(text); err != nil {
		return sink.Halt(fmt.Errorf("read the plan %.200q: %w", text, err))
	}
	if err := p.matches(&b); err != nil {
		return fmt.Errorf("write %s: %w", p.Name, err)
	}
	if err := s.write(ctx, &p, &b); err != nil {
		return fmt.Errorf("write %d records to %s in %s: %w", p.Count, p.Name, s.Path, classify(err))
	}
	return nil
}

// Done reports whether the file of the plan is there under its name, and then makes sure that the name is durable. A file under its name is
// whole.
func (s *Sink) Done(_ context.Context, text []byte) (done bool, err error) {
	var p plan
	if err := p.parse(text); err != nil {
		return false, sink.Halt(fmt.Errorf("read the plan %.200q: %w", text, err))
	}
	f, err := s.files()
	if err != nil {
		return false, fmt.Errorf("look for %s in %s: %w", p.Name, s.Path, classify(err))
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	dir, base := path.Split(p.Name)
	names, err := f.Names(path.Clean(dir))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !slices.Contains(names, base) {
		return false, nil
	}
	if err == nil {
		err = f.Sync(path.Clean(dir))
	}
	if err != nil {
		return false, fmt.Errorf("look for %s in %s: %w", p.Name, s.Path, classify(err))
	}
	return true, nil
}

// Check returns what is wrong with c in itself, nil if nothing is: *setting.FieldErrors, joined. It does no I/O.
func (c *Config) Check() error {
	var all []error
	if c.Path == "" {
		all = append(all, setting.FieldErrorf("path", "is missing"))
	}
	if _, ok := layouts[c.partition()]; !ok {
		all = append(all, setting.FieldErrorf("partition", "%q is none of hour, day, none", c.Partition))
	}
	if _, ok := extensions[c.compression()]; !ok {
		all = append(all, setting.FieldErrorf("compression", "%q is none of none, gzip, zstd", c.Compression))
	}
	return errors.Join(all...)
}

func (p *plan) parse(text []byte) error {
	if err := json.Unmarshal(text, p); err != nil {
		return err
	}
	switch {
	case p.Format > format:
		return fmt.Errorf("it has the format %d, and this version knows %d: use the version that made it", p.Format, format)
	case p.Format != format || extensions[p.Compression] == "" || !local(p.Name) || p.Count <= 0:
		return errors.New("it is damaged")
	}
	return nil
}

func (p *plan) matches(b *leat.Batch) error {
	if p.Count == len(b.Records) && p.First == b.First() && p.Last == b.Last() {
		return nil
	}
	return fmt.Errorf("the plan is for %d records from %s to %s, and these are %d from %s to %s",
		p.Count, p.First, p.Last, len(b.Records), b.First(), b.Last())
}
