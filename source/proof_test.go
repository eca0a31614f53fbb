package source_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// Where one count has every event, numbers that go on behind a time without a connection prove that nothing was sent in it.
func TestNumbersProveThatNothingIsMissing(t *testing.T) {
	for _, c := range []struct {
		name          string
		rule          source.GapRule
		before, after string
		want          string // how of the gap records
	}{
		{"they go on", source.GapRule{}, `1 2`, `3 4`, ""},
		{"one is missing", source.GapRule{}, `1 2`, `4 5`, "no_connection sequence"},
		{"one is late", source.GapRule{}, `1 2`, `4 3`, "no_connection no_connection/"},
		{"some have none", source.GapRule{}, `1 x 2`, `3 4`, "no_connection"},
		{"there may be other counts", source.GapRule{Per: expression.MustParse("per")}, `1 2`, `3 4`, "no_connection"},
		{"they begin anew", source.GapRule{Reset: expression.MustParse("seq == 1")}, `1 2`, `1 2`, "no_connection"},
		{"they are counted", source.GapRule{Form: "counter", Last: expression.MustParse("last")}, `1 2`, `3 4`, "no_connection"},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			messages := func(text string) (all []string) {
				for seq := range strings.FieldsSeq(text) {
					all = append(all, strings.Replace(`{"seq":N,"per":"a"}`, "N", strings.Replace(seq, "x", "null", 1), 1))
				}
				return all
			}
			up := false
			feed := &answering{open: func(n int, _ leat.Cursor) ([]string, error) {
				switch {
				case n == 1:
					return messages(c.before), nil
				case time.Since(begun) < time.Minute:
					return nil, errors.New("away")
				case up:
					return []string{"stay"}, nil
				}
				up = true
				return append(messages(c.after), "stay"), nil
			}}
			rule := c.rule
			if rule.Form == "" {
				rule.Field = expression.MustParse("seq")
			}
			e := newMemory()
			drive(t, e, feed, source.Settings{GapRule: &rule, Stall: setting.Off}, 5*time.Minute)
			var got []string
			y := year{t: t, engine: e}
			for _, g := range y.gaps() {
				how := g.How
				if !g.RepairedAt.IsZero() {
					how += "/"
				}
				got = append(got, how)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: told %q, want %q", c.name, got, c.want)
			}
		})
	}
}

// quiet sends an event at once over its first connection, which it cuts, and one later over the next.
type quiet struct {
	mu    sync.Mutex
	conns int
}

func (q *quiet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	q.conns++
	first := q.conns == 1
	q.mu.Unlock()
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	if first {
		_ = c.Write(ctx, ws.MessageText, []byte(`{"id":1}`))
		sleepUntil(ctx, time.Now().Add(20*time.Second))
		return
	}
	if sleepUntil(ctx, time.Now().Add(3*time.Minute)) {
		_ = c.Write(ctx, ws.MessageText, []byte(`{"id":2}`))
	}
	sleepUntil(ctx, time.Now().Add(time.Hour))
}

// Where a pong is the first sign of life, the gap is told, and taken back when the next number comes.
func TestAGapIsTakenBackWhenTheNumbersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &quiet{})
		r.run(func(s *source.Settings, _ *websocket.Config) {
			s.Stall, s.GapRule = setting.Off, &source.GapRule{Field: expression.MustParse("id")}
		})
		time.Sleep(2 * time.Minute)
		if gaps := r.gaps(); len(gaps) != 1 {
			t.Errorf("gaps %+v", gaps)
		}
		time.Sleep(3 * time.Minute)
		r.leave()
		judged := source.Judge("feed", r.gaps(), time.Time{}, time.Now())
		if gaps := r.gaps(); len(gaps) != 2 || gaps[1].RepairedAt.IsZero() || !judged.Complete() {
			t.Errorf("gaps %+v", gaps)
		}
	})
}
