package kinesisapi

// DescribeStreamSummary
//
// AWS describes a stream without its shards, but with their number and that of consumers and channels, the maximal record size, the warm
// throughput and the way records are distributed.
//
// Leat does the same. ChannelCount is 0, there are none; StreamId is not answered, Leat gives streams no such id.

func (c *call) describeStreamSummary() (value, error) {
	v, shards, err := c.described()
	if err != nil {
		return value{}, err
	}
	out := c.description(v).
		with("OpenShardCount", numberOf(openShards(shards))).
		with("ConsumerCount", numberOf(len(v.meta.consumersOf(c.now)))).
		with("ChannelCount", numberOf(0)).
		with("MaxRecordSizeInKiB", numberOf(v.meta.maxRecord()>>10)).
		with("RecordDistributionStrategy", textOf(v.meta.strategy()))
	if v.meta.Warm != nil {
		out = out.with("WarmThroughput", warmOf(*v.meta.Warm))
	}
	return object(field{"StreamDescriptionSummary", out}), nil
}

func warmOf(mib int) value {
	return object(field{"TargetMiBps", numberOf(mib)}, field{"CurrentMiBps", numberOf(mib)})
}
