package producer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

func TestNothingThatAProviderMakesLongEndsTheSource(t *testing.T) {
	e := engine(t, 1)
	var log bytes.Buffer
	p := begin(t, e, func(p *producer.Producer) { p.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	big := strings.Repeat("x", 16<<20-20)
	umlauts := strings.Repeat("ü", 256)
	put(t, p, source.Delivery{Events: []leat.Event{
		{ID: big, PartitionKey: big, Data: []byte(big)},
		{ID: big + "y", PartitionKey: big + "y"},
		{ID: big, PartitionKey: "the same again"},
		{ID: umlauts + umlauts, PartitionKey: umlauts},
	}, Move: to("short")})
	put(t, p, source.Delivery{Events: events(0, 1), Move: to(leat.Cursor(big))})
	put(t, p, source.Delivery{Events: events(1, 2), Move: to(leat.Cursor(big))})
	records := streamtest.ReadStream(t, e, "s")
	if len(records) != 5 {
		t.Fatalf("the stream has %d records, want 5", len(records))
	}
	for _, r := range records[:2] {
		if len(r.ID) != 71 || !strings.HasPrefix(r.ID, "sha256:") || r.ID != r.PartitionKey {
			t.Errorf("id and key have %d and %d bytes", len(r.ID), len(r.PartitionKey))
		}
	}
	if records[0].ID == records[1].ID || len(records[0].Data) != len(big) {
		t.Error("two long identities became the same, or the payload was cut")
	}
	if records[2].PartitionKey != umlauts || records[2].ID != umlauts+umlauts {
		t.Errorf("a key of 256 characters became %q", records[2].PartitionKey)
	}
	if n := strings.Count(log.String(), "cursor is too long"); n != 1 {
		t.Errorf("the log says %d times that the cursor is too long: %s", n, log.String())
	}
	if mark, err := begin(t, e, nil).Begin(t.Context()); err != nil || mark.Cursor != "short" {
		t.Errorf("the mark has a cursor of %d bytes, %v", len(mark.Cursor), err)
	}
}

func TestManySmallMessagesAreCountedAsTheyAreStored(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	close(g.leave)
	p := begin(t, g, func(p *producer.Producer) { p.Settings = producer.Settings{Records: 100_000, Bytes: 1 << 20} })
	many := make([]leat.Event, 200_000)
	for i := range many {
		many[i] = leat.Event{ID: fmt.Sprint(i), PartitionKey: "feed", Data: []byte("h")}
	}
	put(t, p, source.Delivery{Events: many, Move: to("all")})
	for _, c := range g.commits {
		if n := len(c.Puts[0].Events); n*50 > 1<<20 {
			t.Errorf("a commit has %d events of more than 50 bytes; the limit is 1 MiB", n)
		}
	}
	if s := p.Stats(); s.Records != 200_000 || s.Commits != int64(len(g.commits)) {
		t.Errorf("%d records in %d commits", s.Records, s.Commits)
	}
}

// strict is an engine that takes no more than so many bytes of payload in one commit.
type strict struct {
	streamtest.Engine
	limit  int
	moved  bool // the mark, with events
	behind int  // commits since then
}

func (s *strict) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	size := 0
	for _, put := range c.Puts {
		for i := range put.Events {
			if put.Stream == "s" {
				size += len(put.Events[i].Data)
			}
		}
	}
	if size > s.limit {
		return stream.Receipt{}, fmt.Errorf("commit %d bytes: %w", size, stream.ErrTooLarge)
	}
	if s.moved {
		s.behind++
	}
	s.moved = s.moved || len(c.Marks) > 0 && len(c.Puts) > 0
	return s.Engine.Commit(ctx, c)
}

func TestWhatTheStreamCallsTooLargeBecomesAGap(t *testing.T) {
	e := engine(t, 1)
	streamtest.Create(t, e, "gaps", 1)
	for _, gaps := range []string{"gaps", ""} {
		limited := &strict{Engine: e, limit: 100}
		p := begin(t, limited, func(p *producer.Producer) { p.Source, p.Gaps, p.Log = "to "+gaps, gaps, slog.New(slog.DiscardHandler) })
		var all []leat.Event
		for i := range 50 {
			all = append(all, leat.Event{ID: fmt.Sprint(i), Data: bytes.Repeat([]byte("x"), 10+200*(i/7%2))})
		}
		all = append(all, leat.Event{ID: "last", Data: []byte("0123456789")})
		put(t, p, source.Delivery{Events: all, Move: to("end")})
		if !limited.moved || limited.behind > 0 {
			t.Errorf("the mark has moved: %v; %d commits behind it", limited.moved, limited.behind)
		}
		put(t, p, source.Delivery{Events: []leat.Event{{Data: make([]byte, 101)}}})
		if s := p.Stats(); s.Records != 29 || s.TooLarge != 23 || s.Bytes != 290 {
			t.Errorf("stats: %+v", s)
		}
		stored, err := e.Load(t.Context(), producer.MarkKey(p.Source))
		if m, decodeErr := source.DecodeMark(stored.Value); err != nil || decodeErr != nil || m.Cursor != "end" {
			t.Errorf("the mark is %q, %v", stored.Value, err)
		}
	}
	var last string
	for _, r := range streamtest.ReadStream(t, e, "s") {
		if r.Source == "to gaps" {
			last = r.ID
		}
	}
	records := streamtest.ReadStream(t, e, "gaps")
	if len(records) != 23 || last != "last" {
		t.Fatalf("%d gap records, want 23; the last event is %s", len(records), last)
	}
	for _, r := range records {
		var gap source.Gap
		if err := json.Unmarshal(r.Data, &gap); err != nil || gap.How != "too_large" || gap.Lost != 1 || gap.Source != "to gaps" || gap.From.IsZero() {
			t.Errorf("gap %s, %v", r.Data, err)
		}
	}
	if !strings.Contains(string(records[0].Data), "an event of 259 bytes is too large") {
		t.Errorf("gap %s", records[0].Data)
	}
}
