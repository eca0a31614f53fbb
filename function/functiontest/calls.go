package functiontest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
)

func testOrder(r *rig) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	f := r.fresh(long)
	r.check(f, Batch(7,
		`{}`, `[]`, `0`, `null`, `"text"`, "", " ", "\n", "two\nlines\r\n", `{"a":`, "\x00", "\xff\xfe", "half a rune \xe2\x82", "\ufeff{}",
		`{"a":"line\nfeed and \u0000 and \ud83d\ude00 😀"}`, `{"html":"<script>&amp;"}`, "\"\u2028\u007f\"", string(all), strings.Repeat("x", 100_000),
	))
	r.check(f, Batch(0, "one"))
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf(`{"n":%d}`, i)
	}
	r.check(f, Batch(1, many...))
	r.call(f, function.Input{Batch: Batch(1, many...)})
}

func testState(r *rig) {
	f := r.fresh(long)
	first, second := Batch(0, "a", "b"), Batch(0, "c")
	one := r.call(f, function.Input{Batch: first, Window: window(nil)})
	two := r.call(f, function.Input{Batch: second, Window: window(one.State)})
	if got, want := r.seen(two), seen(first.Records)+seen(second.Records); got != want {
		r.t.Errorf("state %q, want %q", got, want)
	}
	early := window(two.State)
	early.Early = true
	r.call(f, function.Input{Batch: second, Window: early})
	final := window(two.State)
	final.Final = true
	r.call(f, function.Input{Batch: leat.Batch{Stream: "rides"}, Window: final})
	final.State = nil
	r.call(f, function.Input{Batch: leat.Batch{Stream: "rides"}, Window: final})
	r.check(f, first)
}

func testFailed(r *rig) {
	f := r.fresh(long)
	b := Batch(3, "a", `{"do":"report"}`, "c", `{"do":"report"}`, "e")
	for _, in := range []function.Input{{Batch: b}, {Batch: b, Window: window(nil)}} {
		result, err := f.Invoke(r.t.Context(), in)
		got := slices.SortedFunc(slices.Values(result.Failed), leat.SequenceNumber.Compare)
		if want := []leat.SequenceNumber{b.Records[1].Sequence, b.Records[3].Sequence}; err != nil || !slices.Equal(got, want) {
			r.t.Errorf("%v, failed %v, want %v", err, got, want)
		}
	}
	r.check(f, Batch(3, "a"))
}

// fails calls f and wants an error that is neither Permanent nor Gone, and holds a *function.Error within its bounds.
func (r *rig) fails(f function.Function, in function.Input) *function.Error {
	r.t.Helper()
	_, err := f.Invoke(r.t.Context(), in)
	var e *function.Error
	if !errors.As(err, &e) || function.IsPermanent(err) || function.IsGone(err) {
		r.t.Fatalf("got %v, want a *function.Error that can be repeated", err)
	}
	if len(e.Type) > function.MaxType || len(e.Message) > function.MaxMessage || len(e.LogTail) > function.MaxLogTail || e.Type == "" {
		r.t.Errorf("out of bounds: %q, %d bytes of message, %d of output", e.Type, len(e.Message), len(e.LogTail))
	}
	return e
}

func testThrow(r *rig) {
	f := r.fresh(long)
	for range 3 {
		if e := r.fails(f, function.Input{Batch: Batch(0, "a", `{"do":"throw"}`)}); !strings.Contains(e.Message, "on purpose") {
			r.t.Errorf("got %v", e)
		}
		r.check(f, Batch(0, "a", "b"))
	}
}

func testTogether(r *rig) {
	f := r.fresh(long)
	var callers sync.WaitGroup
	for shard := range leat.ShardID(16) {
		callers.Go(func() {
			for i := range 5 {
				b := Batch(shard, fmt.Sprintf("%d of %s", i, shard))
				result, err := f.Invoke(r.t.Context(), function.Input{Batch: b, Window: window(nil)})
				if err != nil || !strings.Contains(string(result.State), b.Records[0].Sequence.String()) {
					r.t.Errorf("%s: %v, %s", shard, err, result.State)
				}
			}
		})
	}
	callers.Wait()
}

func testLarge(r *rig) {
	if r.Largest == 0 {
		r.t.Skip("everything fits into a call")
	}
	f := r.fresh(long)
	b := Batch(0, "a", strings.Repeat("x", r.Largest/3), strings.Repeat("y", r.Largest/3), strings.Repeat("z", r.Largest/3), "e")
	_, err := f.Invoke(r.t.Context(), function.Input{Batch: b})
	var large *function.TooLargeError
	if !errors.As(err, &large) || function.IsPermanent(err) || function.IsGone(err) || large.Fits < 1 || large.Fits >= len(b.Records) {
		r.t.Fatalf("got %v, want a *function.TooLargeError with some records that fit", err)
	}
	left, right := b, b
	left.Records, right.Records = b.Records[:large.Fits], b.Records[large.Fits:]
	r.call(f, function.Input{Batch: left})
	if _, err := f.Invoke(r.t.Context(), function.Input{Batch: right}); err != nil && !errors.As(err, &large) {
		r.t.Errorf("got %v", err)
	}
	_, err = f.Invoke(r.t.Context(), function.Input{Batch: Batch(0, strings.Repeat("x", r.Largest))})
	if !errors.As(err, &large) || !function.IsPermanent(err) || large.Fits != 0 {
		r.t.Errorf("one record that is too large: got %v, want a *function.TooLargeError that is Permanent", err)
	}
	r.check(f, Batch(0, "a"))
}

func testExit(r *rig) {
	if r.NoProcess {
		r.t.Skip("no process")
	}
	f := r.fresh(long)
	r.call(f, function.Input{Batch: Batch(0, "a")})
	if e := r.fails(f, function.Input{Batch: Batch(0, `{"do":"exit"}`)}); !strings.Contains(e.Message, "exit status 3") {
		r.t.Errorf("got %v", e)
	}
	r.check(f, Batch(0, "a", "b"))
	if o, ok := f.(function.Observed); ok {
		if s := o.Status(); s.Crashes != 1 || s.Starts != 2 || s.Processes != 1 || s.Calls != 3 || s.Failures != 1 {
			r.t.Errorf("status %+v", s)
		}
	}
}

func testHang(r *rig) {
	if r.NoProcess {
		r.t.Skip("no process")
	}
	f := r.fresh(time.Second)
	if e := r.fails(f, function.Input{Batch: Batch(0, "a", `{"do":"hang"}`)}); !strings.Contains(e.Message, "timed out after 1.00 seconds") {
		r.t.Errorf("got %v", e)
	}
	if o, ok := f.(function.Observed); ok {
		if s := o.Status(); s.Timeouts != 1 || s.Crashes != 0 || s.Processes != 0 {
			r.t.Errorf("status %+v", s)
		}
	}
	for range 100 { // a busy machine may make more than one call late
		if _, err := f.Invoke(r.t.Context(), function.Input{Batch: Batch(0, "a")}); err == nil {
			return
		}
	}
	r.t.Error("nothing works any more after a call that was too long")
}

func testCancel(r *rig) {
	if r.NoProcess {
		r.t.Skip("no process")
	}
	f := r.fresh(long)
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithCancel(r.t.Context())
		stop := time.AfterFunc(after, cancel)
		_, err := f.Invoke(ctx, function.Input{Batch: Batch(0, `{"do":"hang"}`)})
		stop.Stop()
		cancel()
		if !errors.Is(err, context.Canceled) || function.IsPermanent(err) || function.IsGone(err) {
			r.t.Errorf("got %v, want an error that wraps context.Canceled", err)
		}
		r.check(f, Batch(0, "a"))
	}
}

func testLate(r *rig) {
	f := r.fresh(long)
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	if _, err := f.Invoke(ctx, function.Input{Batch: Batch(0, "a")}); !errors.Is(err, context.Canceled) {
		r.t.Errorf("got %v, want context.Canceled", err)
	}
}

func testClose(r *rig) {
	f := r.New(r.t, long)
	closer, ok := f.(io.Closer)
	if !ok {
		r.t.Skip("nothing to close")
	}
	r.check(f, Batch(0, "a"))
	if err := closer.Close(); err != nil {
		r.t.Error(err)
	}
	if _, err := f.Invoke(r.t.Context(), function.Input{Batch: Batch(0, "a")}); !function.IsGone(err) {
		r.t.Errorf("got %v, want function.Gone", err)
	}
	if o, ok := f.(function.Observed); ok && o.Status().Processes != 0 {
		r.t.Errorf("%d processes are left", o.Status().Processes)
	}
	if closer, ok := r.New(r.t, long).(io.Closer); ok {
		if err := closer.Close(); err != nil {
			r.t.Errorf("close of an unused function: %v", err)
		}
	}
}
