package consumer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// Consumer delivers the records of one stream to one destination. Every shard has a goroutine of its own, that reads a batch, delivers it, and commits how
// far it is together with what could not be delivered. A child of a split or merge is read when all its parents are done.
type Consumer struct {
	Name     string
	Engine   stream.Engine
	Stream   string
	Sink     sink.Sink
	Settings Settings // Batch must be filled in: the consumer does not know what the destination recommends

	// Destination is what the dead letters call the destination.
	Destination string

	// Grace is how long the end of Run may take to finish what is in hand. 0: 20 s.
	Grace time.Duration

	// Memory bounds, in bytes, what all shards of the consumers that share it gather for their destinations; nil: only the
	// batch policy does. Where it runs out, batches are closed before they are full.
	Memory *semaphore.Weighted

	// Log takes what an operator should know; nil is slog.Default.
	Log *slog.Logger

	log    *slog.Logger
	wakeup chan struct{} // buffered by one: a shard has ended

	compared bool // the checkpoints with the destination, since the shards were started; supervise owns it

	mu     sync.Mutex
	shards map[leat.ShardID]*shard // that are or have been read since the start
	rewind int64                   // how many shards were
	away   string                  // why the shards cannot be listed

	begun time.Time // Run has; set before the shards are started
}

// restartCalm is how long the shards must have been at work for a restart to count as the first: else a destination that contradicts itself,
// or a stream that is listed and not there, is tried more and more seldom.
const restartCalm = 2 * time.Minute

// listEvery is how often the shards are listed, beside whenever one ends.
const listEvery = time.Minute

// Run delivers until ctx ends, finishes within Grace what is in hand, and returns nil. It returns an error where it cannot go
// on: stream.ErrFenced if another process has taken over, stream.ErrStopped if the engine has stopped. A destination that
// is away, or that an operator must mend, is no such error: the consumer waits for it. So it does for a stream that cannot be read now, or that is not there.
func (c *Consumer) Run(ctx context.Context) error {
	setting.Default(&c.Settings)
	if c.Settings.DeadLetters == "" {
		c.Settings.DeadLetters = c.Name + ".dlq"
	}
	c.log = cmp.Or(c.Log, slog.Default()).With("consumer", c.Name, "stream", c.Stream)
	late, cancel := wait.Grace(ctx, cmp.Or(c.Grace, 20*time.Second))
	defer cancel()
	c.begun = time.Now()
	var restarts silence
	for {
		begun := time.Now()
		err := c.once(ctx, late)
		if time.Since(begun) > restartCalm {
			restarts = silence{}
		}
		switch {
		case errors.Is(err, errBehind):
			restarts.tell(c.log, "the destination has lost records that were delivered to it; it is compared with every checkpoint", err)
		case errors.Is(err, stream.ErrNoStream):
			restarts.tell(c.log, "a stream is gone; the consumer waits for it", err)
		default:
			return err
		}
		if wait.For(ctx, c.backoff(restarts.Failures-1)) != nil {
			return nil
		}
	}
}

// once delivers until ctx ends, the stream is gone, or the destination has lost something: then it returns errBehind.
func (c *Consumer) once(ctx, late context.Context) error {
	c.wakeup = make(chan struct{}, 1)
	c.compared = false
	c.mu.Lock()
	c.shards = map[leat.ShardID]*shard{}
	c.mu.Unlock()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return c.supervise(running, late, group) })
	return group.Wait()
}

// supervise starts a goroutine for every shard whose turn has come.
func (c *Consumer) supervise(ctx, late context.Context, group *errgroup.Group) error {
	var unlisted silence
	for {
		pause, away := listEvery, ""
		err := c.start(ctx, late, group)
		var unreadable *unreadableError
		switch {
		case err == nil:
			unlisted.over(c.log, "the shards are listed again")
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it only tells of the end
		case errors.As(err, &unreadable):
			unlisted.tell(c.log, "the shards cannot be listed; the consumer waits", unreadable.err)
			pause, away = c.backoff(unlisted.Failures-1), unreadable.Error()
		default:
			return err
		}
		c.mu.Lock()
		c.away = away
		c.mu.Unlock()
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-c.wakeup:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		t.Stop()
	}
}

func (c *Consumer) start(ctx, late context.Context, group *errgroup.Group) error {
	shards, err := c.Engine.Shards(ctx, c.Stream)
	if err != nil {
		return c.readable(ctx, err)
	}
	marks, err := c.load(ctx)
	if err != nil {
		return err
	}
	if len(marks) == 0 {
		if err := c.create(ctx, shards); err != nil {
			return err
		}
		if marks, err = c.load(ctx); err != nil {
			return err
		}
	}
	created, err := forget(shards, marks)
	if err != nil {
		return err
	}
	if err := c.compare(ctx, shards, marks); err != nil {
		return err
	}
	turn, err := c.toRead(shards, marks)
	if err != nil {
		return err
	}
	for _, id := range turn {
		at, epoch, err := c.take(ctx, id, marks[id], created[id])
		if err != nil {
			return err
		}
		s := c.add(id, at, epoch)
		group.Go(func() error { return s.run(ctx, late) })
	}
	return nil
}

// toRead returns the shards whose turn has come, and those that were removed before they were done.
func (c *Consumer) toRead(shards []stream.Shard, marks map[leat.ShardID]stream.Mark) ([]leat.ShardID, error) {
	done, err := ended(marks)
	if err != nil {
		return nil, err
	}
	var turn []leat.ShardID
	listed := map[leat.ShardID]bool{}
	for i := range shards {
		id := shards[i].ID
		listed[id] = true
		if !c.known(id) && !done[id] && ready(&shards[i], shards, done) {
			turn = append(turn, id)
		}
	}
	for id := range marks {
		if !listed[id] && !c.known(id) && !done[id] {
			turn = append(turn, id)
		}
	}
	return turn, nil
}

// ended returns the shards that are done.
func ended(marks map[leat.ShardID]stream.Mark) (map[leat.ShardID]bool, error) {
	done := map[leat.ShardID]bool{}
	for id, m := range marks {
		at, err := decodeCheckpoint(m)
		if err != nil {
			return nil, err
		}
		done[id] = at.Ended
	}
	return done, nil
}

// ready reports whether every parent of a shard is done, or gone by retention.
func ready(s *stream.Shard, shards []stream.Shard, done map[leat.ShardID]bool) bool {
	for _, parent := range s.Parents {
		for i := range shards {
			if shards[i].ID == parent && !done[parent] {
				return false
			}
		}
	}
	return true
}

func (c *Consumer) known(id leat.ShardID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shards[id] != nil
}

func (c *Consumer) add(id leat.ShardID, at checkpoint, epoch uint64) *shard {
	s := &shard{
		c: c, id: id, at: at, epoch: epoch, log: c.log.With("shard", id.String()),
		status: ShardStatus{Shard: id, Epoch: epoch, Checkpoint: at.Sequence, State: Reading},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shards[id] = s
	return s
}

// wake makes supervise look for shards whose turn has come.
func (c *Consumer) wake() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// stopped reports whether err only says that ctx has ended.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
