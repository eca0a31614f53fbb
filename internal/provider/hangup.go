package provider

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// errHangUp is what waiting answers when it is time to hang up.
var errHangUp = errors.New("time to hang up")

// hangUp is when and how a connection of a Race ends.
type hangUp struct {
	at  time.Time // zero: never
	way int       // of 20
}

// hangUp draws the end of connection number n.
func (p *Race) hangUp(n int64) hangUp {
	if p.HangUp <= 0 {
		return hangUp{}
	}
	chance := rand.New(rand.NewPCG(p.Seed, roll(p.Seed, chanceHangUp, uint64(n))))
	after := time.Duration(chance.ExpFloat64() * float64(p.HangUp))
	return hangUp{at: time.Now().Add(after), way: chance.IntN(20)}
}

// wait returns nil at the time t, or errHangUp if that comes first.
func (h hangUp) wait(ctx context.Context, c *conn, t time.Time) error {
	if h.at.IsZero() || t.Before(h.at) && time.Now().Before(h.at) {
		return c.wait(ctx, t)
	}
	if err := c.wait(ctx, h.at); err != nil {
		return err
	}
	return errHangUp
}

func (h hangUp) do(ctx context.Context, c *conn) error {
	switch {
	case h.way < 6:
		return c.close(ctx, 1001, "going away")
	case h.way < 10:
		return c.close(ctx, 1012, "service restart")
	case h.way < 16:
		return c.reset()
	}
	return c.stall()
}
