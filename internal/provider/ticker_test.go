package provider_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

func TestTickerProducesWhetherOrNotAnybodyListens(t *testing.T) {
	p := &provider.Ticker{}
	bubble(t, p, func(c client) {
		expect(c.T, "before the start", p.Produced(), 0)
		p.Start()
		time.Sleep(time.Second)
		expect(c.T, "after a second", p.Produced(), 100)
		conn, start := c.dial("/"), time.Now()
		expect(c.T, "messages", join(read(c.T, conn, 2)), `{"id":101} {"id":102}`)
		expect(c.T, "time", time.Since(start), 20*time.Millisecond)
		time.Sleep(5 * time.Millisecond)
		expect(c.T, "produced in the end", p.Stop(), 102)
		time.Sleep(time.Minute)
		expect(c.T, "after the stop", p.Produced(), 102)
		expect(c.T, "stopped again", p.Stop(), 102)
		expect(c.T, "ping is answered", answersPing(c.T, conn), true)
	})
}

func TestTickerStartsWithTheFirstConnection(t *testing.T) {
	p := &provider.Ticker{Interval: time.Minute}
	bubble(t, p, func(c client) {
		time.Sleep(time.Hour)
		expect(c.T, "message", join(read(c.T, c.dial("/"), 1)), `{"id":1}`)
	})
}

// The faults of scenario S1: 110 s at 100 a second, cut at 20 s, half-open at 70 s. A client with
// one connection that gives up after 10 s of silence and connects again at once loses those 10 s.
func TestTickerUnderTheFaultsOfS1(t *testing.T) {
	p := &provider.Ticker{}
	bubble(t, p, func(c client) {
		p.Start()
		start := time.Now()
		time.AfterFunc(20*time.Second+time.Millisecond, func() { expect(c.T, "cut", p.CutAll(), 1) })
		time.AfterFunc(70*time.Second+time.Millisecond, func() { expect(c.T, "silenced", p.SilenceAll(), 1) })
		time.AfterFunc(110*time.Second+time.Millisecond, func() { p.Stop() })
		got := map[string]bool{}
		collect := func(want int) {
			conn := c.dial("/")
			for _, message := range read(c.T, conn, want) {
				got[message] = true
			}
			if want == 5000 {
				expect(c.T, "hears", hears(c.T, conn, 10*time.Second), false)
			}
		}
		collect(2000)
		time.Sleep(time.Until(start.Add(20*time.Second + time.Millisecond)))
		collect(5000)
		collect(3000)
		expect(c.T, "time", time.Since(start).Round(10*time.Millisecond), 110*time.Second)
		expect(c.T, "received", len(got), 10_000)
		time.Sleep(time.Second)
		expect(c.T, "produced", p.Produced(), 11_000)
		if !got[fmt.Sprintf(`{"id":%d}`, p.Produced())] {
			c.Error("the last one is missing")
		}
	})
}

func TestFaultsHitTheOldestConnection(t *testing.T) {
	p := &provider.Ticker{Interval: time.Second}
	bubble(t, p, func(c client) {
		first, second := c.dial("/"), c.dial("/")
		expect(c.T, "silenced", p.SilenceOldest(), true)
		expect(c.T, "first hears", hears(c.T, first, time.Hour), false)
		expect(c.T, "cut", p.CutOldest(), true)
		if _, err := readAll(c.T, second); !errors.Is(err, io.EOF) {
			c.Errorf("the second connection ends with %v", err)
		}
		synctest.Wait()
		expect(c.T, "cut without a connection", p.CutOldest(), false)
		expect(c.T, "silenced without a connection", p.SilenceOldest(), false)
		third := c.dial("/")
		if !hears(c.T, third, time.Minute) {
			c.Error("a new connection hears nothing")
		}
		expect(c.T, "connections", p.Counts().Connections, 3)
	})
}
