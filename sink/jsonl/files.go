package jsonl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/leatstream/leat/sink"
)

// files is what writing needs of a file system. Names are relative, with slashes.
type files interface {
	Mkdir(name string) error
	Names(dir string) ([]string, error)
	Create(name string) (file, error) // or empty it, if it exists
	Rename(from, to string) error
	Remove(name string) error
	Sync(dir string) error // makes the names in dir durable; ".." is the directory above
	Close() error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// openFiles opens the directory at path and creates it if it does not exist. Nothing outside of it can be
// reached through the result.
func openFiles(path string) (files, error) {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(path, 0o700); errors.Is(err, fs.ErrNotExist) {
			return nil, sink.Halt(fmt.Errorf("%w: create the directory above it first", err))
		} else if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		root, err = os.OpenRoot(path)
	}
	if err != nil {
		if info, statErr := os.Stat(path); statErr == nil && !info.IsDir() {
			err = sink.Halt(fmt.Errorf("%w: choose another path, this is no directory", err))
		}
		return nil, err
	}
	return rootFiles{root, filepath.Dir(filepath.Clean(path))}, nil
}

// rootFiles are the files below a directory.
type rootFiles struct {
	*os.Root
	above string
}

func (f rootFiles) Mkdir(name string) error { return f.Root.Mkdir(name, 0o700) }

func (f rootFiles) Names(dir string) ([]string, error) {
	d, err := f.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func (f rootFiles) Create(name string) (file, error) {
	return f.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (f rootFiles) Sync(dir string) error {
	if dir == ".." {
		return f.syncAbove()
	}
	d, err := f.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncAbove syncs the directory above. Whoever may not read that has not created a directory in it.
func (f rootFiles) syncAbove() error {
	d, err := os.Open(f.above)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// classify marks the errors that only an operator can mend.
func classify(err error) error {
	for _, c := range []struct {
		is   error
		hint string
	}{
		{fs.ErrPermission, "allow the user of this process to write there"},
		{syscall.EROFS, "the file system is read-only"},
		{syscall.ENOTDIR, "something there is no directory: move it away or choose another path"},
		{syscall.EISDIR, "a directory is in the way: move it away"},
		{syscall.ELOOP, "a symbolic link is in the way: remove it"},
	} {
		if errors.Is(err, c.is) {
			return sink.Halt(fmt.Errorf("%w: %s", err, c.hint))
		}
	}
	if strings.Contains(err.Error(), "path escapes from parent") { // of os.Root, which has no value for it
		return sink.Halt(fmt.Errorf("%w: a symbolic link leads outside", err))
	}
	return err
}
