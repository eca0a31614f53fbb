package kinesisapi

import "slices"

// EnableEnhancedMonitoring, DisableEnhancedMonitoring
//
// AWS switches metrics of single shards on or off and answers which were on before and which are afterwards.
//
// Leat stores and answers them. They have no other effect: Leat's own metrics are always there.
//
// Differences: the stream is not UPDATING meanwhile.

func (c *call) enableMonitoring() (value, error) {
	return c.setMonitoring(func(now, named []string) []string { return append(now, named...) })
}

func (c *call) disableMonitoring() (value, error) {
	return c.setMonitoring(func(now, named []string) []string {
		return slices.DeleteFunc(now, func(s string) bool { return slices.Contains(named, s) })
	})
}

func (c *call) setMonitoring(edit func(now, named []string) []string) (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	names := shardMetrics.elem.enum
	all := names[:len(names)-1]
	named := c.in.strs("ShardLevelMetrics")
	if slices.Contains(named, "ALL") {
		named = all
	}
	var before, after []string
	err := c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		before = v.meta.Monitoring
		wanted := edit(m.Monitoring, named)
		for _, name := range all { // in the order of the model, each once
			if slices.Contains(wanted, name) {
				after = append(after, name)
			}
		}
		m.Monitoring = after
		return nil
	})
	if err != nil {
		return value{}, err
	}
	return object(
		field{"StreamName", textOf(c.name)}, field{"StreamARN", textOf(c.arn(c.name))},
		field{"CurrentShardLevelMetrics", textsOf(before)}, field{"DesiredShardLevelMetrics", textsOf(after)},
	), nil
}
