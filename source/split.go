package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Split says where one message holds many events.
type Split struct {
	// Where the events are: data[], or events[].trades[] for lists in a list, or [] where the message itself is a list. A message that has no list there stays as
	// it is; of an empty list there are no events. Without it the message itself is the one event, for columns.
	Path expression.Path `yaml:"path"`

	// What each event gets from round it: [channel, events[].type], or under other names {kind: events[].type}. A member that the event has itself stays. An
	// event that is no object becomes the member "value" of one.
	Keep Kept `yaml:"keep"`

	// Where an event is a list of values: their names. A value without a name, or with an empty one, is left out.
	Columns []string `yaml:"columns"`

	// The name of a member that each event gets: how many there were before it in the message, such as part. With an id of the message it makes an
	// event_id that is the same when the message comes again.
	Index string `yaml:"index"`
}

// Kept names what an event gets from round it. In YAML it is a path, a list of paths, or a mapping of names to paths.
type Kept struct{ members []keptMember }

type keptMember struct {
	name   string
	path   expression.Path
	arrays int
	last   expression.Path // in the element that it is a member of
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Kept) UnmarshalText(text []byte) error { return k.UnmarshalValue([]any{string(text)}) }

// UnmarshalValue implements setting.ValueUnmarshaler.
func (k *Kept) UnmarshalValue(value any) error {
	k.members = nil
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if err := k.add("", item); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if err := k.add(name, value[name]); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("expected a list of paths, or a mapping of names to paths")
}

func (k *Kept) add(name string, item any) error {
	text, ok := item.(string)
	if !ok {
		return fmt.Errorf("expected a path such as channel, got %v", item)
	}
	p, err := expression.ParsePath(text)
	if err != nil {
		return err
	}
	m := keptMember{name: name, path: p, arrays: p.Arrays(), last: p.Part(p.Arrays())}
	if m.name == "" {
		m.name = p.Name()
	}
	if m.name == "" {
		return fmt.Errorf("%s names no member: write a mapping of a name to it", text)
	}
	if slices.ContainsFunc(k.members, func(o keptMember) bool { return o.name == m.name }) {
		return fmt.Errorf("%q is there twice: write a mapping of names to paths", m.name)
	}
	k.members = append(k.members, m)
	return nil
}

// IsZero reports whether nothing is kept.
func (k *Kept) IsZero() bool { return len(k.members) == 0 }

// check returns what is wrong with the settings taken together, with prefix before the names of fields.
func (s *Split) check(prefix string) error {
	var wrong []error
	arrays := s.Path.Arrays()
	switch {
	case s.Path.IsZero() && len(s.Columns) == 0:
		wrong = append(wrong, setting.FieldErrorf(prefix+"path", "it is missing: where the events are"))
	case !s.Path.IsZero() && (arrays == 0 || !strings.HasSuffix(s.Path.String(), "[]")):
		wrong = append(wrong, &setting.FieldError{Field: prefix + "path", Err: errors.New("it must end with [], for every element of a list"), Hint: "write " + s.Path.String() + "[]"})
	}
	for _, m := range s.Keep.members {
		if !m.path.Inside(&s.Path) || m.arrays >= max(arrays, 1) {
			wrong = append(wrong, setting.FieldErrorf(prefix+"keep", "%s is not round the elements of %s", m.path.String(), s.Path.String()))
		}
		if m.name == s.Index {
			wrong = append(wrong, setting.FieldErrorf(prefix+"index", "keep has %q, too", s.Index))
		}
	}
	seen := map[string]bool{"": true}
	for _, name := range s.Columns {
		if seen[name] && name != "" {
			wrong = append(wrong, setting.FieldErrorf(prefix+"columns", "%q is there twice", name))
		}
		seen[name] = true
	}
	return errors.Join(wrong...)
}

// slabSize is how much memory is taken at once for events that are written.
const slabSize = 16 << 10

// maxParts is how many events one message may hold.
const maxParts = 1 << 17

var (
	errManyParts = errors.New("it holds more than " + strconv.Itoa(maxParts) + " events")
	errLargePart = errors.New("its events, with what they get from round them, are larger together than four times max_decoded")
)

// splitter splits the messages of one connection.
type splitter struct {
	*Split
	parts  []expression.Path // up to each array
	kept   []extra           // what is kept, and index behind it
	names  []string          // of the columns, as JSON
	most   int               // bytes of all events of a message
	within []string          // the message, and the elements that the walk is in
	events []leat.Event
	out    []byte // what events are written into, those of several messages if they are small
	sum    int
	lists  int // that there were
}

func newSplitter(s *Split, limit int) *splitter {
	p := &splitter{Split: s, most: 4 * limit, within: make([]string, s.Path.Arrays()+1)}
	for i := range s.Path.Arrays() {
		p.parts = append(p.parts, s.Path.Part(i))
	}
	for _, m := range s.Keep.members {
		p.kept = append(p.kept, newExtra(m.name, s.Columns))
	}
	p.kept = append(p.kept, newExtra(s.Index, s.Columns))
	for _, name := range s.Columns {
		p.names = append(p.names, quoted(name))
	}
	return p
}

// extra is a member that events get beside their own.
type extra struct {
	name   string // as JSON
	own    expression.Path
	column bool // a column has its name
}

func newExtra(name string, columns []string) extra {
	return extra{quoted(name), expression.MemberPath(name), slices.Contains(columns, name)}
}

// belongs reports whether an event has no such member itself.
func (x *extra) belongs(element string, isObject, isColumns bool) bool {
	if isObject {
		_, _, has := x.own.Find(element)
		return !has
	}
	return !isColumns || !x.column
}

// split appends the events of a message.
func (p *splitter) split(events []leat.Event, message []byte) ([]leat.Event, error) {
	p.events, p.sum, p.lists = events, 0, 0
	p.within[0] = unsafe.String(unsafe.SliceData(message), len(message))
	if !json.Valid(message) {
		return append(events, leat.Event{Data: message}), nil
	}
	err := p.walk(0)
	events = p.events
	p.events = nil
	if cap(p.out) > slabSize {
		p.out = nil
	}
	clear(p.within)
	if err == nil && p.lists == 0 && len(p.parts) > 0 {
		return append(events, leat.Event{Data: message}), nil
	}
	return events, err
}

// walk goes through the elements below the innermost one that the walk is in.
func (p *splitter) walk(depth int) error {
	if depth == len(p.parts) {
		return p.event(p.within[depth])
	}
	raw, _, ok := p.parts[depth].Find(p.within[depth])
	if !ok {
		return nil
	}
	elements, ok := newElements(raw)
	if !ok {
		return nil
	}
	if depth == len(p.parts)-1 {
		p.lists++
	}
	for {
		element, more := elements.next()
		if !more {
			break
		}
		p.within[depth+1] = element
		if err := p.walk(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// event adds the event of an element.
func (p *splitter) event(element string) error {
	if len(p.events) >= maxParts {
		return errManyParts
	}
	list, isList := newElements(element)
	if isList && len(p.Columns) > 0 {
		return p.write(element, &list)
	}
	if p.Keep.IsZero() && p.Index == "" {
		return p.add(unsafe.Slice(unsafe.StringData(element), len(element)))
	}
	return p.write(element, nil)
}

func (p *splitter) add(data []byte) error {
	if p.sum += len(data); p.sum > p.most {
		return errLargePart
	}
	p.events = append(p.events, leat.Event{Data: data[:len(data):len(data)]})
	return nil
}

// write adds the event of an element with what it gets beside it. The values of columns, if there are any, take the place of the element.
func (p *splitter) write(element string, columns *elements) error {
	if cap(p.out)-len(p.out) < 2*len(element) {
		p.out = make([]byte, 0, max(slabSize, 4*len(element)))
	}
	start := len(p.out)
	o := object{append(p.out, '{')}
	own, isObject := element, columns == nil && strings.HasPrefix(element, "{")
	for i := range p.Keep.members {
		m := &p.Keep.members[i]
		if !p.kept[i].belongs(element, isObject, columns != nil) {
			continue
		}
		if raw, _, ok := m.last.Find(p.within[m.arrays]); ok {
			o.member(p.kept[i].name, raw)
		}
	}
	if index := &p.kept[len(p.kept)-1]; p.Index != "" && index.belongs(element, isObject, columns != nil) {
		o.member(index.name, strconv.Itoa(len(p.events)))
	}
	switch {
	case columns != nil:
		for i := 0; ; i++ {
			value, more := columns.next()
			if !more {
				break
			}
			if i < len(p.Columns) && p.Columns[i] != "" {
				o.member(p.names[i], value)
			}
		}
	case isObject:
		if own = strings.TrimSpace(own[1 : len(own)-1]); own != "" {
			o.comma()
			o.out = append(o.out, own...)
		}
	default:
		o.member(`"value"`, own)
	}
	o.out = append(o.out, '}')
	p.out = o.out
	return p.add(p.out[start:])
}
