package local

import (
	"fmt"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream/streamtest"
)

func TestZZIdleTail(t *testing.T) {
	opts := Options{MemTable: 256 << 10}
	m := newMemory(t, opts)
	streamtest.Create(t, m.e, "idle", 1)
	streamtest.Create(t, m.e, "busy", 1)
	big := make([]byte, 1000)
	for i := range 600 {
		streamtest.Put(t, m.e, "idle", leat.Event{Data: append([]byte(fmt.Sprintf("%06d", i)), big...)})
	}
	for i := range 900 {
		streamtest.Put(t, m.e, "busy", leat.Event{Data: append([]byte(fmt.Sprintf("%06d", i)), big...)})
	}
	waitSealed(t, m.e)
	fs := clone(m.fs)
	names := files(t, fs, "MANIFEST")
	path := names[len(names)-1]
	content, _ := readAll(fs, path)
	t.Log(len(content), files(t, fs, ".sst"), files(t, fs, ".log"))
	counts := map[string]int{}
	for off := range content {
		d := clone(fs)
		edit(t, d, path, func(b []byte) []byte { b[off] ^= 4; return b })
		o := opts
		o.FS = d
		e, err := Open("data", o)
		if err != nil {
			counts["refused"]++
			continue
		}
		a, b := len(streamtest.ReadStream(t, e, "idle")), len(streamtest.ReadStream(t, e, "busy"))
		counts[fmt.Sprint(a, " ", b)]++
		_ = e.Close()
	}
	t.Log(counts)
}
