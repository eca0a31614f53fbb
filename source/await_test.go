package source

import (
	"testing"
	"time"

	"github.com/leatstream/leat/internal/expression"
)

// What is missing and not told yet is known from what is stored, and the statement ends before it.
func TestWhatIsWaitedForIsNotJudged(t *testing.T) {
	rule := ruleOf("next")
	rule.Field = expression.MustParse("id")
	tr := newTracker(rule)
	now := ruleBase
	for _, text := range []string{`{"id":1}`, `{"id":2}`, `{"id":5}`, `{"id":6}`} {
		m := expression.NewMessage([]byte(text))
		o := rule.look(&m, "")
		now = now.Add(time.Second)
		tr.observe(&o, now)
	}
	c := Judge("trades", nil, ruleBase, now)
	if err := c.Await(tr.changes("trades")); err != nil {
		t.Fatal(err)
	}
	if !c.Complete() || c.WaitingEvents != 2 || len(c.Waiting) != 1 || c.Waiting[0].First != "3" || c.Waiting[0].Last != "4" || !c.To.Equal(ruleBase.Add(2*time.Second)) {
		t.Errorf("judged %+v", c)
	}
	tr.tick(now.Add(time.Hour))
	tr.take()
	tr.dirty[bucketOf("")] = true
	if c = Judge("trades", nil, ruleBase, now); c.Await(tr.changes("trades")) != nil || c.WaitingEvents != 0 || !c.To.Equal(now) {
		t.Errorf("judged %+v", c)
	}
	damaged := tr.changes("trades")
	tr.dirty[bucketOf("")] = true
	damaged = append(damaged, tr.changes("trades")...)
	damaged[0].Value = damaged[0].Value[:2]
	if c.Await(damaged) == nil {
		t.Error("damage is not told")
	}
}
