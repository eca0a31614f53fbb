package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// GapRule says how the numbers of a provider's events show that one is missing.
type GapRule struct {
	// The number of an event (trade_id), or its id where form is previous. An event that has none, as with
	// type == "match" ? trade_id : nil, is not judged. Whole numbers up to 2^62.
	Field expression.Value `yaml:"field"`

	// What follows what. "next": each number is one more than the one before. "range": an event stands for the numbers from first to last, and the next
	// one begins behind that. "previous": an event names the id of the one before it. "counter": another event, such as a
	// heartbeat, names the last number that was sent, also one that classify calls a heartbeat, ack or control; with field the numbers between are judged as with next, without it each event without last
	// counts one.
	Form string `yaml:"form" default:"next" enum:"next,range,previous,counter"`

	// Where form is range: the first number of an event.
	First expression.Value `yaml:"first"`

	// Where form is range: the last number of an event. Where it is counter: the last number that was sent.
	Last expression.Value `yaml:"last"`

	// Where form is previous: the id of the event before. An event without it begins anew.
	Previous expression.Value `yaml:"previous"`

	// What has numbers of its own, such as product_id. The word connection means that each connection counts for itself; then what one connection lacks is
	// no gap where another one was there. A member of that name is msg.connection. Default: the source has one count.
	Per expression.Value `yaml:"per"`

	// How late an event may be.
	Reorder Reorder `yaml:"reorder"`

	// Whether the provider begins anew with this event, such as type == "snapshot". Without it, it is taken to begin anew when
	// two numbers in a row lie more than reorder.events below the largest.
	Reset expression.Value `yaml:"reset"`

	// For how many values of per the count is kept. Beyond that the one that was silent for longest is forgotten, and begins anew when it comes again; the
	// log and the status tell.
	Keys int `yaml:"keys" default:"10000" min:"1" max:"20000"`
}

// Reorder bounds how late an event may be before it counts as missing. An event that comes later is told as repaired.
type Reorder struct {
	// It is missing when so many later events of the same count have come. While more than one connection is up, only time counts: one of them may be behind.
	Events int `yaml:"events" default:"64" min:"1" max:"10000"`

	// It is missing when the event behind it came so long ago.
	Time time.Duration `yaml:"time" default:"2s" min:"1ms" max:"1h"`
}

// The forms of a GapRule.
const (
	formRange    = "range"
	formPrevious = "previous"
	formCounter  = "counter"
)

// eachConnection is the value of Per that is no expression.
const eachConnection = "connection"

// Check returns what is wrong with the rule.
func (r *GapRule) Check() error {
	var wrong []error
	need := func(field string, v *expression.Value, why string) {
		if v.IsZero() {
			wrong = append(wrong, &setting.FieldError{Field: field, Err: errors.New("it is missing: " + why)})
		}
	}
	idle := func(field string, v *expression.Value) {
		if !v.IsZero() {
			wrong = append(wrong, setting.FieldErrorf(field, "form %s does not use it", r.Form))
		}
	}
	switch r.Form {
	case formRange:
		need("first", &r.First, "form range judges the numbers from first to last")
		need("last", &r.Last, "form range judges the numbers from first to last")
		idle("field", &r.Field)
		idle("previous", &r.Previous)
	case formPrevious:
		need("field", &r.Field, "form previous looks for the id that previous names")
		need("previous", &r.Previous, "form previous needs to know which event came before")
		idle("first", &r.First)
		idle("last", &r.Last)
	case formCounter:
		need("last", &r.Last, "form counter needs to know what the last number is")
		idle("first", &r.First)
		idle("previous", &r.Previous)
	default:
		need("field", &r.Field, "form next judges its numbers")
		idle("first", &r.First)
		idle("last", &r.Last)
		idle("previous", &r.Previous)
	}
	return errors.Join(wrong...)
}

// perConnection reports whether each connection counts for itself.
func (r *GapRule) perConnection() bool { return r.Per.String() == eachConnection }

// observation is what a GapRule sees of an event.
type observation struct {
	kind         obsKind
	key          string
	lo, hi       int64 // the numbers that it stands for; hi of a counter is the last number sent
	id, previous string
	reset        bool
	known        bool // the stream had the event already: it proves that nothing is missing, and never that something is
}

type obsKind uint8

const (
	obsNone    obsKind = iota // the rule does not judge it
	obsEvent                  // has numbers
	obsCounted                // counts one
	obsUpTo                   // names the last number sent
	obsLinked                 // has an id, and names the one before
)

// largestNumber leaves room to calculate.
const largestNumber = 1 << 62

// longestGapKey bounds keys and ids, in bytes; a longer one is replaced by its hash.
const longestGapKey = 200

// look returns what the rule sees of a message that a connection has brought. It shares memory with the message.
func (r *GapRule) look(m *expression.Message, connection string) (o observation) {
	switch {
	case r.perConnection():
		o.key = connection
	case !r.Per.IsZero():
		text, ok := r.Per.Text(m)
		if !ok {
			return observation{}
		}
		o.key = boundedGapKey(text)
	}
	r.judge(&o, m)
	if o.kind != obsNone && !r.Reset.IsZero() {
		text, _ := r.Reset.Text(m)
		o.reset = text == "true"
	}
	return o
}

// judge fills in what the form asks for.
func (r *GapRule) judge(o *observation, m *expression.Message) {
	number := func(v *expression.Value) (int64, bool) {
		text, _ := v.Text(m)
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && n >= 0 && n <= largestNumber
	}
	var first, last bool
	switch r.Form {
	case formRange:
		o.lo, first = number(&r.First)
		o.hi, last = number(&r.Last)
		if first && last && o.lo <= o.hi {
			o.kind = obsEvent
		}
	case formPrevious:
		id, ok := r.Field.Text(m)
		previous, _ := r.Previous.Text(m)
		if ok && id != "" {
			o.kind, o.id, o.previous = obsLinked, boundedGapKey(id), boundedGapKey(previous)
		}
	case formCounter:
		if o.hi, last = number(&r.Last); last {
			o.kind = obsUpTo
			return
		}
		if r.Field.IsZero() {
			o.kind = obsCounted
			return
		}
		fallthrough
	default:
		if o.lo, first = number(&r.Field); first {
			o.kind, o.hi = obsEvent, o.lo
		}
	}
}

// boundedGapKey returns text, or its hash if it is too long.
func boundedGapKey(text string) string {
	if len(text) > longestGapKey {
		sum := sha256.Sum256([]byte(text))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return text
}
