package jsonl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

var start = time.Date(2026, 11, 21, 5, 59, 59, 123e6, time.UTC)

func batchOf(stream string, payloads ...string) leat.Batch {
	b := leat.Batch{Stream: stream, Shard: 3, Epoch: 1}
	for i, data := range payloads {
		arrived := start.Add(time.Duration(i) * time.Second)
		b.Records = append(b.Records, leat.Record{
			Sequence: leat.NewSequence(3, start, uint64(i), arrived), PartitionKey: "key", Arrived: arrived, Data: []byte(data),
		})
	}
	return b
}

// tree returns the contents of all files below dir by their names, hidden ones too.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func deliver(t *testing.T, s *Sink, b leat.Batch) {
	t.Helper()
	if err := s.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func wantHalt(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) || !sink.IsHalt(err) || sink.IsPermanent(err) {
		t.Errorf("got %v, want an error with %q that is Halt", err, part)
	}
}

func TestAFileIsNamedAfterItsRange(t *testing.T) {
	b := batchOf("clicks", `{"a":1}`, `{"a":2}`)
	base := fmt.Sprintf("shardId-000000000003-%s-%s.jsonl", b.First(), b.Last())
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "clicks/dt=2026-11-21/hour=05/" + base},
		{Config{Partition: "day", Compression: "gzip"}, "clicks/dt=2026-11-21/" + base + ".gz"},
		{Config{Partition: "none", Compression: "zstd"}, "clicks/" + base + ".zst"},
	} {
		s := &Sink{Config: c.config}
		s.Path = t.TempDir()
		deliver(t, s, b)
		for name := range tree(t, s.Path) {
			if name != c.want {
				t.Errorf("got %s, want %s", name, c.want)
			}
		}
	}
}

func TestPlansCanBeReadByPeople(t *testing.T) {
	b := batchOf("clicks", "1", "2")
	plan, err := (&Sink{Config: Config{Path: "x"}}).Plan(b)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"name":"clicks/dt=2026-11-21/hour=05/shardId-000000000003-%[1]s-%[2]s.jsonl","count":2,`+
		`"first":"%[1]s","last":"%[2]s","compression":"none","envelope":false,"format":1}`, b.First(), b.Last())
	if string(plan) != want {
		t.Errorf("got %s\nwant %s", plan, want)
	}
}

func TestOnlyTheOwnerMayReadTheFiles(t *testing.T) {
	s := &Sink{Config: Config{Path: filepath.Join(t.TempDir(), "files")}}
	deliver(t, s, batchOf("clicks", "1"))
	err := filepath.WalkDir(s.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestARepeatWritesTheSameBytes(t *testing.T) {
	var payloads []string
	for i := range 20_000 {
		payloads = append(payloads, fmt.Sprintf(`{"n":%d,"text":"%x"}`, i, i*i))
	}
	b := batchOf("clicks", payloads...)
	for _, compression := range []string{"none", "gzip", "zstd"} {
		c := Config{Path: t.TempDir(), Compression: compression, Envelope: true}
		s := &Sink{Config: c}
		deliver(t, s, b)
		first := tree(t, c.Path)
		b.Epoch++
		deliver(t, s, b)
		deliver(t, &Sink{Config: c}, b)
		if again := tree(t, c.Path); len(again) != 1 || fmt.Sprint(again) != fmt.Sprint(first) {
			t.Errorf("%s: %d files, want the one there was", compression, len(again))
		}
	}
}

func TestEveryStepHasItsOrder(t *testing.T) {
	var log []string
	s := &Sink{Config: Config{Path: t.TempDir()}}
	s.open = func(path string) (files, error) {
		f, err := openFiles(path)
		return &brokenFiles{files: f, left: -1, log: &log}, err
	}
	b := batchOf("clicks", "1")
	deliver(t, s, b)
	const dir = "clicks/dt=2026-11-21/hour=05"
	base := baseOf(b)
	want := []string{
		"mkdir clicks", "mkdir clicks/dt=2026-11-21", "mkdir " + dir, "names " + dir,
		"create " + dir + "/." + base + ".1.tmp", "write", "fsync", "close", "rename " + dir + "/" + base,
		"sync " + dir, "sync ..", "sync .", "sync clicks", "sync clicks/dt=2026-11-21",
	}
	if !slices.Equal(log, want) {
		t.Errorf("got  %q\nwant %q", log, want)
	}
	log = nil
	deliver(t, s, b) // the directories are known to be durable
	want = slices.Concat(want[:3], want[4:10])
	if !slices.Equal(log, want) {
		t.Errorf("again: got  %q\nwant %q", log, want)
	}
}

func baseOf(b leat.Batch) string {
	return fmt.Sprintf("%s-%s-%s.jsonl", b.Shard, b.First(), b.Last())
}

func TestNothingIsWrittenOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "clicks")); err != nil {
		t.Fatal(err)
	}
	s := &Sink{Config: Config{Path: dir}}
	wantHalt(t, s.Deliver(t.Context(), batchOf("clicks", "1")), "symbolic link")
	for _, name := range []string{"../x.jsonl", "/etc/x.jsonl", "a/../../x.jsonl", "", ".", "a/.hidden", "a//b.jsonl", "clicks/../x"} {
		b := batchOf("clicks", "1")
		plan := fmt.Sprintf(`{"name":%q,"count":1,"first":"%[2]s","last":"%[2]s","compression":"none","format":1}`, name, b.First())
		wantHalt(t, s.Execute(t.Context(), []byte(plan), b), "damaged")
	}
	if got := tree(t, outside); len(got) != 0 {
		t.Errorf("outside there is %v", got)
	}
}

func TestPlansOfALaterVersionHalt(t *testing.T) {
	b := batchOf("clicks", "1")
	s := &Sink{Config: Config{Path: t.TempDir()}}
	plan, err := s.Plan(b)
	if err != nil {
		t.Fatal(err)
	}
	plan = bytes.Replace(plan, []byte(`"format":1`), []byte(`"format":2`), 1)
	wantHalt(t, s.Execute(t.Context(), plan, b), "format 2")
}

func TestAMovedDirectoryIsMadeAnew(t *testing.T) {
	s := &Sink{Config: Config{Path: filepath.Join(t.TempDir(), "files")}}
	b := batchOf("clicks", "1")
	deliver(t, s, b)
	if err := os.Rename(s.Path, s.Path+".old"); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, b)
	if got := tree(t, s.Path); len(got) != 1 {
		t.Errorf("got the files %v, want one", got)
	}
}

func TestACancelledDeliveryLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &Sink{Config: Config{Path: t.TempDir()}}
	s.open = func(path string) (files, error) {
		f, err := openFiles(path)
		return &brokenFiles{files: f, left: -1, at: func(step string) {
			if strings.HasPrefix(step, "create") {
				cancel()
			}
		}}, err
	}
	if err := s.Deliver(ctx, batchOf("clicks", "1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got := tree(t, s.Path); len(got) != 0 {
		t.Errorf("there is %v, want nothing", got)
	}
}
