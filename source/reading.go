package source

import (
	"context"
	"sync"
)

// Reading is a Feed that one goroutine fills: a whole Conn for transports that have nothing to say at the end. StartReading makes one.
type Reading struct {
	*Feed
	abort func()
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// StartReading runs read in a goroutine of its own. The error of read is why the connection ended. abort frees everything and
// ends read; it may be called more than once.
func StartReading(feed *Feed, abort func(), read func(ctx context.Context) error) *Reading {
	ctx, stop := context.WithCancel(context.Background())
	r := &Reading{Feed: feed, abort: abort, stop: stop}
	r.done.Go(func() { feed.End(read(ctx)) })
	return r
}

// Close implements Conn. What has been read is still handed out by Next.
func (r *Reading) Close() error {
	r.Abort()
	return nil
}

// Abort implements Aborter.
func (r *Reading) Abort() {
	r.Tape.Left()
	r.abort()
	r.stop()
	r.done.Wait()
}
