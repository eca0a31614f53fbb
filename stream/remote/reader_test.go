package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/remote"
	"github.com/leatstream/leat/stream/streamtest"
)

// bubble runs test in a bubble, in which time is virtual and at whose end no goroutine may be left, with a
// served engine that has the stream s of one shard.
func bubble(t *testing.T, test func(t *testing.T, r *rig, e *counted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &counted{Engine: open(t)}
		streamtest.Create(t, e, "s", 1)
		r := serve(t, remote.Handler(e, nothing))
		test(t, r, e)
		synctest.Wait()
		if e.waiting.Load()+e.commits.Load() > 0 {
			t.Errorf("at the end %d calls of Next and %d of Commit wait", e.waiting.Load(), e.commits.Load())
		}
	})
}

func put(t testing.TB, e stream.Engine, payloads ...string) {
	t.Helper()
	events := make([]leat.Event, len(payloads))
	for i := range payloads {
		events[i].Data = []byte(payloads[i])
	}
	streamtest.Put(t, e, "s", events...)
}

func read(t testing.TB, e stream.Engine, from stream.Position) stream.Reader {
	t.Helper()
	r, err := e.Read(t.Context(), "s", 0, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// next wants the payloads from one call of Next.
func next(t testing.TB, r stream.Reader, limit stream.Limit, want ...string) leat.Batch {
	t.Helper()
	b, err := r.Next(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range b.Records {
		got = append(got, string(b.Records[i].Data))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("limit %+v: got %q, want %q", limit, got, want)
	}
	return b
}

// interrupted calls Next, waits until all is quiet, and ends its context.
func interrupted(t *testing.T, r stream.Reader, limit stream.Limit) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := r.Next(ctx, limit)
		ended <- err
	}()
	synctest.Wait()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
}

func TestNextGoesOnBehindAnInterruption(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		tail := read(t, r, stream.Latest())
		defer tail.Close()
		for i := range 3 {
			interrupted(t, tail, stream.Limit{})
			interrupted(t, tail, stream.Limit{Records: 1})
			next(t, tail, stream.Limit{NoWait: true})
			if synctest.Wait(); e.waiting.Load() > 0 {
				t.Error("the engine's reader still waits")
			}
			put(t, e, fmt.Sprint(i))
			next(t, tail, stream.Limit{}, fmt.Sprint(i))
		}
	})
}

func TestWhatComesTooLateIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		put(t, e, "a", "b", "c", "d", "e")
		tail := read(t, r, stream.Oldest())
		defer tail.Close()
		release := e.deafen()
		interrupted(t, tail, stream.Limit{})
		interrupted(t, tail, stream.Limit{Records: 2})
		release()
		time.Sleep(time.Minute)
		if b := next(t, tail, stream.Limit{Records: 2}, "a", "b"); b.Behind < time.Minute {
			t.Errorf("%v behind, want at least a minute", b.Behind)
		}
		next(t, tail, stream.Limit{Bytes: 1}, "c")
		next(t, tail, stream.Limit{NoWait: true, Bytes: 1}, "d")
		if b := next(t, tail, stream.Limit{}, "e"); b.Behind != 0 || b.Stream != "s" {
			t.Errorf("at the tip: %+v", b)
		}
		next(t, tail, stream.Limit{NoWait: true})
	})
}

func TestAnEmptyAnswerThatComesTooLateIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		tail := read(t, r, stream.Oldest())
		defer tail.Close()
		release := e.deafen()
		interrupted(t, tail, stream.Limit{NoWait: true})
		put(t, e, "a")
		release()
		synctest.Wait()
		next(t, tail, stream.Limit{NoWait: true}, "a")
	})
}

func TestAnIdleReaderIsPushed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		tail := read(t, r, stream.Latest())
		defer tail.Close()
		start := time.Now()
		go func() {
			time.Sleep(24 * time.Hour)
			put(t, e, "tomorrow")
		}()
		next(t, tail, stream.Limit{}, "tomorrow")
		if passed := time.Since(start); passed != 24*time.Hour {
			t.Errorf("it took %v", passed)
		}
		time.Sleep(24 * time.Hour) // without a call of Next
		put(t, e, "later")
		next(t, tail, stream.Limit{}, "later")
	})
}

func TestLatestIsJudgedByRead(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		put(t, e, "before")
		tail := read(t, r, stream.Latest())
		defer tail.Close()
		put(t, e, "behind")
		next(t, tail, stream.Limit{}, "behind")
	})
}

// Interruptions meet records at every point of the way, in the time of this machine.
func TestInterruptionsLoseAndRepeatNothing(t *testing.T) {
	e := &counted{Engine: open(t)}
	streamtest.Create(t, e, "s", 1)
	r := serve(t, remote.Handler(e, nothing))
	tail := read(t, r, stream.Latest())
	defer tail.Close()
	const records = 3000
	go func() {
		for i := range records {
			put(t, e, fmt.Sprint(i))
		}
	}()
	rng := rand.New(rand.NewPCG(3, 4))
	ended := 0
	for got := 0; got < records; {
		ctx, cancel := context.WithCancel(t.Context())
		steps := rng.IntN(300)
		go func() {
			for range steps {
				runtime.Gosched()
			}
			cancel()
		}()
		b, err := tail.Next(ctx, stream.Limit{Records: 1 + rng.IntN(5), NoWait: rng.IntN(4) == 0})
		cancel()
		if err != nil {
			if ended++; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		for i := range b.Records {
			if want := fmt.Sprint(got); string(b.Records[i].Data) != want {
				t.Fatalf("got %s, want %s", b.Records[i].Data, want)
			}
			got++
		}
	}
	t.Log(ended, "calls were interrupted")
}

func TestALargeBacklogComesInBoundedBatches(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		events := make([]leat.Event, 300)
		for i := range events {
			events[i].Data = make([]byte, 10<<10)
		}
		streamtest.Put(t, e, "s", events...)
		put(t, e, string(make([]byte, 3<<20)))
		tail := read(t, r, stream.Oldest())
		defer tail.Close()
		for got := 0; got < 301; {
			b, err := tail.Next(t.Context(), stream.Limit{Records: 1 << 40, Bytes: 1 << 40})
			if err != nil || len(b.Records) == 0 || len(b.Records) > 1 && b.Size() > 1<<20 {
				t.Fatalf("got %d records of %d bytes, %v", len(b.Records), b.Size(), err)
			}
			got += len(b.Records)
		}
	})
}

func TestClosingAReaderFreesEverything(t *testing.T) {
	for name, end := range map[string]func(*rig, stream.Reader){
		"the client closes":           func(_ *rig, tail stream.Reader) { tail.Close() },
		"the connection is cut":       func(r *rig, _ stream.Reader) { r.network.Cut("") },
		"the server ends":             func(r *rig, _ stream.Reader) { r.stop() },
		"the client ends its process": func(r *rig, _ stream.Reader) { r.network.Conns("")[0].Close() },
	} {
		for _, waiting := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/waiting ", waiting), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig, e *counted) { testEnd(t, r, e, waiting, end) })
			})
		}
	}
}

func testEnd(t *testing.T, r *rig, e *counted, waiting bool, end func(*rig, stream.Reader)) {
	tail := read(t, r, stream.Latest())
	ended := make(chan error, 1)
	if waiting {
		go func() {
			_, err := tail.Next(t.Context(), stream.Limit{})
			ended <- err
		}()
	}
	synctest.Wait()
	if e.readers.Load() != 1 {
		t.Errorf("%d readers are open, want 1", e.readers.Load())
	}
	start := time.Now()
	end(r, tail)
	synctest.Wait()
	if e.readers.Load() != 0 || e.waiting.Load() != 0 || len(r.network.Conns("")) != 0 {
		t.Errorf("%d readers, %d calls and %d connections are left", e.readers.Load(), e.waiting.Load(), len(r.network.Conns("")))
	}
	if passed := time.Since(start); passed > time.Second {
		t.Errorf("it took %v", passed)
	}
	if !waiting {
		_, err := tail.Next(t.Context(), stream.Limit{})
		ended <- err
	}
	if err := <-ended; err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		t.Errorf("Next returned %v", err)
	}
	tail.Close()
}

func TestAClientThatDoesNotTakeItsAnswerIsHungUpOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		tail := read(t, r, stream.Latest())
		defer tail.Close()
		go tail.Next(t.Context(), stream.Limit{})
		synctest.Wait()
		r.network.Silence("")
		put(t, e, string(make([]byte, 1<<20)))
		time.Sleep(2 * time.Minute)
		if synctest.Wait(); e.readers.Load() != 0 {
			t.Error("the reader is still open")
		}
		r.network.Cut("")
	})
}

func TestAThousandReadersAndNoMore(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		readers := make([]stream.Reader, 1000)
		for i := range readers {
			readers[i] = read(t, r, stream.Oldest())
		}
		if _, err := r.Read(t.Context(), "s", 0, stream.Oldest()); err == nil {
			t.Error("one more was opened")
		}
		readers[0].Close()
		synctest.Wait()
		readers[0] = read(t, r, stream.Oldest())
		put(t, e, "a")
		for _, tail := range readers {
			next(t, tail, stream.Limit{}, "a")
			tail.Close()
		}
	})
}

func TestReadEndsWithItsContextAndTheReaderDoesNot(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		ctx, cancel := context.WithCancel(t.Context())
		tail, err := r.Read(ctx, "s", 0, stream.Latest())
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Close()
		cancel()
		synctest.Wait()
		put(t, e, "a")
		next(t, tail, stream.Limit{}, "a")
		if _, err := tail.Next(ctx, stream.Limit{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Next with an ended context returned %v", err)
		}
		if _, err := r.Read(ctx, "s", 0, stream.Latest()); !errors.Is(err, context.Canceled) {
			t.Errorf("Read with an ended context returned %v", err)
		}
	})
}
