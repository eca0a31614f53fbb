package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// openInChild names the directory that this test binary, run as a second process, is to open.
const openInChild = "LEAT_TEST_OPEN"

func TestMain(m *testing.M) {
	dir := os.Getenv(openInChild)
	if dir == "" {
		os.Exit(m.Run())
	}
	opts := Options{}
	opts.test.guards.noLock = os.Getenv(openInChild+"_NOLOCK") != ""
	e, err := Open(dir, opts)
	if err != nil {
		fmt.Println(errors.Is(err, ErrLocked), err)
		os.Exit(1)
	}
	_ = e.Close()
	os.Exit(0)
}

func openElsewhere(dir string, noLock bool) (output string, err error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openInChild+"="+dir)
	if noLock {
		cmd.Env = append(cmd.Env, openInChild+"_NOLOCK=1")
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// G10: a second process is kept out, also after something in the owner has opened and closed pebble's
// lock file, which gives up a record lock.
func TestG10OneProcessPerDirectory(t *testing.T) {
	run := func(noLock bool) (string, error) {
		opts := Options{}
		opts.test.guards.noLock = noLock
		dir := t.TempDir()
		e, err := Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if out, err := openElsewhere(dir, noLock); err == nil {
			t.Fatalf("a second process got in: %s", out)
		}
		f, err := os.Open(filepath.Join(dir, dbDir, "LOCK"))
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		return openElsewhere(dir, noLock)
	}
	out, err := run(false)
	if want := fmt.Sprintf("pid %d", os.Getpid()); err == nil || !strings.HasPrefix(out, "true") || !strings.Contains(out, want) {
		t.Errorf("the second process: %v, %q; want ErrLocked and %s", err, out, want)
	}
	if out, err := run(true); err != nil {
		t.Errorf("control, without the lock file: %v, %s; want that the second process gets in", err, out)
	}
}

func TestOpenFailsInOneProcessToo(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
}
