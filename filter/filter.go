// Package filter decides by patterns which events go on: the patterns of EventBridge, as event source mappings of AWS Lambda use
// them for Kinesis. A pattern has the form of what it fits: metadata at the top level, and under data the members of the payload. Every
// name leads to a list of values and operators, one of which must hold.
//
//	{"partitionKey": ["race-7"], "data": {"event": ["final"], "cadence": [{"numeric": [">", 50, "<=", 120]}]}}
//
// docs/filters.md is the guide for users, with what differs from AWS. The sources of the rules are the guides of Lambda and
// EventBridge, and the readme of aws/event-ruler.
package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leatstream/leat/internal/setting"
)

// Filter is a list of patterns, one of which must fit. The zero Filter lets everything pass. It is immutable and safe for concurrent use.
type Filter struct{ p *program }

// Limits of a Filter. The first is that of AWS.
const (
	maxText     = 4096 // characters of a pattern
	maxPatterns = 100
	maxDepth    = 64 // of a pattern, and of a payload
)

// Parse returns the Filter of a text: a pattern in JSON, or a list of patterns. The error says where something is wrong, by line and column and by its
// path, such as data.event[0], and what to write instead. It repeats no value.
func Parse(text string) (Filter, error) {
	v, err := parseValue(text)
	if err != nil {
		return Filter{}, err
	}
	p, err := compile(v)
	var wrong *wrongError
	if errors.As(err, &wrong) {
		line, column := lineColumn(text, wrong.at)
		return Filter{}, fmt.Errorf("line %d, column %d: %w", line, column, wrong)
	}
	if err != nil {
		return Filter{}, err
	}
	return Filter{p}, nil
}

// UnmarshalText implements encoding.TextUnmarshaler with Parse.
func (f *Filter) UnmarshalText(text []byte) (err error) {
	*f, err = Parse(string(text))
	return err
}

// UnmarshalValue implements setting.ValueUnmarshaler for a pattern or a list of them. The error is a *setting.FieldError whose Field is the
// path of what is wrong. It repeats no value, which may be a secret.
func (f *Filter) UnmarshalValue(value any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return errors.New("expected a pattern, or a list of patterns")
	}
	v, err := parseValue(text.String())
	if err != nil {
		return err
	}
	p, err := compile(v)
	var wrong *wrongError
	if errors.As(err, &wrong) {
		return &setting.FieldError{Field: wrong.path, Err: errors.New(wrong.what), Hint: wrong.hint}
	}
	if err != nil {
		return err
	}
	*f = Filter{p}
	return nil
}

// MarshalText implements encoding.TextMarshaler: the patterns as JSON.
func (f Filter) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// String returns the patterns as JSON; empty for the zero Filter.
func (f *Filter) String() string {
	if f.p == nil {
		return ""
	}
	return f.p.text
}

// IsZero reports whether there are no patterns: then everything passes.
func (f *Filter) IsZero() bool { return f.p == nil }

// Patterns returns how many patterns there are.
func (f *Filter) Patterns() int {
	if f.p == nil {
		return 0
	}
	return len(f.p.rules)
}

// Early returns an error for a Filter that cannot be used before events are in a stream, because it names what only records have. It is a *setting.FieldError
// about what is wrong below a field.
func (f *Filter) Early(field string) error {
	if f.p == nil || f.p.late.path == "" {
		return nil
	}
	return &setting.FieldError{Field: setting.Below(field, f.p.late.path), Err: errors.New(f.p.late.what), Hint: f.p.late.hint}
}

// Verdict is what a Filter says of an event: Pass, or why it does not fit.
type Verdict uint8

// The verdicts.
const (
	Pass         Verdict = iota
	NoMatch              // no pattern fits
	MissingField         // every pattern names a field that the event does not have
	NotJSON              // a pattern looks into the payload, which is not JSON, and no pattern fits without
	TooDeep              // the same of a payload that is nested more than 64 deep
)

// Causes are the verdicts but Pass, in their order.
var Causes = []Verdict{NoMatch, MissingField, NotJSON, TooDeep}

// String returns the name that statuses and metrics use: no_match, missing_field, not_json, too_deep; or pass.
func (v Verdict) String() string {
	switch v {
	case Pass:
		return "pass"
	case NoMatch:
		return "no_match"
	case MissingField:
		return "missing_field"
	case NotJSON:
		return "not_json"
	case TooDeep:
		return "too_deep"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Counts are how often each Verdict was given, by its number. In JSON it is an object of those that were, by name, without Pass.
type Counts [TooDeep + 1]int64

// Total returns how many verdicts there were but Pass.
func (c *Counts) Total() (n int64) {
	for _, v := range Causes {
		n += c[v]
	}
	return n
}

// MarshalJSON implements json.Marshaler.
func (c Counts) MarshalJSON() ([]byte, error) {
	named := map[string]int64{}
	for _, v := range Causes {
		if c[v] > 0 {
			named[v.String()] = c[v]
		}
	}
	return json.Marshal(named)
}

// Unreadable reports whether the payload could not be looked into, so that the patterns say nothing about the event.
func (v Verdict) Unreadable() bool { return v == NotJSON || v == TooDeep }
