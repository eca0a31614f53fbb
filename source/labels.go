package source

import (
	"encoding/json"
	"strings"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Labels says which messages explain the ids in later ones, and what events get of it. What is learned is forgotten with the connection.
type Labels struct {
	// The messages that explain an id, such as the answers to subscriptions.
	Learn []Lesson `yaml:"learn,required"`

	// The id in a message: msg[0], or params.subscription.
	Of expression.Value `yaml:"of,required"`

	// The name of the member that the events of a message get, if its id has been explained. A member of that name that an event has itself stays. An event that
	// is a list or a single value becomes the member "value" of an object.
	As string `yaml:"as,required"`
}

// Lesson is a kind of message that explains an id.
type Lesson struct {
	// The messages that it is about, such as event == "subscriptionStatus".
	When expression.Condition `yaml:"when,required"`

	// The id in it, such as channelID.
	Key expression.Value `yaml:"key,required"`

	// What it stands for, such as pair, or {pair: pair, name: channelName}.
	Value expression.Value `yaml:"value,required"`
}

const (
	maxLabels     = 4096     // that a connection remembers; the oldest is forgotten for the next one
	maxLabelKey   = 256      // bytes; a longer id is none
	maxLabelValue = 16 << 10 // bytes; a larger one explains nothing
)

// check returns what is wrong with the settings taken together.
func (l *Labels) check() error {
	if len(l.Learn) == 0 {
		return setting.FieldErrorf("labels.learn", "it is empty, so that no id is ever explained")
	}
	return nil
}

// labeler labels the events of one connection.
type labeler struct {
	*Labels
	known map[string]string // JSON
	order []string          // the keys, the oldest at next once it is full
	next  int
	extra extra
}

func newLabeler(l *Labels) *labeler {
	return &labeler{Labels: l, known: map[string]string{}, extra: newExtra(l.As, nil)}
}

// learn remembers what a message explains.
func (l *labeler) learn(look *expression.Look) {
	for i := range l.Learn {
		lesson := &l.Learn[i]
		if !lesson.When.Holds(look) {
			continue
		}
		key, ok := lesson.Key.Text(look.Message())
		value, has := lesson.Value.Evaluate(look.Message())
		if !ok || !has || len(key) > maxLabelKey {
			continue
		}
		if text, err := json.Marshal(value); err == nil && len(text) <= maxLabelValue {
			l.remember(strings.Clone(key), string(text))
		}
	}
}

func (l *labeler) remember(key, value string) {
	if _, known := l.known[key]; !known {
		if len(l.order) < maxLabels {
			l.order = append(l.order, key)
		} else {
			delete(l.known, l.order[l.next])
			l.order[l.next] = key
			l.next = (l.next + 1) % maxLabels
		}
	}
	l.known[key] = value
}

// add labels the events of a message.
func (l *labeler) add(m *expression.Message, events []leat.Event) {
	key, ok := l.Of.Text(m)
	if !ok {
		return
	}
	label, known := l.known[key]
	if !known {
		return
	}
	for i := range events {
		events[i].Data = l.labeled(events[i].Data, label)
	}
}

func (l *labeler) labeled(data []byte, label string) []byte {
	element := strings.TrimSpace(string(data))
	isObject := strings.HasPrefix(element, "{")
	if !json.Valid(data) || !l.extra.belongs(element, isObject, false) {
		return data
	}
	o := object{append(make([]byte, 0, len(element)+len(l.extra.name)+len(label)+16), '{')}
	o.member(l.extra.name, label)
	if !isObject {
		o.member(`"value"`, element)
		return append(o.out, '}')
	}
	if own := strings.TrimSpace(element[1 : len(element)-1]); own != "" {
		o.comma()
		o.out = append(o.out, own...)
	}
	return append(o.out, '}')
}
