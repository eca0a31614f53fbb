package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

// shard is one shard in work. Its goroutine owns it, but for the status.
type shard struct {
	c     *Consumer
	id    leat.ShardID
	at    checkpoint
	epoch uint64
	log   *slog.Logger

	reader   stream.Reader
	unread   silence // while the shard cannot be read
	reserved int64   // bytes of Consumer.Memory
	aside    asides
	quiet    quiet   // of dead letters
	halted   quiet   // of attempts while the destination must be mended
	away     silence // of the destination

	status ShardStatus // guarded by the Consumer's mutex
}

// run works until ctx ends, or the shard does.
func (s *shard) run(ctx, late context.Context) error {
	err := s.work(ctx, late)
	s.close()
	if stopped(ctx, err) {
		return nil
	}
	if err != nil {
		s.set(func(st *ShardStatus) { st.State, st.LastError = Failed, err.Error() })
		return fmt.Errorf("consumer %q, %s of stream %q: %w", s.c.Name, s.id, s.c.Stream, err)
	}
	return nil
}

func (s *shard) work(ctx, late context.Context) error {
	if err := s.resume(ctx, late); err != nil {
		return err
	}
	for {
		err := s.open(ctx)
		if err == nil {
			err = s.deliverAll(ctx, late)
		}
		var unreadable *unreadableError
		switch {
		case errors.Is(err, stream.ErrNoShard):
			return s.removed(ctx, late)
		case errors.Is(err, stream.ErrNoStream), !errors.As(err, &unreadable):
			return err
		}
		if errors.Is(err, stream.ErrInvalid) {
			s.close() // its position is one of another stream
		}
		if err := s.cannotRead(ctx, unreadable); err != nil {
			return err
		}
	}
}

// cannotRead tells that the shard cannot be read now, and waits a while.
func (s *shard) cannotRead(ctx context.Context, err *unreadableError) error {
	s.unread.tell(s.log, "a shard cannot be read; the consumer waits", err)
	s.set(func(st *ShardStatus) { st.State, st.LastError = Unreadable, err.Error() })
	return s.pause(ctx, s.unread.Failures-1)
}

func (s *shard) close() {
	if s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

// open opens a reader where there is none. One that could not read is used again: it knows best how far it has been.
func (s *shard) open(ctx context.Context) (err error) {
	if s.reader != nil {
		return nil
	}
	if s.reader, err = s.c.Engine.Read(ctx, s.c.Stream, s.id, s.at.position()); err != nil {
		s.reader = nil
		return s.c.readable(ctx, err)
	}
	return nil
}

// deliverAll delivers what the reader has until the shard or ctx ends. Where the reader cannot go on it returns an unreadableError.
func (s *shard) deliverAll(ctx, late context.Context) error {
	for {
		batch, behind := s.gather(ctx)
		var gap *stream.GapError
		missing := errors.As(behind, &gap)
		if missing || errors.Is(behind, io.EOF) {
			s.readAgain()
		}
		if len(batch.Records) > 0 {
			err := s.process(ctx, late, batch)
			s.release()
			if err != nil {
				return err
			}
		}
		if behind != nil || len(batch.Records) == 0 {
			if err := s.passAside(late); err != nil {
				return err
			}
		}
		switch {
		case behind == nil:
		case errors.Is(behind, io.EOF):
			return s.finish(late)
		case missing:
			if err := s.gap(ctx, late, gap); err != nil {
				return err
			}
		default:
			return s.c.readable(ctx, behind)
		}
	}
}

// readAgain notes that the shard can be read.
func (s *shard) readAgain() {
	if s.unread.lasts() {
		s.set(func(st *ShardStatus) { st.State, st.LastError = Reading, "" })
	}
	s.unread.over(s.log, "a shard is read again")
}

// gather returns the next batch, filled as the policy says and as far as there is memory, and what comes behind it if that is no record:
// io.EOF at the end of the shard, a *stream.GapError, or an error. What the filter does not let pass is put aside, and is none of the batch; where
// there is much of it, or it has waited for a while, the batch may be empty.
func (s *shard) gather(ctx context.Context) (batch leat.Batch, behind error) {
	policy := s.c.Settings.Batch
	batch = leat.Batch{Stream: s.c.Stream, Shard: s.id, Epoch: s.epoch}
	records, bytes := policy.Records, int(policy.Bytes)
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	waits := policy.Wait > 0 && policy.Wait != setting.Off
	hurry := newHurry(cancel)
	defer hurry.stop()
	hurry.look(s.aside.waits())
	for {
		limit := stream.Limit{Records: records - len(batch.Records), Bytes: min(bytes, step), NoWait: s.unread.lasts()}
		next, err := s.reader.Next(reading, limit)
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			return batch, nil // the time is up
		}
		if err != nil {
			return batch, err
		}
		if s.readAgain(); len(next.Records) == 0 {
			continue // it was only asked whether it can be read
		}
		if len(batch.Records) == 0 && !s.aside.waits() {
			s.pending(next.Records[0].Arrived)
		}
		batch.Behind = next.Behind
		s.set(func(st *ShardStatus) { st.behind = next.Behind })
		s.sift(&next, &s.c.Settings.Filter, s.c.Settings.NotJSON)
		if len(next.Records) > 0 && len(batch.Records) == 0 && waits {
			t := time.AfterFunc(policy.Wait, cancel)
			defer t.Stop()
		}
		batch.Records = append(batch.Records, next.Records...)
		hurry.look(len(batch.Records) == 0 && s.aside.waits())
		bytes -= next.Size()
		full := len(batch.Records) >= records || bytes <= 0 || s.aside.full()
		done := len(batch.Records) > 0 && next.Behind == 0 && !waits
		if !s.reserve(&next) || full || done {
			return batch, nil
		}
	}
}

// step is how many bytes a shard reads at once; recordMemory is what a record takes beside its key and payload.
const (
	step         = 512 << 10
	recordMemory = 160
)

// reserve takes the memory of what was read from that of all shards, and reports false if there is not enough: then the batch is closed
// as it is, one step above the bound.
func (s *shard) reserve(b *leat.Batch) bool {
	if s.c.Memory == nil {
		return true
	}
	n := int64(b.Size() + recordMemory*len(b.Records))
	if !s.c.Memory.TryAcquire(n) {
		return false
	}
	s.reserved += n
	return true
}

// release gives the memory of a batch back.
func (s *shard) release() {
	if s.reserved > 0 {
		s.c.Memory.Release(s.reserved)
		s.reserved = 0
	}
}

// finish notes that the shard is done and lets its children begin.
func (s *shard) finish(ctx context.Context) error {
	last := s.at
	last.Ended = true
	if err := s.commit(ctx, last, stream.Commit{}); err != nil {
		return err
	}
	s.done("the shard is closed and done")
	return nil
}

func (s *shard) done(how string) {
	s.set(func(st *ShardStatus) { st.State = Ended })
	s.log.Info(how)
	s.c.wake()
}

// removed deals with a shard that retention has removed before its end was read. Whether there was anything behind the checkpoint
// nobody knows any more.
func (s *shard) removed(ctx, late context.Context) error {
	gap := &stream.GapError{Stream: s.c.Stream, Shard: s.id, Reason: stream.GapExpired, Cause: errRemoved}
	last := s.at
	last.Ended = true
	if at := s.at.Sequence; !at.IsZero() {
		gap.From = leat.NewSequence(s.id, at.Created(), at.Index()+1, time.Unix(0, 0))
		gap.To = leat.NewSequence(s.id, at.Created(), 1<<63-1, time.Now())
	}
	if err := s.pass(ctx, late, gap, last); err != nil {
		return err
	}
	s.done("the shard was removed before it was done")
	return nil
}

var errRemoved = errors.New("retention has removed the shard before its end was read")

// gap deals with records that the reader cannot have.
func (s *shard) gap(ctx, late context.Context, gap *stream.GapError) error {
	return s.pass(ctx, late, gap, s.at.passed(gap.To))
}

// pass writes a letter for a gap together with the checkpoint behind it.
func (s *shard) pass(ctx, late context.Context, gap *stream.GapError, to checkpoint) error {
	s.log.Error("records are missing", "from", gap.From, "to", gap.To, "records", gap.Count, "reason", string(gap.Reason), "error", gap.Cause)
	if s.c.Settings.OnGap == "stop" {
		s.set(func(st *ShardStatus) { st.State, st.LastError, st.pending = Halted, gap.Error(), time.Now() })
		<-ctx.Done()
		return ctx.Err()
	}
	return s.commit(late, to, stream.Commit{Puts: []stream.Put{s.lost(gap)}})
}

// lost counts the records of a gap, and returns the put of the letter that stands for them.
func (s *shard) lost(gap *stream.GapError) stream.Put {
	s.set(func(st *ShardStatus) { st.Missing += gap.Count })
	letter := s.letter(leat.Record{Sequence: gap.From}, end{stage: "read", condition: condition(gap.Reason), cause: gap, begun: time.Now()})
	letter.Through = gap.To
	return s.dead(letter)
}

func condition(r stream.GapReason) string {
	if r == stream.GapExpired {
		return "Expired"
	}
	return "Damaged"
}

// commit moves the checkpoint together with everything else in work. Dead letters that the engine refuses for
// now are put again: nothing goes on before they are stored.
func (s *shard) commit(ctx context.Context, to checkpoint, work stream.Commit) error {
	key := s.c.markKey(s.id)
	aside := s.aside.take(to.Sequence)
	work.Puts = append(work.Puts, s.letters(aside)...)
	work.Marks = append(work.Marks, stream.Swap{Mark: stream.Mark{Key: key, Epoch: s.epoch, Value: to.encode()}, Was: s.epoch})
	if err := s.store(ctx, work); err != nil {
		return err
	}
	s.at = to
	s.passed(aside)
	s.set(func(st *ShardStatus) { st.Checkpoint = to.Sequence })
	return nil
}

// store commits, again while the engine refuses for now, or the stream of the dead letters is gone.
func (s *shard) store(ctx context.Context, work stream.Commit) error {
	var gone silence
	for attempt := 0; ; attempt++ {
		_, err := s.c.Engine.Commit(ctx, work)
		switch {
		case errors.Is(err, stream.ErrNoStream):
			gone.tell(s.log, "the stream of the dead letters is gone; the shard waits for it", err)
		case !errors.Is(err, stream.ErrFull):
			gone.over(s.log, "the stream of the dead letters is there again")
			if attempt > 0 {
				s.set(func(st *ShardStatus) { st.State, st.LastError = Delivering, "" })
			}
			return err
		}
		s.set(func(st *ShardStatus) { st.State, st.LastError = Halted, err.Error() })
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}
