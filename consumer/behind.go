package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// errBehind says that the destination does not have what was delivered to it: all shards are stopped, and each is compared.
var errBehind = errors.New("the destination is behind its checkpoint")

// compare moves checkpoints back to where the destination is, also those of shards that are done: it may have been deleted, replaced or
// restored from a copy. A destination that does not answer is asked again when the shards are listed the next time.
func (c *Consumer) compare(ctx context.Context, shards []stream.Shard, marks map[leat.ShardID]stream.Mark) error {
	p, ok := c.Sink.(sink.Positioner)
	if !ok || c.compared {
		return nil
	}
	for i := range shards {
		id := shards[i].ID
		m, ok := marks[id]
		if !ok {
			continue
		}
		at, err := decodeCheckpoint(m)
		if err != nil {
			return err
		}
		if at.Delivered.IsZero() {
			continue
		}
		has, err := p.Position(ctx, c.Stream, id)
		if err != nil {
			c.log.Warn("the destination cannot be compared with the checkpoints; it is tried again", "error", err)
			return nil
		}
		if has.Created().Before(at.Delivered.Created()) {
			has = leat.SequenceNumber{} // of a stream that had the name before
		}
		if has.Compare(at.Delivered) >= 0 {
			continue
		}
		if c.running() {
			return fmt.Errorf("%w: %s", errBehind, id)
		}
		if marks[id], err = c.moveBack(ctx, m, at, has); err != nil {
			return err
		}
	}
	c.compared = true
	return nil
}

// moveBack stores a checkpoint behind what the destination has.
func (c *Consumer) moveBack(ctx context.Context, m stream.Mark, at checkpoint, has leat.SequenceNumber) (stream.Mark, error) {
	c.log.Error("records that the destination has lost are delivered again, as far as the stream has them", "mark", m.Key, "delivered", at.Delivered, "position", has)
	back := stream.Mark{Key: m.Key, Epoch: m.Epoch + 1, Value: checkpoint{Sequence: has, Delivered: has, Start: at.Start, Created: at.Created}.encode()}
	if _, err := c.Engine.Commit(ctx, stream.Commit{Marks: []stream.Swap{{Mark: back, Was: m.Epoch}}}); err != nil {
		return m, fmt.Errorf("move checkpoint %s back: %w", m.Key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rewind++
	return back, nil
}

// running reports whether any shard was started.
func (c *Consumer) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.shards) > 0
}

// forget replaces checkpoints of shards that were there before, in a stream that had the same name: those of now are read from their
// beginning. It returns when the shards were created.
func forget(shards []stream.Shard, marks map[leat.ShardID]stream.Mark) (map[leat.ShardID]int64, error) {
	created := make(map[leat.ShardID]int64, len(shards))
	for i := range shards {
		now := shards[i].Created.Unix()
		created[shards[i].ID] = now
		m, ok := marks[shards[i].ID]
		if !ok {
			continue
		}
		at, err := decodeCheckpoint(m)
		if err != nil {
			return nil, err
		}
		if at.Created != 0 && at.Created < now || !at.Sequence.IsZero() && at.Sequence.Created().Unix() < now {
			m.Value = checkpoint{}.encode()
			marks[shards[i].ID] = m
		}
	}
	return created, nil
}
