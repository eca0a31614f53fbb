package stream

import (
	"context"
	"fmt"

	"github.com/leatstream/leat"
)

// Finder is implemented by an Engine that finds one shard without listing all of a stream.
type Finder interface {
	// Shard returns a shard, open or closed, or ErrNoStream or ErrNoShard.
	Shard(ctx context.Context, stream string, id leat.ShardID) (Shard, error)
}

// Find returns a shard of a stream, or ErrNoStream or ErrNoShard: from e if it is a Finder, and else from the list of all.
func Find(ctx context.Context, e Engine, stream string, id leat.ShardID) (Shard, error) {
	if f, ok := e.(Finder); ok {
		return f.Shard(ctx, stream, id)
	}
	shards, err := e.Shards(ctx, stream)
	if err != nil {
		return Shard{}, err
	}
	for i := range shards {
		if shards[i].ID == id {
			return shards[i], nil
		}
	}
	return Shard{}, fmt.Errorf("stream %q: %s: %w", stream, id, ErrNoShard)
}
