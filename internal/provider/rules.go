package provider

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source/session"
)

// Rules are what a provider demands of its clients, and faults of its own. Several Replays may share them.
type Rules struct {
	// As is how messages are sent: "websocket" (the default), "sse" or "ndjson".
	As string

	// Expect is how long a message that the client sent in the recording is waited for. What comes instead is taken for it, and once nothing has
	// come in time nothing more is waited for on the connection. 0: the recording goes on without waiting.
	Expect time.Duration

	// Strict closes a connection with code 1008 where the client does not say in time what it said in the recording. (secret) in the
	// recording stands for anything.
	Strict bool

	// Lifetime closes each connection at this age. 0: never.
	Lifetime time.Duration

	// Cursor says where in a message the provider's position is, unless it is the id of a Server-Sent Event. A client that names one as CursorParameter, or as
	// Last-Event-ID, gets what follows: with the first the message itself, too.
	Cursor          expression.Value
	CursorParameter string // default: cursor

	// Retention is how old the message of a cursor may be. An older one is refused with status 400, or, with Clamp, silently replaced by the oldest.
	// 0: nothing is too old.
	Retention time.Duration
	Clamp     bool

	// MaxConnections is how many connections are accepted at a time. Further ones are refused with status 429, and told to come again
	// after RetryAfter. 0: any number.
	MaxConnections int
	RetryAfter     time.Duration

	// Garbage sends something behind every so many messages that is no JSON. 0: never.
	Garbage int

	// SlowDrip sends messages in pieces of 16 bytes with this pause between them. 0: at once.
	SlowDrip time.Duration

	// Bomb sends, once on each connection, behind so many messages, a compressed one that inflates to 1 GB. The client has to offer
	// compression. 0: never.
	Bomb int

	mu   sync.Mutex
	open int
}

// enter takes one of the places, if there is one.
func (u *Rules) enter() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.MaxConnections > 0 && u.open >= u.MaxConnections {
		return false
	}
	u.open++
	return true
}

func (u *Rules) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open--
}

// admit answers a request that is not to be served.
func (p *Replay) admit(w http.ResponseWriter, r *http.Request) bool {
	refuse := func(status int, text string) bool {
		p.count(func(n *Counts) { n.Refused++ })
		http.Error(w, text, status)
		return false
	}
	u := p.Rules
	switch {
	case u.Bomb > 0 && u.As != "sse" && u.As != "ndjson" && !offersDeflate(r):
		return refuse(http.StatusBadRequest, "this provider needs permessage-deflate")
	case u.Bomb > 0 && (u.As == "sse" || u.As == "ndjson") && !hasToken(r.Header, "Accept-Encoding", "gzip"):
		return refuse(http.StatusNotAcceptable, "this provider needs gzip")
	case p.cursorTooOld(r):
		return refuse(http.StatusBadRequest, `{"error":"CursorTooOld","message":"the cursor is older than what is kept, or unknown"}`)
	case !u.enter():
		if u.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((u.RetryAfter+time.Second-1)/time.Second)))
		}
		return refuse(http.StatusTooManyRequests, "too many connections")
	}
	return true
}

// asked returns the cursor that a client names, and whether what it names was received already.
func (u *Rules) asked(r *http.Request) (cursor string, received bool) {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id, true
	}
	name := u.CursorParameter
	if name == "" {
		name = "cursor"
	}
	return r.URL.Query().Get(name), false
}

// cursorOf returns the position of a message.
func (u *Rules) cursorOf(m *Message) string {
	if m.Out || m.End != nil || m.ID != "" {
		return m.ID
	}
	if u.Cursor.IsZero() {
		return ""
	}
	message := expression.NewMessage(m.Data)
	text, _ := u.Cursor.Text(&message)
	return text
}

func (p *Replay) cursorTooOld(r *http.Request) bool {
	_, ok := p.begin(r)
	return !ok
}

// begin returns where a client begins that names a cursor: -1 if it names none, or one of the future. It is not ok if the cursor is too old.
func (p *Replay) begin(r *http.Request) (next int, ok bool) {
	cursor, received := p.Rules.asked(r)
	if cursor == "" || p.Rules.Cursor.IsZero() && !received {
		return -1, true
	}
	next, known := p.find(cursor, received)
	oldest := 0
	if p.Rules.Retention > 0 {
		now := p.tape.now(p.feed)
		for oldest < len(p.feed) && p.feed[oldest].At < now-p.Rules.Retention {
			oldest++
		}
	}
	switch {
	case known && (next < 0 || next >= oldest):
		return next, true
	case p.Rules.Clamp:
		return oldest, true
	}
	return 0, false
}

// find returns the message that a client gets first.
func (p *Replay) find(cursor string, received bool) (next int, known bool) {
	number, err := strconv.ParseFloat(cursor, 64)
	before := false // there is a smaller one, so that the recording reaches back far enough
	for i := range p.feed {
		at := p.Rules.cursorOf(&p.feed[i])
		if at == "" {
			continue
		}
		if at == cursor {
			if received {
				return i + 1, true
			}
			return i, true
		}
		n, wrong := strconv.ParseFloat(at, 64)
		switch {
		case err != nil || wrong != nil:
		case n > number:
			return i, before
		default:
			before = true
		}
	}
	return -1, before // of the future: the live tip
}

// garbage is a message that is no JSON, another one each time.
func garbage(n int) []byte {
	chance := rand.New(rand.NewPCG(1, uint64(n)))
	text := []byte(`{"garbage":`)
	for range 32 {
		text = append(text, byte('!'+chance.IntN(94)))
	}
	return text
}

// says reports whether a client said what it said in the recording.
func says(got, recorded []byte) bool {
	if wild(string(got), string(recorded)) {
		return true
	}
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(recorded, &b) != nil {
		return false
	}
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && wild(string(x), string(y))
}

// wild reports whether a text is the recorded one, in which (secret) stands for anything.
func wild(text, recorded string) bool {
	parts := strings.Split(recorded, session.Hidden)
	last := parts[len(parts)-1]
	if len(parts) == 1 {
		return text == recorded
	}
	text, ok := strings.CutPrefix(text, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		text, ok = after, ok && found
	}
	return ok && strings.HasSuffix(text, last)
}

// until waits for a time, but not beyond the lifetime of a connection that began at a time.
func (p *Replay) until(ctx context.Context, due, began time.Time) error {
	end := began.Add(p.Rules.Lifetime)
	over := p.Rules.Lifetime > 0 && due.After(end)
	if over {
		due = end
	}
	if err := waitUntil(ctx, due); err != nil {
		return err
	}
	if over || p.Rules.Lifetime > 0 && !time.Now().Before(end) {
		return errLifetime
	}
	return nil
}
