package kinesisapi

// CreateChannel, UpdateChannel, DeleteChannel, DescribeChannel, ListChannels
//
// AWS delivers an on-demand stream into a bucket or a table of S3, as a channel says.
//
// Leat has no channels: its own sinks do that work, and a pipeline says which. A sound request to make a channel is refused with
// ValidationException, which is what AWS answers where a feature is not there in a region or for a kind of stream, and
// which no SDK repeats. No channel is ever found, and the list of them is empty, so that a tool which cleans up finds nothing to do.

func (c *call) createChannel() (value, error) {
	return value{}, validation("Channels are not supported here. Deliver the stream with a sink of a Leat pipeline.")
}

func (c *call) namedChannel() (value, error) {
	return value{}, notFound("Channel %s under account %s not found.", c.in.str("ChannelARN"), c.account)
}

func (c *call) listChannels() (value, error) {
	return object(field{"ChannelSummaries", listOf(nil)}), nil
}
