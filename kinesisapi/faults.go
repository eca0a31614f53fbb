package kinesisapi

import (
	"math/rand/v2"
	"time"
)

// Faults makes requests fail on purpose, so that the error paths of a client are seen before AWS shows them. The zero value makes none.
type Faults struct {
	// Throttle is the share of requests, 0 to 1, that are refused with ProvisionedThroughputExceededException, or with
	// LimitExceededException where the operation has no other.
	Throttle float64

	// Partial is the share of records, 0 to 1, that PutRecords refuses while it stores the others.
	Partial float64

	// Internal is the share of requests, 0 to 1, that are refused with InternalFailureException before they have done anything.
	Internal float64

	// Latency is added to every request.
	Latency time.Duration
}

// strike waits and fails as the configuration says.
func (f *Faults) strike(c *call) error {
	if f.Latency > 0 {
		wait := time.NewTimer(f.Latency)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-c.ctx().Done():
			return c.ctx().Err()
		}
	}
	if f.Internal > 0 && rand.Float64() < f.Internal {
		return internal("Injected fault.")
	}
	if f.Throttle > 0 && rand.Float64() < f.Throttle {
		switch c.op.name {
		case "PutRecord", "PutRecords", "GetRecords", "GetShardIterator":
			return throttled("Rate exceeded. Injected fault.")
		}
		return limitExceeded("Rate exceeded. Injected fault.")
	}
	return nil
}

// partial reports whether one record of PutRecords is to be refused.
func (f *Faults) partial() bool { return f.Partial > 0 && rand.Float64() < f.Partial }
