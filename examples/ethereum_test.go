package examples_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// block is a block of a chain in which each seventeenth was first another one.
func block(n int64, fork bool, at time.Time) string {
	hash := func(n int64) string { return fmt.Sprintf("0x%064x", n) }
	own := hash(n)
	if fork {
		own = hash(1<<32 + n)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x9ce59a13059e417087c02d3236a0b1cc","result":{"number":"0x%x","hash":%q,"parentHash":%q,"timestamp":"0x%x","gasUsed":"0x5208","gasLimit":"0x1c9c380","miner":"0x0"}}}`,
		n, own, hash(n-1), at.Unix())
}

func ethereum() *exchange {
	x := &exchange{symbols: []string{"head", "head again"}, every: 12 * time.Second, deadline: time.Minute}
	x.trade = func(symbol string, n int64, at time.Time) string {
		return block(n, symbol == "head" && n%17 == 0, at)
	}
	x.subscribed = func(text string, _ int64) []string {
		if !strings.Contains(text, `"eth_subscribe"`) || !strings.Contains(text, `"newHeads"`) {
			return nil
		}
		return []string{`{"jsonrpc":"2.0","id":1,"result":"0x9ce59a13059e417087c02d3236a0b1cc"}`}
	}
	return x
}

func TestEthereumFindsABlockThatDidNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := ethereum()
		w := newWorld(t, "ethereum", nil, map[string]http.Handler{"ethereum-rpc.publicnode.com:80": x})
		x.begin()
		time.Sleep(time.Second)
		w.run()
		for range 4 {
			time.Sleep(7 * time.Minute)
			x.cut()
		}
		time.Sleep(time.Minute)
		last := x.last(time.Now())
		w.leave()
		if blocks, heads := w.number("SELECT count(*) FROM blocks"), int(last+last/17); blocks != heads || len(w.gaps()) > 0 {
			t.Errorf("%d blocks, want %d; gaps %+v", blocks, heads, w.gaps())
		}
		if n := w.number("SELECT max(number) FROM blocks WHERE gas_used = 21000"); n != int(last) {
			t.Errorf("the last block is %d, want %d", n, last)
		}
		for _, r := range w.records() {
			if r.Time.Year() != 2000 {
				t.Fatalf("an event of %s", r.Time)
			}
		}
		time.Sleep(time.Minute)
		next := x.last(time.Now()) + 1
		w.run()
		time.Sleep(time.Minute)
		w.leave()
		found := false
		for _, g := range w.gaps() {
			found = found || g.How == "sequence" && strings.Contains(g.Reason, fmt.Sprintf("0x%064x", next-1))
		}
		if !found {
			t.Errorf("block %d is missing, gaps %+v", next-1, w.gaps())
		}
	})
}
