package source

import (
	"errors"
	"fmt"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Settings are the fields that every source has, whatever its transport.
type Settings struct {
	// How many connections are held at the same time. Their ages are spread over max_age,
	// and what arrives over more than one of them is stored once, by event_id. More than one
	// needs event_id.
	Connections int `yaml:"connections" default:"1" min:"1" max:"16"`

	// A connection is replaced at this age, or up to a twentieth before it. With event_id the new one is opened before the
	// old one is closed; without, after, because both would be stored. Choose a little less than the provider's limit.
	// "off": never.
	MaxAge time.Duration `yaml:"max_age" default:"off" min:"1s"`

	// A connection that brings no data for so long is replaced, and the time since its last data counts as a gap unless another
	// connection covers it. A message that keeps arriving may take ten times as long. At least 1s. "off": never; for feeds that may be silent, where answers to pings have to do.
	Stall time.Duration `yaml:"stall" default:"60s"`

	// The longest pause between two attempts to connect. After a refusal (close code 1008, most HTTP statuses from 400 to 499)
	// the pause is at least a minute, and up to an hour if the provider asks for it with Retry-After.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"30s" min:"1s"`

	// The identity of an event: a member path (trade_id) or an expression
	// ([type, product_id, trade_id]). A second event of this source with the same identity is dropped within dedupe_window.
	// Without it, and for an event that lacks it, nothing is dropped; a list with a null in it is no identity. One of more than 1 KiB is
	// replaced by "sha256:" and its hash.
	EventID expression.Value `yaml:"event_id"`

	// When an event happened: RFC 3339, or a number of seconds, milliseconds, microseconds
	// or nanoseconds since 1970, told apart by its size. It is stored to the millisecond. Default: unknown.
	EventTime expression.Value `yaml:"event_time"`

	// The provider's position behind an event, to be used as {{cursor}} in the next connection.
	// It becomes durable together with the event. One of more than 64 KiB is not used. Default: a connection begins where the
	// provider begins.
	Cursor expression.Value `yaml:"cursor"`

	// What a provider sends when it is asked for a cursor; it must be said where cursor is set. "inclusive": it begins with the
	// event of that cursor. Where the first event has another cursor, the provider did not go back far enough, and a gap record
	// says so. "exclusive": it begins behind it, which proves nothing: a resume is taken on the provider's word, and one that
	// ignores the cursor loses events without a gap record.
	CursorMode string `yaml:"cursor_mode" enum:"inclusive,exclusive"`

	// Which cursor counts. "last": that of the event that came last. "max": the largest that has come, of numbers, times of RFC 3339 or texts, for
	// providers that send events in no order.
	CursorKind string `yaml:"cursor_kind" default:"last" enum:"last,max"`

	// How far before the cursor a connection begins: 100 less than a number, or 5s before a time, which may be a number that is a time since 1970. For
	// providers that send events in no order, or have positions of their own on each host. What comes again is known by event_id, which it needs. A
	// connection that begins behind the cursor all the same is found out, also where cursor_mode is exclusive. Default: none.
	CursorOverlap Overlap `yaml:"cursor_overlap"`

	// Which end of a connection, before it has brought anything, means that the provider no longer has the cursor: a condition over kind, code, reason,
	// and body where the reason is JSON, such as code == 400 && body.error == "CursorTooOld". Default: code == 410.
	LostCursor expression.Condition `yaml:"lost_cursor" default:"code == 410"`

	// What to do then. "live": go on with what the provider sends without a cursor. "oldest": ask for oldest_cursor. Both write a gap record with the lost cursor
	// and the first one that comes. "fail": try again after a minute at least, as after any other refusal, with the source called failing, until somebody decides. A rule of ends comes first.
	OnLostCursor string `yaml:"on_lost_cursor" default:"fail" enum:"live,oldest,fail"`

	// What a provider is asked for to begin with the oldest that it has, such as 0.
	OldestCursor string `yaml:"oldest_cursor"`

	// How many events the source brings at least, such as {events: 100, per: 1m}. When it brings less, the log, the status and the metric
	// leat_source_below_least_rate tell, and again when that is over. Connections are not ended for it: see stall.
	LeastRate LeastRate `yaml:"least_rate"`

	// What follows from the end of a connection, or from an attempt that became none: rules of which the first that holds counts, such as [{when: code == 4004, is: stop}, {when: code == 429,
	// retry_after: body.wait}]. Default: another attempt, after a minute at least where the provider turned us away (close code 1008, most HTTP statuses from
	// 400 to 499, or a message that classify calls fatal).
	Ends []Ending `yaml:"ends"`

	// How often the source may connect, where a provider limits that, such as {count: 300, per: 5m}. It holds over restarts.
	Attempts Attempts `yaml:"attempts"`

	// The partition key: events of one key keep their order and share a shard. Without it
	// every event of the source has the source's name as its key. One of more than 256 characters, the limit of Kinesis, is
	// replaced by "sha256:" and its hash: equal keys stay equal.
	PartitionKey expression.Value `yaml:"partition_key"`

	// How the numbers of the events show that one is missing. What is, is written to the stream NAME.gaps. leat gaps --try tries a rule over a
	// recording. Default: only times without a connection are told.
	GapRule *GapRule `yaml:"gap_rule"`

	// How what was missed is asked for afterwards, over HTTP, by how long ago that was: [{within: 2h, url: …}, {url: …}]. What comes is stored once, by event_id,
	// behind what came meanwhile, and the gap record is followed by one that says it is repaired. It needs event_id, and is given up when
	// half of dedupe_window, or of dedupe_events, has passed since the gap was found. Texts may contain {{gap_from}} and {{gap_to}}, when the gap began and ended, less and
	// plus margin, as RFC 3339, and as numbers since 1970 {{gap_from_s}}, {{gap_from_ms}}, {{gap_to_s}} and {{gap_to_ms}}; {{cursor}}, the position before it; {{outage_seconds}} and {{outage_minutes}}, how
	// long ago it began, rounded up; of a gap of the gap_rule {{gap_first}}, {{gap_last}}, {{gap_count}} and {{gap_key}}, the first and the last number that is missing,
	// how many are, and what has them; {{page}}, where the answer goes on, empty at first. A tier that uses gap_first, gap_last or gap_count is for gaps of the
	// gap_rule alone. Default: what was missed stays missing.
	Backfill []Tier `yaml:"backfill"`

	// How long an event_id is remembered, also over restarts. Only time in which the provider is heard from counts: while it is
	// away, or Leat is stopped, however long, 20s pass at most, so that what it then repeats is still known. After a restart
	// the event_ids are read back from the stream. Where a stream is shared with busier sources, what is further back than this
	// time, measured from the last sign of this source, is looked for among a million records of the others at most.
	DedupeWindow time.Duration `yaml:"dedupe_window" default:"10m" min:"10s"`

	// How many event_ids are remembered, at 40 to 80 bytes of memory each. Whichever of the two limits is reached first counts.
	DedupeEvents int `yaml:"dedupe_events" default:"1000000" min:"1000" max:"100000000"`
}

// Identified reports whether events have an identity: by event_id, or by the source or its settings, where that is an Identifier.
func (s *Settings) Identified(adapter any) bool {
	own, ok := adapter.(Identifier)
	return !s.EventID.IsZero() || ok && own.Identifies()
}

// inclusive is the cursor_mode of a provider that begins with the event of the cursor. Anything else counts as exclusive.
const inclusive = "inclusive"

// leastStall is no min tag: that would refuse "off", too.
const leastStall = time.Second

// Check returns what is wrong with the settings taken together.
func (s *Settings) Check() error {
	var wrong []error
	if s.Stall != setting.Off && s.Stall != 0 && s.Stall < leastStall {
		wrong = append(wrong, &setting.FieldError{
			Field: "stall", Err: fmt.Errorf("at least %s, got %s", setting.FormatDuration(leastStall), setting.FormatDuration(s.Stall)),
			Hint: `write 1s or more, or "off" to switch it off`,
		})
	}
	switch {
	case s.CursorMode == inclusive && s.Cursor.IsZero():
		wrong = append(wrong, setting.FieldErrorf("cursor_mode", "says how a provider resumes, but cursor is not set"))
	case s.CursorMode == "" && !s.Cursor.IsZero():
		wrong = append(wrong, &setting.FieldError{
			Field: "cursor", Err: errors.New("cursor_mode must say what the provider sends when it is asked for a cursor. " +
				"inclusive: the provider begins with the event of the cursor itself, so a resume is proved and a skip is reported; " +
				"exclusive: it begins behind it, and a resume is taken on its word"),
			Hint: `write "cursor_mode: inclusive" or "cursor_mode: exclusive" beside it`,
		})
	}
	return errors.Join(append(wrong, s.checkResume(), s.checkBackfill(), s.checkEnds())...)
}

// checkResume returns what is wrong with how the source resumes.
func (s *Settings) checkResume() error {
	var wrong []error
	if !s.CursorOverlap.IsZero() && s.EventID.IsZero() {
		wrong = append(wrong, &setting.FieldError{
			Field: "cursor_overlap", Err: errors.New("without event_id, what comes again is stored again"), Hint: "say what identifies an event with event_id",
		})
	}
	switch oldest := s.OnLostCursor == lostOldest; {
	case oldest && s.OldestCursor == "":
		wrong = append(wrong, setting.FieldErrorf("on_lost_cursor", "oldest needs oldest_cursor: what the provider is asked for"))
	case !oldest && s.OldestCursor != "":
		wrong = append(wrong, setting.FieldErrorf("oldest_cursor", "is used only with on_lost_cursor: oldest"))
	}
	return errors.Join(wrong...)
}

// CheckCursor returns what is wrong with a cursor that the settings of an adapter use, or do not.
func (s *Settings) CheckCursor(adapter any) error {
	r, ok := adapter.(Resumer)
	own, isReturner := adapter.(Returner)
	returns := isReturner && own.Returns()
	f, isForgetful := adapter.(Forgetful)
	switch {
	case returns && !s.Cursor.IsZero():
		return &setting.FieldError{
			Field: "cursor", Err: errors.New("a source of this type knows the position by itself, as it is set here"),
			Hint: "leave cursor out",
		}
	case isForgetful && f.Forgets() && s.Connections > 1:
		return setting.FieldErrorf("connections", "a session has one connection, got %d", s.Connections)
	case isForgetful && f.Forgets() && s.OnLostCursor != lostLive:
		return &setting.FieldError{
			Field: "on_lost_cursor", Err: errors.New("the provider forgets a session after a while, and then nothing says what to do"),
			Hint: "write on_lost_cursor: live, and with lost_cursor how the provider says so: lost_cursor: body.op == 9",
		}
	case returns:
	case !ok:
	case !s.Cursor.IsZero() && !r.UsesCursor():
		return &setting.FieldError{
			Field: "cursor", Err: errors.New("nothing uses {{cursor}}, so that no connection resumes from it"),
			Hint: "use {{cursor}} where the provider expects the position, or leave cursor out",
		}
	case s.Cursor.IsZero() && r.UsesCursor():
		return &setting.FieldError{Field: "cursor", Err: errors.New("{{cursor}} is used, but cursor is not set, so that it is always empty"), Hint: "say where in an event its position is"}
	}
	return nil
}
