package source_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source"
)

func lesson(when, key, value string) source.Lesson {
	return source.Lesson{When: expression.MustParseCondition(when), Key: expression.MustParse(key), Value: expression.MustParse(value)}
}

// take returns what becomes of messages, one a line.
func take(t *testing.T, taking *source.Intaking, messages ...string) (list []string) {
	t.Helper()
	for _, m := range messages {
		taken, err := taking.Take([]byte(m))
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		list = append(list, texts(taken.Events)...)
	}
	return list
}

// Kraken v1 names a channel once, and eth_subscribe answers with an id.
func TestEventsGetLabelsFromMessagesBeforeThem(t *testing.T) {
	for name, c := range map[string]struct {
		in       source.Intake
		messages []string
		want     []string
	}{
		"numbers of channels": {
			source.Intake{
				Classify: []source.Class{class(`event != nil`, "ack")},
				Split:    &source.Split{Path: expression.MustParsePath("trades[]"), Columns: []string{"price", "volume"}},
				Labels:   &source.Labels{Learn: []source.Lesson{lesson(`event == "subscriptionStatus"`, "channelID", "pair")}, Of: expression.MustParse("channel"), As: "pair"},
			},
			[]string{
				`{"channel":336,"trades":[["1","2"]]}`, `{"event":"subscriptionStatus","channelID":336,"pair":"XBT/USD"}`, `{"event":"subscriptionStatus","channelID":337}`,
				`{"channel":336,"trades":[["3","4"],["5","6"]]}`, `{"channel":337,"trades":[["7","8"]]}`, `{"event":"subscriptionStatus","channelID":336,"pair":"ETH/USD"}`, `{"channel":336,"trades":[["9","0"]]}`,
			},
			[]string{
				`{"price":"1","volume":"2"}`, `{"pair":"XBT/USD","price":"3","volume":"4"}`, `{"pair":"XBT/USD","price":"5","volume":"6"}`,
				`{"price":"7","volume":"8"}`, `{"pair":"ETH/USD","price":"9","volume":"0"}`,
			},
		},
		"ids of subscriptions": {
			source.Intake{
				Classify: []source.Class{class(`id != nil`, "ack")},
				Labels:   &source.Labels{Learn: []source.Lesson{lesson(`id != nil and result != nil`, "result", `{n: id, of: ["heads","logs"][id - 1]}`)}, Of: expression.MustParse("params.subscription"), As: "label"},
			},
			[]string{`{"id":2,"result":"0xb"}`, `{"params":{"subscription":"0xb","result":7}}`, `{"params":{"subscription":"0xb"},"label":"mine"}`, `{"params":{"subscription":"0xc"}}`},
			[]string{`{"label":{"n":2,"of":"logs"},"params":{"subscription":"0xb","result":7}}`, `{"params":{"subscription":"0xb"},"label":"mine"}`, `{"params":{"subscription":"0xc"}}`},
		},
		"events that are no objects": {
			source.Intake{Labels: &source.Labels{Learn: []source.Lesson{lesson(`name != nil`, "of", "name")}, Of: expression.MustParse("msg[0]"), As: "name"}},
			[]string{`{"of":"a","name":"x"}`, ` ["a", 1] `, `["a"`, `{}`},
			[]string{`{"of":"a","name":"x"}`, `{"name":"x","value":["a", 1]}`, `["a"`, `{}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := take(t, start(t, &c.in), c.messages...); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestLabelsAreBounded(t *testing.T) {
	in := source.Intake{
		Classify: []source.Class{class(`name != nil`, "ack")},
		Labels:   &source.Labels{Learn: []source.Lesson{lesson(`name != nil`, "of", "name")}, Of: expression.MustParse("id"), As: "name"},
	}
	taking := start(t, &in)
	for i := range 5000 {
		take(t, taking, fmt.Sprintf(`{"of":%d,"name":"x"}`, i), fmt.Sprintf(`{"of":"%d%s","name":"x"}`, i, strings.Repeat("0", 300)))
	}
	got := take(t, taking, `{"id":903}`, `{"id":904}`, `{"id":4999}`, `{"id":"1`+strings.Repeat("0", 300)+`"}`)
	if len(got) != 4 || got[0] != `{"id":903}` || got[1] != `{"name":"x","id":904}` || got[2] != `{"name":"x","id":4999}` || strings.Contains(got[3], "name") {
		t.Errorf("got %q", got)
	}
}
