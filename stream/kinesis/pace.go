package kinesis

import (
	"math"
	"math/rand/v2"
	"time"
)

// What Kinesis takes of one shard in a second.
const (
	shardRecords = 1000
	shardBytes   = 1 << 20
)

// The depths of the buckets: a quarter of a second of records, so that no pause of ours is lost, and one record of the largest size.
const (
	recordsDepth = shardRecords / 4
	bytesDepth   = maxRequest
)

// pace is what may be sent to a shard now: two token buckets whose rate falls while Kinesis refuses and recovers slowly.
type pace struct {
	nominal float64 // records per second; +Inf: without limit
	rate    float64 // of now
	records float64
	bytes   float64
	last    time.Time
	lowered time.Time

	fails int
	until time.Time // nothing is sent before
}

func newPace(limited bool, now time.Time) pace {
	p := pace{nominal: math.Inf(1), records: recordsDepth, bytes: bytesDepth, last: now}
	if limited {
		p.nominal = shardRecords
	}
	p.rate = p.nominal
	return p
}

// refill counts the time that has passed.
func (p *pace) refill(now time.Time) {
	passed := now.Sub(p.last).Seconds()
	if passed <= 0 {
		return
	}
	p.last = now
	if p.rate < p.nominal && now.Sub(p.lowered) > time.Second { // a twentieth in a second
		p.rate = min(p.nominal, p.rate*(1+passed/20))
	}
	if math.IsInf(p.rate, 1) {
		return
	}
	p.records = min(max(recordsDepth, p.rate/4), p.records+p.rate*passed)
	p.bytes = min(bytesDepth, p.bytes+p.rate/shardRecords*shardBytes*passed)
}

func (p *pace) free() bool { return math.IsInf(p.rate, 1) }

// take reports whether a record of a size may go, and counts it. A record that is larger than what is there goes when the bucket is full.
func (p *pace) take(size int) bool {
	if p.free() {
		return true
	}
	if p.records < 1 || p.bytes < float64(min(size, bytesDepth)) {
		return false
	}
	p.records--
	p.bytes -= float64(size)
	return true
}

// next returns when there is a token again.
func (p *pace) next(now time.Time) time.Time {
	at := now
	if !p.free() && p.records < 1 {
		at = now.Add(time.Duration((1 - p.records) / p.rate * float64(time.Second)))
	} else if !p.free() {
		at = now.Add(20 * time.Millisecond) // of bytes
	}
	if p.until.After(at) {
		at = p.until
	}
	return at
}

// fail tells that Kinesis has refused a record of the shard, maybe because it had too many.
func (p *pace) fail(throttled bool, now time.Time) {
	if now.Before(p.until) {
		return // of the same moment
	}
	p.fails++
	p.until = now.Add(jitter(25*time.Millisecond, p.fails, 5*time.Second))
	if !throttled || now.Sub(p.lowered) < 250*time.Millisecond {
		return
	}
	p.lowered = now
	if p.free() {
		p.rate, p.records = 4*shardRecords, 0
	}
	p.rate = max(p.rate*0.95, shardRecords/20)
}

// succeed tells that the shard has taken records: the count of failures is halved, not forgotten.
func (p *pace) succeed(now time.Time) {
	if p.fails > 0 && now.After(p.until) {
		p.fails /= 2
	}
}

// jitter is between nothing and base, doubled with every failure up to most.
func jitter(base time.Duration, fails int, most time.Duration) time.Duration {
	return rand.N(min(most, base<<min(max(fails-1, 0), 16))) + time.Millisecond
}
