package kinesisapi

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Texts about consumers imitate those about streams: AWS's own are not recorded.

// consumersOf returns the consumers of a stream that are not gone, in order of name. The slice must not be changed.
func (m *meta) consumersOf(now time.Time) []consumer {
	gone := func(k consumer) bool { return over(k.Status, k.Until, now) }
	if !slices.ContainsFunc(m.Consumers, gone) {
		return m.Consumers
	}
	return slices.DeleteFunc(slices.Clone(m.Consumers), gone)
}

// consumerKey says which consumer a request means. Its stream is that of the call.
type consumerKey struct {
	name    string
	created int64 // seconds since 1970, from an ARN; 0: whichever has the name
}

// consumer reads which consumer a request means: by ConsumerARN, by StreamARN and ConsumerName, or by all of them if they agree.
func (c *call) consumer() (consumerKey, error) {
	stream, name, arn := c.in.str("StreamARN"), c.in.str("ConsumerName"), c.in.str("ConsumerARN")
	if arn == "" {
		if stream == "" || name == "" {
			return consumerKey{}, invalid("Either ConsumerARN or both StreamARN and ConsumerName should be provided.")
		}
		return consumerKey{name: name}, c.byARN(stream)
	}
	k, err := c.byConsumerARN(arn)
	if err != nil {
		return k, err
	}
	if stream != "" && stream != c.arn(c.name) || name != "" && name != k.name {
		return k, invalid("StreamARN, ConsumerName and ConsumerARN %s name different consumers.", arn)
	}
	return k, nil
}

// byConsumerARN sets the stream from the ARN of a consumer: that of the stream, and /consumer/NAME:SECONDS.
func (c *call) byConsumerARN(arn string) (consumerKey, error) {
	if err := c.byARN(arn); err != nil {
		return consumerKey{}, err
	}
	_, rest, _ := strings.Cut(arn, "/consumer/")
	name, created, _ := strings.Cut(rest, ":")
	seconds, err := strconv.ParseInt(created, 10, 64)
	if err != nil || name == "" {
		return consumerKey{}, invalid("ARN %s is not one of a consumer.", arn)
	}
	return consumerKey{name: name, created: seconds}, nil
}

// find returns the consumer of a stream.
func (k *consumerKey) find(c *call, m *meta) (*consumer, error) {
	list := m.consumersOf(c.now)
	for i := range list {
		if list[i].Name == k.name && (k.created == 0 || k.created == list[i].Created/1000) {
			return &list[i], nil
		}
	}
	return nil, notFound("Consumer %s under stream %s under account %s not found.", k.name, c.name, c.account)
}

func (c *call) consumerARN(k *consumer) string {
	return c.arn(c.name) + "/consumer/" + k.Name + ":" + strconv.FormatInt(k.Created/1000, 10)
}

// consumerValue returns a consumer as the API describes it.
func (c *call) consumerValue(k *consumer) value {
	return object(
		field{"ConsumerName", textOf(k.Name)},
		field{"ConsumerARN", textOf(c.consumerARN(k))},
		field{"ConsumerStatus", textOf(k.status(c.now))},
		field{"ConsumerCreationTimestamp", timeOf(k.Created)},
	)
}
