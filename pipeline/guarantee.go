package pipeline

import (
	"fmt"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream/kinesis"
)

// Step is how much is promised, a word of the ladder in Steps.
type Step string

// The steps.
const (
	DurableAck         Step = "durable-ack"
	ExactlyOnceIn      Step = "exactly-once-in"
	EffectivelyOnceOut Step = "effectively-once-out"
	AtLeastOnce        Step = "at-least-once"
	BestEffort         Step = "best-effort"
)

// Steps says what each step means.
var Steps = []struct {
	Step  Step
	Means string
}{
	{DurableAck, "what is acknowledged survives the end of the process and the loss of power"},
	{ExactlyOnceIn, "each event is in the stream once"},
	{EffectivelyOnceOut, "each record has its effect at the destination once"},
	{AtLeastOnce, "nothing is lost, and something may be there twice"},
	{BestEffort, "what is sent while no connection is up is lost; records in the stream of gaps say when"},
}

// Guarantee is what holds for one edge: from a source to its stream, of a stream itself, or from it to a destination.
type Guarantee struct {
	Edge   string `json:"edge"`
	Step   Step   `json:"step"`
	Reason string `json:"reason"`
}

// Guarantees computes what a configuration promises for each edge. It must be free of errors.
func Guarantees(c *config.Config) []Guarantee {
	k, abroad := c.Engine.Adapter.(*kinesis.Config)
	var all []Guarantee
	for i := range c.Sources {
		all = append(all, into(&c.Sources[i], abroad))
	}
	for i := range c.Streams {
		g := Guarantee{Edge: "stream " + c.Streams[i].Name, Step: DurableAck, Reason: "synced to the local disk before it is acknowledged"}
		if abroad {
			g.Reason = "synced to the spool on the local disk before it is acknowledged, and kept there until Kinesis has it"
			if k.Order == "none" {
				g.Reason += "; order: none, so that what Kinesis refuses lands behind later records of its key"
			}
		}
		all = append(all, g)
	}
	for i := range c.Consumers {
		all = append(all, out(&c.Consumers[i], abroad))
	}
	return all
}

func into(s *config.Source, abroad bool) Guarantee {
	g := Guarantee{Edge: fmt.Sprintf("source %s -> stream %s", s.Name, s.Stream)}
	ids, replay := s.Settings.Identified(s.Adapter), !s.Settings.Cursor.IsZero()
	if r, ok := s.Adapter.(source.Returner); ok && r.Returns() {
		replay = true // it knows the position by itself
	}
	switch {
	case !replay:
		g.Step, g.Reason = BestEffort, "the source has no cursor: what the provider sends while no connection is up is lost, and recorded as a gap"
		if s.Settings.Connections > 1 {
			g.Reason += fmt.Sprintf("; %d connections make that rare", s.Settings.Connections)
		}
		if len(s.Settings.Backfill) > 0 {
			g.Reason += "; backfill asks for it afterwards"
		}
	case !ids:
		g.Step, g.Reason = AtLeastOnce, "the source has a cursor and no event_id: what a resumed connection repeats is stored again"
	case abroad:
		g.Step, g.Reason = AtLeastOnce, "cursor and event_id keep repeats out, but Kinesis may have stored what it did not answer, and gets it again; the identity is the same"
	default:
		g.Step = ExactlyOnceIn
		g.Reason = fmt.Sprintf("the cursor is stored with the events, and repeats are known by event_id for %s", s.Settings.DedupeWindow)
	}
	return g
}

func out(c *config.Consumer, abroad bool) Guarantee {
	g := Guarantee{Edge: fmt.Sprintf("stream %s -> consumer %s (%s)", c.Stream, c.Name, c.Destination.Type), Step: AtLeastOnce, Reason: "a batch may be delivered again after a crash"}
	if once := sinks[c.Destination.Type].once; once != "" {
		g.Step, g.Reason = EffectivelyOnceOut, once
		if abroad {
			g.Reason += "; an event that is in Kinesis twice is two records"
		}
	}
	return g
}
