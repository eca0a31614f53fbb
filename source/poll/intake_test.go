package poll_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/poll"
)

// answers gives one body after the other, and the last one for ever.
type answers struct {
	bodies []string
	asked  int
}

func (a *answers) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body := a.bodies[min(a.asked, len(a.bodies)-1)]
	a.asked++
	_, _ = w.Write([]byte(body))
}

func zipped(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return out.String()
}

func step(t *testing.T, name string, option any) decode.Step {
	t.Helper()
	s, err := decode.NewStep(name, option)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// taken opens a source over answers and returns what comes of them: data, reasons of what is left out, and the end.
func taken(t *testing.T, change func(*poll.Config), bodies ...string) (got []string, signs source.Signs) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served, listener := make(chan error, 1), n.Listen("feed:80")
		go func() { served <- provider.Serve(ctx, listener, &answers{bodies: bodies}) }()
		config := poll.Config{Interval: 10 * time.Second}
		config.URL = expression.MustParseTemplate("http://feed/")
		change(&config)
		c, err := (&poll.Source{Config: config, Dial: n.DialContext}).Open(t.Context(), "")
		if err != nil {
			got = append(got, err.Error())
		}
		reading, cancel := context.WithTimeout(t.Context(), time.Minute)
		for err == nil {
			events, failed := c.Next(reading)
			for _, e := range events {
				got = append(got, string(e.Data))
			}
			var skip *source.SkipError
			if errors.As(failed, &skip) {
				got = append(got, skip.Reason)
			} else if err = failed; err != nil && !errors.Is(err, context.DeadlineExceeded) {
				got = append(got, err.Error())
			}
		}
		cancel()
		if c != nil {
			signs = c.(source.Watched).Signs()
			signs.Answer = time.Time{}.Add(time.Since(signs.Answer))
			_ = c.Close()
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
	return got, signs
}

func TestAnswersAreDecodedClassifiedAndSplit(t *testing.T) {
	class := func(when, is string) source.Class {
		return source.Class{When: expression.MustParseCondition(when), Is: is, RetryAfter: expression.MustParse("wait")}
	}
	for name, c := range map[string]struct {
		change func(*poll.Config)
		bodies []string
		want   string
	}{
		"decoded": {
			func(c *poll.Config) {
				c.Intake.Decode = []decode.Step{step(t, "gzip", nil), step(t, "csv", []any{"a", "", "b"})}
			},
			[]string{zipped("1,x,2\n3,x,4\n")},
			`{"a":"1","b":"2"} {"a":"3","b":"4"}`,
		},
		"not decoded": {
			func(c *poll.Config) { c.Intake.Decode = []decode.Step{step(t, "gzip", nil)} },
			[]string{"no gzip", zipped("[1]")},
			`decode 1`,
		},
		"items are classified": {
			func(c *poll.Config) {
				c.Items = expression.MustParsePath("d")
				c.Intake.Classify = []source.Class{class(`type == "canary"`, "control"), class(`type == "skipped"`, "gap")}
			},
			[]string{`{"d":[{"type":"canary"},{"id":1},{"type":"skipped"},{"id":2}]}`},
			`{"id":1} provider {"id":2}`,
		},
		"the answer is classified": {
			func(c *poll.Config) {
				c.Items = expression.MustParsePath("d")
				c.Intake.Classify = []source.Class{class(`busy`, "heartbeat"), class("ok == false", "fatal")}
			},
			[]string{`{"d":[1]}`, `{"busy":true}`, `{"d":[1,2]}`, `{"ok":false}`},
			`1 2 connection ended: fatal "{\"ok\":false}"`,
		},
		"refused at the beginning": {
			func(c *poll.Config) { c.Intake.Classify = []source.Class{class("ok == false", "rate_limited")} },
			[]string{`{"ok":false,"wait":7}`},
			`connection ended: rate_limited "{\"ok\":false,\"wait\":7}"`,
		},
		"split as a whole": {
			func(c *poll.Config) {
				c.Intake.Split = &source.Split{Path: expression.MustParsePath("states[]"), Columns: []string{"icao", "", "at"}}
				if err := c.Intake.Split.Keep.UnmarshalValue([]any{"time"}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{`{"time":9,"states":[["a",1,2],["b",3,4]]}`},
			`{"time":9,"icao":"a","at":2} {"time":9,"icao":"b","at":4}`,
		},
		"items are split": {
			func(c *poll.Config) { c.Intake.Split = &source.Split{Columns: []string{"id"}} },
			[]string{`[[1],[2]]`},
			`{"id":1} {"id":2}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := taken(t, c.change, c.bodies...)
			if strings.Join(got, " ") != c.want {
				t.Errorf("got  %q\nwant %q", strings.Join(got, " "), c.want)
			}
		})
	}
}

func TestAnswersOfNothingAreSignsOfLife(t *testing.T) {
	for _, nothing := range []string{"[]", "", "null", `{"beat":1}`} {
		got, signs := taken(t, func(c *poll.Config) {
			c.Intake.Classify = []source.Class{{When: expression.MustParseCondition("beat == 1"), Is: "heartbeat"}}
		}, "[1]", nothing)
		if ago := signs.Answer.Sub(time.Time{}); len(got) != 1 || ago > 11*time.Second {
			t.Errorf("%s: got %q, the last sign of life was %v ago", nothing, got, ago)
		}
	}
}
