package kinesisapi

import "slices"

// DeregisterStreamConsumer
//
// AWS puts the consumer into DELETING and then removes it; its subscriptions end. It is named by ConsumerARN, by StreamARN and
// ConsumerName, or by all three if they agree. The answer is empty.
//
// Leat does the same; it is DELETING only as long as Config.Delay says. Open subscriptions of the consumer end at once, with a
// ResourceNotFoundException.
//
// Limits: none. Differences: a consumer that is DELETING already is answered as if it were deregistered now.

func (c *call) deregisterStreamConsumer() (value, error) {
	key, err := c.consumer()
	if err != nil {
		return value{}, err
	}
	var gone consumer
	err = c.change(func(_ *streamView, m *meta) error {
		k, err := key.find(c, m)
		if err != nil {
			return err
		}
		gone = *k
		status, until := c.s.enter(statusDeleting, c.now)
		m.Consumers = slices.Clone(m.consumersOf(c.now))
		i := slices.IndexFunc(m.Consumers, func(k consumer) bool { return k.Name == gone.Name })
		switch {
		case status == "":
			m.Consumers = slices.Delete(m.Consumers, i, i+1)
		case gone.Status != statusDeleting:
			m.Consumers[i].Status, m.Consumers[i].Until = status, until
		}
		return nil
	})
	if err != nil {
		return value{}, err
	}
	c.s.subscriptions.endConsumer(c.consumerARN(&gone), errConsumerGone)
	return value{}, nil
}
