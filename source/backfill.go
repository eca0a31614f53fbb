package source

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Tier says how what was missed is asked for afterwards, over HTTP. The variables of its texts are named at Settings.Backfill.
type Tier struct {
	Request

	// The tier is for what began to be missing no longer ago than this, as far as the provider's memory reaches. The first tier that fits is
	// asked; one that fails for good leaves the gap to the next that fits. Default: for any time.
	Within time.Duration `yaml:"within" min:"1s"`

	Pages

	// How many pages are asked for at most. Where there are more, a gap in time stays, though what came is stored. It stays as well where events are left
	// out because they cannot be decoded, or have no event_id.
	MaxPages int `yaml:"max_pages" default:"100" min:"1" max:"10000"`

	// Where the answer itself does not say how it goes on: the position of its last event, such as id, to be used as {{page}}, whether pages go forwards or
	// back. It is asked again until an answer brings nothing more, or its last event lies beyond the gap. Instead of next.
	NextFrom expression.Value `yaml:"next_from"`

	// How much longer than the gap the time is that is asked for, before it and behind it, for clocks that differ and events that are slow. What
	// comes again is known by event_id.
	Margin time.Duration `yaml:"margin" default:"5s" max:"5m"`

	// How long to wait before the first request, for providers that have new events in their history a little later.
	Delay time.Duration `yaml:"delay" default:"2s" max:"1h"`

	// The least time from one request to the next.
	Pace time.Duration `yaml:"pace" default:"1s" max:"1h"`

	// How often a request may fail in a row, before the tier has failed for good. The pauses between grow up to a minute, or are as long as the provider asks
	// for. One that is refused, as with 401, 403 and 404, has failed for good at once.
	Tries int `yaml:"tries" default:"6" min:"1" max:"100"`

	// The name of a member that every event gets which comes this way, such as repaired; its value is true. An event that has it keeps it. Default: they
	// are stored as they come.
	Mark string `yaml:"mark"`

	// Members that every event gets, for providers whose answers leave out what was asked for: {symbol: "{{gap_key}}"}. The texts may contain {{gap_…}}. An
	// event that has such a member keeps it. Default: none.
	Add map[string]expression.Template `yaml:"add"`

	// What happens to an answer before it is events, as for a source of type poll. Events are to have the same form as those of the connections: the
	// expressions of the source are about them.
	Intake Intake `yaml:",inline"`
}

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (t *Tier) Check() error {
	wrong := []error{t.CheckWith(gapVariables...), t.CheckPages(&t.Request)}
	switch goesOn := t.Uses("page"); {
	case goesOn && t.Next == "" && t.NextFrom.IsZero():
		wrong = append(wrong, setting.FieldErrorf("next", "{{page}} is used: expected the member path of what it stands for, or next_from"))
	case !t.NextFrom.IsZero() && t.Next != "":
		wrong = append(wrong, setting.FieldErrorf("next_from", "stands in for next, which is set as well"))
	case !t.NextFrom.IsZero() && !goesOn:
		wrong = append(wrong, &setting.FieldError{Field: "next_from", Err: errors.New("nothing uses {{page}}, so that every request asks for the same"), Hint: "use {{page}} where the provider expects the position"})
	}
	return errors.Join(wrong...)
}

// gapVariables are those that a request about a gap has beside those of every request.
var gapVariables = []string{
	"gap_key", "gap_from", "gap_from_s", "gap_from_ms", "gap_to", "gap_to_s", "gap_to_ms", "gap_first", "gap_last", "gap_count",
}

// numbered reports whether the tier is for gaps of the gap rule alone.
func (t *Tier) numbered() bool {
	return t.Uses("gap_first") || t.Uses("gap_last") || t.Uses("gap_count")
}

// positioned reports whether the tier asks by a position, and not only by time.
func (t *Tier) positioned() bool { return t.numbered() || t.Uses("cursor") }

// fits reports whether the tier is for a gap.
func (t *Tier) fits(g *Gap, now time.Time) bool {
	return (t.Within == 0 || now.Sub(g.From) <= t.Within) && (g.How == GapSequence || !t.numbered())
}

// variables are those of a request about a gap.
func (t *Tier) variables(r *repair, now time.Time) map[string]any {
	g := &r.Gap
	from, to := g.From.Add(-t.Margin).UTC(), g.To.Add(t.Margin).UTC()
	vars := map[string]any{"gap_key": g.Key}
	for name, at := range map[string]time.Time{"gap_from": from.Truncate(time.Millisecond), "gap_to": to.Add(time.Millisecond - 1).Truncate(time.Millisecond)} {
		vars[name] = at.Format("2006-01-02T15:04:05.000Z07:00")
		vars[name+"_ms"] = int(at.UnixMilli())
	}
	vars["gap_from_s"], vars["gap_to_s"] = int(from.Unix()), int(to.Add(time.Second-1).Unix())
	if g.How == GapSequence {
		vars["gap_first"], vars["gap_last"], vars["gap_count"] = number(g.First), number(g.Last), int(g.Lost)
	}
	maps.Copy(vars, outage(now.Sub(g.From)))
	return vars
}

// number is a text as the number that it is, to calculate with.
func number(text string) any {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return text
}

// outage are the variables of a time that has passed; a time of none has none.
func outage(d time.Duration) map[string]any {
	if d <= 0 {
		return map[string]any{"outage_seconds": nil, "outage_minutes": nil}
	}
	return map[string]any{"outage_seconds": int((d + time.Second - 1) / time.Second), "outage_minutes": int((d + time.Minute - 1) / time.Minute)}
}

// checkBackfill returns what is wrong with the tiers, as far as other settings are concerned.
func (s *Settings) checkBackfill() error {
	if len(s.Backfill) == 0 {
		return nil
	}
	var wrong []error
	if s.EventID.IsZero() {
		wrong = append(wrong, &setting.FieldError{
			Field: "backfill", Err: errors.New("without event_id, what comes again is stored again"), Hint: "say what identifies an event with event_id",
		})
	}
	for i := range s.Backfill {
		if t := &s.Backfill[i]; t.numbered() && s.GapRule == nil {
			wrong = append(wrong, setting.FieldErrorf(fmt.Sprintf("backfill[%d]", i), "asks for the numbers of a gap, and there is no gap_rule that finds any"))
		}
	}
	return errors.Join(wrong...)
}

// added returns an event with the members that it gets. They are texts; mark is true.
func (t *Tier) added(data []byte, vars map[string]any) []byte {
	for _, name := range slices.Sorted(maps.Keys(t.Add)) {
		template := t.Add[name]
		if text, err := template.Expand(vars, nil); err == nil {
			data = withMember(data, name, quoted(text))
		}
	}
	if t.Mark != "" {
		data = withMember(data, t.Mark, "true")
	}
	return data
}

// withMember returns an object with a member before the others, unless it has it.
func withMember(data []byte, name, raw string) []byte {
	msg := expression.NewMessage(data)
	members := msg.Members()
	if _, has := members[name]; has || len(data) == 0 || data[0] != '{' {
		return data
	}
	out := object{out: append(make([]byte, 0, len(data)+len(name)+len(raw)+16), '{')}
	out.member(quoted(name), raw)
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '}':
			return append(out.out, data[i:]...)
		}
		out.comma()
		return append(out.out, data[i:]...)
	}
	return data
}
