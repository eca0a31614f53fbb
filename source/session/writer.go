package session

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Writer writes a recording. One goroutine uses it.
type Writer struct {
	out  *bufio.Writer
	zstd *zstd.Encoder // nil: not compressed
	text bytes.Buffer
}

// NewWriter returns a Writer to w, which compresses with zstd if that is wanted.
func NewWriter(w io.Writer, compress bool) (*Writer, error) {
	s := &Writer{}
	if compress {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("compress a recording: %w", err)
		}
		s.zstd, w = z, z
	}
	s.out = bufio.NewWriterSize(w, 64<<10)
	return s, nil
}

// Write writes one entry.
func (w *Writer) Write(e *Entry) error {
	l := stored(e)
	err := w.encode(&l)
	if err == nil && w.text.Len() > MaxLine && l.Data != nil {
		short := base64.StdEncoding.EncodeToString(e.Data) // escape sequences have made it long
		l.Data, l.Base64, l.Text = nil, &short, true
		err = w.encode(&l)
	}
	if err == nil && w.text.Len() > MaxLine {
		l.Base64, l.Text, l.Note = nil, false, fmt.Sprintf("message of %d bytes left out", len(e.Data))
		err = w.encode(&l)
	}
	if err == nil {
		_, err = w.out.Write(w.text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	return nil
}

func (w *Writer) encode(l *line) error {
	w.text.Reset()
	e := json.NewEncoder(&w.text)
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

// Flush hands on what was written, so that it is readable whatever happens to this process.
func (w *Writer) Flush() error {
	err := w.out.Flush()
	if w.zstd != nil {
		err = errors.Join(err, w.zstd.Flush())
	}
	if err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	return nil
}

// Close ends the recording. It does not close what it writes to.
func (w *Writer) Close() error {
	err := w.out.Flush()
	if w.zstd != nil {
		err = errors.Join(err, w.zstd.Close())
	}
	if err != nil {
		return fmt.Errorf("write a recording: %w", err)
	}
	return nil
}
