package kinesisapi

import "time"

// UpdateStreamMode
//
// AWS changes a stream from provisioned to on-demand mode or back; it is UPDATING and then ACTIVE. Warm throughput may be given on the way
// to on-demand.
//
// Leat stores the mode. It decides which calls are allowed (split, merge and UpdateShardCount need a provisioned stream) and scales
// nothing: the shards stay as they are.
//
// Limits: two changes in 24 hours, with Config.Throttle (that AWS has this limit is not certain).
//
// Differences: a stream whose records are distributed by itself (AUTO) cannot become provisioned.

func (c *call) updateStreamMode() (value, error) {
	if err := c.byARN(c.in.str("StreamARN")); err != nil {
		return value{}, err
	}
	mode := c.in.get("StreamModeDetails").str("StreamMode")
	if c.in.has("WarmThroughputMiBps") && mode != onDemand {
		return value{}, validation("WarmThroughputMiBps is supported for on-demand streams only.")
	}
	return value{}, c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		if mode == provisioned && m.strategy() == auto {
			return invalid("RecordDistributionStrategy AUTO is supported for on-demand streams only.")
		}
		m.Modes = lastDay(m.Modes, c.now)
		if c.s.cfg.Throttle && len(m.Modes) >= 2 {
			return limitExceeded("The mode of stream %s under account %s can be changed 2 times in 24 hours.", c.name, c.account)
		}
		m.Modes = append(m.Modes, c.now.UnixMilli())
		m.Mode, m.Warm = mode, nil
		if c.in.has("WarmThroughputMiBps") {
			warm := c.in.int("WarmThroughputMiBps")
			m.Warm = &warm
		}
		m.Status, m.Until = c.s.enter(statusUpdating, c.now)
		return nil
	})
}

// lastDay returns the times, in Unix milliseconds, that are less than 24 hours ago.
func lastDay(times []int64, now time.Time) []int64 {
	for len(times) > 0 && times[0] <= now.Add(-dayHours*time.Hour).UnixMilli() {
		times = times[1:]
	}
	return times
}
