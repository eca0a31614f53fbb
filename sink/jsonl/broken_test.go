package jsonl

import (
	"errors"
	"syscall"
)

// errKilled is what a step returns that a killed process would not have done.
var errKilled = errors.New("killed")

// breakAt returns a file system below a directory whose given step, counted from 0, and every one
// behind it fail with err. A write that fails has written half; what fails in no other way changes nothing, so that with
// errKilled the directory is left as a killed process leaves it.
func breakAt(step int, err error) func(string) (files, error) {
	return func(path string) (files, error) {
		f, openErr := openFiles(path)
		if openErr != nil {
			return nil, openErr
		}
		return &brokenFiles{files: f, left: step, err: err}, nil
	}
}

type brokenFiles struct {
	files
	left int // steps until it breaks; negative: it never does
	err  error
	log  *[]string         // the steps that were done, if not nil
	at   func(step string) // called at every step, if not nil
}

func (f *brokenFiles) step(what string) error {
	if f.left == 0 {
		return f.err
	}
	f.left--
	if f.log != nil {
		*f.log = append(*f.log, what)
	}
	if f.at != nil {
		f.at(what)
	}
	return nil
}

func (f *brokenFiles) Mkdir(name string) error {
	if err := f.step("mkdir " + name); err != nil {
		return err
	}
	return f.files.Mkdir(name)
}

func (f *brokenFiles) Names(dir string) ([]string, error) {
	if err := f.step("names " + dir); err != nil {
		return nil, err
	}
	return f.files.Names(dir)
}

func (f *brokenFiles) Create(name string) (file, error) {
	if err := f.step("create " + name); err != nil {
		return nil, err
	}
	out, err := f.files.Create(name)
	return &brokenFile{file: out, files: f}, err
}

func (f *brokenFiles) Rename(from, to string) error {
	if err := f.step("rename " + to); err != nil {
		return err
	}
	return f.files.Rename(from, to)
}

// Remove works on a full disk, but a killed process removes nothing.
func (f *brokenFiles) Remove(name string) error {
	if errors.Is(f.err, syscall.ENOSPC) {
		return f.files.Remove(name)
	}
	if err := f.step("remove " + name); err != nil {
		return err
	}
	return f.files.Remove(name)
}

func (f *brokenFiles) Sync(dir string) error {
	if err := f.step("sync " + dir); err != nil {
		return err
	}
	return f.files.Sync(dir)
}

type brokenFile struct {
	file
	files *brokenFiles
}

func (f *brokenFile) Write(b []byte) (int, error) {
	if err := f.files.step("write"); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f *brokenFile) Sync() error {
	if err := f.files.step("fsync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *brokenFile) Close() error {
	err := f.files.step("close")
	return errors.Join(err, f.file.Close())
}
