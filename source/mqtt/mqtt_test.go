package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/mqtt"
	"github.com/leatstream/leat/source/sourcetest"
)

// with serves a broker in a bubble.
func with(t *testing.T, b *broker, play sourcetest.Play, do func(t *testing.T, s *mqtt.Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- b.serve(ctx, n, play) }()
		synctest.Wait()
		do(t, &mqtt.Source{Config: config(b.version), Dial: n.DialContext})
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsDurableIsAcknowledgedAndNothingElse(t *testing.T) {
	b := &broker{version: "5"}
	large := `"` + strings.Repeat("x", 5*sourcetest.Limit) + `"`
	with(t, b, func(p *sourcetest.Player) {
		for _, text := range []string{"1", "2", "", large, "3"} {
			_ = p.Event(text)
		}
	}, func(t *testing.T, s *mqtt.Source) {
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		acknowledged := func(want int) {
			t.Helper()
			time.Sleep(time.Minute)
			if got := b.acknowledged(); got != want {
				t.Errorf("%d are acknowledged, want %d", got, want)
			}
		}
		acknowledged(0)
		if events, err := c.Next(t.Context()); len(events) != 2 || events[0].PartitionKey != "a/b" {
			t.Errorf("got %q, %v", events, err)
		}
		acknowledged(0)
		var skip *source.SkipError
		if _, err := c.Next(t.Context()); !errors.As(err, &skip) {
			t.Errorf("got %v", err)
		}
		acknowledged(3) // also the one without content behind them
		if events, err := c.Next(t.Context()); len(events) != 1 {
			t.Errorf("got %q, %v", events, err)
		}
		acknowledged(4)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _ = c.Next(short)
		acknowledged(5)
		_ = c.Close()
		for i, id := range b.acked {
			if int(id) != i+1 {
				t.Errorf("acknowledged %v", b.acked)
			}
		}
	})
}

func TestAMessageIsAcknowledgedWhenAllItsEventsAreDurable(t *testing.T) {
	b := &broker{version: "3.1.1"}
	with(t, b, func(p *sourcetest.Player) {
		_ = p.Event(`[1,2,3]`)
		_ = p.Event(`{"beat":1}`)
		_ = p.Event(`[4]`)
	}, func(t *testing.T, s *mqtt.Source) {
		s.Config.Intake.Split = &source.Split{Path: expression.MustParsePath("[]")}
		s.Config.Intake.Classify = []source.Class{{When: expression.MustParseCondition("beat == 1"), Is: "heartbeat"}}
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		wantTexts(t, next(t, c, 4), "1", "2", "3", "4")
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _ = c.Next(short)
		_ = c.Close()
		if n := b.acknowledged(); n != 3 {
			t.Errorf("%d are acknowledged", n)
		}
	})
}

func TestABrokerThatRefusesIsAskedLessOften(t *testing.T) {
	for _, c := range []struct {
		version string
		code    byte
		refused bool
	}{{"5", 0x86, true}, {"5", 0x89, false}, {"3.1.1", 5, true}, {"3.1.1", 3, false}} {
		with(t, &broker{version: c.version, refuse: c.code}, func(*sourcetest.Player) {}, func(t *testing.T, s *mqtt.Source) {
			s.Config.Password = setting.NewSecret("hunter2")
			s.Config.Username = "me"
			_, err := s.Open(t.Context(), "")
			var end *source.EndError
			if !errors.As(err, &end) || end.Code != int(c.code) || end.Refused() != c.refused || end.Reason == "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s %d: got %v", c.version, c.code, err)
			}
		})
	}
}

func TestTopicsThatAreRefusedEndTheConnection(t *testing.T) {
	for _, version := range []string{"5", "3.1.1"} {
		with(t, &broker{version: version, codes: []byte{0x80}}, func(*sourcetest.Player) {}, func(t *testing.T, s *mqtt.Source) {
			_, err := s.Open(t.Context(), "")
			var end *source.EndError
			if !errors.As(err, &end) || end.Kind != source.EndSubscribe || !strings.Contains(end.Reason, "topics[0]") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhetherTheBrokerKeepsWhatWeMiss(t *testing.T) {
	zero := 0
	for _, c := range []struct {
		present bool
		codes   []byte
		change  func(*mqtt.Config)
		want    bool
	}{
		{true, nil, func(*mqtt.Config) {}, true},
		{false, nil, func(*mqtt.Config) {}, false},
		{true, []byte{0}, func(*mqtt.Config) {}, false},
		{true, nil, func(c *mqtt.Config) { c.CleanStart = true }, false},
		{true, nil, func(c *mqtt.Config) { c.Topics[0].QoS = &zero }, false},
	} {
		with(t, &broker{version: "5", present: c.present, codes: c.codes}, func(*sourcetest.Player) {}, func(t *testing.T, s *mqtt.Source) {
			c.change(&s.Config)
			conn, err := s.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if does, known := conn.(source.Continuer).Continues(); does != c.want || !known {
				t.Errorf("%+v: goes on: %v, %v", c, does, known)
			}
			_ = conn.Close()
		})
	}
}

func TestABrokerThatFallsSilentIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- (&broker{version: "5"}).serve(ctx, n, func(*sourcetest.Player) {}) }()
		synctest.Wait()
		c, err := (&mqtt.Source{Config: config("5"), Dial: n.DialContext}).Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		n.Silence(sourcetest.Address)
		begun := time.Now()
		_, err = c.Next(t.Context())
		var end *source.EndError
		if took := time.Since(begun); !errors.As(err, &end) || end.Kind != source.EndPing || took > 30*time.Second {
			t.Errorf("got %v after %v", err, took)
		}
		_ = c.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestCheck(t *testing.T) {
	for field, change := range map[string]func(*mqtt.Config){
		"url":             func(c *mqtt.Config) { c.URL = "tcp://h:1" },
		"topics":          func(c *mqtt.Config) { c.Topics = nil },
		"topics[0].topic": func(c *mqtt.Config) { c.Topics[0].Topic = "a/#/b" },
		"password":        func(c *mqtt.Config) { c.Version, c.Password = "3.1.1", setting.NewSecret("x") },
	} {
		c := config("5")
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		change(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got %v", field, err)
		}
	}
	for url, want := range map[string]string{"mqtt://h": "h:1883", "mqtts://h/": "h:8883", "mqtt://[::1]:7": "[::1]:7"} {
		c := mqtt.Config{URL: url}
		if got, _, err := mqtt.Address(&c); got != want || err != nil {
			t.Errorf("%s: got %q, %v", url, got, err)
		}
	}
}

// Whatever a broker sends, and however it is cut into pieces, reading ends, and in the same way.
func FuzzPackets(f *testing.F) {
	b := &broker{version: "5"}
	f.Add(append(b.publish("a/b", "{}", 1), b.granted([]byte{1})...), []byte{0}, true)
	f.Add(append((&broker{version: "3.1.1"}).publish("a", "x", 2), 0xd0, 0), []byte{1, 2}, false)
	f.Fuzz(func(t *testing.T, packets, cut []byte, five bool) {
		whole := run(t, packets, nil, five)
		if parts := run(t, packets, cut, five); parts != whole {
			t.Errorf("got %s in pieces, %s whole", parts, whole)
		}
	})
}

func run(t *testing.T, packets, cut []byte, five bool) string {
	c := config("5")
	if !five {
		c.Version = "3.1.1"
	}
	setting.Default(&c)
	conn := mqtt.Read(&c, &pieces{bytes.Clone(packets), cut})
	var out strings.Builder
	for {
		events, err := conn.Next(t.Context())
		for _, e := range events {
			out.WriteString(e.PartitionKey + " " + string(e.Data) + "|")
		}
		var skip *source.SkipError
		switch {
		case errors.As(err, &skip):
			out.WriteString("skip|")
		case err != nil:
			return out.String() + err.Error()
		}
	}
}

// pieces is a reader that returns a text in pieces.
type pieces struct{ text, cut []byte }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := len(p.text)
	if len(p.cut) > 0 {
		n, p.cut = min(n, int(p.cut[0])+1), append(p.cut[1:], p.cut[0])
	}
	n = copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}
