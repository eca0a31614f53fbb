package source_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// script is a Source whose connections bring one event each, with the next of its cursors, and end.
type script struct {
	cursors []leat.Cursor
	asked   []leat.Cursor
}

func (s *script) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.asked = append(s.asked, after)
	if len(s.cursors) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := &scene{leat.Event{Cursor: s.cursors[0], Data: []byte("x")}, false}
	s.cursors = s.cursors[1:]
	return c, nil
}

type scene struct {
	event leat.Event
	over  bool
}

func (c *scene) Next(context.Context) ([]leat.Event, error) {
	if c.over {
		return nil, errors.New("over")
	}
	c.over = true
	return []leat.Event{c.event}, nil
}

func (c *scene) Close() error { return nil }

func TestACursorThatIsTooLongIsNotResumedFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := local.OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		streamtest.Create(t, e, "s", 1)
		feed := &script{cursors: []leat.Cursor{"first", leat.Cursor(strings.Repeat("x", source.MaxCursor+1)), "third"}}
		m := &source.Manager{Name: "feed", Source: feed, Producer: &producer.Producer{Engine: e, Stream: "s", Source: "feed"}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := m.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := [4]leat.Cursor(feed.asked); got != [4]leat.Cursor{"", "first", "first", "third"} {
			t.Errorf("resumed from %.20q", got)
		}
		if n := len(streamtest.ReadStream(t, e, "s")); n != 3 {
			t.Errorf("the stream has %d records, want 3", n)
		}
	})
}
