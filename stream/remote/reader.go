package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Read implements stream.Engine. The reader has a connection of its own until Close; the end of ctx only ends the opening. One
// batch has at most 10,000 records and 1 MiB, or one record, whatever the limit. A Next whose context ends loses nothing.
// When the connection breaks, Next returns what has arrived, and then an error that is not io.EOF.
func (c *Client) Read(ctx context.Context, name string, shard leat.ShardID, from stream.Position) (stream.Reader, error) {
	from.Time = from.Time.UTC()
	first, err := encode(readArgs{Stream: name, Shard: shard, From: from})
	if err != nil {
		return nil, err
	}
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	opened := context.AfterFunc(ctx, end)
	body, asks := io.Pipe()
	resp, err := c.open(living, struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), body), body})
	if !opened() && err == nil {
		_ = resp.Body.Close()
		err = ctx.Err()
	}
	if err != nil {
		end()
		_ = asks.Close()
		if ctx.Err() != nil {
			err = broken(ctx, "read", err)
		}
		return nil, err
	}
	r := &reader{stream: name, shard: shard, end: end, asks: asks, answers: make(chan arrival, 1)}
	go r.receive(resp.Body)
	return r, nil
}

// open sends the request of a reader and returns the response if it has been opened.
func (c *Client) open(ctx context.Context, body io.ReadCloser) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://leat"+readPath, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, broken(ctx, "read", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(ctx, "read", resp)
	}
	return resp, nil
}

// reader is the client's end of one reader. At most one ask is without an answer.
type reader struct {
	stream  string
	shard   leat.ShardID
	end     context.CancelFunc // breaks the connection
	asks    io.WriteCloser
	answers chan arrival // closed when the connection is over
	lost    error        // why; set before answers is closed

	// What follows belongs to Next.
	asked       bool          // an answer is due
	interrupted bool          // and has been taken back, if it is not on its way
	rest        []leat.Record // of the last answer
	behind      time.Duration // at the end of rest
}

// arrival is an answer, unpacked.
type arrival struct {
	records     []leat.Record
	behind      time.Duration
	err         error
	interrupted bool
}

// receive takes answers off the connection until it is over.
func (r *reader) receive(body io.ReadCloser) {
	defer close(r.answers)
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var a answer
		if r.lost = lines.Decode(&a); r.lost != nil {
			return
		}
		batch := arrival{behind: a.Behind, err: a.Error.unpack(), interrupted: a.Interrupted}
		if batch.records, r.lost = unpackEach(a.Records, (*wireRecord).record); r.lost != nil {
			return
		}
		select {
		case r.answers <- batch:
		default:
			r.lost = errors.New("an answer came that nobody had asked for")
			return
		}
	}
}

// Next implements stream.Reader.
func (r *reader) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	if err := ctx.Err(); err != nil {
		return leat.Batch{}, err
	}
	limit = limit.WithDefaults()
	for len(r.rest) == 0 {
		late := r.asked // the answer that is due is one to a former call, with another limit
		if !late {
			if err := r.ask(ask{Limit: limit}); err != nil {
				return leat.Batch{}, r.broken(err)
			}
			r.asked = true
		}
		a, err := r.wait(ctx)
		if err != nil {
			return leat.Batch{}, err
		}
		r.rest, r.behind = a.records, a.behind
		if !late && !a.interrupted {
			break // empty only because of NoWait
		}
	}
	return r.take(limit), nil
}

// wait returns the answer that is due.
func (r *reader) wait(ctx context.Context) (arrival, error) {
	select {
	case a, ok := <-r.answers:
		r.asked, r.interrupted = false, false
		if !ok {
			return arrival{}, r.broken(r.lost)
		}
		return a, a.err
	case <-ctx.Done():
		if !r.interrupted {
			r.interrupted = true
			_ = r.ask(ask{Interrupt: true}) // if it fails, the next call will see
		}
		return arrival{}, ctx.Err()
	}
}

func (r *reader) ask(a ask) error {
	line, err := encode(a)
	if err == nil {
		_, err = r.asks.Write(line)
	}
	return err
}

// take cuts a batch within the limit off the rest.
func (r *reader) take(limit stream.Limit) leat.Batch {
	n, size := 0, 0
	for n < len(r.rest) && n < limit.Records {
		if size += r.rest[n].Size(); size > limit.Bytes && n > 0 {
			break
		}
		n++
	}
	b := leat.Batch{Stream: r.stream, Shard: r.shard, Records: r.rest[:n:n], Behind: r.behind}
	if r.rest = r.rest[n:]; len(r.rest) > 0 {
		b.Behind = max(1, time.Since(b.Records[n-1].Arrived))
	}
	return b
}

// Close implements stream.Reader. The engine's reader is closed as soon as the other process sees the end of the connection.
func (r *reader) Close() error {
	r.end()
	_ = r.asks.Close()
	for range r.answers { // until receive is over
	}
	return nil
}

func (r *reader) broken(err error) error {
	what := fmt.Sprintf("read stream %q %s", r.stream, r.shard)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: the reader has been closed", what)
	}
	return broken(context.Background(), what, err)
}
