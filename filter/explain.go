package filter

import (
	"strings"

	"github.com/leatstream/leat"
)

// Reason is one condition that does not hold for a record.
type Reason struct {
	Pattern int    // which of the patterns it belongs to, from 0
	Path    string // where it stands in the filter, such as data.event
	What    string // in words
}

// Explain returns why no pattern fits a record: for each pattern at least one Reason. Of a list of objects in the payload it looks at the last
// one. It returns nothing if a pattern fits.
func (f *Filter) Explain(r *leat.Record) []Reason {
	if f.p == nil {
		return nil
	}
	w := walker{truths: make([]bool, f.p.truths), seen: make([]bool, f.p.truths)}
	e := explainer{w: &w, unread: f.p.read(&w, r, true)}
	if anyHolds(f.p.rules, w.truths) {
		return nil
	}
	for i := range f.p.rules {
		e.pattern = i
		e.rule(&f.p.rules[i])
	}
	return e.reasons
}

type explainer struct {
	w       *walker
	unread  Verdict
	pattern int
	reasons []Reason
}

func (e *explainer) add(path, what string) {
	e.reasons = append(e.reasons, Reason{e.pattern, path, what})
}

// rule explains why a rule does not hold.
func (e *explainer) rule(r *rule) {
	for _, l := range r.leaves {
		if !e.w.truths[l.truth] {
			e.add(l.path, e.leaf(l))
		}
	}
	for _, n := range r.nested {
		if inner := &n.in.rules[n.place]; !e.w.truths[inner.truth] {
			e.rule(inner)
		}
	}
	for _, g := range r.groups {
		if anyHolds(g, e.w.truths) {
			continue
		}
		for i := range g {
			e.rule(&g[i])
		}
	}
}

func (e *explainer) leaf(l *leaf) string {
	switch {
	case e.unread == NotJSON && strings.Contains(l.path, nameData):
		return "the payload is not JSON"
	case e.unread == TooDeep && strings.Contains(l.path, nameData):
		return "the payload is nested more than 64 deep"
	case !e.w.seen[l.truth]:
		return "there is no value"
	}
	return "nothing in its list holds"
}
