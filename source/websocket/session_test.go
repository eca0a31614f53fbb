package websocket

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

// What a session stores comes back with its types, and anything else is no position.
func TestPositionsOfASessionComeBack(t *testing.T) {
	s := &Session{Cursor: expression.MustParse("s"), Keep: []string{"id", "n", "f"}}
	vars := &variables{named: map[string]any{"id": "x\"y", "n": 12345678901234567, "other": 1}}
	track := &tracker{Session: s}
	message := expression.NewMessage([]byte(`{"s":17}`))
	events := make([]leat.Event, 2)
	if !track.mark(&message, events, vars) || events[1].Cursor != "" {
		t.Errorf("without f: %q", events[1].Cursor)
	}
	vars.set("f", 1.5)
	track.changed("f")
	if !track.mark(&message, events, vars) || events[0].Cursor != "" {
		t.Errorf("the first one has %q", events[0].Cursor)
	}
	cursor, kept, ok := s.recall(events[1].Cursor)
	if want := map[string]any{"id": "x\"y", "n": 12345678901234567, "f": 1.5}; !ok || cursor != "17" || !reflect.DeepEqual(kept, want) {
		t.Errorf("%q: got %q, %v, %v", events[1].Cursor, cursor, kept, ok)
	}
	none := expression.NewMessage([]byte(`{"s":null}`))
	if track.mark(&none, events, vars) {
		t.Error("a message without a position has one")
	}
	for _, after := range []leat.Cursor{"", "17", "{}", `{"cursor":"17"}`, `{"cursor":"17","keep":{"id":"x"}}`, `{"cursor":"","keep":{"id":"x","n":1,"f":1}}`} {
		if cursor, kept, ok := s.recall(after); ok || cursor != "" || kept != nil {
			t.Errorf("%q: got %q, %v, %v", after, cursor, kept, ok)
		}
	}
}

func FuzzPositions(f *testing.F) {
	f.Add(`{"cursor":"17","keep":{"id":"x"}}`)
	f.Add(`{"cursor":"17","keep":{"id":1e400}}`)
	f.Add(`{"cursor":"17","keep":null}`)
	s := &Session{Keep: []string{"id"}}
	f.Fuzz(func(t *testing.T, after string) {
		cursor, kept, ok := s.recall(leat.Cursor(after))
		if ok != (cursor != "") || ok && kept["id"] == nil && !json.Valid([]byte(after)) {
			t.Errorf("got %q, %v, %v", cursor, kept, ok)
		}
	})
}
