package kinesisapi

// DeleteStream
//
// AWS puts the stream, whatever its state, into DELETING and removes it soon after with its shards, records, tags and consumers. With
// registered consumers it refuses, unless EnforceConsumerDeletion is true.
//
// Leat removes it before it answers, or after Config.Delay. A delayed removal is bound to the stream and not to its name, and is caught
// up with when the server was stopped meanwhile. Deleting a stream that is DELETING changes nothing.

func (c *call) deleteStream() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	s := c.s
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	if err := s.refresh(c.ctx()); err != nil {
		return value{}, err
	}
	v := s.catalog.view.Load().streams[c.full(c.name)]
	if v == nil {
		return value{}, c.noStream()
	}
	if v.meta.status(c.now) == statusDeleting {
		return value{}, nil
	}
	if len(v.meta.consumersOf(c.now)) > 0 && !c.in.bool("EnforceConsumerDeletion") {
		return value{}, inUse("Stream %s under account %s has registered consumers; set EnforceConsumerDeletion to delete it with them.", c.name, c.account)
	}
	if s.cfg.Delay <= 0 {
		if err := s.drop(c.steady(), v.full); err != nil {
			return value{}, err
		}
		return value{}, s.refresh(c.ctx())
	}
	m := v.meta.clone()
	m.Status, m.Until = s.enter(statusDeleting, c.now)
	if err := s.bind(c.steady(), v.full, m, v.created()); err != nil {
		return value{}, err
	}
	return value{}, s.refresh(c.ctx())
}
