package kinesisapi

// DescribeLimits
//
// AWS answers how many shards and on-demand streams the account has in the region, and may have; since 2026 also channels.
//
// Leat does the same. Config.ShardLimit is the limit of shards; that of on-demand streams is answered and not enforced. There are no channels.

const onDemandLimit = 50

func (c *call) describeLimits() (value, error) {
	seen, err := c.s.fresh(c.ctx())
	if err != nil {
		return value{}, err
	}
	open, demanded := 0, 0
	for full, v := range seen.streams {
		if _, ours := c.ours(full); !ours {
			continue
		}
		open += openShards(v.info.Shards)
		if v.meta.mode() == onDemand {
			demanded++
		}
	}
	return object(
		field{"ShardLimit", numberOf(c.s.cfg.ShardLimit)}, field{"OpenShardCount", numberOf(open)},
		field{"OnDemandStreamCount", numberOf(demanded)}, field{"OnDemandStreamCountLimit", numberOf(onDemandLimit)},
		field{"ChannelCount", numberOf(0)}, field{"ChannelCountLimit", numberOf(0)},
	), nil
}
