package websocket

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whoever waits for its turn to acknowledge does not keep the next connection waiting.
func TestTheEndOfAConnectionEndsTheWaitForItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConn(&Config{Ack: &Ack{}, Limits: Limits{Messages: 1, Per: time.Hour}}, 0)
		begun := time.Now()
		c.pace.take(begun) // the only one in this hour
		if ok, err := c.acks.expect(0, acknowledgement{"ack", begun}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		time.AfterFunc(time.Second, func() {
			if !c.Signs().Resting {
				t.Error("the provider counts as silent while we wait for our limits")
			}
			c.acks.over()
		})
		c.acknowledge(t.Context(), c.acks.done())
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("it waited %v", waited)
		}
		if c.Signs().Resting {
			t.Error("nothing is said any more")
		}
	})
}
