package kinesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// shardMap is what a forwarder knows of its stream in Kinesis.
type shardMap struct {
	router      *stream.Router
	ranges      map[leat.ShardID]stream.HashRange
	recordLimit int  // bytes of a record with its key
	limited     bool // each shard takes so much and no more
	auto        bool // Kinesis places records as it likes
	blind       bool // nothing is known
}

// defaultRecord is the largest record of a stream that has no limit of its own.
const defaultRecord = 1 << 20

// blindMap is what is used where the shards may not be listed: one lane, as fast as Kinesis takes it.
func blindMap() shardMap {
	all := stream.Shard{Range: stream.HashRange{End: leat.MaxHash}}
	router, err := stream.NewRouter([]stream.Shard{all})
	if err != nil {
		panic(err) // it covers the ring
	}
	return shardMap{router: router, recordLimit: defaultRecord, auto: true, blind: true}
}

// mapAge is how long the shards are believed to be as they were.
const mapAge = time.Minute

// mapEvery is how often they are asked for at most.
const mapEvery = time.Second

// keepMap keeps the shards of the stream up to date until ctx ends.
func (f *forwarder) keepMap(ctx context.Context) {
	for fails := 0; ; {
		asked := time.Now()
		m, err := f.e.describe(ctx, f.name)
		if code := errorCode(err); code == "AccessDeniedException" {
			if !f.shards.blind { // which only remap changes
				f.log.Warn("the shards of a stream may not be listed; its records are sent without regard to them", "stream", f.name, "error", err)
			}
			m, err = blindMap(), nil
		}
		pause := mapAge
		if err == nil {
			fails = 0
			f.described(m, asked)
		} else if ctx.Err() == nil {
			fails++
			pause = jitter(time.Second, fails, 30*time.Second)
			f.cannotDescribe(err)
		}
		old, cancel := context.WithTimeout(ctx, pause)
		select {
		case <-f.refresh:
			_ = wait.For(ctx, max(100*time.Millisecond, time.Until(asked.Add(mapEvery)))) // not after every record
		case <-old.Done():
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}

// described takes over the shards of the moment when they were asked for.
func (f *forwarder) described(m shardMap, asked time.Time) {
	f.mu.Lock()
	f.remap(m, asked)
	f.blind = ""
	if lasted, tell := f.unlisted.End(time.Now()); tell {
		f.log.Info("the shards of a stream are known again", "stream", f.name, "after", rounded(lasted), "failures", f.unlisted.Failures)
	}
	f.mu.Unlock()
	signal(f.wake)
	signal(f.moved)
}

// cannotDescribe tells that the shards cannot be listed, unless it is told already that nothing goes.
func (f *forwarder) cannotDescribe(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lanes) == 0 {
		f.blind = err.Error()
	}
	if f.reason != "" {
		return
	}
	if _, tell := f.unlisted.Fail(time.Now(), rhythm); tell {
		f.log.Warn("the shards of a stream cannot be listed; its events wait, or go where they went before", "stream", f.name, "failures", f.unlisted.Failures,
			"error", err)
	}
}

// describe asks Kinesis about a stream.
func (e *Engine) describe(ctx context.Context, name string) (shardMap, error) {
	m := shardMap{recordLimit: defaultRecord, ranges: map[leat.ShardID]stream.HashRange{}}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := e.api.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return m, fmt.Errorf("describe stream %q: %w", name, mend(err))
	}
	if s := out.StreamDescriptionSummary; s != nil {
		onDemand := s.StreamModeDetails != nil && s.StreamModeDetails.StreamMode == types.StreamModeOnDemand
		m.limited = e.config.Pace != "off" && !onDemand
		m.auto = s.RecordDistributionStrategy == types.RecordDistributionStrategyAuto
		if s.MaxRecordSizeInKiB != nil {
			m.recordLimit = int(*s.MaxRecordSizeInKiB) << 10
		}
	}
	shards, err := e.shards(ctx, name)
	if err != nil {
		return m, err
	}
	for i := range shards {
		m.ranges[shards[i].ID] = shards[i].Range
	}
	if m.router, err = stream.NewRouter(shards); err != nil {
		return m, fmt.Errorf("shards of stream %q: %w", name, err)
	}
	return m, nil
}

// Shards implements stream.Engine. Kinesis does not say how far a shard is: Tip is zero.
func (e *Engine) Shards(ctx context.Context, name string) ([]stream.Shard, error) {
	if !e.abroad(name) {
		return e.house.Shards(ctx, name)
	}
	return e.shards(ctx, name)
}

func (e *Engine) shards(ctx context.Context, name string) ([]stream.Shard, error) {
	var all []stream.Shard
	in := &sdk.ListShardsInput{StreamName: &name}
	for {
		out, err := e.api.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the shards of stream %q: %w", name, mend(err))
		}
		for i := range out.Shards {
			s, err := shardOf(&out.Shards[i])
			if err != nil {
				return nil, fmt.Errorf("shards of stream %q: %w", name, err)
			}
			all = append(all, s)
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in = &sdk.ListShardsInput{NextToken: out.NextToken}
	}
}

func shardOf(in *types.Shard) (s stream.Shard, err error) {
	var errs [5]error
	s.ID, errs[0] = leat.ParseShardID(aws.ToString(in.ShardId))
	if in.HashKeyRange == nil || in.SequenceNumberRange == nil {
		return s, fmt.Errorf("%s has no range", s.ID)
	}
	s.Range.Start, errs[1] = leat.ParseHash(aws.ToString(in.HashKeyRange.StartingHashKey))
	s.Range.End, errs[2] = leat.ParseHash(aws.ToString(in.HashKeyRange.EndingHashKey))
	s.First, errs[3] = parseSequence(aws.ToString(in.SequenceNumberRange.StartingSequenceNumber))
	s.Created = s.First.Created()
	if end := in.SequenceNumberRange.EndingSequenceNumber; end != nil {
		s.Last, errs[4] = parseSequence(*end)
		s.Closed = s.Last.Arrived()
	}
	for _, parent := range []*string{in.ParentShardId, in.AdjacentParentShardId} {
		if parent == nil {
			continue
		}
		id, err := leat.ParseShardID(*parent)
		if err != nil {
			return s, err
		}
		s.Parents = append(s.Parents, id)
	}
	return s, errors.Join(errs[:]...)
}

// parseSequence reads a number as Kinesis gives it.
func parseSequence(text string) (leat.SequenceNumber, error) {
	s, err := leat.ParseSequence(text)
	if err == nil && s != s.Whole() {
		err = fmt.Errorf("sequence number %s is not one that Kinesis gives today: its fourth field is not 00", text)
	}
	return s, err
}
