// Package remote lets other processes of this machine use an open engine, over a Unix socket in its data directory.
//
// The process that has the directory open calls [Listen] and [Serve] with a [Handler]; any other calls
// [Dial] and gets a [Client], which is a stream.Engine and a stream.Admin like the engine itself, with the same errors.
//
// # The protocol
//
// It is HTTP/1.1 with JSON, so that curl can speak it too:
//
//	curl --unix-socket leat.sock http://leat/v1/streams
//	curl --unix-socket leat.sock http://leat/v1/shards -d '{"Stream":"clicks"}'
//
// Each method is one request to /v1/ and a word. An answer other than 200 holds the error: its text, what of the contract's
// errors it is, and the fields of a gap or of a partial refusal.
//
// A reader is one request of both directions, which lives as long as the reader. The client sends lines, and the
// server answers each line that asks with one value:
//
//	client                                            server
//	{"Stream":"s","Shard":0,"From":{…}}        ──►                                      opens the reader
//	                                           ◄──    200                               or another status and the error
//	{"limit":{"Records":100}}                  ──►                                      calls Next
//	                                           ◄──    {"records":[…],"behind":0}        what Next returned
//	{"limit":{…}}                              ──►
//	{"interrupt":true}                         ──►                                      ends the context of Next
//	                                           ◄──    {"interrupted":true}              or what Next had returned just before
//
// So every record leaves the engine's reader because the client has asked for it and is on its way to the client from then
// on; an answer that comes too late for the call that asked is kept for the next call. A reader at the tip costs one waiting goroutine.
// The end of the connection, whoever brings it about, ends a waiting Next and closes the engine's reader.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Engine is what a Handler serves and a Client is.
type Engine interface {
	stream.Engine
	stream.Admin
}

const (
	version = 1 // of the protocol, also in the paths

	maxReaders = 1000
	maxArgs    = 1 << 20 // bytes of the body of any call but commit

	// maxCommit is how large the body of a commit may be, and all that are in hand together. JSON makes at most four
	// times of what an engine counts: of the smallest marks; of large payloads four thirds.
	maxCommit = 128 << 20

	// transferTime is how long a body or an answer may be under way, once it has begun.
	transferTime = time.Minute
)

// Handler serves e over HTTP; see the package comment for the protocol. The answer to a request for the
// status is what status returns, as JSON; it must be fit for concurrent calls. At most 1,000 readers are open at once, and at
// most 128 MiB of commits in hand: more wait. Requests must reach it unwrapped or through writers with an Unwrap
// method, and the server should bound the time for headers: Serve does.
func Handler(e Engine, status func() any) http.Handler {
	s := &server{engine: e, room: semaphore.NewWeighted(maxCommit)}
	partial, ok := e.(stream.Partial)
	mux := http.NewServeMux()
	handle(mux, "GET /v1/hello", func(context.Context, none) (hello, error) {
		return hello{Protocol: version, Partial: ok && partial.Partial()}, nil
	})
	handle(mux, "GET /v1/status", func(context.Context, none) (any, error) { return status(), nil })
	s.handleStreams(mux)
	handle(mux, "POST /v1/load", func(ctx context.Context, a keyArgs) (wireMark, error) {
		key, err := a.key()
		if err != nil {
			return wireMark{}, err
		}
		m, err := e.Load(ctx, key)
		return packMark(m), err
	})
	handle(mux, "POST /v1/list", func(ctx context.Context, a keyArgs) ([]wireMark, error) {
		prefix, err := a.key()
		if err != nil {
			return nil, err
		}
		list, err := e.List(ctx, prefix)
		return packEach(list, packMark), err
	})
	handle(mux, "POST /v1/state", func(ctx context.Context, a keyArgs) ([]wireEntry, error) {
		prefix, err := a.key()
		if err != nil {
			return nil, err
		}
		list, err := e.State(ctx, prefix)
		return packEach(list, packEntry), err
	})
	mux.HandleFunc("POST /v1/commit", s.commit)
	mux.HandleFunc("POST "+readPath, s.read)
	return mux
}

// server is the state behind one Handler.
type server struct {
	engine  Engine
	room    *semaphore.Weighted // bytes of the bodies of commits in hand
	readers atomic.Int64
}

func (s *server) handleStreams(mux *http.ServeMux) {
	e := s.engine
	handle(mux, "GET /v1/streams", func(ctx context.Context, _ none) ([]stream.Info, error) { return e.Streams(ctx) })
	handle(mux, "POST /v1/shards", func(ctx context.Context, a streamArgs) ([]stream.Shard, error) {
		return e.Shards(ctx, a.Stream)
	})
	handle(mux, "POST /v1/create", func(ctx context.Context, a stream.Spec) (none, error) {
		return none{}, e.Create(ctx, a)
	})
	handle(mux, "POST /v1/delete", func(ctx context.Context, a streamArgs) (none, error) {
		return none{}, e.Delete(ctx, a.Stream)
	})
	handle(mux, "POST /v1/split", func(ctx context.Context, a splitArgs) (none, error) {
		return none{}, e.Split(ctx, a.Stream, a.Shard, a.At)
	})
	handle(mux, "POST /v1/merge", func(ctx context.Context, a mergeArgs) (none, error) {
		return none{}, e.Merge(ctx, a.Stream, a.A, a.B)
	})
	handle(mux, "POST /v1/retention", func(ctx context.Context, a retentionArgs) (none, error) {
		return none{}, e.SetRetention(ctx, a.Stream, a.Keep)
	})
}

// The arguments of the calls. What they hold of package stream goes as it is there.
type (
	none  struct{}
	hello struct {
		Protocol int
		Partial  bool
	}
	streamArgs struct{ Stream string }
	splitArgs  struct {
		Stream string
		Shard  leat.ShardID
		At     leat.Hash
	}
	mergeArgs struct {
		Stream string
		A, B   leat.ShardID
	}
	retentionArgs struct {
		Stream string
		Keep   stream.Retention
	}
)

// handle registers a call with small arguments.
func handle[In, Out any](mux *http.ServeMux, pattern string, do func(context.Context, In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		body, err := receive(w, http.MaxBytesReader(w, r.Body, maxArgs), 0)
		if err == nil && len(body) > 0 {
			err = parse(body, &in)
		}
		if err != nil {
			refuse(w, err)
			return
		}
		out, err := do(r.Context(), in)
		reply(w, out, err)
	})
}

// commit is the call whose body may be large: it waits until there is room for it.
func (s *server) commit(w http.ResponseWriter, r *http.Request) {
	size := r.ContentLength
	if size < 0 || size > maxCommit {
		refuse(w, fmt.Errorf("commit in %d bytes of JSON: %w: the limit is %d, and the length must be known", size, stream.ErrTooLarge, maxCommit))
		return
	}
	if err := s.room.Acquire(r.Context(), size); err != nil {
		refuse(w, err)
		return
	}
	defer s.room.Release(size)
	body, err := receive(w, r.Body, size)
	var in wireCommit
	if err == nil {
		err = parse(body, &in)
	}
	var c stream.Commit
	if err == nil {
		c, err = in.commit()
	}
	if err != nil {
		refuse(w, err)
		return
	}
	receipt, err := s.engine.Commit(r.Context(), c)
	reply(w, receipt, err)
}

// receive reads a body, whose size is given if it is known. It has a time of its own for that, however long the request has waited before; if
// it fails, the deadline stays, for the HTTP server would wait for the rest.
func receive(w http.ResponseWriter, body io.Reader, size int64) (buf []byte, err error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(transferTime))
	if size > 0 {
		buf = make([]byte, size)
		_, err = io.ReadFull(body, buf)
	} else {
		buf, err = io.ReadAll(body)
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		err = fmt.Errorf("arguments: %w: the limit is %d bytes", stream.ErrTooLarge, large.Limit)
	}
	if err == nil {
		_ = rc.SetReadDeadline(time.Time{}) // or the server would think the client gone
	}
	return buf, err
}

func parse(body []byte, in any) error {
	if err := json.Unmarshal(body, in); err != nil {
		return fmt.Errorf("arguments: %w: %w", stream.ErrInvalid, err)
	}
	return nil
}

// reply sends what a call returned.
func reply(w http.ResponseWriter, out any, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	send(w, http.StatusOK, out)
}

func refuse(w http.ResponseWriter, err error) {
	f := packError(err)
	send(w, f.status(), f)
}

func send(w http.ResponseWriter, status int, value any) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(transferTime))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = encoder(w).Encode(value) // an error is the client's, who will miss the end
}
