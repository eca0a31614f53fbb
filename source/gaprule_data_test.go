package source_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
)

// captured returns the path of a recorded session, or skips the test.
func captured(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("LEAT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	path := filepath.Join(root, "ws-cryptofeed", name+".zst")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatalf("LEAT_TEST_ALL is set, but the recorded data is absent: %v", err)
		}
		t.Skipf("the recorded data is absent; LEAT_DATA names its folder: %v", err)
	}
	return path
}

// What real providers send: counts that are without gaps, though some arrive out of order and some twice; and numbers that are documented to be
// a count and are none.
func TestGapRulesOverRecordedSessions(t *testing.T) {
	e := expression.MustParse
	for _, c := range []struct {
		name     string
		sessions []string
		rule     source.GapRule
		judged   int64
		late     int64
		equal    bool // some are
		jumps    bool // it is no count
	}{
		{"trades of Coinbase", []string{"COINBASE.ws.28.0"}, source.GapRule{Field: e(`type == "match" ? trade_id : nil`), Per: e("product_id")}, 97, 0, false, false},
		{"the sequence of Coinbase", []string{"COINBASE.ws.28.0"}, source.GapRule{Field: e("sequence"), Per: e("product_id")}, 0, 0, true, true},
		{"messages of dYdX", []string{"DYDX.ws.1.0"}, source.GapRule{Field: e("message_id"), Per: e("connection")}, 4733, 10, false, false},
		{"depth of Binance", []string{"BINANCE.ws.1.0"}, source.GapRule{Form: "range", First: e("data.U"), Last: e("data.u"), Per: e("data.s")}, 177, 0, false, false},
		{
			"books of HitBTC over four connections",
			[]string{"HITBTC.ws.1.0", "HITBTC.ws.2.0", "HITBTC.ws.3.0", "HITBTC.ws.4.0"},
			source.GapRule{Field: e(`method in ["snapshotOrderbook", "updateOrderbook"] ? params.sequence : nil`), Per: e("params.symbol")},
			2148, 0, true, false,
		},
	} {
		type message struct {
			session string
			at      time.Time
			data    []byte
		}
		var all []message
		for _, name := range c.sessions {
			s, err := provider.ReadSessionFile(captured(t, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range s.Inbound() {
				all = append(all, message{name, s.Opened.Add(m.At), m.Data})
			}
		}
		slices.SortStableFunc(all, func(a, b message) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.session, b.session)) })
		try := source.NewTrial(source.Settings{GapRule: &c.rule}, nil)
		for _, m := range all {
			if err := try.Observe(m.session, m.data, m.at); err != nil {
				t.Fatal(err)
			}
		}
		r := try.Result()
		t.Logf("%s: %d judged in %d counts, %d equal, %d late (%d events, %v), %d gaps", c.name, r.Judged, r.Counts, r.Equal, r.Late, r.Furthest, r.Longest, len(r.Gaps))
		if (len(r.Gaps) > 0) != c.jumps || r.Late != c.late || (r.Equal > 0) != c.equal || c.judged > 0 && r.Judged != c.judged {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}
