package examples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const stamp = "2006-01-02T15:04:05.000000Z"

// coinbase is Coinbase Exchange: it wants to be subscribed to within 5 s, tells the last trade, and sends a heartbeat each second.
func coinbase() *exchange {
	trade := func(kind, symbol string, n int64, at time.Time) string {
		return fmt.Sprintf(`{"type":%q,"trade_id":%d,"sequence":%d,"product_id":%q,"size":"0.1","price":"%d.5","side":"sell","time":%q}`,
			kind, n, 100+3*n, symbol, 100+n%10, at.UTC().Format(stamp))
	}
	x := &exchange{
		symbols: []string{"BTC-USD", "ETH-USD"}, every: 10 * time.Second, deadline: 5 * time.Second, beat: time.Second,
		trade: func(symbol string, n int64, at time.Time) string { return trade("match", symbol, n, at) },
		heartbeat: func(symbol string, last int64, at time.Time) string {
			return fmt.Sprintf(`{"type":"heartbeat","sequence":%d,"last_trade_id":%d,"product_id":%q,"time":%q}`, 101+3*last, last, symbol, at.UTC().Format(stamp))
		},
	}
	x.subscribed = func(text string, last int64) []string {
		var want struct {
			Type     string
			Products []string `json:"product_ids"`
			Channels []string
		}
		if json.Unmarshal([]byte(text), &want) != nil || want.Type != "subscribe" || len(want.Products) != 2 || len(want.Channels) != 2 {
			return nil
		}
		answers := []string{`{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD","ETH-USD"]}]}`}
		for _, symbol := range x.symbols {
			answers = append(answers, trade("last_match", symbol, last, x.due(last)))
		}
		return answers
	}
	return x
}

// kraken is Kraken v2: a connection begins with the last 50 trades of each symbol.
func kraken() *exchange {
	one := func(symbol string, n int64, at time.Time) string {
		return fmt.Sprintf(`{"symbol":%q,"side":"buy","price":%d.5,"qty":0.1,"ord_type":"limit","trade_id":%d,"timestamp":%q}`, symbol, 100+n%10, n, at.UTC().Format(stamp))
	}
	x := &exchange{
		symbols: []string{"BTC/USD", "ETH/USD"}, every: 10 * time.Second, deadline: time.Minute, beat: time.Second,
		trade: func(symbol string, n int64, at time.Time) string {
			return `{"channel":"trade","type":"update","data":[` + one(symbol, n, at) + `]}`
		},
		heartbeat: func(string, int64, time.Time) string { return `{"channel":"heartbeat"}` },
	}
	x.subscribed = func(text string, last int64) []string {
		if !strings.Contains(text, `"snapshot":true`) {
			return nil
		}
		answers := []string{`{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2","connection_id":1}]}`}
		for _, symbol := range x.symbols {
			answers = append(answers, `{"method":"subscribe","success":true,"result":{"channel":"trade","snapshot":true,"symbol":"`+symbol+`"}}`)
			var trades []string
			for n := max(1, last-49); n <= last; n++ {
				trades = append(trades, one(symbol, n, x.due(n)))
			}
			answers = append(answers, `{"channel":"trade","type":"snapshot","data":[`+strings.Join(trades, ",")+`]}`)
		}
		return answers
	}
	return x
}

// binance is Binance: nothing need be said, it pings every 20 s, and cuts each connection after 24 hours.
func binance() *exchange {
	return &exchange{
		symbols: []string{"BTCUSDT"}, every: 25 * time.Second, lifetime: 24 * time.Hour, ping: 20 * time.Second,
		trade: func(symbol string, n int64, at time.Time) string {
			return fmt.Sprintf(`{"stream":"%s@aggTrade","data":{"e":"aggTrade","E":%d,"s":%q,"a":%d,"p":"100.5","q":"0.1","f":1,"l":2,"T":%d,"m":true,"M":true}}`,
				strings.ToLower(symbol), at.UnixMilli(), symbol, n, at.UnixMilli())
		},
	}
}

// Two connections, of which one loses one trade in seven, and which break off one after the other, bring every trade once, and nothing is told
// to be missing.
func TestExchangesOverTwoConnectionsLoseNothing(t *testing.T) {
	for _, c := range []struct {
		name, host string
		make       func() *exchange
		days       int
		table      string
	}{
		{"coinbase", "ws-feed.exchange.coinbase.com:80", coinbase, 0, "product || trade_id"},
		{"kraken", "ws.kraken.com:80", kraken, 0, "symbol || trade_id"},
		{"binance", "stream.binance.com:9443", binance, 1, "symbol || agg_id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := c.make()
				w := newWorld(t, c.name, nil, map[string]http.Handler{c.host: x})
				x.begin()
				time.Sleep(10*x.every + time.Second)
				first := x.last(time.Now())
				if c.name == "binance" {
					first++ // nothing of the past is sent
				}
				if c.name == "kraken" {
					first = 1
				}
				w.run()
				time.Sleep(time.Minute)
				for range 6 {
					time.Sleep(7 * time.Minute)
					x.cut()
				}
				if c.name == "binance" {
					x.tell(`{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}`)
				}
				time.Sleep(time.Duration(c.days)*24*time.Hour + time.Minute)
				last := x.last(time.Now())
				time.Sleep(time.Second)
				w.leave()
				want := int(last-first+1) * len(x.symbols)
				if rows, distinct := w.number("SELECT count(*) FROM trades"), w.number("SELECT count(DISTINCT "+c.table+") FROM trades"); rows != want || distinct != want {
					t.Errorf("%d rows, %d distinct, want %d", rows, distinct, want)
				}
				if gaps := w.gaps(); len(gaps) > 0 {
					t.Errorf("gaps %+v", gaps)
				}
				t.Logf("%d trades over %d connections, ends %v", want, x.opened, w.status().Ends)
				if x.most > 4 {
					t.Errorf("%d connections at a time", x.most)
				}
			})
		})
	}
}

// After a stop Coinbase has nothing of the past: what is missing is told by its numbers. Kraken begins with the last 50 trades, and heals it.
func TestExchangesAfterAStop(t *testing.T) {
	for _, c := range []struct {
		name, host string
		make       func() *exchange
		stop       time.Duration
		missing    int64 // of each symbol
	}{
		{"coinbase", "ws-feed.exchange.coinbase.com:80", coinbase, 5 * time.Minute, 29},
		{"kraken", "ws.kraken.com:80", kraken, 5 * time.Minute, 0},
		{"kraken", "ws.kraken.com:80", kraken, 15 * time.Minute, 40},
	} {
		t.Run(fmt.Sprint(c.name, " ", c.stop), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := c.make()
				w := newWorld(t, c.name, nil, map[string]http.Handler{c.host: x})
				x.begin()
				time.Sleep(10*x.every + time.Second)
				w.run()
				time.Sleep(5 * time.Minute)
				w.leave()
				time.Sleep(c.stop)
				w.run()
				time.Sleep(5 * time.Minute)
				w.leave()
				lost := map[string]int64{}
				for _, g := range w.gaps() {
					if g.How == "sequence" {
						lost[g.Key] += g.Lost
					}
					t.Logf("%s %s %d", g.How, g.Reason, g.Lost)
				}
				for _, symbol := range x.symbols {
					if lost[symbol] != c.missing {
						t.Errorf("%d of %s are told missing, want %d", lost[symbol], symbol, c.missing)
					}
				}
				stored := w.number("SELECT count(*) FROM trades")
				from := x.last(x.started) + 10
				if c.name == "kraken" {
					from = 1
				}
				if want := int(x.last(time.Now())-from+1-c.missing) * len(x.symbols); stored != want {
					t.Errorf("%d rows, want %d", stored, want)
				}
			})
		})
	}
}

// archive is the history of an exchange over HTTP: with after the trades before that, the newest first; with fromId those from that one on.
func (x *exchange) archive(one func(n int64, at time.Time) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := func(name string) int64 {
			n, _ := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
			return n
		}
		limit := min(max(number("limit"), 1), 1000)
		var list []string
		if after := number("after"); after > 0 {
			for n := min(after-1, x.last(time.Now())); n > 0 && int64(len(list)) < limit; n-- {
				list = append(list, one(n, x.due(n)))
			}
		} else {
			for n := number("fromId"); n <= x.last(time.Now()) && int64(len(list)) < limit; n++ {
				list = append(list, one(n, x.due(n)))
			}
		}
		_, _ = w.Write([]byte("[" + strings.Join(list, ",") + "]"))
	})
}

// What is missing after a stop is asked for by its numbers, and comes to be there once.
func TestExchangesHealAStopFromTheirHistory(t *testing.T) {
	for _, c := range []struct {
		name, host, history string
		make                func() *exchange
		one                 func(n int64, at time.Time) string
		stop                time.Duration
	}{
		{"coinbase", "ws-feed.exchange.coinbase.com:80", "api.exchange.coinbase.com:80", coinbase, func(n int64, at time.Time) string {
			return fmt.Sprintf(`{"trade_id":%d,"side":"sell","size":"0.1","price":"%d.5","time":%q}`, n, 100+n%10, at.UTC().Format(stamp))
		}, 2 * time.Hour},
		{"binance", "stream.binance.com:9443", "api.binance.com:80", binance, func(n int64, at time.Time) string {
			return fmt.Sprintf(`{"a":%d,"p":"100.5","q":"0.1","f":1,"l":2,"T":%d,"m":true,"M":true}`, n, at.UnixMilli())
		}, 20 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := c.make()
				w := newWorld(t, c.name, nil, map[string]http.Handler{c.host: x, c.history: x.archive(c.one)})
				x.begin()
				time.Sleep(10*x.every + time.Second)
				w.run()
				time.Sleep(5 * time.Minute)
				w.leave()
				time.Sleep(c.stop)
				w.run()
				time.Sleep(10 * time.Minute)
				s := w.status()
				last := x.last(time.Now())
				w.leave()
				from := int64(10)
				if c.name == "binance" {
					from++
				}
				want := int(last-from+1) * len(x.symbols)
				if rows := w.number("SELECT count(*) FROM trades WHERE price > 0"); rows != want {
					t.Errorf("%d rows, want %d", rows, want)
				}
				missing, repaired := int64(0), int64(0)
				for _, g := range w.gaps() {
					switch {
					case g.How != "sequence":
					case g.RepairedAt.IsZero():
						missing += g.Lost
					default:
						repaired += g.Lost
					}
				}
				if missing == 0 || missing != repaired || s.Backfilled != missing {
					t.Errorf("%d missing, %d repaired, %d asked for: %+v", missing, repaired, s.Backfilled, w.gaps())
				}
				t.Logf("%d trades, %d of them asked for afterwards", want, s.Backfilled)
			})
		})
	}
}
