package provider_test

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/provider"
)

// bubbleStart is when the time of each bubble begins.
const bubbleStart = 946684800

// cursors reads n seconds of a race with so many riders and returns the cursor of each.
func cursors(t *testing.T, conn *websocket.Conn, n, riders int) []int64 {
	t.Helper()
	var got []int64
	for range n {
		for rider := 1; rider <= riders; rider++ {
			m := parse(t, read(t, conn, 1)[0])
			if rider == 1 {
				got = append(got, m.Cursor)
			}
			if m.RiderID != rider || m.Cursor != got[len(got)-1] {
				t.Fatalf("rider %d of second %d is followed by %+v", rider-1, got[len(got)-1], m)
			}
		}
	}
	return got
}

func TestRaceResumesWithoutSkippingOrRepeatingASecond(t *testing.T) {
	const riders, now = 12, bubbleStart + 1000
	for query, first := range map[string]int64{
		fmt.Sprintf("?cursor=%d", now-100):  now - 100,
		fmt.Sprintf("?after=%d", now-100):   now - 99,
		fmt.Sprintf("?cursor=%d", now-5000): now - 900,
		"?cursor=0":                         now - 900,
		"?cursor=-5":                        now - 900,
		fmt.Sprintf("?cursor=%d", now):      now,
		fmt.Sprintf("?cursor=%d", now+50):   now + 1,
		"?cursor=":                          now + 1,
		"":                                  now + 1,
	} {
		bubble(t, &provider.Race{Riders: riders}, func(c client) {
			time.Sleep(time.Until(time.Unix(now, 5e8)))
			conn := c.dial("/" + query)
			for i, cursor := range cursors(c.T, conn, int(now-first)+30, riders) {
				expect(c.T, query, cursor, first+int64(i))
			}
			live := time.Now().Unix()
			expect(c.T, query+" is live", cursors(c.T, conn, 1, riders)[0], live+1)
		})
	}
}

func TestRaceCatchesUpAtItsPace(t *testing.T) {
	bubble(t, &provider.Race{Riders: 12, CatchUp: 10}, func(c client) {
		time.Sleep(time.Until(time.Unix(bubbleStart+1000, 0)))
		conn, start := c.dial(fmt.Sprintf("/?cursor=%d", bubbleStart+900)), time.Now()
		cursors(c.T, conn, 90, 12)
		if took := time.Since(start); took < 8900*time.Millisecond || took > 9*time.Second {
			c.Errorf("90 seconds at 10 a second took %v", took)
		}
	})
}

func TestRaceWithoutReplayIgnoresCursors(t *testing.T) {
	bubble(t, &provider.Race{Riders: 12, NoReplay: true}, func(c client) {
		time.Sleep(100 * time.Second)
		conn := c.dial(fmt.Sprintf("/?cursor=%d", bubbleStart))
		expect(c.T, "cursor", cursors(c.T, conn, 1, 12)[0], bubbleStart+101)
	})
}

func TestRaceRefusesABrokenCursor(t *testing.T) {
	bubble(t, &provider.Race{Riders: 12}, func(c client) {
		expect(c.T, "status", c.refused("/?cursor=now").StatusCode, http.StatusBadRequest)
	})
}

func TestRaceHangsUpInAllWaysAndAClientThatResumesMissesNothing(t *testing.T) {
	const riders, until = 11, bubbleStart + 1800
	p := &provider.Race{Riders: riders, HangUp: 20 * time.Second, Seed: 3}
	bubble(t, p, func(c client) {
		got, ends := map[string]bool{}, map[string]int{}
		last := int64(bubbleStart)
		for last < until {
			conn := c.dial(fmt.Sprintf("/?cursor=%d", last))
			err := follow(c, conn, func(m telemetry) {
				got[m.ID] = true
				last = m.Cursor
			})
			ends[kindOf(err)]++
			conn.CloseNow()
		}
		for _, kind := range []string{"1001", "1012", "reset", "silence"} {
			if ends[kind] < 5 {
				c.Errorf("%d connections ended with %s", ends[kind], kind)
			}
		}
		for unix := int64(bubbleStart); unix < until; unix++ {
			for _, message := range p.Messages(unix) {
				if id := parse(c.T, string(message)).ID; !got[id] {
					c.Fatalf("%s is missing", id)
				}
			}
		}
		synctest.Wait()
		if n := p.Counts().Open; n != 0 {
			c.Errorf("%d connections are open", n)
		}
	})
}

// follow hands messages on until the connection ends or nothing arrives for ten seconds.
func follow(c client, conn *websocket.Conn, to func(telemetry)) error {
	silence := time.AfterFunc(10*time.Second, func() { conn.CloseNow() })
	defer silence.Stop()
	for {
		_, data, err := conn.Read(c.Context())
		if err != nil {
			return err
		}
		silence.Reset(10 * time.Second)
		to(parse(c.T, string(data)))
	}
}

func kindOf(err error) string {
	switch code := websocket.CloseStatus(err); {
	case code != -1:
		return fmt.Sprint(int(code))
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	}
	return "silence"
}
