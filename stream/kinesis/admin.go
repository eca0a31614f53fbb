package kinesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// The retention that Kinesis can have, in hours.
const (
	leastHours = 24
	mostHours  = 8760
)

// Streams implements stream.Admin: the streams in Kinesis and those of the house, without the spools. Of those in Kinesis the records
// and bytes are unknown, and zero.
func (e *Engine) Streams(ctx context.Context) ([]stream.Info, error) {
	all, err := e.house.Streams(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i stream.Info) bool { return strings.HasPrefix(i.Name, "kinesis/") || e.abroad(i.Name) })
	pages := sdk.NewListStreamsPaginator(e.api, &sdk.ListStreamsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the streams of Kinesis: %w", mend(err))
		}
		for _, name := range out.StreamNames {
			if !e.abroad(name) {
				continue
			}
			info, err := e.info(ctx, name)
			if errors.Is(err, stream.ErrNoStream) {
				continue // it is being deleted
			}
			if err != nil {
				return nil, err
			}
			all = append(all, info)
		}
	}
	slices.SortFunc(all, func(a, b stream.Info) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (e *Engine) info(ctx context.Context, name string) (stream.Info, error) {
	s, err := e.summary(ctx, name)
	if err != nil {
		return stream.Info{}, err
	}
	shards, err := e.shards(ctx, name)
	if err != nil {
		return stream.Info{}, err
	}
	return stream.Info{
		Name: name, Created: aws.ToTime(s.StreamCreationTimestamp), Shards: shards,
		Keep: stream.Retention{Age: time.Duration(aws.ToInt32(s.RetentionPeriodHours)) * time.Hour},
	}, nil
}

func (e *Engine) summary(ctx context.Context, name string) (*types.StreamDescriptionSummary, error) {
	out, err := e.api.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe stream %q: %w", name, mend(err))
	}
	if out.StreamDescriptionSummary == nil {
		return nil, fmt.Errorf("describe stream %q: the answer is empty", name)
	}
	return out.StreamDescriptionSummary, nil
}

// settled waits until a change of a stream is over.
func (e *Engine) settled(ctx context.Context, name string) error {
	for {
		s, err := e.summary(ctx, name)
		if err != nil {
			return err
		}
		if s.StreamStatus == types.StreamStatusActive {
			return nil
		}
		if err := wait.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// hours returns a retention in the hours of Kinesis.
func hours(keep stream.Retention) (int32, error) {
	if keep.Bytes != 0 {
		return 0, fmt.Errorf("%w: Kinesis keeps records by time, not by bytes", stream.ErrInvalid)
	}
	if keep.Age == 0 {
		return mostHours, nil
	}
	h := (keep.Age + time.Hour - 1) / time.Hour
	if keep.Age < 0 || h > mostHours {
		return 0, fmt.Errorf("%w: Kinesis keeps records for %d to %d hours, not for %s", stream.ErrInvalid, leastHours, mostHours, keep.Age)
	}
	return max(leastHours, int32(h)), nil
}

// Create implements stream.Admin. It returns when the stream can be used. A retention of 0 is that of Kinesis, 24 hours.
func (e *Engine) Create(ctx context.Context, spec stream.Spec) error {
	if !e.abroad(spec.Name) {
		return e.house.Create(ctx, spec)
	}
	if err := stream.CheckName(spec.Name); err != nil {
		return err
	}
	if spec.Keep == (stream.Retention{}) {
		spec.Keep.Age = leastHours * time.Hour
	}
	if _, err := hours(spec.Keep); err != nil {
		return err
	}
	if spec.Shards < 0 || spec.Shards > 10_000 {
		return fmt.Errorf("%w: a stream has 1 to 10,000 shards, not %d", stream.ErrInvalid, spec.Shards)
	}
	_, err := e.api.CreateStream(ctx, &sdk.CreateStreamInput{StreamName: &spec.Name, ShardCount: aws.Int32(int32(max(1, spec.Shards)))})
	if err = mend(err); err != nil && !(errors.Is(err, stream.ErrExists) && e.begun(spec.Name, false)) {
		if _, missing := e.summary(ctx, spec.Name); missing == nil && !e.begun(spec.Name, false) {
			err = stream.ErrExists // whoever may make it
		}
		return fmt.Errorf("create stream %q: %w", spec.Name, err)
	}
	e.begun(spec.Name, true)
	if err := e.settled(ctx, spec.Name); err != nil {
		return err
	}
	if err := e.SetRetention(ctx, spec.Name, spec.Keep); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.making, spec.Name)
	return nil
}

// begun reports whether a Create was accepted that has not been finished, and notes one.
func (e *Engine) begun(name string, now bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.making[name]
	if now {
		e.making[name] = true
	}
	return was
}

// SetRetention implements stream.Admin, in whole hours from 24 to 8760. An age of 0 is the longest.
func (e *Engine) SetRetention(ctx context.Context, name string, keep stream.Retention) error {
	if !e.abroad(name) {
		return e.house.SetRetention(ctx, name, keep)
	}
	want, err := hours(keep)
	if err != nil {
		return err
	}
	s, err := e.summary(ctx, name)
	if err != nil {
		return err
	}
	switch have := aws.ToInt32(s.RetentionPeriodHours); {
	case want == have:
		return nil
	case want > have:
		_, err = e.api.IncreaseStreamRetentionPeriod(ctx, &sdk.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &want})
	default:
		_, err = e.api.DecreaseStreamRetentionPeriod(ctx, &sdk.DecreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &want})
	}
	if err != nil {
		return fmt.Errorf("set the retention of stream %q: %w", name, mend(err))
	}
	return e.settled(ctx, name)
}

// Delete implements stream.Admin. What waits in the spool for the stream is deleted with it.
func (e *Engine) Delete(ctx context.Context, name string) error {
	if !e.abroad(name) {
		return e.house.Delete(ctx, name)
	}
	_, err := e.api.DeleteStream(ctx, &sdk.DeleteStreamInput{StreamName: &name, EnforceConsumerDeletion: aws.Bool(true)})
	if err != nil {
		return fmt.Errorf("delete stream %q: %w", name, mend(err))
	}
	for {
		if _, err := e.summary(ctx, name); errors.Is(err, stream.ErrNoStream) {
			break
		}
		if err := wait.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return e.dissolve(ctx, name)
}

// dissolve ends the forwarder of a stream that is gone, and deletes what it has in the house, but for events that Kinesis has refused.
func (e *Engine) dissolve(ctx context.Context, name string) error {
	e.mu.Lock()
	f := e.forwarders[name]
	delete(e.forwarders, name)
	e.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f.close(ctx); err != nil {
		return err
	}
	if err := e.house.Delete(ctx, f.spool); err != nil {
		return err
	}
	m, err := e.house.Load(ctx, markKey(name))
	if err != nil {
		return err
	}
	_, err = e.house.Commit(ctx, stream.Commit{Marks: []stream.Swap{{Mark: stream.Mark{Key: markKey(name), Epoch: m.Epoch}, Was: m.Epoch}}})
	return err
}

// Split implements stream.Admin.
func (e *Engine) Split(ctx context.Context, name string, shard leat.ShardID, at leat.Hash) error {
	if !e.abroad(name) {
		return e.house.Split(ctx, name, shard, at)
	}
	_, err := e.api.SplitShard(ctx, &sdk.SplitShardInput{
		StreamName: &name, ShardToSplit: aws.String(shard.String()), NewStartingHashKey: aws.String(at.String()),
	})
	return e.reshaped(ctx, name, err)
}

// Merge implements stream.Admin.
func (e *Engine) Merge(ctx context.Context, name string, a, b leat.ShardID) error {
	if !e.abroad(name) {
		return e.house.Merge(ctx, name, a, b)
	}
	if shards, err := e.shards(ctx, name); err == nil { // the one that begins first comes first
		slices.SortFunc(shards, func(x, y stream.Shard) int { return x.Range.Start.Compare(y.Range.Start) })
		at := func(id leat.ShardID) int {
			return slices.IndexFunc(shards, func(s stream.Shard) bool { return s.ID == id })
		}
		if at(b) < at(a) {
			a, b = b, a
		}
	}
	_, err := e.api.MergeShards(ctx, &sdk.MergeShardsInput{
		StreamName: &name, ShardToMerge: aws.String(a.String()), AdjacentShardToMerge: aws.String(b.String()),
	})
	return e.reshaped(ctx, name, err)
}

func (e *Engine) reshaped(ctx context.Context, name string, err error) error {
	if err != nil {
		mended := mend(err)
		if errorCode(err) == "ResourceNotFoundException" && strings.Contains(strings.ToLower(err.Error()), "shard shardid-") {
			mended = fmt.Errorf("%w: %w", stream.ErrNoShard, err)
		}
		return fmt.Errorf("reshape stream %q: %w", name, mended)
	}
	e.mu.Lock()
	f := e.forwarders[name]
	e.mu.Unlock()
	if f != nil {
		signal(f.refresh)
	}
	return e.settled(ctx, name)
}
