package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

var errBehind = errors.New("there are bytes behind its end")

// unpacking decompresses messages each of which is whole in itself.
type unpacking struct {
	limit int
	in    bytes.Reader
	r     io.Reader // nil before the first message
	begin func(u *unpacking) error
	done  func()
}

// run implements stage.
func (u *unpacking) run(in, out []byte) ([]byte, bool, error) {
	u.in.Reset(in)
	if err := u.begin(u); err != nil {
		return out, true, unexpected(err)
	}
	out, err := u.readAll(out)
	if err == nil && u.in.Len() > 0 {
		err = errBehind
	}
	u.in.Reset(nil)
	return out, true, unexpected(err)
}

// readAll appends what there is to out, which then is not nil.
func (u *unpacking) readAll(out []byte) ([]byte, error) {
	for empty := 0; ; {
		if cap(out) == len(out) {
			out = append(out, make([]byte, 512)...)[:len(out)]
		}
		n, err := u.r.Read(out[len(out):min(cap(out), u.limit+1)])
		out = out[:len(out)+n]
		switch {
		case len(out) > u.limit, tooLarge(err):
			return out, errLarge
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, err
		}
		if empty++; n > 0 {
			empty = 0
		} else if empty > 100 {
			return out, io.ErrNoProgress
		}
	}
}

func (u *unpacking) close() {
	if u.done != nil {
		u.done()
	}
}

// tooLarge tells the errors of a decompressor that would need more memory than it may.
func tooLarge(err error) bool {
	return errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded)
}

// unexpected makes the end of a message that should go on what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func newGzip(limit int) stage {
	return &unpacking{limit: limit, begin: func(u *unpacking) error {
		if r, ok := u.r.(*gzip.Reader); ok {
			return r.Reset(&u.in)
		}
		r, err := gzip.NewReader(&u.in)
		if err == nil {
			u.r = r
		}
		return err
	}}
}

func newZlib(limit int) stage {
	return &unpacking{limit: limit, begin: func(u *unpacking) error {
		if r, ok := u.r.(zlib.Resetter); ok {
			return r.Reset(&u.in, nil)
		}
		r, err := zlib.NewReader(&u.in)
		if err == nil {
			u.r = r
		}
		return err
	}}
}

func newDeflate(limit int) stage {
	return &unpacking{limit: limit, begin: func(u *unpacking) error {
		if r, ok := u.r.(flate.Resetter); ok {
			return r.Reset(&u.in, nil)
		}
		u.r = flate.NewReader(&u.in)
		return nil
	}}
}

func newZstd(dictionary []byte, limit int) (stage, error) {
	r, err := zstdReader(nil, dictionary, limit)
	if err != nil {
		return nil, err
	}
	return &unpacking{limit: limit, r: r, begin: func(u *unpacking) error { return r.Reset(&u.in) }, done: r.Close}, nil
}

// leastWindow is how far back every zstd decoder should be able to look (RFC 8878, 3.1.1.1.2).
const leastWindow = 8 << 20

// zstdReader returns a decompressor that works in the goroutine of its caller.
func zstdReader(from io.Reader, dictionary []byte, limit int) (*zstd.Decoder, error) {
	window := uint64(max(limit, leastWindow))
	options := []zstd.DOption{
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(window), zstd.WithDecoderMaxWindow(window), zstd.WithDecodeBuffersBelow(0),
	}
	if dictionary != nil {
		options = append(options, zstd.WithDecoderDicts(dictionary))
	}
	r, err := zstd.NewReader(from, options...)
	if err != nil && dictionary != nil {
		return nil, fmt.Errorf("its dictionary: %w", err)
	}
	return r, err
}
