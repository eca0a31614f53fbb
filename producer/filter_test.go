package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

func finals(t *testing.T, notJSON string) func(*producer.Producer) {
	t.Helper()
	f, err := filter.Parse(`{"data":{"event":["final"]}}`)
	if err != nil {
		t.Fatal(err)
	}
	return func(p *producer.Producer) { p.Filtering = producer.Filtering{Filter: f, NotJSON: notJSON} }
}

// loaded returns the stored mark.
func loaded(t *testing.T, e stream.Engine) []byte {
	t.Helper()
	m, err := e.Load(t.Context(), producer.MarkKey("feed"))
	if err != nil {
		t.Fatal(err)
	}
	return m.Value
}

func TestEventsThatTheFilterDropsMoveTheMark(t *testing.T) {
	e := engine(t, 1)
	p := begin(t, e, finals(t, ""))
	known := 0
	put(t, p, source.Delivery{
		Events:  []leat.Event{{ID: "1", Data: []byte(`{"event":"update"}`)}, {ID: "2", Data: []byte(`{"event":"final"}`)}, {ID: "3", Data: []byte(`{}`)}, {ID: "4", Data: []byte(`no JSON`)}},
		Move:    to("4"),
		Dropped: func(int) { known++ },
	})
	if got := stored(t, e); got != `{"event":"final"} no JSON` {
		t.Errorf("stored %s", got)
	}
	only := leat.Event{ID: "5", Data: []byte(`{"event":"update"}`)}
	gap := stream.Put{Stream: "gaps", Events: []leat.Event{{PartitionKey: "feed", Data: []byte("gap")}}}
	streamtest.Create(t, e, "gaps", 1)
	put(t, p, source.Delivery{Events: []leat.Event{only}, Move: to("5", gap), Dropped: func(int) { known++ }})
	mark, err := source.DecodeMark(loaded(t, e))
	if err != nil || mark.Cursor != "5" || len(streamtest.ReadStream(t, e, "gaps")) != 1 {
		t.Errorf("the mark is %+v, %v; gaps %d", mark, err, len(streamtest.ReadStream(t, e, "gaps")))
	}
	if known != 0 {
		t.Errorf("%d dropped events are called known", known)
	}
	// What comes over another connection is known, dropped or not, and is counted once.
	put(t, p, source.Delivery{Events: []leat.Event{only, {ID: "2", Data: []byte(`{"event":"final"}`)}}, Dropped: func(int) { known++ }})
	st := p.Stats()
	if known != 2 || st.Duplicates != 2 || st.Records != 2 || st.Filtered != (filter.Counts{filter.NoMatch: 2, filter.MissingField: 1}) {
		t.Errorf("known %d, stats %+v", known, st)
	}
}

func TestWhatIsNotJSONIsDroppedBeforeTheStreamOnlyIfItIsSaid(t *testing.T) {
	e := engine(t, 1)
	p := begin(t, e, finals(t, "drop"))
	put(t, p, source.Delivery{Events: []leat.Event{{ID: "1", Data: []byte(`no JSON`)}, {ID: "2", Data: []byte(`{"event":"final"}`)}}})
	if got := stored(t, e); got != `{"event":"final"}` || p.Stats().Filtered[filter.NotJSON] != 1 {
		t.Errorf("stored %s, stats %+v", got, p.Stats())
	}
}

func TestAFilterOfTheKeySeesTheKeyThatIsStored(t *testing.T) {
	e := engine(t, 1)
	f, err := filter.Parse(`{"partitionKey":[{"prefix":"sha256:"}],"id":["2"]}`)
	if err != nil {
		t.Fatal(err)
	}
	p := begin(t, e, func(p *producer.Producer) { p.Filtering.Filter = f })
	long := string(slices.Repeat([]byte("x"), 300))
	put(t, p, source.Delivery{Events: []leat.Event{{ID: "1", PartitionKey: "x"}, {ID: "2", PartitionKey: long, Data: []byte("here")}, {ID: "3", PartitionKey: long}}})
	if got := stored(t, e); got != "here" {
		t.Errorf("stored %q", got)
	}
}

// numbered is a Source whose connections bring numbered events and break off; one without numbers stays.
type numbered struct {
	connections [][]int
	asked       []leat.Cursor
}

func (n *numbered) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	n.asked = append(n.asked, after)
	if len(n.connections) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := &numbers{n.connections[0]}
	n.connections = n.connections[1:]
	return c, nil
}

type numbers struct{ left []int }

func (c *numbers) Next(context.Context) ([]leat.Event, error) {
	if len(c.left) == 0 {
		return nil, errors.New("over")
	}
	time.Sleep(time.Second)
	n := c.left[0]
	c.left = c.left[1:]
	return []leat.Event{{Data: fmt.Appendf(nil, `{"n":%d,"event":"%s"}`, n, []string{"final", "update"}[n%2])}}, nil
}

func (c *numbers) Close() error { return nil }

// What the filter drops counts as having come: for the gap rule, and as the event that a connection resumes with.
func TestEventsThatTheFilterDropsAreNotMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, 1)
		streamtest.Create(t, e, "feed.gaps", 1)
		feed := &numbered{connections: [][]int{{1, 2, 3, 4, 5}, {5, 6, 7, 9, 10, 11}, {11, 12}}}
		number := expression.MustParse("n")
		settings := source.Settings{EventID: number, Cursor: number, CursorMode: "inclusive", GapRule: &source.GapRule{Field: number}}
		p := &producer.Producer{Engine: e, Stream: "s", Source: "feed", Remember: producer.Remember{Window: time.Minute, Events: 1000}}
		finals(t, "")(p)
		m := &source.Manager{Name: "feed", Source: feed, Settings: settings, Producer: p, Gaps: "feed.gaps", Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := m.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := [4]leat.Cursor(feed.asked); got != [4]leat.Cursor{"", "5", "11", "12"} {
			t.Errorf("resumed from %q", got)
		}
		if got := stored(t, e); got != `{"n":2,"event":"final"} {"n":4,"event":"final"} {"n":6,"event":"final"} {"n":10,"event":"final"} {"n":12,"event":"final"}` {
			t.Errorf("stored %s", got)
		}
		var gaps []string
		for _, r := range streamtest.ReadStream(t, e, "feed.gaps") {
			var g source.Gap
			if err := json.Unmarshal(r.Data, &g); err != nil {
				t.Fatal(err)
			}
			if g.How != source.GapNoConnection {
				gaps = append(gaps, g.How+" "+g.First+".."+g.Last)
			}
		}
		if !slices.Equal(gaps, []string{"sequence 8..8"}) {
			t.Errorf("gaps %q", gaps)
		}
		if st := p.Stats(); st.Filtered.Total() != 6 || st.Duplicates != 2 {
			t.Errorf("stats %+v", st)
		}
	})
}
