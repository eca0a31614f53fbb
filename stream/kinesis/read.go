package kinesis

import (
	"context"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

type pollLimits struct{}
type fans struct{}

// Read implements stream.Engine.
func (e *Engine) Read(ctx context.Context, name string, shard leat.ShardID, from stream.Position) (stream.Reader, error) {
	return e.house.Read(ctx, name, shard, from)
}
