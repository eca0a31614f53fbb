package local

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watchFS stands between pebble and the disk and judges every error of an operation that writes.
// Pebble repeats some of them, forgets others and panics at some; here the first one that may have lost data stops the
// engine, and the goroutine that met it waits for the end of the process, so that pebble never gets to act on it.
// The exception is any file but a log for which there is no room before its sync: nothing is lost by it. It is delayed,
// because pebble tries again without pause.
type watchFS struct {
	vfs.FS
	lost func(error)   // an operation failed after which nothing is certain; does not return
	full func()        // an operation found no room
	wait time.Duration // how long such an operation is held up
}

func (w *watchFS) judge(what, name string, sync bool, err error) error {
	switch {
	case err == nil:
	case !noRoom(err):
		w.lost(fmt.Errorf("%s %s: %w", what, name, err))
	case sync || strings.HasSuffix(name, ".log"):
		w.lost(fmt.Errorf("%s %s: no room: %w", what, name, err))
	default:
		w.full()
		time.Sleep(w.wait)
	}
	return err
}

// noRoom reports whether the disk or a quota is full.
func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Unwrap implements vfs.FS.
func (w *watchFS) Unwrap() vfs.FS { return w.FS }

// Create implements vfs.FS.
func (w *watchFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	return w.file(f, name, w.judge("create", name, false, err))
}

// OpenReadWrite implements vfs.FS.
func (w *watchFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := w.FS.OpenReadWrite(name, category, opts...)
	return w.file(f, name, w.judge("open", name, false, err))
}

// OpenDir implements vfs.FS.
func (w *watchFS) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	return w.file(f, name, err)
}

// ReuseForWrite implements vfs.FS.
func (w *watchFS) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(oldName, newName, category)
	return w.file(f, newName, w.judge("reuse", newName, false, err))
}

// Rename implements vfs.FS.
func (w *watchFS) Rename(oldName, newName string) error {
	return w.judge("rename", newName, false, w.FS.Rename(oldName, newName))
}

// Link implements vfs.FS.
func (w *watchFS) Link(oldName, newName string) error {
	return w.judge("link", newName, false, w.FS.Link(oldName, newName))
}

func (w *watchFS) file(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &watchFile{File: f, fs: w, name: name}, nil
}

type watchFile struct {
	vfs.File
	fs   *watchFS
	name string
}

// Write implements vfs.File.
func (f *watchFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.judge("write", f.name, false, err)
}

// WriteAt implements vfs.File.
func (f *watchFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.fs.judge("write", f.name, false, err)
}

// Preallocate implements vfs.File. File systems that cannot do it say so; that is no loss.
func (f *watchFile) Preallocate(at, length int64) error {
	err := f.File.Preallocate(at, length)
	if noRoom(err) {
		return f.fs.judge("fallocate", f.name, false, err)
	}
	return err
}

// Sync implements vfs.File.
func (f *watchFile) Sync() error { return f.fs.judge("sync", f.name, true, f.File.Sync()) }

// SyncData implements vfs.File.
func (f *watchFile) SyncData() error { return f.fs.judge("sync", f.name, true, f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f *watchFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.judge("sync", f.name, true, err)
}

// Close implements vfs.File.
func (f *watchFile) Close() error {
	err := f.File.Close()
	if errors.Is(err, syscall.EIO) || noRoom(err) {
		return f.fs.judge("close", f.name, true, err)
	}
	return err
}
