package source

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leatstream/leat"
)

// Whenever attempts are asked for, and however often the process is started anew, no window has more of them than it may.
func TestAttemptsNeverExceedTheirBound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := Attempts{Count: rapid.IntRange(1, 6).Draw(rt, "count"), Per: time.Duration(rapid.IntRange(1, 300).Draw(rt, "per")) * time.Second}
		l := ledger{limit: limit}
		now := time.UnixMilli(1_700_000_000_000)
		var made []time.Time
		for range rapid.IntRange(1, 40).Draw(rt, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "pause")) * time.Millisecond)
			at := l.take(now)
			if at.Before(now) || at.Sub(now) > time.Duration(1+len(made))*2*limit.Per {
				rt.Fatalf("asked for at %v, granted at %v", now, at)
			}
			if made = append(made, at); rapid.Bool().Draw(rt, "wait") {
				now = at
			}
			text, err := json.Marshal(l.tried)
			l = ledger{limit: limit}
			if err != nil || json.Unmarshal(text, &l.tried) != nil {
				rt.Fatal("the attempts are not stored")
			}
			if len(l.tried) > 3*triedParts+len(made) {
				rt.Fatalf("%d entries", len(l.tried))
			}
		}
		for i := range made {
			n := 0
			for _, other := range made {
				if !other.Before(made[i]) && other.Sub(made[i]) < limit.Per {
					n++
				}
			}
			if n > limit.Count {
				rt.Fatalf("%d attempts in %v from %v on, of at most %d", n, limit.Per, made[i], limit.Count)
			}
		}
	})
}

func TestCursorsAreCompared(t *testing.T) {
	for _, c := range []struct {
		a, b leat.Cursor
		want int
	}{
		{"9", "10", -1},
		{"10", "9", 1},
		{"7", "7", 0},
		{"9007199254740993", "9007199254740992", 1},
		{"340282366920938463463374607431768211456", "9", 1},
		{"1.5", "1.25", 1},
		{"2026-11-25T12:00:00Z", "2026-11-25T12:30:00+01:00", 1},
		{"abc", "abd", -1},
		{"", "1", -1},
		{"1e999999999", "1", 0 /* no number */},
	} {
		got := compareCursors(c.a, c.b)
		if c.want != 0 && got != c.want || c.a == c.b && got != 0 {
			t.Errorf("%s and %s: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestOverlapsLieBefore(t *testing.T) {
	for _, c := range []struct {
		overlap      string
		cursor, want leat.Cursor
	}{
		{"100", "1234", "1134"},
		{"100", "50", "0"},
		{"100", "abc", "abc"},
		{"0", "7", "7"},
		{"5s", "1700000000", "1699999995"},
		{"5s", "1700000000123", "1699999995123"},
		{"5s", "1700000000123456", "1699999995123456"},
		{"5s", "1700000000123456789", "1699999995123456789"},
		{"1ms", "1700000000", "1699999999"},
		{"5s", "1234", "1234"},
		{"5s", "2026-11-25T12:00:00Z", "2026-11-25T11:59:55Z"},
		{"5s", "opaque", "opaque"},
	} {
		var o Overlap
		if err := o.UnmarshalText([]byte(c.overlap)); err != nil {
			t.Fatal(err)
		}
		if got := o.before(c.cursor); got != c.want {
			t.Errorf("%s before %s: got %s, want %s", c.overlap, c.cursor, got, c.want)
		}
		if text, err := o.MarshalText(); err != nil || string(text) != c.overlap {
			t.Errorf("%s: %s, %v", c.overlap, text, err)
		}
	}
	for _, wrong := range []string{"", "x", "-1", "-5s"} {
		if new(Overlap).UnmarshalText([]byte(wrong)) == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
