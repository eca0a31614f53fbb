package websocket

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
)

// life is what a conn knows of its provider. Messages that are read after reading was held may have been sent long before: they
// prove nothing until the answer to a later ping does. The conn's mutex guards it.
type life struct {
	signs  source.Signs
	bound  time.Time            // reading proves nothing beyond it; zero: reading keeps up
	event  time.Time            // up to when the last event that was read proves something
	skip   time.Time            // the same of a message that was left out
	end    time.Time            // the same of the goodbye; zero: there was none, or nothing before it
	answer time.Time            // the same of the last answer to a ping
	pings  int                  // sent so far
	sent   map[string]time.Time // those that are not answered, by payload
}

// proves returns up to when something that was read now proves that nothing is missing.
func (l *life) proves(now time.Time) time.Time {
	if !l.bound.IsZero() && l.bound.Before(now) {
		return l.bound
	}
	return now
}

// heard notes that a message was read, and returns what it proves. The caller holds mu.
func (c *conn) heard(now time.Time) time.Time {
	l := &c.life
	if l.signs.First.IsZero() {
		l.signs.First = now
	}
	if c.config.Ping == setting.Off && now.Sub(c.freed) > c.config.PongWait {
		l.bound = time.Time{} // without pings, that it keeps up again for so long has to do
	}
	return l.proves(now)
}

// behind notes that reading is held.
func (l *life) behind(now time.Time) {
	if l.bound.IsZero() {
		l.bound = now
	}
}

// answered notes the answer to a ping: whatever the provider had sent when it received it has been read. Where reading was held since
// the ping was sent, the provider may have fallen behind, and what it still has to send is older than its answer.
func (l *life) answered(sent, freed, now time.Time) {
	if l.signs.First.IsZero() {
		l.signs.First = now
	}
	maps.DeleteFunc(l.sent, func(_ string, at time.Time) bool { return !at.After(sent) })
	if !sent.Before(freed) {
		l.answer, l.bound = sent, time.Time{}
	}
}

// Signs implements source.Watched.
func (c *conn) Signs() source.Signs {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.life
	if c.idle && len(c.ready) == 0 && c.skip == nil {
		l.signs.Answer = l.answer // whatever was read before it has been handed out, and is done with
	}
	signs := l.signs
	if c.inside.Load() {
		signs.Progress = time.Unix(0, c.read.Load())
	}
	return signs
}

// ping sends pings, the first one at once: its answer proves that the provider has taken us up. It ends the connection when one is not
// answered, unless something else was read meanwhile, which the answer has to wait for, or we were too slow to read it.
func (c *conn) ping(ctx context.Context) {
	for {
		sent := time.Now()
		c.mu.Lock()
		c.life.pings++
		c.life.sent[strconv.Itoa(c.life.pings)] = sent // the payloads that the library chooses
		c.mu.Unlock()
		limited, cancel := context.WithTimeout(ctx, c.config.PongWait)
		err := c.ws.Ping(limited)
		late := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
			if wait.For(ctx, c.config.Ping) != nil {
				return
			}
		case ctx.Err() != nil || !late:
			return // the connection has ended, and whoever reads it knows why
		case !c.moving(sent):
			c.dead.Store(true)
			_ = c.raw.Close()
			return
		}
	}
}

// pong takes the answer to a ping, in its place between the messages.
func (c *conn) pong(_ context.Context, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sent, ok := c.life.sent[string(payload)]; ok {
		c.life.answered(sent, c.freed, time.Now())
	}
}

// moving reports whether something was read since a ping was sent, or reading had to wait for the caller of Next.
func (c *conn) moving(sent time.Time) bool {
	if c.read.Load() > sent.UnixNano() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held || c.freed.After(sent)
}
