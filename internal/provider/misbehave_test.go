package provider_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/provider"
)

func TestAcceptThenClose(t *testing.T) {
	p := &provider.AcceptThenClose{}
	bubble(t, p, func(c client) {
		start := time.Now()
		for range 3 {
			got, err := readAll(c.T, c.dial("/"))
			if len(got) != 0 || !errors.Is(err, io.EOF) {
				c.Errorf("got %q, %v", got, err)
			}
		}
		expect(c.T, "time", time.Since(start), 0)
		synctest.Wait()
		expect(c.T, "counts", p.Counts(), provider.Counts{Connections: 3})
	})
}

func TestCloseWithSaysCodeAndReason(t *testing.T) {
	long := strings.Repeat("r", 200)
	for want, p := range map[websocket.CloseError]*provider.CloseWith{
		{Code: 1008, Reason: "subscription refused: bad api key"}: {Code: 1008, Reason: "subscription refused: bad api key"},
		{Code: 1000}:                     {},
		{Code: 4000, Reason: long[:123]}: {Code: 4000, Reason: long},
	} {
		bubble(t, p, func(c client) {
			got, err := readAll(c.T, c.dial("/"))
			var closed websocket.CloseError
			if len(got) != 0 || !errors.As(err, &closed) || closed != want {
				c.Errorf("got %q, %v, want %v", got, err, want)
			}
		})
	}
}

func TestSilentAfterNeitherSendsNorAnswers(t *testing.T) {
	p := &provider.SilentAfter{Messages: 1}
	bubble(t, p, func(c client) {
		conn := c.dial("/")
		expect(c.T, "message", join(read(c.T, conn, 1)), `{"id":1}`)
		time.Sleep(185 * time.Second)
		expect(c.T, "ping is answered", answersPing(c.T, conn), false)
		expect(c.T, "counts", p.Counts(), provider.Counts{Connections: 1, Open: 1, Sent: 1, Pings: 1})
	})
}

func TestHTTPStatusIsAnsweredWithRetryAfter(t *testing.T) {
	p := &provider.HTTPStatus{Code: 429, RetryAfter: 1500 * time.Millisecond, Body: "slow down"}
	bubble(t, p, func(c client) {
		resp := c.refused("/")
		body, _ := io.ReadAll(resp.Body)
		expect(c.T, "status", resp.StatusCode, 429)
		expect(c.T, "Retry-After", resp.Header.Get("Retry-After"), "2")
		expect(c.T, "body", strings.TrimSpace(string(body)), "slow down")
		expect(c.T, "counts", p.Counts(), provider.Counts{Refused: 1})
	})
	bubble(t, &provider.HTTPStatus{}, func(c client) {
		resp := c.refused("/")
		expect(c.T, "status", resp.StatusCode, 503)
		expect(c.T, "Retry-After", len(resp.Header.Values("Retry-After")), 0)
	})
}

func TestOversizeIsOneLargeMessageBetweenSmallOnes(t *testing.T) {
	bubble(t, &provider.Oversize{Size: 300_000}, func(c client) {
		got := read(c.T, c.dial("/"), 3)
		expect(c.T, "first", got[0], `{"id":1}`)
		expect(c.T, "size", len(got[1]), 300_000)
		expect(c.T, "last", got[2], `{"id":3}`)
		wantID(c.T, got[1], 2)
	})
	bubble(t, &provider.Oversize{Size: 300_000}, func(c client) {
		conn := c.dial("/")
		conn.SetReadLimit(1 << 16)
		got, err := readAll(c.T, conn)
		expect(c.T, "messages", join(got), `{"id":1}`)
		if !errors.Is(err, websocket.ErrMessageTooBig) {
			c.Errorf("got %v", err)
		}
	})
}

func TestBombInflates(t *testing.T) {
	p := &provider.Bomb{Size: 4 << 20}
	bubble(t, p, func(c client) {
		conn, _, err := websocket.Dial(c.Context(), "ws://provider/", &websocket.DialOptions{
			HTTPClient: c.Client(), CompressionMode: websocket.CompressionContextTakeover,
		})
		if err != nil {
			c.Fatal(err)
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		got := read(c.T, conn, 3)
		expect(c.T, "inflated size", len(got[1]), 4<<20)
		wantID(c.T, got[1], 2)
		expect(c.T, "last", got[2], `{"id":3}`)
		resp := c.refused("/")
		expect(c.T, "status without compression", resp.StatusCode, http.StatusBadRequest)
	})
}

func wantID(t *testing.T, message string, want int) {
	t.Helper()
	var m struct {
		ID int `json:"id"`
	}
	if err := json.Unmarshal([]byte(message), &m); err != nil || m.ID != want {
		t.Errorf("got id %d, %v; want %d", m.ID, err, want)
	}
}
