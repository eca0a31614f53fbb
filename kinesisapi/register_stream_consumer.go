package kinesisapi

import (
	"slices"
	"strings"
)

// RegisterStreamConsumer
//
// AWS registers a consumer for SubscribeToShard under a name that is unique in the stream, and answers at once: the consumer is CREATING,
// then ACTIVE. Tags may be given with it.
//
// Leat does the same; the consumer is durable when it is answered, and CREATING only as long as Config.Delay says.
//
// Limits: 20 consumers per stream, 50 if the account has the billing commitment of On-demand Advantage; 5 CREATING at once.
//
// Differences: the texts of the errors are not those of AWS, which are not recorded. A consumer can be registered while its stream is
// UPDATING.

const (
	maxConsumers         = 20
	maxConsumersAdvanced = 50
	maxConsumersCreating = 5
)

func (c *call) registerStreamConsumer() (value, error) {
	if err := c.byARN(c.in.str("StreamARN")); err != nil {
		return value{}, err
	}
	tags, err := c.addTags(nil, tagsOf(c.in.get("Tags")))
	if err != nil {
		return value{}, err
	}
	k := consumer{Name: c.in.str("ConsumerName"), Created: c.now.UnixMilli(), Tags: tags}
	err = c.change(func(v *streamView, m *meta) error {
		if err := c.mayRegister(v, m, k.Name); err != nil {
			return err
		}
		k.Status, k.Until = c.s.enter(statusCreating, c.now)
		m.Consumers = append(slices.Clone(m.consumersOf(c.now)), k)
		slices.SortFunc(m.Consumers, func(a, b consumer) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	if err != nil {
		return value{}, err
	}
	return object(field{"Consumer", c.consumerValue(&k)}), nil
}

// mayRegister checks the state of the stream, the name and the limits.
func (c *call) mayRegister(v *streamView, m *meta, name string) error {
	if status := v.meta.status(c.now); status == statusCreating || status == statusDeleting {
		return c.active(v)
	}
	list, creating := m.consumersOf(c.now), 0
	for i := range list {
		if list[i].Name == name {
			return inUse("Consumer %s under stream %s under account %s already exists.", name, c.name, c.account)
		}
		if list[i].status(c.now) == statusCreating {
			creating++
		}
	}
	limit := maxConsumers
	if c.advantage() {
		limit = maxConsumersAdvanced
	}
	switch {
	case len(list) >= limit:
		return limitExceeded("Stream %s under account %s has %d consumers, the limit is %d.", c.name, c.account, len(list), limit)
	case creating >= maxConsumersCreating:
		return limitExceeded("Stream %s under account %s has %d consumers in state CREATING, the limit is %d.",
			c.name, c.account, creating, maxConsumersCreating)
	}
	return nil
}
