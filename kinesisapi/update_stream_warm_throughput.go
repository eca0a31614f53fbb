package kinesisapi

// UpdateStreamWarmThroughput
//
// AWS prepares an on-demand stream for a throughput; the account must have the billing commitment. The stream is UPDATING and then ACTIVE.
//
// Leat stores the number and answers it. It has no other effect.
//
// Limits: 10 GiB/s, that is 10,240 MiB/s. Differences: the texts of the errors are not known of AWS.

const maxWarm = 10_240

func (c *call) updateStreamWarmThroughput() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	warm := c.in.int("WarmThroughputMiBps")
	err := c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		switch {
		case m.mode() != onDemand:
			return validation("WarmThroughputMiBps is supported for on-demand streams only.")
		case !c.advantage():
			return validation("WarmThroughputMiBps needs the minimum throughput billing commitment of account %s.", c.account)
		case warm > maxWarm:
			return limitExceeded("WarmThroughputMiBps of stream %s under account %s can be at most %d.", c.name, c.account, maxWarm)
		}
		m.Warm = &warm
		m.Status, m.Until = c.s.enter(statusUpdating, c.now)
		return nil
	})
	if err != nil {
		return value{}, err
	}
	return object(field{"StreamARN", textOf(c.arn(c.name))}, field{"StreamName", textOf(c.name)}, field{"WarmThroughput", warmOf(warm)}), nil
}
