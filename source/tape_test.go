package source

import (
	"errors"
	"testing"
	"time"
)

type memoryTape struct{ entries []TapeEntry }

func (m *memoryTape) Record(e TapeEntry) {
	e.Time = time.Time{}
	m.entries = append(m.entries, e)
}

func TestATapeIsToldWhatHappensOnce(t *testing.T) {
	m := &memoryTape{}
	ctx := WithTape(t.Context(), m)
	taping := StartTaping(ctx, "wss://user:pass@example.org/ws?key=1&flag&z=%20#x")
	taping.Out([]byte("subscribe"), false)
	taping.In(TapeEntry{Data: []byte("x"), Binary: true})
	taping.Skipped(&SkipError{Reason: "too_large", Bytes: 9, Detail: "the limit is 1B"})
	taping.Ended(&EndError{Kind: EndClose, Code: 1012, Reason: "restart"})
	taping.Left()
	taping.In(TapeEntry{Data: []byte("late")})
	want := []TapeEntry{
		{Kind: TapeOpen, Data: []byte("wss://example.org/ws?key=&flag=&z=")},
		{Kind: TapeOut, Data: []byte("subscribe")},
		{Kind: TapeIn, Data: []byte("x"), Binary: true},
		{Kind: TapeIn, Note: "message of 9 bytes left out: too_large: the limit is 1B"},
		{Kind: TapeClose, Code: 1012, Note: "close restart"},
	}
	if len(m.entries) != len(want) {
		t.Fatalf("got %+v", m.entries)
	}
	for i, w := range want {
		if g := m.entries[i]; g.Kind != w.Kind || string(g.Data) != string(w.Data) || g.Binary != w.Binary || g.Code != w.Code || g.Note != w.Note || g.Conn == 0 {
			t.Errorf("entry %d: got %+v, want %+v", i, g, w)
		}
	}
}

func TestWithoutATapeNothingIsRecorded(t *testing.T) {
	taping := StartTaping(t.Context(), "wss://example.org/")
	if taping != nil {
		t.Fatal("there is no tape")
	}
	if n := testing.AllocsPerRun(10, func() {
		taping.In(TapeEntry{})
		taping.Out(nil, false)
		taping.Skipped(nil)
		taping.Ended(errors.ErrUnsupported)
		taping.Left()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
