package poll_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/poll"
)

// feed is a provider with a window over its last events, the newest first.
type feed struct {
	mu        sync.Mutex
	events    []int
	window    int           // of all pages
	page      int           // events on a page; 0: all
	header    http.Header   // of each answer
	asked     []time.Time   // when
	answered  map[int]int   // status → times
	pages     []string      // queries
	elsewhere string        // where the next page is said to be
	slow      time.Duration // before an answer
}

func (f *feed) add(events ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
}

// count returns how many answers had a status.
func (f *feed) count(status int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered[status]
}

func (f *feed) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// ServeHTTP implements http.Handler.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(f.slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	f.pages = append(f.pages, r.URL.RawQuery)
	for name, values := range f.header {
		w.Header()[name] = values
	}
	etag := fmt.Sprintf(`"%d"`, len(f.events))
	from := 0
	_, _ = fmt.Sscanf(r.URL.Query().Get("from"), "%d", &from)
	if r.Header.Get("If-None-Match") == etag {
		f.answered[304]++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f.answered[200]++
	w.Header().Set("ETag", etag)
	newest := slices.Clone(f.events[max(0, len(f.events)-f.window):])
	slices.Reverse(newest)
	newest = newest[min(from, len(newest)):]
	if f.page > 0 && len(newest) > f.page {
		newest = newest[:f.page]
		next := fmt.Sprintf("/events?from=%d", from+f.page)
		w.Header().Set("Link", fmt.Sprintf(`</first>; rel="first", <%s%s>; title="a, b"; rel="next"`, f.elsewhere, next))
	}
	var out []string
	for _, n := range newest {
		out = append(out, fmt.Sprintf(`{"id":%d}`, n))
	}
	_, _ = w.Write([]byte("[" + strings.Join(out, ",\n") + "]"))
}

func numbers(from, to int) (all []int) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// with serves a feed in a bubble.
func with(t *testing.T, f *feed, do func(t *testing.T, s *poll.Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.answered = map[int]int{}
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served, listener := make(chan error, 1), n.Listen("feed:80")
		go func() { served <- provider.Serve(ctx, listener, f) }()
		c := poll.Config{NewestFirst: true, Interval: 10 * time.Second}
		c.URL = expression.MustParseTemplate("http://feed/events")
		do(t, &poll.Source{Config: c, Dial: n.DialContext})
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}

// during reads for a time: events as their ids, and what was left out by its reason.
func during(t *testing.T, c source.Conn, d time.Duration) (got string, last leat.Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var out []string
	for {
		events, err := c.Next(ctx)
		for _, e := range events {
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(string(e.Data), `{"id":`), "}"))
			last = e.Cursor
		}
		var skip *source.SkipError
		switch {
		case errors.As(err, &skip):
			out = append(out, skip.Reason)
		case errors.Is(err, context.DeadlineExceeded):
			return strings.Join(out, " "), last
		case err != nil:
			return strings.Join(append(out, err.Error()), " "), last
		}
	}
}

func open(t *testing.T, s *poll.Source, after leat.Cursor) source.Conn {
	t.Helper()
	c, err := s.Open(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatWasInAnAnswerBeforeIsLeftOut(t *testing.T) {
	f := &feed{window: 5, events: numbers(1, 7)}
	with(t, f, func(t *testing.T, s *poll.Source) {
		c := open(t, s, "")
		defer c.Close()
		if got, _ := during(t, c, time.Minute-time.Second); got != "3 4 5 6 7" || f.count(304) != 5 {
			t.Errorf("got %q, %d answers of nothing new", got, f.count(304))
		}
		signs := c.(source.Watched).Signs()
		if time.Since(signs.Answer) > 10*time.Second {
			t.Errorf("an answer that is not new is no sign of life: %+v", signs)
		}
		f.add(8, 9)
		if got, _ := during(t, c, time.Minute); got != "8 9" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAnOverrunBecomesAGap(t *testing.T) {
	f := &feed{window: 5, events: numbers(1, 5)}
	with(t, f, func(t *testing.T, s *poll.Source) {
		c := open(t, s, "")
		defer c.Close()
		got, _ := during(t, c, 15*time.Second)
		f.add(numbers(6, 11)...)
		more, _ := during(t, c, 15*time.Second)
		if got != "1 2 3 4 5" || more != "overrun 7 8 9 10 11" {
			t.Errorf("got %q, then %q", got, more)
		}
	})
}

func TestPagesAreAskedForUntilAnEventIsKnown(t *testing.T) {
	f := &feed{window: 100, page: 3, events: numbers(1, 5)}
	with(t, f, func(t *testing.T, s *poll.Source) {
		s.Config.Next, s.Config.MaxPages = "link", 4
		c := open(t, s, "")
		defer c.Close()
		got, _ := during(t, c, 15*time.Second)
		f.add(numbers(6, 13)...)
		more, _ := during(t, c, 15*time.Second)
		f.add(numbers(14, 30)...)
		most, _ := during(t, c, 15*time.Second)
		if got != "3 4 5" || more != "6 7 8 9 10 11 12 13" || most != "overrun 19 20 21 22 23 24 25 26 27 28 29 30" {
			t.Errorf("got %q, %q, %q", got, more, most)
		}
	})
}

func TestAPageOnAnotherHostIsRefused(t *testing.T) {
	f := &feed{window: 100, page: 3, events: numbers(1, 5), elsewhere: "http://other"}
	with(t, f, func(t *testing.T, s *poll.Source) {
		s.Config.Next = "link"
		_, err := s.Open(t.Context(), "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Kind != source.EndProtocol {
			t.Errorf("got %v", err)
		}
	})
}

func TestAConnectionGoesOnWhereTheLastWasLeft(t *testing.T) {
	for _, c := range []struct {
		add       []int
		want      string
		continues bool
	}{
		{nil, "", true},
		{[]int{8, 9}, "8 9", true},
		{numbers(8, 12), "8 9 10 11 12", false},
	} {
		f := &feed{window: 5, events: numbers(1, 7)}
		with(t, f, func(t *testing.T, s *poll.Source) {
			first := open(t, s, "")
			_, cursor := during(t, first, 15*time.Second)
			_ = first.Close()
			f.add(c.add...)
			next := open(t, s, cursor)
			defer next.Close()
			got, _ := during(t, next, 15*time.Second)
			if does, known := next.(source.Continuer).Continues(); got != c.want || does != c.continues || !known {
				t.Errorf("got %q, goes on: %v %v, want %q, %v", got, does, known, c.want, c.continues)
			}
		})
	}
}

func TestTheProviderSaysHowOftenItIsAsked(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 10 * time.Second, "3": 10 * time.Second, "60": time.Minute, "x": 10 * time.Second, "-1": 10 * time.Second} {
		f := &feed{window: 5, events: numbers(1, 7), header: http.Header{"X-Poll-Interval": {value}}, slow: time.Second}
		with(t, f, func(t *testing.T, s *poll.Source) {
			c := open(t, s, "")
			_, _ = during(t, c, 5*time.Minute)
			_ = c.Close()
			asked := f.times()
			for i := range asked[1:] {
				if got := asked[i+1].Sub(asked[i]); got != want {
					t.Errorf("%q: asked again after %v, want %v", value, got, want)
				}
			}
		})
	}
}

func TestAnAnswerThatIsTooLargeIsLeftOut(t *testing.T) {
	f := &feed{window: 1000, events: numbers(1, 3)}
	with(t, f, func(t *testing.T, s *poll.Source) {
		s.Config.MaxAnswer = 1 << 10
		c := open(t, s, "")
		defer c.Close()
		_, _ = during(t, c, 5*time.Second)
		f.add(numbers(4, 500)...)
		if got, _ := during(t, c, time.Minute); got != "too_large" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAnIdentityIsTheEventIDIfThereIsOne(t *testing.T) {
	var mu sync.Mutex
	body := `{"items":[{"id":1,"v":1},{"id":2,"v":1}]}`
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served, listener := make(chan error, 1), n.Listen("feed:80")
		go func() {
			served <- provider.Serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				_, _ = w.Write([]byte(body))
			}))
		}()
		for _, id := range []string{"", "id"} {
			c := poll.Config{Interval: 10 * time.Second, Pages: source.Pages{Items: expression.MustParsePath("items")}}
			c.URL = expression.MustParseTemplate("http://feed/events")
			want := 3
			if id != "" {
				c.EventID, want = expression.MustParse(id), 2
			}
			conn := open(t, &poll.Source{Config: c, Dial: n.DialContext}, "")
			got, _ := during(t, conn, 5*time.Second)
			mu.Lock()
			old := body
			body = `{"items":[{"id":1,"v":1},{"id":2,"v":2}]}`
			mu.Unlock()
			more, _ := during(t, conn, 30*time.Second)
			if len(strings.Fields(got+" "+more)) != want {
				t.Errorf("%q: got %q, then %q", id, got, more)
			}
			_ = conn.Close()
			mu.Lock()
			body = old
			mu.Unlock()
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}

func TestCheck(t *testing.T) {
	for field, change := range map[string]func(*poll.Config){
		"url":   func(c *poll.Config) { c.URL = expression.MustParseTemplate("ws://h/") },
		"items": func(c *poll.Config) { c.Items = expression.MustParsePath("a[].b") },
		"next":  func(c *poll.Config) { c.Next = "a b" },
	} {
		var c poll.Config
		c.URL = expression.MustParseTemplate("http://h/")
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		change(&c)
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// What follows the cursor of an event are none of those that share it: they are handed out together, or not at all.
func TestEventsThatShareACursorAreHandedOutTogether(t *testing.T) {
	const all = 20_000 // more than are read ahead
	f := &feed{window: all, events: numbers(1, all)}
	with(t, f, func(t *testing.T, s *poll.Source) {
		s.Config.URL = expression.MustParseTemplate("http://feed/events?since={{cursor}}")
		s.Config.Cursor = expression.MustParse(`id > 0 ? "t" : ""`)
		c := open(t, s, "")
		first, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(first) == all {
			t.Error("all is read ahead")
		}
		_ = c.Close()
		got, last := during(t, c, time.Minute)
		if n := len(first) + len(strings.Fields(got)); n < all || last != "t" {
			t.Errorf("%d events are handed out, up to %q", n, last)
		}
	})
}
