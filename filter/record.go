package filter

import (
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

// What patterns may name at the top level. Of the last three, and not of the others, AWS knows nothing.
const (
	nameData      = "data"
	nameKey       = "partitionKey"
	nameSequence  = "sequenceNumber"
	nameArrived   = "approximateArrivalTimestamp"
	nameVersion   = "kinesisSchemaVersion"
	nameSource    = "source"
	nameID        = "id"
	nameTime      = "time"
	schemaVersion = "1.0"
)

var topNames = []string{nameData, nameKey, nameSequence, nameArrived, nameVersion, nameSource, nameID, nameTime}

// onlyRecords are the names of what an event has once it is in a stream.
var onlyRecords = map[string]string{
	nameSequence: "an event has no sequence number before it is in a stream",
	nameArrived:  "an event has not arrived before it is in a stream",
	nameVersion:  "only records have it",
	nameSource:   "here all events are of one source",
}

// top checks the names of the top level.
func (c *compiler) top(v *value, path string) error {
	for i := range v.members {
		m := &v.members[i]
		at := setting.Below(path, m.name)
		if alternatives(m) {
			for j, item := range m.value.items {
				if err := c.top(item, element(at, j)); err != nil {
					return err
				}
			}
			continue
		}
		if err := topMember(m, at); err != nil {
			return err
		}
		if why, late := onlyRecords[m.name]; late && c.p.late.path == "" {
			c.p.late = wrongError{at: m.at, path: at, what: why, hint: "filter by it in a consumer"}
		}
	}
	return nil
}

func topMember(m *member, at string) error {
	known := false
	for _, name := range topNames {
		known = known || name == m.name
	}
	switch {
	case m.name == "$or":
		return &wrongError{at: m.value.at, path: at, what: "expected two or more patterns in a list"}
	case !known:
		hint := fmt.Sprintf("members of the payload stand below data: {data: {%s: …}}", cutName(m.name))
		if near, ok := setting.Nearest(m.name, topNames); ok {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return &wrongError{at: m.at, path: at, what: "an event has no such field; it has " + strings.Join(topNames, ", "), hint: hint}
	case m.name != nameData && m.value.kind == '{':
		return &wrongError{at: m.value.at, path: at, what: "expected a list of values and operators, got an object", hint: fmt.Sprintf("an operator stands in a list: %s: [{…}]", m.name)}
	}
	return nil
}

// cutName bounds a name that an error shows.
func cutName(name string) string {
	if len(name) > 40 {
		return strings.ToValidUTF8(name[:40], "") + "…"
	}
	return name
}

// fewTruths lie on the stack.
const fewTruths = 128

// Record judges a record of a stream.
func (f *Filter) Record(r *leat.Record) Verdict {
	if f.p == nil {
		return Pass
	}
	return f.p.judge(r, true)
}

// Event judges an event before it is in a stream: it has data, partitionKey, id and time. See Early.
func (f *Filter) Event(e *leat.Event) Verdict {
	if f.p == nil {
		return Pass
	}
	r := leat.Record{PartitionKey: e.PartitionKey, ID: e.ID, Time: e.Time, Data: e.Data}
	return f.p.judge(&r, false)
}

func (p *program) judge(r *leat.Record, stored bool) Verdict {
	var truths, seen [fewTruths]bool
	w := walker{truths: truths[:], seen: seen[:]}
	if p.truths > fewTruths {
		w.truths, w.seen = make([]bool, p.truths), make([]bool, p.truths)
	}
	unread := p.read(&w, r, stored)
	switch {
	case anyHolds(p.rules, w.truths):
		return Pass
	case unread != Pass:
		return unread
	case p.missing(w.seen):
		return MissingField
	}
	return NoMatch
}

// read notes what holds for a record, and returns why its payload could not be read; Pass if it was, or was not looked at.
func (p *program) read(w *walker, r *leat.Record, stored bool) (unread Verdict) {
	copy(w.truths, p.root.absent)
	for _, f := range p.root.fields {
		if f.name == nameData {
			w.data, w.at = r.Data, 0
			if unread = w.payload(f); unread != Pass {
				clear(w.truths[f.from:f.to])
			}
			continue
		}
		if s, ok := metadata(f.name, r, stored); ok {
			clear(w.truths[f.from:f.to])
			w.test(f, &s)
		}
	}
	return unread
}

// missing reports whether every pattern lacks a value that it needs.
func (p *program) missing(seen []bool) bool {
	for _, leaves := range p.required {
		lacks := false
		for _, i := range leaves {
			lacks = lacks || !seen[i]
		}
		if !lacks {
			return false
		}
	}
	return true
}

// metadata returns what a record has beside its payload, false if it has no such thing.
func metadata(name string, r *leat.Record, stored bool) (scalar, bool) {
	switch name {
	case nameKey:
		return ofString(r.PartitionKey), true
	case nameSequence:
		return ofString(r.Sequence.String()), stored
	case nameArrived:
		return ofTime(r.Arrived), stored
	case nameVersion:
		return ofString(schemaVersion), stored
	case nameSource:
		return ofString(r.Source), r.Source != ""
	case nameID:
		return ofString(r.ID), r.ID != ""
	default:
		return ofTime(r.Time), !r.Time.IsZero()
	}
}

// ofString is the scalar of a text, whose memory it shares.
func ofString(s string) scalar {
	return scalar{kind: '"', text: unsafe.Slice(unsafe.StringData(s), len(s))}
}

// ofTime is the scalar of a time: seconds since 1970, to the millisecond, as the events of Lambda have it.
func ofTime(t time.Time) scalar {
	return scalar{kind: '0', number: float64(t.UnixMilli()) / 1000, known: true}
}
