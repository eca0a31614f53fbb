package remote_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/remote"
	"github.com/leatstream/leat/stream/streamtest"
)

// What a client sees is what the engine returns, byte for byte: also where it is no text, and where it is nothing.
func TestEveryByteSurvives(t *testing.T) {
	e := open(t)
	r := serve(t, remote.Handler(e, nothing))
	odd := []string{"plain", "", "\xff\xfe", "\x00\x01\x1f", "é✓", `<"\>&` + "\u2028\u2029\x7f", "a\xc3", "YQ=="}
	place := leat.Hash{Hi: 1 << 63, Lo: 7}
	c := stream.Commit{Puts: []stream.Put{{Stream: "empty"}}, Placed: true}
	streamtest.Create(t, r, "s", 3)
	streamtest.Create(t, r, "empty", 1)
	for i, text := range odd {
		c.Puts = append(c.Puts, stream.Put{Stream: "s", Source: text, Events: []leat.Event{
			{ID: text, PartitionKey: text, Data: []byte(text), Time: time.UnixMilli(int64(i))},
			{ID: "plain", PartitionKey: text, HashKey: &place, Time: time.UnixMilli(-62135596800001)},
		}})
		c.State = append(c.State, stream.Entry{Key: "k" + text, Value: []byte(text)})
		c.Marks = append(c.Marks, stream.Swap{Mark: stream.Mark{Key: "k" + text, Epoch: 1<<64 - 1, Value: []byte(text)}})
	}
	receipt, err := r.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i, put := range c.Puts[1:] {
		for j, ev := range put.Events {
			at := receipt.Puts[i+1][j]
			got := streamtest.ReadAll(t, e, "s", at.Shard, stream.At(at.Sequence))[0]
			if got.PartitionKey != ev.PartitionKey || got.ID != ev.ID || got.Source != put.Source || !bytes.Equal(got.Data, ev.Data) || !got.Time.Equal(ev.Time) {
				t.Errorf("stored %+v for %+v", got, ev)
			}
		}
	}
	if got, want := streamtest.ReadStream(t, r, "s"), streamtest.ReadStream(t, e, "s"); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, key := range append(odd, "k", "k\xff", "none") {
		for name, view := range map[string]func(e remote.Engine) (any, error){
			"load":  func(e remote.Engine) (any, error) { return e.Load(t.Context(), "k"+key) },
			"list":  func(e remote.Engine) (any, error) { return e.List(t.Context(), key) },
			"state": func(e remote.Engine) (any, error) { return e.State(t.Context(), key) },
		} {
			got, err := view(r)
			want, wantErr := view(e)
			if err != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %q: got %q, %v, want %q, %v", name, key, got, err, want, wantErr)
			}
		}
	}
}

func TestNilDeletesAndEmptyDoesNot(t *testing.T) {
	r := serve(t, remote.Handler(open(t), nothing))
	set := func(value []byte, was uint64) stream.Mark {
		t.Helper()
		mark := stream.Mark{Key: "m", Epoch: 1, Value: value}
		c := stream.Commit{Marks: []stream.Swap{{Mark: mark, Was: was}}, State: []stream.Entry{{Key: "m", Value: value}}}
		if _, err := r.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		m, err := r.Load(t.Context(), "m")
		if err != nil {
			t.Fatal(err)
		}
		if state, err := r.State(t.Context(), "m"); err != nil || (len(state) == 1) != (m.Epoch == 1) {
			t.Errorf("the state is %v, %v; the mark is %v", state, err, m)
		}
		return m
	}
	if m := set([]byte{}, 0); m.Epoch != 1 || m.Value == nil || len(m.Value) > 0 {
		t.Errorf("an empty value is stored as %+v", m)
	}
	if m := set(nil, 1); m.Epoch != 0 || m.Value != nil {
		t.Errorf("a deleted mark is %+v", m)
	}
}

func TestPositionsAndTimesSurvive(t *testing.T) {
	e := open(t)
	r := serve(t, remote.Handler(e, nothing))
	streamtest.Create(t, r, "s", 2)
	for i := range 3 {
		put(t, r, fmt.Sprint(i))
	}
	shard := streamtest.Put(t, r, "s", leat.Event{})[0].Shard
	all := streamtest.ReadAll(t, e, "s", shard, stream.Oldest())
	for _, p := range []stream.Position{
		stream.At(all[1].Sequence), stream.After(all[1].Sequence), stream.AtTime(all[1].Arrived), stream.AtTime(all[1].Arrived.Add(1)),
		stream.AtTime(time.Time{}), stream.AtTime(time.Unix(0, 1).In(time.FixedZone("odd", 3601))), stream.At(leat.SequenceNumber{}),
	} {
		if got, want := len(streamtest.ReadAll(t, r, "s", shard, p)), len(streamtest.ReadAll(t, e, "s", shard, p)); got != want {
			t.Errorf("%s: got %d records, want %d", p, got, want)
		}
	}
	if _, err := r.Read(t.Context(), "s", 0, stream.AtTime(time.Unix(1<<40, 0))); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("a time that JSON cannot hold: %v", err)
	}
	infos, err := r.Streams(t.Context())
	want, wantErr := e.Streams(t.Context())
	if err != nil || wantErr != nil || len(infos) != 1 || !infos[0].Created.Equal(want[0].Created) || infos[0].Records != 4 {
		t.Errorf("got %+v, %v, want %+v, %v", infos, err, want, wantErr)
	}
}

func TestLargeCommitsPassAndTooLargeOnesAreRefused(t *testing.T) {
	r := serve(t, remote.Handler(open(t), nothing))
	streamtest.Create(t, r, "s", 1)
	data := make([]byte, 128<<20+1)
	for i := range data[:1<<20] {
		data[i] = byte(i * i >> 8)
	}
	commit := func(size int) error {
		_, err := r.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: []leat.Event{{Data: data[:size]}}}}})
		return err
	}
	const most = 32<<20 - 256 // what the embedded engine takes
	if err := commit(most); err != nil {
		t.Fatal(err)
	}
	if got := streamtest.ReadAll(t, r, "s", 0, stream.Oldest()); len(got) != 1 || !bytes.Equal(got[0].Data, data[:most]) {
		t.Errorf("got %d records", len(got))
	}
	for _, size := range []int{32 << 20, 64 << 20, 100 << 20, 128<<20 + 1} {
		if err := commit(size); !errors.Is(err, stream.ErrTooLarge) {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
	small := make([]leat.Event, 32<<20/42-2) // as many as the embedded engine takes
	if _, err := r.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: small}}}); err != nil {
		t.Error(err)
	}
}

func TestACommitThatIsCutOffIsNotRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		for name, end := range map[string]func(cancel func()){
			"connection": func(func()) { r.network.Cut("") },
			"context":    func(cancel func()) { cancel() },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, err := r.Commit(ctx, stream.Commit{})
				done <- err
			}()
			synctest.Wait()
			if e.commits.Load() != 1 {
				t.Errorf("%s: %d commits are in hand", name, e.commits.Load())
			}
			end(cancel)
			err := <-done
			if err == nil || stream.Refused(err) || errors.Is(err, remote.ErrNotRunning) || errors.Is(err, io.EOF) {
				t.Errorf("%s: got %v", name, err)
			}
			if errors.Is(err, context.Canceled) != (name == "context") {
				t.Errorf("%s: got %v", name, err)
			}
			if synctest.Wait(); e.commits.Load() != 0 {
				t.Errorf("%s: the engine's commit still waits", name)
			}
			cancel()
		}
	})
}

func TestTheEndOfServeWaitsForCallsButNotForever(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		done := make(chan error)
		go func() {
			_, err := r.Commit(t.Context(), stream.Commit{})
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		go r.stop()
		if err := <-done; err == nil || stream.Refused(err) || errors.Is(err, context.Canceled) {
			t.Errorf("the commit returned %v", err)
		}
		if passed := time.Since(start); passed != 5*time.Second {
			t.Errorf("it took %v", passed)
		}
		r.stop()
	})
}

func TestWithoutServerIsNotRunning(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, _ *counted) {
		r.stop()
		for name, call := range calls {
			if err := call(t.Context(), r); !errors.Is(err, remote.ErrNotRunning) || stream.Refused(err) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if _, err := remote.Connect(t.Context(), r.dial); !errors.Is(err, remote.ErrNotRunning) {
			t.Errorf("connect: got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range calls {
			if err := call(ctx, r); !errors.Is(err, context.Canceled) {
				t.Errorf("%s with an ended context: got %v", name, err)
			}
		}
	})
}

func TestStatusIsPassedOn(t *testing.T) {
	status := map[string]any{"sources": []int{1, 2}, "since": time.UnixMilli(0).UTC()}
	r := serve(t, remote.Handler(open(t), func() any { return status }))
	want, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Status(t.Context()); err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestOtherServersAreNotTakenForLeat(t *testing.T) {
	for name, answer := range map[string]string{"another version": `{"Protocol":2}`, "no JSON": "hello", "nothing": ""} {
		r := &rig{}
		t.Run(name, func(t *testing.T) {
			h := http.NewServeMux()
			version := `{"Protocol":1}`
			h.HandleFunc("/v1/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, version) })
			r = serve(t, h)
			for name, call := range calls { // of which h knows none
				if err := call(t.Context(), r); err == nil || !strings.Contains(err.Error(), "404") {
					t.Errorf("%s: got %v", name, err)
				}
			}
			version = answer
			if c, err := remote.Connect(t.Context(), r.dial); err == nil || errors.Is(err, remote.ErrNotRunning) || errors.Is(err, io.EOF) {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
}
