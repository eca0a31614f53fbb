package pipeline

import (
	"slices"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/stream"
)

// sameShards warns if a stream has another number of shards than the configuration says, which nothing mends by itself.
func (p *Pipeline) sameShards(c *config.Config, info *stream.Info) {
	i := slices.IndexFunc(c.Streams, func(s config.Stream) bool { return s.Name == info.Name })
	if i < 0 || !c.Streams[i].ShardsGiven {
		return
	}
	open := 0
	for j := range info.Shards {
		if info.Shards[j].Open() {
			open++
		}
	}
	if want := c.Streams[i].Shards; open != want {
		p.log.Warn("a stream that exists keeps its shards, whatever the configuration says; split and merge change their number",
			"stream", info.Name, "shards", open, "configured", want)
	}
}
