package lambda

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	"github.com/leatstream/leat/function"
)

// call is one event on its way to a process, and its answer. The goroutine that called and the one that serves the process share it.
type call struct {
	id, trace string
	event     []byte
	done      chan struct{} // closed by finish

	mu       sync.Mutex
	state    int // of event
	finished bool
	body     []byte // set before done is closed, as are the others below
	err      *function.Error
	lost     bool // the runtime hung up while it was given the event
	answered bool // the function returned, whatever it returned
}

// States of the event of a call: nobody else has it, the server writes it, the server has written it.
const (
	kept = iota
	lent
	written
)

func newCall(event []byte) *call {
	var random [32]byte
	_, _ = rand.Read(random[:]) // which never fails
	random[6], random[8] = random[6]&0x0f|0x40, random[8]&0x3f|0x80
	var text [64]byte
	hex.Encode(text[:], random[:])
	u := text[:32]
	id := string(u[:8]) + "-" + string(u[8:12]) + "-" + string(u[12:16]) + "-" + string(u[16:20]) + "-" + string(u[20:])
	trace := "Root=1-" + hexSeconds(time.Now()) + "-" + string(text[32:56]) + ";Parent=" + string(text[40:56]) + ";Sampled=0"
	return &call{id: id, trace: trace, event: event, done: make(chan struct{})}
}

// hexSeconds returns a time as trace ids hold it.
func hexSeconds(t time.Time) string {
	s := uint32(t.Unix()) // until 2106
	return hex.EncodeToString([]byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)})
}

// finish ends the call, unless it has ended; it reports whether it did.
func (c *call) finish(set func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return false
	}
	c.finished = true
	set()
	close(c.done)
	return true
}

// lend says that the server begins to write the event, and give that it has written it.
func (c *call) lend() { c.set(lent) }
func (c *call) give() { c.set(written) }

func (c *call) set(state int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

// returned reports whether the event may be written over.
func (c *call) returned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != lent
}

// errorOf reads the error that a runtime reports. What cannot be read becomes the message.
func errorOf(body []byte, kind string) *function.Error {
	var report struct {
		Message string          `json:"errorMessage"`
		Type    string          `json:"errorType"`
		Stack   json.RawMessage `json:"stackTrace"`
		Trace   json.RawMessage `json:"trace"` // as the client of Node.js has it
	}
	if err := json.Unmarshal(body, &report); err != nil || report.Message == "" && report.Type == "" {
		report.Message, report.Type = string(body), ""
	}
	if report.Type == "" {
		report.Type = kind
	}
	if report.Type == "" {
		report.Type = "Unhandled"
	}
	e := &function.Error{Type: report.Type, Message: report.Message, Stack: linesOf(report.Stack)}
	if len(e.Stack) == 0 {
		e.Stack = linesOf(report.Trace)
	}
	return e
}

// linesOf returns the lines of a stack: texts as they are, and what else a runtime makes of a frame as JSON.
func linesOf(list json.RawMessage) []string {
	var frames []json.RawMessage
	if json.Unmarshal(list, &frames) != nil {
		return nil
	}
	lines := make([]string, 0, len(frames))
	for _, frame := range frames {
		var text string
		if json.Unmarshal(frame, &text) != nil {
			text = string(frame)
		}
		lines = append(lines, text)
	}
	return lines
}
