package kinesisapi

// UpdateStreamRecordDistributionStrategy
//
// AWS lets an on-demand stream place records by partition key (USER_PARTITION_KEY) or as it sees fit (AUTO). It takes effect at once; old
// records stay where they are.
//
// Leat does the same: with AUTO each record goes to a shard at random. AUTO on a provisioned stream is an InvalidArgumentException.

func (c *call) updateDistribution() (value, error) {
	if err := c.byARN(c.in.str("StreamARN")); err != nil {
		return value{}, err
	}
	strategy := c.in.str("RecordDistributionStrategy")
	return value{}, c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		if strategy == auto && m.mode() != onDemand {
			return invalid("RecordDistributionStrategy AUTO is supported for on-demand streams only.")
		}
		m.Strategy = strategy
		return nil
	})
}
