package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// ErrNotRunning says that no process serves the data directory, or no longer. Start one, or open the directory in this process.
var ErrNotRunning = errors.New("no leat is running there")

// Client is an engine that is open in another process. It implements stream.Engine, stream.Admin and stream.Partial with the errors of
// that engine; all methods may be called by any number of goroutines. Every call and every reader has a connection of its
// own, and nothing is kept between calls: there is nothing to close, and no call fails because a connection has grown old. A call
// that finds no server returns ErrNotRunning; a connection that breaks gives an error that is none of the contract's.
type Client struct {
	transport *http.Transport
	partial   bool
}

// Connect returns a client that reaches a Handler through dial, after the Handler has answered. It returns ErrNotRunning
// where dial is refused.
func Connect(ctx context.Context, dial func(context.Context) (net.Conn, error)) (*Client, error) {
	c := &Client{transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
				err = fmt.Errorf("%w: %w", ErrNotRunning, err)
			}
			return conn, err
		},
	}}
	var h hello
	if err := c.call(ctx, "hello", nil, &h); err != nil {
		return nil, err
	}
	if h.Protocol != version {
		return nil, fmt.Errorf("the running leat speaks version %d of the protocol, this one speaks %d: use the same leat for both", h.Protocol, version)
	}
	c.partial = h.Partial
	return c, nil
}

// Status returns what the serving process says about itself, as JSON.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	var status json.RawMessage
	err := c.call(ctx, "status", nil, &status)
	return status, err
}

// Partial implements stream.Partial.
func (c *Client) Partial() bool { return c.partial }

// Commit implements stream.Engine. The end of ctx and the loss of the connection leave the outcome unknown. A commit of
// more than 128 MiB of JSON, which is some 96 MiB of payload, is refused with stream.ErrTooLarge, whatever the engine takes.
func (c *Client) Commit(ctx context.Context, commit stream.Commit) (stream.Receipt, error) {
	size := 0
	for i := range commit.Puts {
		for j := range commit.Puts[i].Events {
			size += commit.Puts[i].Events[j].Size()
		}
	}
	if size > maxCommit {
		return stream.Receipt{}, tooLarge(size)
	}
	var r stream.Receipt
	err := c.call(ctx, "commit", packCommit(&commit), &r)
	return r, err
}

func tooLarge(size int) error {
	return fmt.Errorf("commit %d bytes to the running leat: %w: the limit is %d", size, stream.ErrTooLarge, maxCommit)
}

// Load implements stream.Marks.
func (c *Client) Load(ctx context.Context, key string) (stream.Mark, error) {
	var m wireMark
	if err := c.call(ctx, "load", packKey(key), &m); err != nil {
		return stream.Mark{}, err
	}
	return m.mark()
}

// List implements stream.Marks.
func (c *Client) List(ctx context.Context, prefix string) ([]stream.Mark, error) {
	var list []wireMark
	if err := c.call(ctx, "list", packKey(prefix), &list); err != nil {
		return nil, err
	}
	return unpackEach(list, (*wireMark).mark)
}

// State implements stream.Marks.
func (c *Client) State(ctx context.Context, prefix string) ([]stream.Entry, error) {
	var list []wireEntry
	if err := c.call(ctx, "state", packKey(prefix), &list); err != nil {
		return nil, err
	}
	return unpackEach(list, (*wireEntry).entry)
}

// Shards implements stream.Engine.
func (c *Client) Shards(ctx context.Context, name string) ([]stream.Shard, error) {
	var shards []stream.Shard
	err := c.call(ctx, "shards", streamArgs{name}, &shards)
	return shards, err
}

// Streams implements stream.Admin.
func (c *Client) Streams(ctx context.Context) ([]stream.Info, error) {
	var list []stream.Info
	err := c.call(ctx, "streams", nil, &list)
	return list, err
}

// Create implements stream.Admin.
func (c *Client) Create(ctx context.Context, spec stream.Spec) error {
	return c.call(ctx, "create", spec, nil)
}

// Delete implements stream.Admin.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.call(ctx, "delete", streamArgs{name}, nil)
}

// Split implements stream.Admin.
func (c *Client) Split(ctx context.Context, name string, shard leat.ShardID, at leat.Hash) error {
	return c.call(ctx, "split", splitArgs{Stream: name, Shard: shard, At: at}, nil)
}

// Merge implements stream.Admin.
func (c *Client) Merge(ctx context.Context, name string, a, b leat.ShardID) error {
	return c.call(ctx, "merge", mergeArgs{Stream: name, A: a, B: b}, nil)
}

// SetRetention implements stream.Admin.
func (c *Client) SetRetention(ctx context.Context, name string, keep stream.Retention) error {
	return c.call(ctx, "retention", retentionArgs{Stream: name, Keep: keep}, nil)
}

// call sends args, if there are any, and fills result, if it is not nil, with the answer.
func (c *Client) call(ctx context.Context, word string, args, result any) error {
	method, body, err := http.MethodGet, []byte(nil), error(nil)
	if args != nil {
		method = http.MethodPost
		body, err = encode(args)
	}
	if err != nil {
		return err
	}
	if len(body) > maxCommit {
		return tooLarge(len(body))
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://leat/v1/"+word, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return broken(ctx, word, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(ctx, word, resp)
	}
	if result == nil {
		result = &none{}
	}
	if err := json.NewDecoder(resp.Body).Decode(result); err != nil {
		return broken(ctx, word, err)
	}
	return nil
}

// encode returns args as one line of JSON.
func encode(args any) ([]byte, error) {
	var buf bytes.Buffer
	if err := encoder(&buf).Encode(args); err != nil {
		return nil, fmt.Errorf("%w: %w", stream.ErrInvalid, err) // such as a time in the year 10000
	}
	return buf.Bytes(), nil
}

// refusal returns the error that the engine returned.
func refusal(ctx context.Context, word string, resp *http.Response) error {
	var w wireError
	err := json.NewDecoder(resp.Body).Decode(&w)
	switch {
	case ctx.Err() != nil:
		return broken(ctx, word, err)
	case err != nil || w.Text == "":
		return fmt.Errorf("%s: the running leat answered %s", word, resp.Status)
	}
	return w.unpack()
}

// broken returns the error of a call that has no answer. It never passes for the end of a shard.
func broken(ctx context.Context, word string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", word, ctx.Err())
	case errors.Is(err, ErrNotRunning):
		return fmt.Errorf("%s: %w", word, err)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s: the connection to the running leat broke: %w", word, err)
}
