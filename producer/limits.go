package producer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
)

// What a provider can make long must not fill the stream. For cursors see source.MaxCursor.
const (
	maxKey = 256     // characters of a partition key
	maxID  = 1 << 10 // bytes of an ID
)

// shorten replaces what is too long of e by its hash.
func shorten(e *leat.Event) {
	if len(e.PartitionKey) > maxKey && utf8.RuneCountInString(e.PartitionKey) > maxKey {
		e.PartitionKey = digest(e.PartitionKey)
	}
	if len(e.ID) > maxID {
		e.ID = digest(e.ID)
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// perEvent is more than any engine stores of an event beside its key, ID and payload.
const perEvent = 48

// stored is an upper bound of what e takes in a commit.
func stored(e *leat.Event) int { return perEvent + len(e.PartitionKey) + len(e.ID) + len(e.Data) }

// divide puts two halves in the place of the first step of g, which is too large. A single event cannot be divided: it is
// left out, and a gap record takes its place. It returns cause if there is no event at all.
func (p *Producer) divide(g *gathering, cause error) error {
	step := g.steps[0]
	n := 0
	for i := range step.Puts {
		n += len(step.Puts[i].Events)
	}
	switch n {
	case 0:
		return cause
	case 1:
		g.steps[0].Puts = p.leaveOut(g, step.Puts, cause)
		if step.Marks == nil && len(g.steps[0].Puts) == 0 {
			g.steps = g.steps[1:]
		}
		return nil
	}
	first, second := cut(step.Puts, n/2)
	step.Puts = second // the mark moves with the last events
	g.steps = append([]stream.Commit{{Puts: first}, step}, g.steps[1:]...)
	return nil
}

// cut returns the first n events of puts, and the others.
func cut(puts []stream.Put, n int) (first, second []stream.Put) {
	for _, put := range puts {
		k := min(n, len(put.Events))
		n -= k
		head, rest := put, put
		head.Events, rest.Events = put.Events[:k], put.Events[k:]
		if len(head.Events) > 0 {
			first = append(first, head)
		}
		if len(rest.Events) > 0 {
			second = append(second, rest)
		}
	}
	return first, second
}

// leaveOut returns what is put instead of the only event of puts.
func (p *Producer) leaveOut(g *gathering, puts []stream.Put, cause error) []stream.Put {
	put := puts[slices.IndexFunc(puts, func(put stream.Put) bool { return len(put.Events) > 0 })]
	if put.Stream == p.Stream {
		g.out++
		g.bytes -= put.Events[0].Size()
	}
	size, now := stored(&put.Events[0]), time.Now().UTC()
	p.stats.tooLarge.Add(1)
	p.log().Warn("an event is too large for the stream and is left out", "source", p.Source, "stream", put.Stream, "bytes", size, "error", cause)
	if p.Gaps == "" || put.Stream == p.Gaps {
		return nil
	}
	gap := source.Gap{
		Source: p.Source, From: now, To: now, How: "too_large", Lost: 1,
		Reason: fmt.Sprintf("an event of %d bytes is too large for stream %q", size, put.Stream),
	}
	text, err := json.Marshal(gap)
	if err != nil {
		panic(err) // a plain struct
	}
	return []stream.Put{{Stream: p.Gaps, Source: p.Source, Events: []leat.Event{{PartitionKey: p.Source, Time: now, Data: text}}}}
}
