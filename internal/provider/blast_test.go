package provider_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

func TestBlastNumbersItsMessages(t *testing.T) {
	for _, p := range []*provider.Blast{{Count: 5000}, {Count: 3, Size: 46}, {Count: 7, Size: 100_000}, {Count: 2, Size: 1 << 20}, {Count: 3000, Size: 300, Varied: true}} {
		bubble(t, p, func(c client) {
			conn := c.dial("/")
			want := p.Size
			if want == 0 {
				want = 200
			}
			for n := int64(1); n <= p.Count; n++ {
				_, data, err := conn.Read(c.Context())
				if err != nil {
					c.Fatal(err)
				}
				var m struct{ ID, Key, Pad string }
				if err := json.Unmarshal(data, &m); err != nil {
					c.Fatalf("%v: %.100q", err, data)
				}
				expect(c.T, "id", m.ID, provider.BlastID(n))
				expect(c.T, "key", m.Key, fmt.Sprintf("k%02d", n%100))
				expect(c.T, "size", len(data), want)
			}
			expect(c.T, "ping is answered", answersPing(c.T, conn), true)
			expect(c.T, "sent", p.Counts().Sent, p.Count)
		})
	}
	expect(t, "id", provider.BlastID(12345), "0000000000012345")
}

func TestBlastKeepsItsRate(t *testing.T) {
	p := &provider.Blast{Count: 5000, Size: 300, Rate: 1000}
	bubble(t, p, func(c client) {
		conn := c.dial("/")
		begun := time.Now()
		for n := int64(1); n <= p.Count; n++ {
			_, data, err := conn.Read(c.Context())
			if err != nil {
				c.Fatal(err)
			}
			var m struct{ ID, Key, At, Pad string }
			if err := json.Unmarshal(data, &m); err != nil {
				c.Fatalf("%v: %.100q", err, data)
			}
			at, err := strconv.ParseInt(m.At, 10, 64)
			if err != nil {
				c.Fatal(err)
			}
			expect(c.T, "id", m.ID, provider.BlastID(n))
			expect(c.T, "size", len(data), 300)
			sent := time.UnixMicro(at).Sub(begun)
			if due := time.Duration(n) * time.Millisecond; sent < due-time.Millisecond || sent > due+10*time.Millisecond {
				c.Fatalf("message %d was sent after %v", n, sent)
			}
		}
	})
}

func BenchmarkBlast(b *testing.B) {
	server := httptest.NewServer(&provider.Blast{})
	defer server.Close()
	conn := openRaw(b, server.Listener.Addr().String())
	defer conn.Close()
	const frame = 200 + 4
	buf := make([]byte, 64<<10)
	b.SetBytes(frame)
	b.ResetTimer()
	for left := b.N * frame; left > 0; {
		n, err := conn.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
}
