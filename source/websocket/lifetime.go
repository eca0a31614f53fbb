package websocket

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// age sees to it that the connection is replaced before the provider ends it, as soon as it is known how long it lets it live. It belongs to the reading
// goroutine.
func (c *conn) age() {
	if c.old != nil || c.config.Lifetime.IsZero() {
		return
	}
	text, err := c.vars.expand(&c.config.Lifetime, nil)
	if err != nil {
		return
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(seconds > 0) {
		return // it may be known later
	}
	const longest = 365 * 24 * time.Hour
	lives := time.Duration(min(seconds, longest.Seconds()) * float64(time.Second))
	lives = max(lives*9/10-rand.N(lives/20+1), time.Second)
	c.old = time.AfterFunc(lives, func() {
		c.Expires("the provider ends connections after " + strconv.FormatFloat(seconds, 'f', -1, 64) + " s")
	})
}
