package kinesis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// fans gives each reader of a shard a registered consumer of its own: two that share one would take the shard from each other.
type fans struct {
	mu   sync.Mutex
	used map[string]bool
	arns map[string]string // of registered consumers
}

// take returns the lowest number that no reader of the shard uses.
func (f *fans) take(name string, shard leat.ShardID) (number int, release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used == nil {
		f.used, f.arns = map[string]bool{}, map[string]string{}
	}
	key := func(n int) string { return name + " " + shard.String() + " " + strconv.Itoa(n) }
	number = 1
	for f.used[key(number)] {
		number++
	}
	f.used[key(number)] = true
	return number, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.used, key(number))
	}
}

// forget forgets the ARN of a consumer, and reports whether it was known.
func (f *fans) forget(name, consumer string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := name + " " + consumer
	known := f.arns[key] != ""
	delete(f.arns, key)
	return known
}

// subscriber reads by enhanced fan-out: Kinesis pushes, for five minutes at a time.
type subscriber struct {
	r         *reader
	arn       string // of the consumer
	release   func()
	out       *sdk.SubscribeToShardEventStream
	cancel    context.CancelFunc
	begun     time.Time // the last subscription
	goOn      string    // where the next one begins; empty: at the position of the reader
	takenOver bool
}

// Kinesis refuses a subscription within five seconds of another, and gives the shard to the later of two. Whoever loses it waits.
const (
	subscribeEvery = 5 * time.Second
	afterTakeOver  = time.Minute
)

// fanOut makes a subscriber the feed of r.
func (r *reader) fanOut(ctx context.Context) error {
	number, release := r.e.fans.take(r.stream, r.shard)
	s := &subscriber{r: r, release: release}
	var err error
	consumer := r.e.config.FanOut + "-" + strconv.Itoa(number)
	if s.arn, err = r.e.register(ctx, r.stream, consumer); err == nil {
		err = s.subscribe(ctx)
	}
	if errorCode(err) == "ResourceNotFoundException" && r.e.fans.forget(r.stream, consumer) { // it may be one of an older stream of that name
		if s.arn, err = r.e.register(ctx, r.stream, consumer); err == nil {
			err = s.subscribe(ctx)
		}
	}
	if errorCode(err) == "InvalidArgumentException" && r.replaced(ctx) {
		r.at, r.gap = stream.Oldest(), false // as for polling
		err = s.subscribe(ctx)
	}
	if err != nil {
		release()
		return fmt.Errorf("read stream %q %s %s by fan-out: %w", r.stream, r.shard, r.at, r.mend(err))
	}
	r.feed = s
	return nil
}

// register returns the ARN of a consumer that is active.
func (e *Engine) register(ctx context.Context, name, consumer string) (string, error) {
	key := name + " " + consumer
	e.fans.mu.Lock()
	arn := e.fans.arns[key]
	e.fans.mu.Unlock()
	if arn != "" {
		return arn, nil
	}
	out, err := e.api.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return "", err
	}
	if out.StreamDescriptionSummary == nil {
		return "", errors.New("the stream has no description")
	}
	of := out.StreamDescriptionSummary.StreamARN
	_, err = e.api.RegisterStreamConsumer(ctx, &sdk.RegisterStreamConsumerInput{StreamARN: of, ConsumerName: &consumer})
	if err != nil && errorCode(err) != "ResourceInUseException" {
		return "", err
	}
	for {
		got, err := e.api.DescribeStreamConsumer(ctx, &sdk.DescribeStreamConsumerInput{StreamARN: of, ConsumerName: &consumer})
		if err != nil {
			return "", err
		}
		if d := got.ConsumerDescription; d != nil && d.ConsumerStatus == types.ConsumerStatusActive {
			e.fans.mu.Lock()
			e.fans.arns[key] = aws.ToString(d.ConsumerARN)
			e.fans.mu.Unlock()
			return aws.ToString(d.ConsumerARN), nil
		}
		if err := wait.For(ctx, 500*time.Millisecond); err != nil {
			return "", err
		}
	}
}

func (s *subscriber) position() *types.StartingPosition {
	if s.goOn != "" {
		return &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &s.goOn}
	}
	switch at := s.r.at; at.Kind {
	case stream.FromLatest:
		return &types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	case stream.FromTime:
		return &types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(at.Time)}
	case stream.FromAt, stream.FromAfter:
		return &types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: aws.String(at.Sequence.Whole().String())}
	}
	return &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
}

// subscribe subscribes, again as long as Kinesis refuses for now.
func (s *subscriber) subscribe(ctx context.Context) error {
	for fails := 1; ; fails++ {
		pause := time.Until(s.begun.Add(subscribeEvery))
		if s.takenOver {
			pause = afterTakeOver/2 + jitter(afterTakeOver/2, 1, afterTakeOver/2)
		}
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
		s.takenOver = false
		life, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stop := context.AfterFunc(ctx, cancel)
		client := s.r.e.client() // that of v1.56.13 reads all event streams of a client into one buffer
		out, err := client.SubscribeToShard(life, &sdk.SubscribeToShardInput{
			ConsumerARN: &s.arn, ShardId: aws.String(s.r.shard.String()), StartingPosition: s.position(),
		})
		stop()
		if err == nil && ctx.Err() == nil {
			s.begun, s.out, s.cancel = time.Now(), out.GetStream(), cancel
			return nil
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.r.timeless(err) {
			continue
		}
		if !again(err) || fails == mostFails {
			return err
		}
		s.begun = time.Now().Add(jitter(time.Second, fails, 20*time.Second))
	}
}

func (s *subscriber) next(ctx context.Context, _ bool) (page, error) {
	for {
		if s.out == nil {
			err := s.r.judgeAnew(ctx)
			if err == nil {
				err = s.subscribe(ctx)
			}
			if err != nil {
				return page{}, fmt.Errorf("read stream %q %s by fan-out: %w", s.r.stream, s.r.shard, s.r.mend(err))
			}
		}
		select {
		case <-ctx.Done():
			return page{}, ctx.Err()
		case event, ok := <-s.out.Events():
			if !ok {
				s.ended()
				continue
			}
			got, is := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
			if !is {
				continue
			}
			v := got.Value
			s.goOn = aws.ToString(v.ContinuationSequenceNumber)
			return page{
				records: v.Records, asked: s.begun, behind: time.Duration(aws.ToInt64(v.MillisBehindLatest)) * time.Millisecond,
				end: len(v.ChildShards) > 0 || s.goOn == "",
			}, nil
		}
	}
}

// ended deals with the end of a subscription, which is normal every five minutes.
func (s *subscriber) ended() {
	if err := s.out.Err(); errorCode(err) == "ResourceInUseException" {
		s.takenOver = true
		s.r.e.log.Warn("another process has taken over the reading of a shard", "stream", s.r.stream, "shard", s.r.shard.String())
	}
	s.stop()
	s.r.anew()
}

func (s *subscriber) stop() {
	if s.out != nil {
		s.cancel()
		_ = s.out.Close()
		s.out = nil
	}
}

func (s *subscriber) close() {
	s.stop()
	s.release()
}
