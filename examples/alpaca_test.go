package examples_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"
)

// alpaca is the market data of Alpaca: a dialogue before anything is sent, lists of trades, one connection for an account, and a history that is 15 minutes behind.
type alpaca struct {
	every time.Duration
	began time.Time

	mu      sync.Mutex
	open    int
	refused int // 406
	early   int // the history was asked for what it must not tell yet
	pages   int
}

func (a *alpaca) due(n int) time.Time { return a.began.Add(time.Duration(n) * a.every) }

func (a *alpaca) last() int { return int(time.Since(a.began) / a.every) }

func (a *alpaca) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/v2/stocks/") {
		a.history(w, r)
		return
	}
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	say := func(text string) bool { return c.Write(r.Context(), ws.MessageText, []byte(text)) == nil }
	hear := func() string {
		_, text, _ := c.Read(r.Context())
		return string(text)
	}
	a.mu.Lock()
	a.open++
	busy := a.open > 1
	if busy {
		a.refused++
	}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.open--
		a.mu.Unlock()
	}()
	say(`[{"T":"success","msg":"connected"}]`)
	switch auth := hear(); {
	case !strings.Contains(auth, `"key":"us"`) || !strings.Contains(auth, `"secret":"secret"`):
		say(`[{"T":"error","code":402,"msg":"auth failed"}]`)
		return
	case busy:
		say(`[{"T":"error","code":406,"msg":"connection limit exceeded"}]`)
		return
	}
	say(`[{"T":"success","msg":"authenticated"}]`)
	if hear() != `{"action":"subscribe","trades":["AAPL"]}` {
		return
	}
	say(`[{"T":"subscription","trades":["AAPL"],"quotes":[],"bars":[]}]`)
	ctx := c.CloseRead(r.Context())
	for next := a.last() + 1; ; next += 2 {
		if !sleepUntil(ctx, a.due(next+1)) || !say("["+a.trade(next, `"T":"t","S":"AAPL",`)+","+a.trade(next+1, `"T":"t","S":"AAPL",`)+"]") {
			return
		}
	}
}

func (a *alpaca) trade(n int, more string) string {
	return fmt.Sprintf(`{%s"i":%d,"x":"V","p":126.5,"s":1,"t":%q,"c":["@"],"z":"C"}`, more, n, a.due(n).UTC().Format(time.RFC3339Nano))
}

func (a *alpaca) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, err := time.Parse(time.RFC3339, q.Get("start"))
	to, err2 := time.Parse(time.RFC3339, q.Get("end"))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages++
	if r.Header.Get("APCA-API-KEY-ID") != "us" || r.Header.Get("APCA-API-SECRET-KEY") != "secret" || r.URL.Path != "/v2/stocks/AAPL/trades" || err != nil || err2 != nil {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	if time.Since(to) < 15*time.Minute {
		a.early++
		http.Error(w, `{"message":"subscription does not permit querying recent SIP data"}`, http.StatusForbidden)
		return
	}
	first, _ := strconv.Atoi(q.Get("page_token"))
	var list []string
	next := "null"
	for n := max(1, first); !a.due(n).After(to); n++ {
		if a.due(n).Before(from) {
			continue
		}
		if len(list) == 100 {
			next = fmt.Sprintf("%q", strconv.Itoa(n))
			break
		}
		list = append(list, a.trade(n, ""))
	}
	_, _ = fmt.Fprintf(w, `{"trades":[%s],"symbol":"AAPL","next_page_token":%s}`, strings.Join(list, ","), next)
}

func TestAlpacaIsHealedFromItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &alpaca{every: 10 * time.Second, began: time.Now().Add(-time.Hour)}
		w := newWorld(t, "alpaca", variables["alpaca"], map[string]http.Handler{"stream.data.alpaca.markets:80": a, "data.alpaca.markets:80": a})
		first := a.last() + 1
		w.run()
		time.Sleep(10*time.Minute + time.Second)
		w.leave()
		time.Sleep(time.Hour)
		w.run()
		time.Sleep(time.Hour)
		last := a.last()
		time.Sleep(a.every)
		w.leave()
		rows, distinct := w.number("SELECT count(*) FROM trades WHERE symbol = 'AAPL'"), w.number("SELECT count(DISTINCT id) FROM trades")
		if want := last - first + 1; rows < want || rows > want+1 || rows != distinct || a.early > 0 || a.refused > 0 {
			t.Errorf("%d trades, %d distinct, want %d; %d too early, %d turned away", rows, distinct, want, a.early, a.refused)
		}
		open := 0
		for _, g := range w.gaps() {
			if open++; !g.RepairedAt.IsZero() {
				open -= 2
			}
		}
		if open != 0 || a.pages < 4 {
			t.Errorf("%d pages, gaps %+v", a.pages, w.gaps())
		}
	})
}

// An old connection that is not gone yet is waited for.
func TestAlpacaThatHasAConnectionAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &alpaca{every: 10 * time.Second, began: time.Now(), open: 1}
		w := newWorld(t, "alpaca", variables["alpaca"], map[string]http.Handler{"stream.data.alpaca.markets:80": a, "data.alpaca.markets:80": a})
		w.run()
		time.Sleep(5 * time.Minute)
		a.mu.Lock()
		a.open--
		a.mu.Unlock()
		time.Sleep(5 * time.Minute)
		w.leave()
		if rows := w.number("SELECT count(*) FROM trades"); a.refused < 2 || a.refused > 6 || rows < 12 {
			t.Errorf("turned away %d times, %d trades", a.refused, rows)
		}
	})
}
