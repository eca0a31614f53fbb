package kinesisapi

// PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy
//
// AWS keeps a policy for a stream or a consumer and judges by it who of other accounts may use it. Of a resource without a policy, Get
// answers 200 and a policy that is the empty object.
//
// Leat stores policies and answers them. It enforces none: with Config.Keys nobody reaches the streams of another account.
//
// Differences: a policy must be an object in JSON, of at most 20 KiB; what is in it is not looked at.

const maxPolicy = 20 << 10

func (c *call) putResourcePolicy() (value, error) {
	policy := c.in.str("Policy")
	return value{}, c.changeResource(func(h held) error {
		if _, err := parseJSON([]byte(policy)); err != nil || len(policy) > maxPolicy {
			return invalid("Policy must be an object in JSON of at most %d bytes.", maxPolicy)
		}
		*h.policy = policy
		return nil
	})
}

func (c *call) getResourcePolicy() (value, error) {
	h, err := c.readResource()
	if err != nil {
		return value{}, err
	}
	return object(field{"Policy", textOf(orElse(*h.policy, "{}"))}), nil
}

func (c *call) deleteResourcePolicy() (value, error) {
	return value{}, c.changeResource(func(h held) error {
		if *h.policy == "" {
			return notFound("No policy found for resource %s under account %s.", c.in.str("ResourceARN"), c.account)
		}
		*h.policy = ""
		return nil
	})
}
