package provider_test

import (
	"errors"
	"io"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/provider"
)

// tenSeconds has one inbound message a second, "1" to "10"; "5" is binary.
func tenSeconds() *provider.Session {
	s := &provider.Session{URL: "wss://example.org/feed?x=1", Opened: time.Unix(1626318403, 0)}
	s.Messages = append(s.Messages, provider.Message{Out: true, At: time.Millisecond, Data: []byte("subscribe")})
	for n := 1; n <= 10; n++ {
		m := provider.Message{At: time.Duration(n) * time.Second, Binary: n == 5, Data: []byte(strconv.Itoa(n))}
		s.Messages = append(s.Messages, m)
	}
	return s
}

func TestReplayKeepsTheRecordedPaceAndKinds(t *testing.T) {
	for speed, second := range map[float64]time.Duration{1: time.Second, 10: 100 * time.Millisecond, 0.5: 2 * time.Second} {
		bubble(t, &provider.Replay{Session: tenSeconds(), Speed: speed}, func(c client) {
			conn, start := c.dial("/"), time.Now()
			for n := 1; n <= 10; n++ {
				kind, data, err := conn.Read(c.Context())
				if err != nil {
					c.Fatal(err)
				}
				expect(c.T, "message", string(data), strconv.Itoa(n))
				expect(c.T, "binary", kind == websocket.MessageBinary, n == 5)
				expect(c.T, "time of message "+string(data), time.Since(start), time.Duration(n)*second)
			}
			if hears(c.T, conn, 24*time.Hour) {
				c.Error("something follows the last message")
			}
		})
	}
}

func TestReplayWithoutSpeedGivesEachConnectionEverythingAtOnce(t *testing.T) {
	bubble(t, &provider.Replay{Session: tenSeconds(), CloseAtEnd: true}, func(c client) {
		start := time.Now()
		for range 2 {
			got, err := readAll(c.T, c.dial("/"))
			expect(c.T, "messages", join(got), "1 2 3 4 5 6 7 8 9 10")
			expect(c.T, "close code", websocket.CloseStatus(err), websocket.StatusNormalClosure)
		}
		expect(c.T, "time", time.Since(start), 0)
	})
}

func TestReplayCountsWhatTheClientDoes(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds()}
	bubble(t, p, func(c client) {
		conn := c.dial("/")
		for _, text := range []string{"subscribe", "second"} {
			if err := conn.Write(c.Context(), websocket.MessageText, []byte(text)); err != nil {
				c.Fatal(err)
			}
		}
		read(c.T, conn, 10)
		expect(c.T, "ping is answered", answersPing(c.T, conn), true)
		expect(c.T, "counts", p.Counts(), provider.Counts{Connections: 1, Open: 1, Sent: 10, Received: 2, Pings: 1})
		if got := p.Received(); len(got) != 2 || string(got[0]) != "subscribe" || string(got[1]) != "second" {
			c.Errorf("received %q", got)
		}
		conn.Close(websocket.StatusNormalClosure, "")
		synctest.Wait()
		expect(c.T, "open connections", p.Counts().Open, 0)
	})
}

func TestReplayDropsEveryNth(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds(), DropEvery: 3, CutEvery: 4, Hold: true}
	bubble(t, p, func(c client) {
		got, _ := readAll(c.T, c.dial("/"))
		expect(c.T, "first connection", join(got), "1 2 4 5")
		expect(c.T, "second connection", join(read(c.T, c.dial("/"), 3)), "7 8 10")
	})
}

func TestReplayCutsWithoutCloseFrame(t *testing.T) {
	bubble(t, &provider.Replay{Session: tenSeconds(), CutEvery: 3}, func(c client) {
		got, err := readAll(c.T, c.dial("/"))
		expect(c.T, "messages", join(got), "1 2 3")
		expect(c.T, "close code", websocket.CloseStatus(err), -1)
		if !errors.Is(err, io.EOF) {
			c.Errorf("got %v, want EOF", err)
		}
	})
}

func TestALiveFeedPassesWhileNobodyIsConnected(t *testing.T) {
	for _, speed := range []float64{1, 3, 0.7} {
		bubble(t, &provider.Replay{Session: tenSeconds(), Speed: speed, CutEvery: 3}, func(c client) {
			got, _ := readAll(c.T, c.dial("/"))
			expect(c.T, "first connection", join(got), "1 2 3")
			got, _ = readAll(c.T, c.dial("/")) // at once: nothing has passed
			expect(c.T, "second connection", join(got), "4 5 6")
			time.Sleep(time.Duration(2.5 / speed * float64(time.Second)))
			expect(c.T, "third connection", join(read(c.T, c.dial("/"), 2)), "9 10")
		})
	}
}

func TestAHeldRecordingWaitsForTheClient(t *testing.T) {
	bubble(t, &provider.Replay{Session: tenSeconds(), Speed: 1, CutEvery: 3, Hold: true}, func(c client) {
		start := time.Now()
		for _, want := range []string{"1 2 3", "4 5 6", "7 8 9"} {
			got, _ := readAll(c.T, c.dial("/"))
			expect(c.T, "messages", join(got), want)
			time.Sleep(time.Hour)
		}
		expect(c.T, "last message", join(read(c.T, c.dial("/"), 1)), "10")
		expect(c.T, "time", time.Since(start), 3*time.Hour+10*time.Second)
	})
}

func TestAHeldRecordingWaitsWhileAConnectionIsHalfOpen(t *testing.T) {
	bubble(t, &provider.Replay{Session: tenSeconds(), Speed: 1, StallAfter: 3, Hold: true}, func(c client) {
		old := c.dial("/")
		read(c.T, old, 3)
		time.Sleep(time.Hour)
		conn, start := c.dial("/"), time.Now()
		expect(c.T, "messages", join(read(c.T, conn, 3)), "4 5 6")
		expect(c.T, "time", time.Since(start), 3*time.Second)
		expect(c.T, "old one hears", hears(c.T, old, time.Hour), false)
	})
}

func TestAHeldRecordingGivesASecondConnectionTheRest(t *testing.T) {
	bubble(t, &provider.Replay{Session: tenSeconds(), Speed: 1, Hold: true}, func(c client) {
		old := c.dial("/")
		read(c.T, old, 4)
		young := c.dial("/")
		expect(c.T, "young", join(read(c.T, young, 6)), "5 6 7 8 9 10")
		expect(c.T, "old", join(read(c.T, old, 6)), "5 6 7 8 9 10")
	})
}

func TestReplayStalls(t *testing.T) {
	for name, p := range map[string]*provider.Replay{
		"after messages":     {Session: tenSeconds(), Speed: 1, StallAfter: 4},
		"after a time":       {Session: tenSeconds(), Speed: 1, StallAfterTime: 4500 * time.Millisecond},
		"without speed":      {Session: tenSeconds(), StallAfter: 4},
		"with a held feed":   {Session: tenSeconds(), StallAfter: 4, Hold: true},
		"behind the end":     {Session: tenSeconds(), Speed: 100, DropEvery: 2, StallAfterTime: time.Second},
		"at the last moment": {Session: tenSeconds(), Speed: 1, StallAfterTime: 5 * time.Second},
	} {
		bubble(t, p, func(c client) {
			conn := c.dial("/")
			want := 4
			if p.DropEvery != 0 {
				want = 5
			}
			read(c.T, conn, want)
			time.Sleep(2 * time.Second)
			expect(c.T, name+": ping is answered", answersPing(c.T, conn), false)
			expect(c.T, name+": counts", p.Counts(), provider.Counts{Connections: 1, Open: 1, Sent: int64(want), Pings: 1})
			conn.CloseNow()
			synctest.Wait()
			expect(c.T, name+": open connections", p.Counts().Open, 0)
		})
	}
}

func TestReplayClosesWithCodeAndReason(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds(), CloseAfter: 2, CloseCode: 1012, CloseReason: "restart"}
	bubble(t, p, func(c client) {
		got, err := readAll(c.T, c.dial("/"))
		expect(c.T, "messages", join(got), "1 2")
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 1012 || closed.Reason != "restart" {
			c.Errorf("got %v", err)
		}
	})
}

func TestReplayCanBeSilencedAndCutByATest(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds(), Speed: 1}
	bubble(t, p, func(c client) {
		first, second, third := c.dial("/"), c.dial("/"), c.dial("/")
		expect(c.T, "silenced one", p.SilenceOldest(), true)
		expect(c.T, "cut one", p.CutOldest(), true)
		got, err := readAll(c.T, second)
		if len(got) != 0 || !errors.Is(err, io.EOF) {
			c.Errorf("the second connection reads %q, %v", got, err)
		}
		expect(c.T, "third", join(read(c.T, third, 10)), "1 2 3 4 5 6 7 8 9 10")
		expect(c.T, "first hears", hears(c.T, first, time.Hour), false)
		expect(c.T, "silenced all", p.SilenceAll(), 1)
		expect(c.T, "third answers", answersPing(c.T, third), false)
		third.CloseNow()
	})
}
