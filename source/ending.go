package source

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Ending says what follows from the end of a connection, or from an attempt that became none.
type Ending struct {
	// Which ends it is about: a condition over kind, code and reason, body where the reason is JSON, and header, which has those fields of an answer that have retry or rate in
	// their name, in small letters: code == 4004, or kind == "http" && body.error == "expired". The kinds are dial, http, close, read, ping, stall,
	// protocol, subscribe, reconnect, rate_limited and fatal.
	When expression.Condition `yaml:"when,required"`

	// What follows. "resume": another attempt, with pauses that grow. "fresh": the same without the cursor, which is told as a gap, as with on_lost_cursor. "refused": the same after a minute at
	// least, and the source is called failing. "stop": none; the source stays stopped until leat is started again, and everything else goes on.
	Is string `yaml:"is" default:"resume" enum:"resume,fresh,refused,stop"`

	// How long to wait at least before the next attempt.
	Pause time.Duration `yaml:"pause" max:"24h"`

	// The same as the provider says it, an hour at most: a number of seconds (body.retry_after), or when to come again, as RFC 3339 or a time since 1970
	// (header["x-rate-limit-reset"]). Default: what Retry-After says.
	RetryAfter expression.Value `yaml:"retry_after"`
}

// The values of Ending.Is.
const (
	endResume  = "resume"
	endFresh   = "fresh"
	endRefused = "refused"
	endStop    = "stop"
)

// checkEnds returns what is wrong with the rules about ends.
func (s *Settings) checkEnds() error {
	var wrong []error
	for i := range s.Ends {
		e, at := &s.Ends[i], fmt.Sprintf("ends[%d]", i)
		if e.Is == endStop && (e.Pause != 0 || !e.RetryAfter.IsZero()) {
			wrong = append(wrong, setting.FieldErrorf(at, "stop makes no other attempt, so that there is nothing to wait for"))
		}
	}
	return errors.Join(wrong...)
}

// outcome is what follows from the end of a connection, or from an attempt that became none.
type outcome struct {
	is    string
	pause time.Duration // at least
	lost  bool          // the provider no longer has the cursor
}

// outcome judges an end by the settings. silent tells that the connection, which was asked to follow a position, has brought nothing.
func (m *Manager) outcome(end *EndError, after *resuming, silent bool) outcome {
	o := outcome{is: endResume, pause: min(end.RetryAfter, longestAsked)}
	if end.Refused() {
		o.is = endRefused
	}
	if end.Kind == EndRotation || end.Kind == EndShutdown {
		return o
	}
	var look expression.Look
	look.Reset(end.message())
	for i := range m.Settings.Ends {
		if e := &m.Settings.Ends[i]; e.When.Holds(&look) {
			return e.outcome(o, &look)
		}
	}
	if silent && after.cursor != "" && !after.lost && m.Settings.LostCursor.Holds(&look) {
		o.lost, o.is = true, endRefused
		if m.Settings.OnLostCursor == lostLive || m.Settings.OnLostCursor == lostOldest {
			o.is = endFresh
		}
	}
	return o
}

// outcome returns what follows from an end for which e holds, in place of what would otherwise.
func (e *Ending) outcome(o outcome, look *expression.Look) outcome {
	o.is = cmp.Or(e.Is, endResume)
	if text, ok := e.RetryAfter.Text(look.Message()); ok {
		seconds, err := strconv.ParseFloat(text, 64)
		switch at := parseTime(text); {
		case err == nil && seconds >= 0 && seconds < 1e9:
			o.pause = time.Duration(min(seconds, longestAsked.Seconds()) * float64(time.Second))
		case !at.IsZero():
			o.pause = min(max(0, time.Until(at)), longestAsked)
		}
	}
	o.pause = max(o.pause, e.Pause)
	return o
}

// message is e as what a condition looks into.
func (e *EndError) message() []byte {
	m := struct {
		Kind   EndKind           `json:"kind"`
		Code   int               `json:"code"`
		Reason string            `json:"reason"`
		Body   json.RawMessage   `json:"body,omitempty"`
		Header map[string]string `json:"header,omitempty"`
	}{Kind: e.Kind, Code: e.Code, Reason: e.Reason, Header: e.Hints}
	if json.Valid([]byte(e.Reason)) {
		m.Body = json.RawMessage(e.Reason)
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // a plain struct
	}
	return text
}

// mostHints bounds the header fields that are kept of an answer.
const mostHints = 16

// hintsOf returns those header fields that may say when to come again, by their names in small letters.
func hintsOf(header http.Header) map[string]string {
	hints := map[string]string{}
	for name := range header {
		name = strings.ToLower(name)
		if value := header.Get(name); len(hints) < mostHints && len(value) <= 64 && (strings.Contains(name, "retry") || strings.Contains(name, "rate")) {
			hints[name] = Clean(value)
		}
	}
	return hints
}

// forget makes the next connection ask for what the provider has, in place of what follows the position that is stored. It reports whether that is
// something else than what the last connection, which followed after, asked for.
func (m *Manager) forget(after *resuming, end *EndError) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.at.cursor == "":
		return false
	case m.lost == m.at.cursor:
		return !after.lost || after.cursor != m.at.cursor
	}
	m.lost = m.at.cursor
	m.log.Warn("the provider no longer has the cursor, which is forgotten", "cursor", m.at.shown(), "reason", cmp.Or(end.Reason, string(end.Kind)), "on_lost_cursor", m.Settings.OnLostCursor)
	return true
}

// stuck tells once that the provider no longer has the cursor, and that somebody has to decide.
func (m *Manager) stuck(slot int, after *resuming, end *EndError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reason := "the provider no longer has the cursor " + after.shown() + ", and on_lost_cursor says fail: " + end.Error()
	m.status.LastEnd, m.status.Slots[slot].Reason = reason, reason
	if m.stuckAt != after.cursor {
		m.stuckAt = after.kept().cursor
		m.log.Error("the provider no longer has the cursor; the source waits until on_lost_cursor says live or oldest", "cursor", after.shown(), "reason", cmp.Or(end.Reason, string(end.Kind)))
	}
}

// halt ends the source for good, until leat is started again.
func (m *Manager) halt(end *EndError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.status.Stopped == "" {
		m.status.Stopped = end.Error()
		m.log.Error("the source is stopped, as ends says of this; it stays so until leat is started again", "kind", string(end.Kind), "code", end.Code, "reason", end.Reason)
	}
	m.stop()
}
