package session

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Reader reads a recording. One goroutine uses it.
type Reader struct {
	lines *bufio.Scanner
	n     int
	torn  bool
	zstd  *zstd.Decoder // nil: not compressed
	err   error
}

// NewReader returns a Reader of r, which may be compressed by zstd: the first bytes tell.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{}
	buffered := bufio.NewReaderSize(r, 64<<10)
	if head, _ := buffered.Peek(4); bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*MaxLine))
		if err != nil {
			return nil, fmt.Errorf("read a recording: %w", err)
		}
		in.zstd, r = z, z
	} else {
		r = buffered
	}
	in.lines = bufio.NewScanner(&tearing{from: r, torn: &in.torn})
	in.lines.Buffer(make([]byte, 0, 64<<10), MaxLine)
	in.lines.Split(in.split)
	return in, nil
}

// Next returns the next entry, or io.EOF behind the last one. A recording that was broken off is read up to its tear.
func (r *Reader) Next() (Entry, error) {
	if r.err != nil {
		return Entry{}, r.err
	}
	for r.lines.Scan() {
		r.n++
		text := r.lines.Bytes()
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		e, err := parse(text)
		if err != nil {
			r.err = fmt.Errorf("read a recording: line %d: %w", r.n, err)
			return Entry{}, r.err
		}
		return e, nil
	}
	r.err = io.EOF
	if err := r.lines.Err(); err != nil {
		r.err = fmt.Errorf("read a recording: line %d: %w", r.n+1, err)
	}
	return Entry{}, r.err
}

// Torn reports whether the recording was broken off. It is known once Next has returned io.EOF.
func (r *Reader) Torn() bool { return r.torn }

// Close frees what the Reader holds. It does not close what it reads from.
func (r *Reader) Close() {
	if r.zstd != nil {
		r.zstd.Close()
	}
	r.err = errors.New("the reader is closed")
}

// split leaves out a last line without an end: whatever follows was never written.
func (r *Reader) split(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		if _, err := parse(data); err == nil { // whole, but for its end
			return len(data), data, nil
		}
		r.torn = true
		return len(data), nil, nil
	}
	return 0, nil, nil
}

// tearing takes a compressed stream that breaks off for its end.
type tearing struct {
	from io.Reader
	torn *bool
}

// Read implements io.Reader.
func (t *tearing) Read(b []byte) (int, error) {
	n, err := t.from.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		*t.torn, err = true, io.EOF
	}
	return n, err
}
