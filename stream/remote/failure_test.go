package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/remote"
)

// failing is an engine whose every method returns the error; but if it has readers, Read returns one.
type failing struct {
	err     error
	readers bool
}

func (f failing) Shards(context.Context, string) ([]stream.Shard, error) { return nil, f.err }

func (f failing) Read(context.Context, string, leat.ShardID, stream.Position) (stream.Reader, error) {
	if f.readers {
		return f, nil
	}
	return nil, f.err
}

func (f failing) Commit(context.Context, stream.Commit) (stream.Receipt, error) {
	return stream.Receipt{}, f.err
}

func (f failing) Load(context.Context, string) (stream.Mark, error)          { return stream.Mark{}, f.err }
func (f failing) List(context.Context, string) ([]stream.Mark, error)        { return nil, f.err }
func (f failing) State(context.Context, string) ([]stream.Entry, error)      { return nil, f.err }
func (f failing) Streams(context.Context) ([]stream.Info, error)             { return nil, f.err }
func (f failing) Create(context.Context, stream.Spec) error                  { return f.err }
func (f failing) Delete(context.Context, string) error                       { return f.err }
func (f failing) Merge(_ context.Context, _ string, _, _ leat.ShardID) error { return f.err }
func (f failing) Next(context.Context, stream.Limit) (leat.Batch, error)     { return leat.Batch{}, f.err }
func (f failing) Close() error                                               { return nil }
func (f failing) Partial() bool                                              { return f.readers }

func (f failing) Split(context.Context, string, leat.ShardID, leat.Hash) error { return f.err }
func (f failing) SetRetention(context.Context, string, stream.Retention) error { return f.err }

// calls has every method that returns an error.
var calls = map[string]func(context.Context, remote.Engine) error{
	"Shards":       func(ctx context.Context, e remote.Engine) error { _, err := e.Shards(ctx, "s"); return err },
	"Commit":       func(ctx context.Context, e remote.Engine) error { _, err := e.Commit(ctx, stream.Commit{}); return err },
	"Load":         func(ctx context.Context, e remote.Engine) error { _, err := e.Load(ctx, "m"); return err },
	"List":         func(ctx context.Context, e remote.Engine) error { _, err := e.List(ctx, "m"); return err },
	"State":        func(ctx context.Context, e remote.Engine) error { _, err := e.State(ctx, "m"); return err },
	"Streams":      func(ctx context.Context, e remote.Engine) error { _, err := e.Streams(ctx); return err },
	"Create":       func(ctx context.Context, e remote.Engine) error { return e.Create(ctx, stream.Spec{Name: "s"}) },
	"Delete":       func(ctx context.Context, e remote.Engine) error { return e.Delete(ctx, "s") },
	"Split":        func(ctx context.Context, e remote.Engine) error { return e.Split(ctx, "s", 1, leat.MaxHash) },
	"Merge":        func(ctx context.Context, e remote.Engine) error { return e.Merge(ctx, "s", 1, 2) },
	"SetRetention": func(ctx context.Context, e remote.Engine) error { return e.SetRetention(ctx, "s", stream.Retention{}) },
	"Read": func(ctx context.Context, e remote.Engine) error {
		r, err := e.Read(ctx, "s", 0, stream.Oldest())
		if err == nil {
			_ = r.Close()
		}
		return err
	},
}

var sentinels = []error{
	stream.ErrNoStream, stream.ErrExists, stream.ErrNoShard, stream.ErrFenced, stream.ErrFull, stream.ErrTooLarge,
	stream.ErrInvalid, stream.ErrReadOnly, stream.ErrStopped, io.EOF,
}

func number(index uint64) leat.SequenceNumber {
	at := time.Unix(1700000000, 0)
	return leat.NewSequence(3, at, index, at)
}

func failures() []error {
	gap := &stream.GapError{Stream: "s", Shard: 3, From: number(7), To: number(9), Count: 3, Reason: stream.GapExpired}
	damaged := &stream.GapError{
		Stream: "s", Shard: 3, From: number(7), To: number(9), Reason: stream.GapDamaged, Cause: fmt.Errorf("block 7: %w", stream.ErrStopped),
	}
	partial := &stream.PartialError{Refused: [][]int{{1, 2}, nil, {0}}, Err: fmt.Errorf("slow down: %w", stream.ErrFull)}
	list := []error{
		errors.New("anything else"), gap, damaged, partial, fmt.Errorf("layer: %w", gap), fmt.Errorf("layer: %w", partial),
		fmt.Errorf("one: %w, two: %w", stream.ErrFenced, stream.ErrStopped), &stream.PartialError{Err: partial},
		fmt.Errorf("within: %w", context.Canceled), errors.New(`<&>  "quoted"`),
	}
	for _, s := range sentinels {
		list = append(list, s, fmt.Errorf("layer: %w: detail", s))
	}
	return list
}

func TestEveryErrorArrivesAsItWas(t *testing.T) {
	for _, want := range failures() {
		t.Run(want.Error(), func(t *testing.T) {
			r := serve(t, remote.Handler(failing{err: want}, nothing))
			for name, call := range calls {
				same(t, name, call(t.Context(), r), want)
			}
			r = serve(t, remote.Handler(failing{want, true}, nothing))
			reader := read(t, r, stream.Oldest())
			defer reader.Close()
			for range 3 { // a reader goes on behind any error
				_, err := reader.Next(t.Context(), stream.Limit{})
				same(t, "Next", err, want)
			}
		})
	}
}

// same compares what a caller can see of an error.
func same(t *testing.T, call string, got, want error) {
	t.Helper()
	if got == nil || got.Error() != want.Error() || stream.Refused(got) != stream.Refused(want) {
		t.Errorf("%s: got %v, want %v", call, got, want)
		return
	}
	for _, s := range sentinels {
		if errors.Is(got, s) != errors.Is(want, s) {
			t.Errorf("%s: that it is %q is %v, want %v", call, s, errors.Is(got, s), errors.Is(want, s))
		}
		if (got == s) != (want == s) {
			t.Errorf("%s: it is the value %q: %v", call, s, got == s)
		}
	}
	var gotGap, wantGap *stream.GapError
	if errors.As(got, &gotGap) != errors.As(want, &wantGap) {
		t.Errorf("%s: got %#v", call, got)
	} else if wantGap != nil {
		a, b := *gotGap, *wantGap
		if a.Cause, b.Cause = nil, nil; a != b {
			t.Errorf("%s: got %+v, want %+v", call, a, b)
		}
		if wantGap.Cause != nil {
			same(t, call+", cause of the gap", gotGap.Cause, wantGap.Cause)
		}
	}
	var gotPartial, wantPartial *stream.PartialError
	if errors.As(got, &gotPartial) != errors.As(want, &wantPartial) {
		t.Errorf("%s: got %#v", call, got)
	} else if wantPartial != nil {
		if !reflect.DeepEqual(gotPartial.Refused, wantPartial.Refused) {
			t.Errorf("%s: got %v, want %v", call, gotPartial.Refused, wantPartial.Refused)
		}
		same(t, call+", cause of the refusal", gotPartial.Err, wantPartial.Err)
	}
	if errors.Is(got, context.Canceled) {
		t.Errorf("%s: the context of another process passes for the caller's: %v", call, got)
	}
}

func TestAClientIsPartialIfItsEngineIs(t *testing.T) {
	for _, want := range []bool{true, false} {
		r := serve(t, remote.Handler(failing{readers: want}, nothing))
		if got := stream.Partial(r).Partial(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if serve(t, remote.Handler(open(t), nothing)).Partial() {
		t.Error("the embedded engine is partial")
	}
}
