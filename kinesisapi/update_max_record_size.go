package kinesisapi

// UpdateMaxRecordSize
//
// AWS changes how large a record of the stream may be, 1,024 to 10,240 KiB of key and payload; the stream is UPDATING and then ACTIVE.
//
// Leat does the same; the new limit holds at once.

func (c *call) updateMaxRecordSize() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	return value{}, c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		m.MaxRecord = c.in.int("MaxRecordSizeInKiB")
		m.Status, m.Until = c.s.enter(statusUpdating, c.now)
		return nil
	})
}
