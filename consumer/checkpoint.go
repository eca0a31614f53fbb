package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// checkpoint is how far a shard is done. It is stored as the value of a mark.
type checkpoint struct {
	// Sequence is the last record that is done: delivered, dropped by the filter, or in the dead-letter stream.
	Sequence leat.SequenceNumber `json:"sequence,omitzero"`

	// Delivered is the last record that the destination has taken. It is before Sequence where the records behind it were dropped, or are in the
	// dead-letter stream.
	Delivered leat.SequenceNumber `json:"delivered,omitzero"`

	// Start is the time from which on the shard is read while Sequence is zero; zero: from its oldest record.
	Start time.Time `json:"start,omitzero"`

	// Ended says that the shard is closed and everything in it is done, so that its children may be read.
	Ended bool `json:"ended,omitempty"`

	// Created is when the shard was created, in seconds since 1970: the checkpoint says nothing about a shard of the same number in a later
	// stream of that name, not even if it has no Sequence. 0: unknown.
	Created int64 `json:"created,omitempty"`
}

func (c checkpoint) position() stream.Position {
	switch {
	case !c.Sequence.IsZero():
		return stream.After(c.Sequence)
	case !c.Start.IsZero():
		return stream.AtTime(c.Start)
	}
	return stream.Oldest()
}

// delivered returns the checkpoint behind records that the destination has taken.
func (c checkpoint) delivered(last leat.SequenceNumber) checkpoint {
	c.Sequence, c.Delivered = last, last
	return c
}

// passed returns the checkpoint behind records that the destination has not taken.
func (c checkpoint) passed(last leat.SequenceNumber) checkpoint {
	c.Sequence = last
	return c
}

func (c checkpoint) encode() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // a plain struct
	}
	return text
}

func decodeCheckpoint(m stream.Mark) (c checkpoint, err error) {
	if err := json.Unmarshal(m.Value, &c); err != nil {
		return c, fmt.Errorf("checkpoint %s: %w", m.Key, err)
	}
	return c, nil
}

// prefix is what the keys of all marks of the consumer begin with.
func (c *Consumer) prefix() string { return "consumer/" + c.Name + "/" + c.Stream + "/" }

func (c *Consumer) markKey(shard leat.ShardID) string { return c.prefix() + shard.String() }

// load returns the checkpoints of all shards that have one.
func (c *Consumer) load(ctx context.Context) (map[leat.ShardID]stream.Mark, error) {
	list, err := c.Engine.List(ctx, c.prefix())
	if err != nil {
		return nil, fmt.Errorf("load the checkpoints of consumer %q: %w", c.Name, err)
	}
	marks := make(map[leat.ShardID]stream.Mark, len(list))
	for _, m := range list {
		id, err := leat.ParseShardID(m.Key[len(c.prefix()):])
		if err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", m.Key, err)
		}
		marks[id] = m
	}
	return marks, nil
}

// create writes the first checkpoint of every shard that is there when the consumer is. From then on a shard without one
// has been made later, by a split or merge, and is read from its beginning.
func (c *Consumer) create(ctx context.Context, shards []stream.Shard) error {
	var swaps []stream.Swap
	for i := range shards {
		first := checkpoint{Created: shards[i].Created.Unix()}
		if c.Settings.Start == "latest" {
			first.Start, first.Ended = c.begun, !shards[i].Open() && !shards[i].Closed.After(c.begun)
		}
		swaps = append(swaps, stream.Swap{Mark: stream.Mark{Key: c.markKey(shards[i].ID), Epoch: 1, Value: first.encode()}})
	}
	_, err := c.Engine.Commit(ctx, stream.Commit{Marks: swaps})
	if err != nil {
		return fmt.Errorf("create consumer %q: %w", c.Name, err)
	}
	return nil
}

// take takes a shard over in a new epoch, from which moment a former owner can move nothing any more. created is 0 for one that is not listed.
func (c *Consumer) take(ctx context.Context, shard leat.ShardID, m stream.Mark, created int64) (checkpoint, uint64, error) {
	var at checkpoint
	if m.Value != nil {
		var err error
		if at, err = decodeCheckpoint(m); err != nil {
			return at, 0, err
		}
	}
	if created != 0 {
		at.Created = created
	}
	epoch := m.Epoch + 1
	swap := stream.Swap{Mark: stream.Mark{Key: c.markKey(shard), Epoch: epoch, Value: at.encode()}, Was: m.Epoch}
	if _, err := c.Engine.Commit(ctx, stream.Commit{Marks: []stream.Swap{swap}}); err != nil {
		return at, 0, fmt.Errorf("take over %s of stream %q: %w", shard, c.Stream, err)
	}
	return at, epoch, nil
}
