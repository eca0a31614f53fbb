package provider

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// defaultOversize is more than any limit in use.
const defaultOversize = 64 << 20

// Oversize is an http.Handler that sends three messages on each connection: {"id":1}, then
// {"id":2,"pad":"aaa…"} of Size bytes, then {"id":3}. Afterwards it is idle.
type Oversize struct {
	// Size of the large message in bytes, at least 17. Default 64 MiB.
	Size int

	Clients
}

// ServeHTTP implements http.Handler.
func (p *Oversize) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, func(ctx context.Context, c *conn) error {
		large, err := io.ReadAll(padded(2, p.Size))
		if err != nil {
			return err
		}
		return sandwich(ctx, c, opText, large)
	})
}

// Bomb is an http.Handler that sends three messages on each connection: {"id":1}, then a
// compressed message of some kilobytes that inflates to {"id":2,"pad":"aaa…"} of Size bytes, then
// {"id":3}. Afterwards it is idle. A client that does not offer permessage-deflate is
// refused with status 400.
type Bomb struct {
	// Size of the inflated message in bytes, at least 17. Default 64 MiB.
	Size int

	Clients

	once   sync.Once
	packed []byte
	err    error
}

// ServeHTTP implements http.Handler.
func (p *Bomb) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.once.Do(func() { p.packed, p.err = deflate(padded(2, p.Size)) })
	if p.err != nil || !offersDeflate(r) {
		p.count(func(n *Counts) { n.Refused++ })
		http.Error(w, "this provider needs permessage-deflate", http.StatusBadRequest)
		return
	}
	answer, err := shake(w, r)
	if err != nil {
		return
	}
	answer.deflate = true
	p.upgrade(w, r, answer, func(ctx context.Context, c *conn) error {
		return sandwich(ctx, c, opText|bitRSV1, p.packed)
	})
}

// sandwich sends a message between two small ones.
func sandwich(ctx context.Context, c *conn, opcode byte, large []byte) error {
	if err := c.send(opText, numbered(1)); err != nil {
		return err
	}
	if err := c.send(opcode, large); err != nil {
		return err
	}
	if err := c.send(opText, numbered(3)); err != nil {
		return err
	}
	return c.idle(ctx)
}

// padded is a JSON object of so many bytes, which it never holds at once.
func padded(id int64, size int) io.Reader {
	if size <= 0 {
		size = defaultOversize
	}
	head, tail := `{"id":`+strconv.FormatInt(id, 10)+`,"pad":"`, `"}`
	pad := &io.LimitedReader{R: letters{}, N: int64(max(0, size-len(head)-len(tail)))}
	return io.MultiReader(bytes.NewReader([]byte(head)), pad, bytes.NewReader([]byte(tail)))
}

// letters is an endless text of the letter a.
type letters struct{}

// Read implements io.Reader.
func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// deflate compresses a message as RFC 7692 wants it: without the empty block at the end.
func deflate(message io.Reader) ([]byte, error) {
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress a message: %w", err)
	}
	if _, err := io.Copy(z, message); err != nil {
		return nil, fmt.Errorf("compress a message: %w", err)
	}
	if err := z.Flush(); err != nil {
		return nil, fmt.Errorf("compress a message: %w", err)
	}
	return bytes.TrimSuffix(packed.Bytes(), []byte{0, 0, 0xff, 0xff}), nil
}
