package source

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever connections come and go: a second that no connection delivered is in a gap, one that was delivered is not.
func TestCoverageAgreesWithAnOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const horizon = 200
		base := time.Unix(1_700_000_000, 0)
		at := func(second int) time.Time { return base.Add(time.Duration(second) * time.Second) }
		type connection struct{ start, silent, end int } // delivers in [start, silent], is given up at end
		var conns []connection
		for range rapid.IntRange(1, 8).Draw(rt, "connections") {
			start := rapid.IntRange(0, horizon-2).Draw(rt, "start")
			silent := rapid.IntRange(start, horizon-1).Draw(rt, "silent")
			conns = append(conns, connection{start, silent, rapid.IntRange(silent, horizon).Draw(rt, "end")})
		}
		var c coverage
		spans := make([]*span, len(conns))
		reported := map[int]bool{}
		note := func(gaps []interval) {
			for _, g := range gaps {
				for s := int(g.from.Sub(base)/time.Second) + 1; s < int(g.to.Sub(base)/time.Second); s++ {
					reported[s] = true
				}
			}
		}
		first, last := horizon, 0
		for second := range horizon + 1 {
			for i, conn := range conns {
				switch {
				case second == conn.start:
					spans[i] = c.begin(resuming{})
					spans[i].life(at(second))
				case second > conn.start && second <= conn.silent:
					spans[i].life(at(second))
				}
				if second == conn.end {
					spans[i].live = false
				}
				first, last = min(first, conn.start), max(last, conn.silent)
			}
			note(c.settle())
		}
		for second := first; second < last; second++ {
			delivered := false
			for _, conn := range conns {
				delivered = delivered || conn.start <= second && second <= conn.silent
			}
			if delivered == reported[second] {
				rt.Fatalf("second %d: delivered %v, reported as a gap %v; connections %v", second, delivered, reported[second], conns)
			}
		}
	})
}

func TestBackoffIsBoundedAndJittered(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	begin := now
	b := backoff{limit: 30 * time.Second}
	attempts, longest := 0, time.Duration(0)
	for now.Sub(begin) < time.Hour {
		attempts++
		pause := b.failed(now, judged(&EndError{Kind: EndRead}))
		longest = max(longest, pause)
		now = now.Add(pause)
	}
	if longest > 30*time.Second || attempts > 400 || attempts < 150 {
		t.Errorf("%d attempts in an hour, the longest pause %v", attempts, longest)
	}
	refused := backoff{limit: 30 * time.Second}
	if pause := refused.failed(now, judged(&EndError{Kind: EndHTTP, Code: 403})); pause < time.Minute {
		t.Errorf("after 403: %v", pause)
	}
	asked := backoff{limit: 30 * time.Second}
	if pause := asked.failed(now, judged(&EndError{Kind: EndHTTP, Code: 503, RetryAfter: 5 * time.Minute})); pause != 5*time.Minute {
		t.Errorf("after Retry-After of five minutes: %v", pause)
	}
}

func TestEventTimes(t *testing.T) {
	want := time.Unix(1_700_000_000, 123_000_000).UTC()
	for _, text := range []string{
		"2023-11-14T22:13:20.123Z", "1700000000.123", "1700000000123", "1700000000123000", "1700000000123000000", "2023-11-15T00:13:20.123+02:00",
	} {
		if got := parseTime(text); !got.Equal(want) {
			t.Errorf("%s: got %v, want %v", text, got.UTC(), want)
		}
	}
	// Some of these could be read, and then not be written into a gap record or a mark.
	for _, text := range []string{
		"", "now", "-5", "0", "x1", "1e99", "1.7e400", "9999-12-31T23:59:59-12:00", "0000-01-01T00:00:00+12:00", "0000-12-31T00:00:00Z",
	} {
		if got := parseTime(text); !got.IsZero() {
			t.Errorf("%s: got %v, want none", text, got)
		}
	}
	for _, text := range []string{"2024-01-01T00:00:00+24:00", "9e10", "9223372036854775807", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00.001Z"} {
		got := parseTime(text)
		gap := Gap{From: got, To: got}.record()
		if mark, err := DecodeMark(Mark{Time: got}.Encode()); got.IsZero() || err != nil || !mark.Time.Equal(got) || len(gap.Data) == 0 {
			t.Errorf("%s: %v is stored as %v: %v", text, got, mark.Time, err)
		}
	}
}

func judged(end *EndError) outcome { return new(Manager).outcome(end, &resuming{}, true) }
