package kinesisapi

import "github.com/leatstream/leat/stream"

// IncreaseStreamRetentionPeriod, DecreaseStreamRetentionPeriod
//
// AWS changes how long a stream keeps records, 24 to 8,760 hours; both take the present value. An increase brings nothing back, a
// decrease makes older records unreachable at once.
//
// Leat does the same: what is older is not answered from now on, and removed from disk within seconds. A bound in bytes that the stream
// has from elsewhere stays.
//
// Differences: there is no state UPDATING, which AWS does not document for these calls either. The text for a period that is too long is
// not known of AWS.

func (c *call) increaseRetention() (value, error) {
	return value{}, c.setRetention(func(hours, before int) error {
		if hours < before {
			return invalid("Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). "+
				"Use DecreaseRetentionPeriod API.", hours, c.name, before)
		}
		return nil
	})
}

func (c *call) decreaseRetention() (value, error) {
	return value{}, c.setRetention(func(hours, before int) error {
		if hours > before {
			return invalid("Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). "+
				"Use IncreaseRetentionPeriod API.", hours, c.name, before)
		}
		return nil
	})
}

func (c *call) setRetention(check func(hours, before int) error) error {
	if err := c.target(); err != nil {
		return err
	}
	hours := c.in.int("RetentionPeriodHours")
	switch {
	case hours < dayHours:
		return invalid("Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.", dayHours, hours)
	case hours > maxRetentionHours:
		return invalid("Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.", maxRetentionHours, hours)
	}
	return c.change(func(v *streamView, _ *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		if err := check(hours, v.retentionHours()); err != nil {
			return err
		}
		return c.s.cfg.Admin.SetRetention(c.steady(), v.full, stream.Retention{Age: hoursOf(hours), Bytes: v.info.Keep.Bytes})
	})
}
