package local

import (
	"errors"
	"strings"
	"testing"
)

func TestReadersShareADirectoryAndNameThemselvesToAWriter(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	first, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("a second reader: %v", err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "is being read") {
		t.Errorf("a writer beside readers: %v", err)
	}
	opened := make(chan error, 1)
	go func() { // waits for the readers to go
		e, err := Open(dir, Options{})
		if err == nil {
			err = e.Close()
		}
		opened <- err
	}()
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("a writer after the readers have gone: %v", err)
	}
}
