package kinesisapi

// DescribeStreamConsumer
//
// AWS describes a consumer, which is named by ConsumerARN, by StreamARN and ConsumerName, or by all three if they agree.
//
// Leat does the same. Limits: none. Differences: the texts of the errors.

func (c *call) describeStreamConsumer() (value, error) {
	key, err := c.consumer()
	if err != nil {
		return value{}, err
	}
	v, err := c.streamNow()
	if err != nil {
		return value{}, err
	}
	k, err := key.find(c, &v.meta)
	if err != nil {
		return value{}, err
	}
	described := c.consumerValue(k).with("StreamARN", textOf(c.arn(c.name)))
	return object(field{"ConsumerDescription", described}), nil
}
