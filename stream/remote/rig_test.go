package remote_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/remote"
)

// rig is a Handler that is served on a network in memory, and a client of it.
type rig struct {
	*remote.Client
	network *pipenet.Network
	stop    func() // ends Serve and waits for that; further calls do nothing
}

const address = "leat:80"

// serve starts a rig, which stop or the end of the test ends.
func serve(t testing.TB, h http.Handler) *rig {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	r := &rig{network: pipenet.New()}
	l := r.network.Listen(address)
	served := make(chan error, 1)
	go func() { served <- remote.Serve(ctx, l, h) }()
	r.stop = sync.OnceFunc(func() {
		end()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	r.Client = r.connect(t)
	return r
}

func (r *rig) dial(ctx context.Context) (net.Conn, error) {
	return r.network.DialContext(ctx, "tcp", address)
}

func (r *rig) connect(t testing.TB) *remote.Client {
	t.Helper()
	c, err := remote.Connect(t.Context(), r.dial)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nothing() any { return nil }

// open returns an engine in memory that is closed at the end of the test.
func open(t testing.TB) *local.Engine {
	t.Helper()
	e, err := local.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// counted is an engine that counts its open readers and the calls of Next and Commit that wait, and whose readers
// can be made deaf for a while.
type counted struct {
	remote.Engine
	readers, waiting, commits atomic.Int64

	mu   sync.Mutex
	deaf chan struct{} // while not nil and not closed, Next has taken its batch but does not return
}

// deafen makes every Next keep what it has to return, whatever happens to its context, until release is called.
func (c *counted) deafen() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = make(chan struct{})
	return sync.OnceFunc(func() { close(c.deaf) })
}

// Read implements stream.Engine.
func (c *counted) Read(ctx context.Context, name string, shard leat.ShardID, from stream.Position) (stream.Reader, error) {
	r, err := c.Engine.Read(ctx, name, shard, from)
	if err != nil {
		return nil, err
	}
	c.readers.Add(1)
	return &countedReader{Reader: r, c: c}, nil
}

// Commit implements stream.Engine. A commit of nothing waits for the end of ctx.
func (c *counted) Commit(ctx context.Context, commit stream.Commit) (stream.Receipt, error) {
	c.commits.Add(1)
	defer c.commits.Add(-1)
	if len(commit.Puts)+len(commit.State)+len(commit.Marks) == 0 {
		<-ctx.Done()
		return stream.Receipt{}, ctx.Err()
	}
	return c.Engine.Commit(ctx, commit)
}

type countedReader struct {
	stream.Reader
	c *counted
}

// Next implements stream.Reader.
func (r *countedReader) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	r.c.waiting.Add(1)
	defer r.c.waiting.Add(-1)
	b, err := r.Reader.Next(ctx, limit)
	r.c.mu.Lock()
	deaf := r.c.deaf
	r.c.mu.Unlock()
	if deaf != nil {
		<-deaf
	}
	return b, err
}

// Close implements stream.Reader.
func (r *countedReader) Close() error {
	r.c.readers.Add(-1)
	return r.Reader.Close()
}
