package source

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/stream"
)

// Completeness is what is known about how complete a stretch of time is.
type Completeness struct {
	Source string    `json:"source"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"` // up to here everything is stored, or reported as a gap

	// Unknown are the stretches of time in which nobody knows what the provider sent, in order; those that overlap as one.
	Unknown     []Gap         `json:"unknown"`
	UnknownTime time.Duration `json:"unknown_ns"`

	// Missing are the events that are known to be missing, in order of time, without those that came later.
	Missing       []Gap `json:"missing"`
	MissingEvents int64 `json:"missing_events"`

	// Waiting are the events that are missing up to now, and may still be on their way: nothing behind the first of them is judged, so that To is no later.
	Waiting       []Gap `json:"waiting,omitempty"`
	WaitingEvents int64 `json:"waiting_events,omitempty"`

	// Repaired is how many events came after they, or the time in which they were sent, had been told missing.
	Repaired int64 `json:"repaired_events"`
}

// Complete reports whether nothing is unknown or missing.
func (c *Completeness) Complete() bool { return len(c.Unknown) == 0 && len(c.Missing) == 0 }

// Judge makes the statement for the time between from and to of the gap records of a source, in the order in which they were written.
func Judge(source string, gaps []Gap, from, to time.Time) Completeness {
	c := Completeness{Source: source, From: from, To: to, Unknown: []Gap{}, Missing: []Gap{}}
	for _, g := range gaps {
		switch {
		case !g.RepairedAt.IsZero() && g.How == GapSequence:
			c.repair(&g)
		case !g.RepairedAt.IsZero():
			c.fill(&g)
		case g.To.Before(from):
		case g.How == GapSequence || !g.To.After(g.From):
			c.Missing = append(c.Missing, g)
		default:
			c.Unknown = append(c.Unknown, g)
		}
	}
	byTime := func(a, b Gap) int { return a.From.Compare(b.From) }
	slices.SortStableFunc(c.Missing, byTime)
	slices.SortStableFunc(c.Unknown, byTime)
	for i := range c.Missing {
		c.MissingEvents += c.Missing[i].Lost
	}
	c.join()
	return c
}

// fill takes off the part of stretches in which everything has come after all.
func (c *Completeness) fill(r *Gap) {
	if r.To.Before(c.From) {
		return
	}
	c.Repaired += r.Lost
	rest := []Gap{}
	for _, g := range c.Unknown {
		if !g.From.Before(r.To) || !r.From.Before(g.To) {
			rest = append(rest, g)
			continue
		}
		if before := g; g.From.Before(r.From) {
			before.To = r.From
			rest = append(rest, before)
		}
		if behind := g; r.To.Before(g.To) {
			behind.From = r.To
			rest = append(rest, behind)
		}
	}
	c.Unknown = rest
}

// Await takes the events into account that are waited for when the state entries of the source are these. An error says that they cannot be read.
func (c *Completeness) Await(state []stream.Entry) error {
	for _, e := range state {
		if !strings.HasPrefix(e.Key, StateKey(c.Source)+"counts/") {
			continue
		}
		counts, err := decodeCounts(e.Value)
		if err != nil {
			return fmt.Errorf("stored counts of source %q: %w", c.Source, err)
		}
		for _, s := range counts {
			for i := range s.holes {
				if !s.holes[i].told {
					c.await(s.finding(&s.holes[i]))
				}
			}
		}
	}
	slices.SortStableFunc(c.Waiting, func(a, b Gap) int { return a.From.Compare(b.From) })
	return nil
}

func (c *Completeness) await(f finding) {
	g := f.gap()
	g.Source = c.Source
	c.Waiting = append(c.Waiting, g)
	c.WaitingEvents += g.Lost
	if g.From.Before(c.To) {
		c.To = g.From
	}
	if c.To.Before(c.From) {
		c.To = c.From
	}
}

// join makes one of stretches that overlap, and cuts off what lies before From.
func (c *Completeness) join() {
	joined := []Gap{}
	for _, g := range c.Unknown {
		if g.From.Before(c.From) {
			g.From = c.From
		}
		if n := len(joined); n > 0 && !g.From.After(joined[n-1].To) {
			if g.To.After(joined[n-1].To) {
				joined[n-1].To = g.To
			}
			continue
		}
		joined = append(joined, g)
	}
	c.Unknown = joined
	for i := range joined {
		c.UnknownTime += joined[i].To.Sub(joined[i].From)
	}
}

// repair takes off what has come after all.
func (c *Completeness) repair(r *Gap) {
	lo, hi, numbers := r.numbers()
	for i := len(c.Missing) - 1; i >= 0; i-- {
		g := c.Missing[i]
		if g.How != r.How || g.Key != r.Key {
			continue
		}
		first, last, ok := g.numbers()
		switch {
		case !numbers && g.First == r.First && g.Last == r.Last:
			c.Missing = slices.Delete(c.Missing, i, i+1)
			c.Repaired += r.Lost
			return
		case !numbers || !ok || max(lo, first) > min(hi, last):
			continue
		}
		var rest []Gap
		if first < lo {
			rest = append(rest, g.part(first, lo-1))
		}
		if hi < last {
			rest = append(rest, g.part(hi+1, last))
		}
		c.Missing = slices.Replace(c.Missing, i, i+1, rest...)
		c.Repaired += min(hi, last) - max(lo, first) + 1
	}
}

// numbers returns the first and the last number that is missing, if there are any.
func (g *Gap) numbers() (first, last int64, ok bool) {
	first, err := strconv.ParseInt(g.First, 10, 64)
	last, err2 := strconv.ParseInt(g.Last, 10, 64)
	return first, last, err == nil && err2 == nil && first <= last && last < math.MaxInt64
}

// part returns g for some of its numbers.
func (g *Gap) part(first, last int64) Gap {
	p := *g
	p.First, p.Last, p.Lost = strconv.FormatInt(first, 10), strconv.FormatInt(last, 10), last-first+1
	f := finding{key: g.Key, lo: first, hi: last}
	p.Reason = f.words()
	return p
}
