package jsonl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leatstream/leat/sink"
)

// TestAKillAtAnyStepLeavesOneFile kills at every step, then repeats as the next owner of the shard.
func TestAKillAtAnyStepLeavesOneFile(t *testing.T) {
	large := strings.Repeat("x", 300<<10) // more than one write
	b := batchOf("clicks", `{"a":1}`, `"`+large+`"`, `{"a":3}`)
	for step := 0; ; step++ {
		c := Config{Path: filepath.Join(t.TempDir(), "files")}
		err := (&Sink{Config: c, open: breakAt(step, errKilled)}).Deliver(t.Context(), b)
		if err == nil {
			t.Logf("%d steps", step)
			return
		}
		for name, data := range tree(t, c.Path) {
			if !strings.HasPrefix(filepath.Base(name), ".") && strings.Count(data, "\n") != 3 {
				t.Errorf("step %d: %s is visible in part", step, name)
			}
		}
		next := b
		next.Epoch = 7
		deliver(t, &Sink{Config: c}, next)
		want := map[string]string{"clicks/dt=2026-11-21/hour=05/" + baseOf(b): "{\"a\":1}\n\"" + large + "\"\n{\"a\":3}\n"}
		if got := tree(t, c.Path); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("step %d: after the repeat there are %d files, want one", step, len(got))
		}
	}
}

func TestAFullDiskIsTriedAgain(t *testing.T) {
	b := batchOf("clicks", `{"a":1}`, `{"a":2}`)
	for step := 0; ; step++ {
		c := Config{Path: t.TempDir()}
		err := (&Sink{Config: c, open: breakAt(step, syscall.ENOSPC)}).Deliver(t.Context(), b)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.ENOSPC) || sink.IsHalt(err) || sink.IsPermanent(err) {
			t.Errorf("step %d: %v is Halt or Permanent", step, err)
		}
		for name := range tree(t, c.Path) {
			if strings.HasSuffix(name, ".tmp") {
				t.Errorf("step %d: %s is left behind", step, name)
			}
		}
		deliver(t, &Sink{Config: c}, b)
	}
}

func TestWhatAnOperatorMustMendHalts(t *testing.T) {
	b := batchOf("clicks", "1")
	for errno, part := range map[error]string{syscall.EACCES: "allow", syscall.EPERM: "allow", syscall.EROFS: "read-only"} {
		s := &Sink{Config: Config{Path: t.TempDir()}, open: breakAt(0, errno)}
		wantHalt(t, s.Deliver(t.Context(), b), part)
	}

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantHalt(t, (&Sink{Config: Config{Path: filepath.Join(dir, "file")}}).Deliver(t.Context(), b), "no directory")
	wantHalt(t, (&Sink{Config: Config{Path: filepath.Join(dir, "a", "b")}}).Deliver(t.Context(), b), "create the directory above")
	wantHalt(t, (&Sink{}).Deliver(t.Context(), b), "path: is missing")
	wantHalt(t, (&Sink{Config: Config{Path: dir, Partition: "week"}}).Deliver(t.Context(), b), "partition")
	wantHalt(t, (&Sink{Config: Config{Path: dir, Compression: "lzma"}}).Deliver(t.Context(), b), "compression")

	if os.Geteuid() == 0 {
		return // whom permissions do not stop
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700) // so that it can be removed
	wantHalt(t, (&Sink{Config: Config{Path: dir}}).Deliver(t.Context(), b), "allow")
}
