package source_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
)

// lump is a Source of one message, larger than what is read ahead, whose events share a cursor.
type lump struct{ events []leat.Event }

func (l *lump) Open(_ context.Context, after leat.Cursor) (source.Conn, error) {
	f := source.NewFeed(0)
	return source.StartReading(f, func() {}, func(ctx context.Context) error {
		if after == "" {
			if err := f.Offer(ctx, time.Now(), leat.Event{Data: []byte(`{"n":0,"page":1}`)}); err != nil {
				return err
			}
			if err := f.Offer(ctx, time.Now(), l.events...); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}), nil
}

// lumpOf returns events of a megabyte each.
func lumpOf(n int) *lump {
	l := &lump{}
	for i := range n {
		l.events = append(l.events, leat.Event{Data: fmt.Appendf(nil, `{"n":%d,"page":2,"pad":%q}`, i+1, strings.Repeat("x", 1<<20))})
	}
	return l
}

// watched is a Producer that tells of each delivery, and takes its time.
type watched struct {
	source.Producer
	put func(events int)
}

func (p watched) Put(ctx context.Context, d source.Delivery) error {
	time.Sleep(time.Second)
	err := p.Producer.Put(ctx, d)
	p.put(len(d.Events))
	return err
}

func TestAPositionIsStoredWithTheLastEventOfItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 10
		e := newMemory()
		stored, parts := 0, 0
		put := func(events int) {
			stored += events
			mark, err := e.Load(t.Context(), producer.MarkKey("feed"))
			if err != nil {
				t.Fatal(err)
			}
			at, err := source.DecodeMark(mark.Value)
			switch {
			case err != nil:
				t.Error(err)
			case stored <= all && at.Cursor == "2":
				t.Errorf("the position of the message is stored with %d of its %d events", stored-1, all)
			case stored > all && at.Cursor != "2":
				t.Errorf("all is stored, and the position is %q", at.Cursor)
			case stored > 1 && at.Cursor == "":
				t.Error("the position before the message is forgotten")
			}
			if events > 0 {
				parts++
			}
		}
		p := &producer.Producer{Engine: e, Stream: "events", Source: "feed"}
		m := &source.Manager{Name: "feed", Source: lumpOf(all), Settings: source.Settings{Cursor: expression.MustParse("page")}, Producer: watched{p, put}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := m.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if stored != all+1 || parts < 3 {
			t.Errorf("%d events are stored in %d deliveries", stored, parts)
		}
	})
}

func TestAMessageThatIsHandedOutInPartIsHandedOutWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 10
		l := lumpOf(all)
		c, err := l.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := len(first)
		synctest.Wait() // the rest waits for room
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			var events []leat.Event
			events, err = c.Next(t.Context())
			got += len(events)
		}
		if got != all+1 {
			t.Errorf("%d events are handed out of %d", got-1, all)
		}
	})
}
