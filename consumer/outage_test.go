package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// abroad is an engine whose streams cannot be reached now and then. Marks and commits are at home.
type abroad struct {
	stream.Engine
	away atomic.Bool
}

var errAway = errors.New("no route to the region")

func (a *abroad) Shards(ctx context.Context, name string) ([]stream.Shard, error) {
	if a.away.Load() {
		return nil, errAway
	}
	return a.Engine.Shards(ctx, name)
}

func (a *abroad) Read(ctx context.Context, name string, id leat.ShardID, from stream.Position) (stream.Reader, error) {
	if a.away.Load() {
		return nil, errAway
	}
	r, err := a.Engine.Read(ctx, name, id, from)
	return &abroadReader{r, a}, err
}

type abroadReader struct {
	stream.Reader
	a *abroad
}

// Next fails also where it was waiting when the stream went away.
func (r *abroadReader) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	for {
		if r.a.away.Load() {
			return leat.Batch{}, errAway
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		b, err := r.Reader.Next(short, limit)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return b, err
		}
	}
}

func TestAStreamThatCannotBeReadIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		a := &abroad{Engine: r.e}
		a.away.Store(true)
		var log bytes.Buffer
		s := &table{}
		c := r.consumer(s, func(c *consumer.Consumer) {
			c.Engine, c.Log = a, slog.New(slog.NewTextHandler(&log, nil))
			c.Settings.MaxBackoff = 10 * time.Second
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		r.put(0, 100)
		time.Sleep(time.Hour)
		if st := c.Status(); st.Unlisted != errAway.Error() {
			t.Errorf("status %+v", st)
		}
		a.away.Store(false)
		time.Sleep(time.Minute)
		complete(t, s.snapshot(), 100)
		a.away.Store(true)
		time.Sleep(2 * time.Second)
		r.put(100, 200)
		time.Sleep(time.Hour)
		for _, st := range c.Status().Shards {
			if st.State != consumer.Unreadable || st.LastError != errAway.Error() {
				t.Errorf("status %+v", st)
			}
		}
		a.away.Store(false)
		time.Sleep(time.Minute)
		complete(t, s.snapshot(), 200)
		stop()
		if err := <-done; err != nil {
			t.Errorf("the consumer ended with %v", err)
		}
		if n := strings.Count(log.String(), "\n"); n > 60 || !strings.Contains(log.String(), "a shard is read again") || !strings.Contains(log.String(), "the shards are listed again") {
			t.Errorf("%d lines in the log:\n%.2000s", n, log.String())
		}
		if st := c.Status(); st.Unlisted != "" {
			t.Errorf("status %+v", st)
		}
	})
}

func TestAStreamThatIsGoneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.consumer(s, nil).Run(ctx) }()
		r.put(0, 10)
		time.Sleep(time.Second)
		if err := r.e.Delete(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		streamtest.Create(t, r.e, "s", 2)
		r.put(10, 20)
		time.Sleep(2 * time.Minute)
		complete(t, s.snapshot(), 20)
		stop()
		if err := <-done; err != nil {
			t.Errorf("the consumer ended with %v", err)
		}
	})
}

// A range that a crash has left waits for a stream that cannot be read as every other does, and is then written as planned.
func TestAPlanWaitsForAStreamThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 50)
		f := &files{crash: 1 << 30}
		r.must(r.consumer(f, nil), time.Second)
		f.mu.Lock()
		f.crash, f.rows = 0, nil
		f.mu.Unlock()
		a := &abroad{Engine: r.e}
		c := r.consumer(f, func(c *consumer.Consumer) { c.Engine = &unreadable{a} })
		a.away.Store(true)
		log, stop := r.running(c)
		time.Sleep(time.Hour)
		st := c.Status().Shards[0]
		if st.State != consumer.Unreadable || st.LastError != errAway.Error() || st.Failures != 0 {
			t.Errorf("status %+v", st)
		}
		if n := strings.Count(log.String(), "\n"); n > 20 {
			t.Errorf("%d lines in the log of an hour:\n%.1000s", n, log)
		}
		a.away.Store(false)
		time.Sleep(2 * time.Minute)
		stop()
		complete(t, f.snapshot(), 50)
	})
}

// unreadable lists its shards at any time.
type unreadable struct{ *abroad }

func (u *unreadable) Shards(ctx context.Context, name string) ([]stream.Shard, error) {
	return u.abroad.Engine.Shards(ctx, name)
}

// A shard in which nothing happens is read again as soon as it can be, and says so.
func TestAQuietShardIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		a := &abroad{Engine: r.e}
		c := r.consumer(&table{}, func(c *consumer.Consumer) { c.Engine = a })
		_, stop := r.running(c)
		for _, want := range []consumer.State{consumer.Unreadable, consumer.Reading, consumer.Unreadable, consumer.Reading} {
			a.away.Store(want == consumer.Unreadable)
			time.Sleep(10 * time.Minute)
			if st := c.Status().Shards; len(st) == 0 && want == consumer.Reading || len(st) > 0 && st[0].State != want {
				t.Errorf("status %+v, want %s", st, want)
			}
		}
		stop()
	})
}
