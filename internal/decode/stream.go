package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zlib"
)

const (
	// streamStep is how much a decompressor of a stream makes at once.
	streamStep = 16 << 10

	// maxPast is how much of a message that is too large is decompressed all the same, because later messages refer to it.
	maxPast = 256 << 20
)

var (
	errStreamEnded = errors.New("the compressed stream has ended")
	errClosed      = errors.New("closed")
)

// stream decompresses messages that are pieces of one compressed stream. The decompressor is a coroutine, which stops wherever it asks for
// more than there is.
type stream struct {
	open  func(r io.Reader) (io.Reader, error)
	limit int

	// whole reports whether a message ends with these last bytes; nil: each one does.
	whole func(tail []byte) bool

	next  func() (error, bool) // runs the coroutine until it has used up in
	stop  func()
	yield func(error) bool // gives the word back; called within the coroutine

	in   []byte // what is still to be read
	out  []byte // of the message in hand
	past int    // how much of it was thrown away, since it is too large
	tail []byte // the last bytes that were received
	held []byte // what a message began with
	lost error
}

func newStream(limit int, open func(io.Reader) (io.Reader, error)) *stream {
	s := &stream{open: open, limit: limit}
	s.next, s.stop = iter.Pull(s.work)
	return s
}

// run implements stage.
func (s *stream) run(in, out []byte) ([]byte, bool, error) {
	if s.lost != nil {
		return out, false, s.lost
	}
	s.in = in
	out = append(out, s.held...)
	s.out = out
	s.held = s.held[:0]
	if len(in) > 0 {
		if err, ok := s.next(); !ok || err != nil {
			s.lost = &lostError{fmt.Errorf("the context of all messages is lost: %w", err)}
			return s.out, true, s.lost
		}
	}
	out = s.out
	s.in, s.out = nil, nil
	if s.whole != nil {
		s.tail = append(s.tail, in...)
		s.tail = append(s.tail[:0], s.tail[max(0, len(s.tail)-4):]...)
		if !s.whole(s.tail) {
			s.held = append(s.held, out...)
			return nil, false, nil
		}
	}
	past := s.past
	s.past = 0
	if cap(s.held) > keptScratch {
		s.held = nil
	}
	switch {
	case past > 0:
		return out, true, errLarge
	case len(out) == 0:
		return nil, false, nil
	}
	return out, true, nil
}

// work is the coroutine. It yields nil when it needs more, and an error at the end.
func (s *stream) work(yield func(error) bool) {
	s.yield = yield
	r, err := s.open(s)
	buffer := make([]byte, streamStep)
	for empty := 0; err == nil; {
		var n int
		n, err = r.Read(buffer)
		if empty++; n > 0 {
			empty = 0
		} else if err == nil && empty > 100 {
			err = io.ErrNoProgress
		}
		if more := s.take(buffer[:n]); err == nil {
			err = more
		}
	}
	if errors.Is(err, io.EOF) {
		err = errStreamEnded
	}
	if !errors.Is(err, errClosed) {
		yield(err)
	}
}

// take keeps what the decompressor has made, as far as there is room.
func (s *stream) take(data []byte) error {
	if room := s.limit - len(s.out); len(data) > room {
		s.past += len(data) - room
		data = data[:room]
	}
	s.out = append(s.out, data...)
	if s.past > maxPast {
		return errLarge
	}
	return nil
}

// Read implements io.Reader for the decompressor.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.in) == 0 {
		if !s.yield(nil) {
			return 0, errClosed
		}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// ReadByte implements io.ByteReader, so that nothing is read ahead.
func (s *stream) ReadByte() (byte, error) {
	var b [1]byte
	_, err := s.Read(b[:])
	return b[0], err
}

func (s *stream) close() { s.stop() }

// newZlibStream is one zlib stream, flushed behind each message, as at Discord.
func newZlibStream(limit int) stage {
	s := newStream(limit, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })
	s.whole = func(tail []byte) bool { return bytes.Equal(tail, []byte{0, 0, 0xff, 0xff}) }
	return s
}

// newZstdStream is one zstd frame, flushed behind each message.
func newZstdStream(dictionary []byte, limit int) (stage, error) {
	if dictionary != nil {
		r, err := zstdReader(nil, dictionary, limit)
		if err != nil {
			return nil, err
		}
		r.Close()
	}
	return newStream(limit, func(r io.Reader) (io.Reader, error) {
		d, err := zstdReader(r, dictionary, limit)
		if err != nil {
			return nil, err
		}
		return zstdStream{d}, nil
	}), nil
}

// zstdStream frees the decompressor behind the end of its stream.
type zstdStream struct {
	d interface {
		io.Reader
		Close()
	}
}

// Read implements io.Reader.
func (z zstdStream) Read(p []byte) (int, error) {
	n, err := z.d.Read(p)
	if err != nil {
		z.d.Close()
	}
	return n, err
}
