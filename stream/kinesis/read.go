package kinesis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// Read implements stream.Engine. What Kinesis does not keep is missing from the records: the source, the identity, and the time when the event
// happened, unless Leat has put it as an aggregate. A record that holds several becomes as many, each with a number of its own between those
// of Kinesis; a reader may begin at any of them.
//
// A position behind records that retention may have removed is told of by a *stream.GapError of an unknown number of records: Kinesis does not say
// whether there were any. So it is where nobody has asked a reader for longer than that. Read and Next wait out half a minute of failures of Kinesis.
func (e *Engine) Read(ctx context.Context, name string, shard leat.ShardID, from stream.Position) (stream.Reader, error) {
	if !e.abroad(name) {
		return e.house.Read(ctx, name, shard, from)
	}
	r := &reader{e: e, stream: name, shard: shard, at: from, start: from.Sequence, opened: time.Now()}
	if from.Kind == stream.FromAfter && from.Sequence.IsZero() {
		r.at = stream.Oldest()
	}
	if err := r.judge(ctx); err != nil {
		return nil, err
	}
	if e.config.FanOut != "" {
		if err := r.fanOut(ctx); err != nil {
			return nil, err
		}
		return r, nil
	}
	iterator, err := r.iterator(ctx) // Latest is judged now
	if errors.Is(err, stream.ErrInvalid) && r.replaced(ctx) {
		r.at, r.gap = stream.Oldest(), false // a position of a stream that had the name before is behind all of this one
		iterator, err = r.iterator(ctx)
	}
	if err != nil {
		return nil, err
	}
	p := &poller{r: r, iterator: iterator}
	if e.config.Pace != "off" {
		p.tick = e.polls.of(name, shard)
	}
	r.feed = p
	return r, nil
}

// page is a run of records as Kinesis hands it over.
type page struct {
	records []types.Record
	asked   time.Time // Kinesis has made it then or later
	behind  time.Duration
	end     bool // of a closed shard
}

// feed brings pages: by polling or by fan-out.
type feed interface {
	next(ctx context.Context, noWait bool) (page, error)
	close()
}

// reader reads one shard.
type reader struct {
	e      *Engine
	stream string
	shard  leat.ShardID
	feed   feed

	at      stream.Position     // where the feed is to begin anew: behind what was taken from it
	start   leat.SequenceNumber // where it began, or began anew after a long time
	gap     bool                // records behind start may have been removed
	covered time.Time           // what arrived before was taken; zero: nothing is known
	ready   []leat.Record       // taken from the feed and not handed out
	behind  time.Duration
	ended   bool
	opened  time.Time
	arrived time.Time // of the last record
}

// judge finds out whether records behind the position may have been removed already.
func (r *reader) judge(ctx context.Context) error {
	if r.at.Kind != stream.FromAfter {
		return nil
	}
	if r.covered.IsZero() {
		r.covered = r.at.Sequence.Arrived()
	}
	out, err := r.e.api.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &r.stream})
	if err != nil {
		if errors.Is(mend(err), stream.ErrNoStream) {
			return fmt.Errorf("read stream %q: %w", r.stream, mend(err))
		}
		return nil // who may not ask does not know
	}
	if s := out.StreamDescriptionSummary; s != nil && s.RetentionPeriodHours != nil {
		kept := time.Duration(*s.RetentionPeriodHours) * time.Hour
		if time.Since(r.covered) > kept {
			r.gap, r.start = true, r.at.Sequence
		}
	}
	return nil
}

// judgeAnew is judge for a feed that begins once more: nobody may have asked it for long.
func (r *reader) judgeAnew(ctx context.Context) error {
	if r.covered.IsZero() || time.Since(r.covered) < leastHours*time.Hour {
		return nil
	}
	return r.judge(ctx)
}

// iterator asks Kinesis for an iterator at the position.
func (r *reader) iterator(ctx context.Context) (string, error) {
	id := r.shard.String()
	in := &sdk.GetShardIteratorInput{StreamName: &r.stream, ShardId: &id}
	switch r.at.Kind {
	case stream.FromLatest:
		in.ShardIteratorType = types.ShardIteratorTypeLatest
	case stream.FromTime:
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, aws.Time(r.at.Time)
		if r.at.Time.After(time.Now()) { // Kinesis refuses it
			in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeLatest, nil
		}
	case stream.FromAt, stream.FromAfter:
		// A record may hold several: the ones before the position are left out here.
		in.ShardIteratorType = types.ShardIteratorTypeAtSequenceNumber
		in.StartingSequenceNumber = aws.String(r.at.Sequence.Whole().String())
	default:
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	}
	for fails := 1; ; fails++ {
		out, err := r.e.api.GetShardIterator(ctx, in)
		if err == nil {
			return aws.ToString(out.ShardIterator), nil
		}
		if r.timeless(err) {
			in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeLatest, nil
			continue
		}
		if !again(err) || ctx.Err() != nil || fails == mostFails {
			return "", fmt.Errorf("read stream %q %s %s: %w", r.stream, r.shard, r.at, r.mend(err))
		}
		if err := wait.For(ctx, jitter(time.Second, fails, 10*time.Second)); err != nil {
			return "", err
		}
	}
}

// skew is how far the clock of this machine may be ahead of that of Kinesis, which refuses times in the future.
const skew = 5 * time.Minute

// timeless reports whether Kinesis has refused a time that is not past for it, and goes on at the newest record then.
func (r *reader) timeless(err error) bool {
	if errorCode(err) != "InvalidArgumentException" || r.at.Kind != stream.FromTime || time.Since(r.at.Time) > skew {
		return false
	}
	r.at = stream.Latest()
	return true
}

// anew sees to it that a feed that begins once more begins where the reader was opened.
func (r *reader) anew() {
	if r.at.Kind == stream.FromLatest {
		r.at = stream.AtTime(r.opened)
	}
}

// replaced reports whether the position is of an older stream of the same name.
func (r *reader) replaced(ctx context.Context) bool {
	if r.start.IsZero() {
		return false
	}
	shards, err := r.e.shards(ctx, r.stream)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(shards, func(s stream.Shard) bool {
		return s.ID == r.shard && r.start.Created().Unix() < s.Created.Unix()
	})
}

// mend tells a missing shard from a missing stream.
func (r *reader) mend(err error) error {
	if errorCode(err) == "ResourceNotFoundException" && strings.Contains(strings.ToLower(err.Error()), "shard shardid-") {
		return fmt.Errorf("%w: %w", stream.ErrNoShard, short(err))
	}
	return mend(err)
}

// again reports whether an error of the SDK may go away by itself.
func again(err error) bool {
	switch classify(errorCode(err), 0) {
	case throttled, transient:
		return true
	case refused:
		return errorCode(err) == "" // no answer
	}
	return false
}

// Next implements stream.Reader.
func (r *reader) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	limit = limit.WithDefaults()
	for len(r.ready) == 0 {
		if r.ended {
			return leat.Batch{}, r.over()
		}
		p, err := r.feed.next(ctx, limit.NoWait)
		if err != nil {
			return leat.Batch{}, err
		}
		r.ended = p.end
		r.behind = p.behind
		if err := r.take(p.records); err != nil {
			return leat.Batch{}, err
		}
		r.covered = p.asked.Add(-p.behind)
		if limit.NoWait && len(r.ready) == 0 && !r.ended && p.behind == 0 {
			return leat.Batch{Stream: r.stream, Shard: r.shard}, nil
		}
	}
	if r.gap {
		if gap := r.missing(); gap != nil {
			return leat.Batch{}, gap
		}
	}
	return r.batch(limit), nil
}

// missing returns the gap between the position and the first record, if there may be one.
func (r *reader) missing() *stream.GapError {
	r.gap = false
	from, first := r.start, r.ready[0].Sequence
	if first.Index() <= from.Index()+1 {
		return nil
	}
	return &stream.GapError{
		Stream: r.stream, Shard: r.shard, Reason: stream.GapExpired,
		From: leat.NewSequence(r.shard, from.Created(), from.Index()+1, from.Arrived()),
		To:   leat.NewSequence(r.shard, from.Created(), first.Index()-1, first.Arrived()),
	}
}

// over returns io.EOF, or before that the gap up to the end of a shard of which nothing was left to read.
func (r *reader) over() error {
	const last = 1<<63 - 1 // the index of the ending number of a closed shard
	if !r.gap || r.start.Index() >= last {
		return io.EOF
	}
	r.gap = false
	return &stream.GapError{
		Stream: r.stream, Shard: r.shard, Reason: stream.GapExpired,
		From: leat.NewSequence(r.shard, r.start.Created(), r.start.Index()+1, r.start.Arrived()),
		To:   leat.NewSequence(r.shard, r.start.Created(), last, r.opened),
	}
}

func (r *reader) batch(limit stream.Limit) leat.Batch {
	n, bytes := 0, 0
	for n < len(r.ready) && n < limit.Records {
		bytes += r.ready[n].Size()
		if n > 0 && bytes > limit.Bytes {
			break
		}
		n++
	}
	b := leat.Batch{Stream: r.stream, Shard: r.shard, Records: slices.Clip(r.ready[:n])}
	r.ready = r.ready[n:]
	if b.Behind = r.behind; len(r.ready) > 0 {
		b.Behind = max(b.Behind, time.Since(b.Records[n-1].Arrived), 1)
	}
	return b
}

// take makes records of what Kinesis has handed over, without those before the position, and moves the position behind them.
func (r *reader) take(in []types.Record) error {
	for i := range in {
		sequence, err := parseSequence(aws.ToString(in[i].SequenceNumber))
		if err != nil {
			return fmt.Errorf("read stream %q %s: %w", r.stream, r.shard, err)
		}
		at := aws.ToTime(in[i].ApproximateArrivalTimestamp)
		if at.IsZero() {
			at = sequence.Arrived()
		}
		if at.Before(r.arrived) {
			at = r.arrived
		}
		r.arrived = at
		whole := leat.Record{Sequence: sequence, PartitionKey: aws.ToString(in[i].PartitionKey), Arrived: at, Data: in[i].Data}
		from := len(r.ready)
		r.ready = appendParts(r.ready, whole)
		r.ready = append(r.ready[:from], slices.DeleteFunc(r.ready[from:], r.passed)...)
		r.at = stream.Position{Kind: stream.FromAfter, Sequence: lastPart(sequence)}
	}
	return nil
}

// passed reports whether a record is before the position.
func (r *reader) passed(record leat.Record) bool {
	switch r.at.Kind {
	case stream.FromAfter:
		return record.Sequence.Compare(r.at.Sequence) <= 0
	case stream.FromAt:
		return record.Sequence.Compare(r.at.Sequence) < 0
	}
	return false
}

// lastPart returns a number behind all parts of a record, and before the next record.
func lastPart(s leat.SequenceNumber) leat.SequenceNumber {
	if last, ok := s.WithPart(leat.MaxPart); ok {
		return last
	}
	return s
}

// Close implements stream.Reader.
func (r *reader) Close() error {
	r.feed.close()
	return nil
}

// poller polls with GetRecords. It asks back to back while it is behind, and else waits longer and longer, up to a second.
type poller struct {
	r        *reader
	iterator string
	tick     *tick
	idle     time.Duration // how long it waits when there was nothing
	asked    time.Time
	fails    int // in a row
}

const (
	shortIdle = 200 * time.Millisecond
	longIdle  = time.Second
)

// toldAt is how many failures in a row are told of, mostFails how many Next and Read wait out by themselves, which takes half a minute: then
// their caller decides.
const (
	toldAt    = 3
	mostFails = 10
)

func (p *poller) close() {}

func (p *poller) next(ctx context.Context, noWait bool) (page, error) {
	for tries := 1; ; {
		if !noWait && p.idle > 0 {
			if err := wait.For(ctx, p.idle-time.Since(p.asked)); err != nil {
				return page{}, err
			}
		}
		if p.iterator == "" {
			err := p.r.judgeAnew(ctx)
			if err != nil {
				return page{}, err
			}
			if p.iterator, err = p.r.iterator(ctx); err != nil {
				return page{}, err
			}
		}
		if err := p.tick.wait(ctx); err != nil {
			return page{}, err
		}
		p.asked = time.Now()
		out, err := p.r.e.api.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: &p.iterator})
		switch {
		case err == nil:
			if p.fails >= toldAt {
				p.r.e.log.Info("a shard of Kinesis can be read again", "stream", p.r.stream, "shard", p.r.shard.String(), "failures", p.fails)
			}
			p.fails = 0
			return p.page(out), nil
		case ctx.Err() != nil:
			return page{}, ctx.Err()
		case errorCode(err) == "ExpiredIteratorException":
			p.iterator = ""
			p.r.anew()
		case !again(err):
			return page{}, fmt.Errorf("read stream %q %s: %w", p.r.stream, p.r.shard, p.gone(ctx, p.r.mend(err)))
		default:
			if p.fails++; p.fails == toldAt {
				p.r.e.log.Warn("a shard of Kinesis cannot be read; it is tried again", "stream", p.r.stream, "shard", p.r.shard.String(), "error", mend(err))
			}
			if tries++; tries > mostFails {
				return page{}, fmt.Errorf("read stream %q %s: %w", p.r.stream, p.r.shard, p.r.mend(err))
			}
			if err := wait.For(ctx, jitter(500*time.Millisecond, p.fails, 10*time.Second)); err != nil {
				return page{}, err
			}
		}
	}
}

// gone tells a shard that retention has removed from one whose stream was deleted and made again.
func (p *poller) gone(ctx context.Context, err error) error {
	if !errors.Is(err, stream.ErrNoShard) {
		return err
	}
	shards, listed := p.r.e.shards(ctx, p.r.stream)
	if errors.Is(listed, stream.ErrNoStream) {
		return listed
	}
	if listed == nil && slices.ContainsFunc(shards, func(s stream.Shard) bool { return s.ID == p.r.shard }) {
		return fmt.Errorf("%w: another one has its name now", stream.ErrNoStream)
	}
	return err
}

func (p *poller) page(out *sdk.GetRecordsOutput) page {
	p.iterator = aws.ToString(out.NextShardIterator)
	got := page{records: out.Records, asked: p.asked, end: p.iterator == "", behind: time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond}
	switch {
	case len(out.Records) > 0 || got.behind > 0:
		p.idle = 0
		if got.behind == 0 {
			p.idle = shortIdle
		}
	default:
		p.idle = min(longIdle, max(shortIdle, 2*p.idle))
	}
	return got
}

// pollLimits holds the calls of all readers of a shard apart: Kinesis allows five in a second, together.
type pollLimits struct {
	mu    sync.Mutex
	ticks map[string]*tick
}

// of returns what holds back the readers of a shard.
func (l *pollLimits) of(name string, shard leat.ShardID) *tick {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := name + " " + shard.String()
	if l.ticks == nil {
		l.ticks = map[string]*tick{}
	}
	if l.ticks[key] == nil {
		l.ticks[key] = new(tick)
	}
	return l.ticks[key]
}

// tick lets five through in any second.
type tick struct {
	mu   sync.Mutex
	last [5]time.Time
	at   int
}

func (t *tick) wait(ctx context.Context) error {
	if t == nil {
		return ctx.Err()
	}
	t.mu.Lock()
	now := time.Now()
	free := t.last[t.at].Add(time.Second)
	if free.Before(now) {
		free = now
	}
	t.last[t.at] = free
	t.at = (t.at + 1) % len(t.last)
	t.mu.Unlock()
	return wait.For(ctx, free.Sub(now))
}
