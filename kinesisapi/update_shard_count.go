package kinesisapi

import (
	"context"
	"slices"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// UpdateShardCount
//
// AWS brings a provisioned stream to a number of shards of equal width, by splits and merges; shards that live for a moment only may
// appear. At most double, at least half, at most 10,000 shards, 10 times in 24 hours.
//
// Leat does the same before it answers. A crash in the middle leaves a stream that covers all hash keys with some number of shards
// between; the call can be repeated.
//
// Differences: the texts of the errors are not known of AWS.

const (
	maxShards   = 10_000
	maxScalings = 10
)

func (c *call) updateShardCount() (value, error) {
	target, before := c.in.int("TargetShardCount"), 0
	if err := c.target(); err != nil {
		return value{}, err
	}
	err := c.change(func(v *streamView, m *meta) error {
		if m.mode() != provisioned {
			return validation("Stream %s under account %s is in on-demand mode, in which shards cannot be changed.", c.name, c.account)
		}
		if err := c.active(v); err != nil {
			return err
		}
		before = openShards(v.info.Shards)
		m.Scalings = lastDay(m.Scalings, c.now)
		if err := c.mayScale(before, target, len(m.Scalings)); err != nil {
			return err
		}
		m.Scalings = append(m.Scalings, c.now.UnixMilli())
		m.Status, m.Until = c.s.enter(statusUpdating, c.now)
		if before == target {
			return nil
		}
		r := rescale{s: c.s, stream: v.full, want: stream.EvenRanges(target)}
		return r.run(c.steady())
	})
	if err != nil {
		return value{}, err
	}
	return object(
		field{"StreamName", textOf(c.name)}, field{"StreamARN", textOf(c.arn(c.name))},
		field{"CurrentShardCount", numberOf(before)}, field{"TargetShardCount", numberOf(target)},
	), nil
}

func (c *call) mayScale(before, target, times int) error {
	switch {
	case target > maxShards:
		return limitExceeded("A stream can have at most %d shards. Requested shard count: %d.", maxShards, target)
	case target > 2*before:
		return invalid("UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: %d Target shard count: %d", before, target)
	case 2*target < before:
		return invalid("UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: %d Target shard count: %d", before, target)
	case times >= maxScalings:
		return limitExceeded("UpdateShardCount can be called %d times in 24 hours for stream %s under account %s.", maxScalings, c.name, c.account)
	}
	return c.room(c.s.catalog.view.Load(), max(0, target-before))
}

// rescale brings the open shards of a stream to ranges: it splits wherever a range begins within a shard, and then merges within each range.
type rescale struct {
	s      *Server
	stream string
	want   []stream.HashRange
}

func (r *rescale) run(ctx context.Context) error {
	open, err := r.open(ctx)
	if err != nil {
		return err
	}
	for _, want := range r.want {
		for i := range open {
			if open[i].Range.Start != want.Start && open[i].Range.Contains(want.Start) {
				if err := r.s.cfg.Admin.Split(ctx, r.stream, open[i].ID, want.Start); err != nil {
					return err
				}
				if open, err = r.open(ctx); err != nil {
					return err
				}
				break
			}
		}
	}
	for _, want := range r.want {
		if err := r.join(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// join merges the shards within a range until one is left.
func (r *rescale) join(ctx context.Context, want stream.HashRange) error {
	for {
		open, err := r.open(ctx)
		if err != nil {
			return err
		}
		var within []leat.ShardID
		for i := range open {
			if want.Contains(open[i].Range.Start) {
				within = append(within, open[i].ID)
			}
		}
		if len(within) < 2 {
			return nil
		}
		if err := r.s.cfg.Admin.Merge(ctx, r.stream, within[0], within[1]); err != nil {
			return err
		}
	}
}

// open lists the open shards in the order of their ranges.
func (r *rescale) open(ctx context.Context) ([]stream.Shard, error) {
	shards, err := r.s.cfg.Engine.Shards(ctx, r.stream)
	if err != nil {
		return nil, err
	}
	shards = slices.DeleteFunc(shards, func(s stream.Shard) bool { return !s.Open() })
	slices.SortFunc(shards, func(a, b stream.Shard) int { return a.Range.Start.Compare(b.Range.Start) })
	return shards, nil
}
