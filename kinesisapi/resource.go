package kinesisapi

import (
	"strings"
)

// resource is what a ResourceARN names: a stream, or a consumer of one.
type resource struct {
	arn      string
	consumer string // its name; empty: the stream itself
}

// resource reads the ResourceARN of the request and sets the stream that it is, or belongs to. There are no channels.
func (c *call) resource() (resource, error) {
	r := resource{arn: c.in.str("ResourceARN")}
	if _, _, rest, ok := parseARN(r.arn); ok && strings.HasPrefix(rest, "channel/") {
		return r, c.noResource(r.arn)
	}
	if err := c.byARN(r.arn); err != nil {
		return r, err
	}
	if _, rest, found := strings.Cut(r.arn, "/consumer/"); found {
		r.consumer, _, _ = strings.Cut(rest, ":")
	}
	return r, nil
}

func (c *call) noResource(arn string) error {
	return notFound("Resource %s under account %s not found.", arn, c.account)
}

// held is what both streams and consumers have.
type held struct {
	tags   *map[string]string
	policy *string
}

// in returns what is kept of the resource in m.
func (r *resource) in(c *call, m *meta) (held, error) {
	if r.consumer == "" {
		return held{&m.Tags, &m.Policy}, nil
	}
	for i := range m.Consumers {
		k := &m.Consumers[i]
		if k.Name == r.consumer && c.consumerARN(k) == r.arn && !over(k.Status, k.Until, c.now) {
			return held{&k.Tags, &k.Policy}, nil
		}
	}
	return held{}, c.noResource(r.arn)
}

// changeResource changes tags or policy of the resource that the request names.
func (c *call) changeResource(edit func(held) error) error {
	r, err := c.resource()
	if err != nil {
		return err
	}
	return c.change(func(v *streamView, m *meta) error {
		if err := c.active(v); err != nil {
			return err
		}
		h, err := r.in(c, m)
		if err != nil {
			return err
		}
		return edit(h)
	})
}

// readResource returns tags and policy of the resource that the request names.
func (c *call) readResource() (held, error) {
	r, err := c.resource()
	if err != nil {
		return held{}, err
	}
	v, err := c.streamNow()
	if err != nil {
		return held{}, err
	}
	m := v.meta.clone()
	return r.in(c, &m)
}
