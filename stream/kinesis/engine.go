// Package kinesis is AWS Kinesis as the stream.
//
// Kinesis has no transactions, no puts that can be repeated, and hours in which it takes nothing. So the events go to a durable spool first: a
// stream of another engine, the house, which also keeps marks and state. One [Engine.Commit] is one Commit of the house. A forwarder for
// each stream reads the spool in order, sends it to Kinesis, and moves its own mark behind what Kinesis has acknowledged.
//
// What follows from that: a cursor or a checkpoint is never ahead of what is durable. An event is in Kinesis at least once. It is there twice only
// if an answer of Kinesis was lost, or the process ended before the mark was written; of what was acknowledged before that,
// nothing is sent again. Events of a key are sent one after the other, so that what Kinesis refuses does not lose its place.
package kinesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// House is the engine that keeps the spools, the marks and the state, and every stream that is not in Kinesis.
type House interface {
	stream.Engine
	stream.Admin
}

// Engine is Kinesis behind a spool. Make one with Open, and let Run work while it is used.
type Engine struct {
	config Config
	house  House
	api    *sdk.Client
	client func() *sdk.Client // makes another like it
	wire   *wire
	log    *slog.Logger
	polls  pollLimits
	fans   fans

	mu         sync.Mutex
	forwarders map[string]*forwarder
	making     map[string]bool // streams that were begun to be made and do not have their retention yet
	started    chan *forwarder // nil before Run
	ended      bool            // Run has returned
}

// Open returns an engine over the streams of c in Kinesis and all others in house, which stays open as long as the engine is used. It makes
// the spools, and does not ask Kinesis anything.
func Open(ctx context.Context, c Config, house House) (*Engine, error) {
	setting.Default(&c)
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	e := &Engine{config: c, house: house, log: cmp.Or(c.Log, slog.Default()), forwarders: map[string]*forwarder{}, making: map[string]bool{}}
	e.client = func() *sdk.Client {
		return sdk.NewFromConfig(cfg, func(o *sdk.Options) {
			if c.Endpoint != "" {
				o.BaseEndpoint = aws.String(c.Endpoint)
			}
			if o.Region == "" && o.BaseEndpoint != nil {
				o.Region = "us-east-1"
			}
			o.HTTPClient = whole{o.HTTPClient}
		})
	}
	e.api = e.client()
	if e.wire, err = newWire(ctx, e.api.Options(), c); err != nil {
		return nil, err
	}
	for _, name := range c.Streams {
		if _, err := e.forwarder(ctx, name); err != nil {
			return nil, err
		}
	}
	return e, e.resume(ctx)
}

func newWire(ctx context.Context, o sdk.Options, c Config) (*wire, error) {
	if o.Region == "" {
		return nil, errors.New("no region is known: set region, or AWS_REGION")
	}
	at, err := sdk.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sdk.EndpointParameters{
		Region: aws.String(o.Region), Endpoint: o.BaseEndpoint,
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	})
	if err != nil {
		return nil, fmt.Errorf("find the endpoint of Kinesis: %w", err)
	}
	if o.Credentials == nil {
		return nil, errors.New("no credentials are known: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile")
	}
	if at.URI.Path == "" {
		at.URI.Path = "/"
	}
	return &wire{
		client: tuned(o.HTTPClient, c.Requests), url: at.URI.String(), region: o.Region, json: c.Format == "json" || c.Format == "auto" && o.BaseEndpoint != nil,
		credentials: o.Credentials, signer: v4.NewSigner(),
	}, nil
}

// resume makes forwarders for spools that are there, so that what they hold is sent even if nothing is put any more.
func (e *Engine) resume(ctx context.Context) error {
	all, err := e.house.Streams(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		name, ok := strings.CutPrefix(all[i].Name, spoolName(""))
		if !ok {
			continue
		}
		if !e.abroad(name) {
			left, err := e.leftover(ctx, name, &all[i].Shards[0])
			if err != nil {
				return err
			}
			if !left {
				continue
			}
			e.log.Warn("a stream is not in the configuration any more; its events that wait on the disk are still sent to Kinesis", "stream", name)
		}
		if _, err := e.forwarder(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// leftover reports whether a spool holds anything that is not forwarded.
func (e *Engine) leftover(ctx context.Context, name string, spool *stream.Shard) (bool, error) {
	m, _, err := e.loadMark(ctx, name, spool)
	return m.Through.Compare(spool.Tip) < 0 && spool.First.Compare(spool.Tip) < 0, err
}

// abroad reports whether a stream is in Kinesis.
func (e *Engine) abroad(name string) bool {
	if len(e.config.Streams) > 0 {
		return slices.Contains(e.config.Streams, name)
	}
	return !strings.Contains(name, "/")
}

// forwarder returns the forwarder of a stream, and makes it and its spool where there is none.
func (e *Engine) forwarder(ctx context.Context, name string) (*forwarder, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.forwarders[name]; f != nil {
		return f, nil
	}
	if err := stream.CheckName(name); err != nil {
		return nil, err
	}
	f := &forwarder{
		e: e, name: name, spool: spoolName(name), log: e.log, limit: 1, opened: time.Now(), keep: leastKeep, tails: map[leat.Hash]*item{},
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), moved: make(chan struct{}, 1), refresh: make(chan struct{}, 1), over: make(chan struct{}), gone: make(chan struct{}),
	}
	for spool, keep := range map[string]stream.Retention{f.spool: {Bytes: f.keep}, refusedName(name): {Age: refusedAge}} {
		err := e.house.Create(ctx, stream.Spec{Name: spool, Shards: 1, Keep: keep})
		if err != nil && !errors.Is(err, stream.ErrExists) {
			return nil, fmt.Errorf("make the spool of stream %q: %w", name, err)
		}
	}
	if err := f.open(ctx); err != nil {
		return nil, fmt.Errorf("open the spool of stream %q: %w", name, err)
	}
	e.forwarders[name] = f
	if e.started != nil && !e.ended {
		e.started <- f
	}
	return f, nil
}

// Run forwards until ctx ends, finishes what is on its way, and returns nil, or why it could not go on: the house has failed. It is called once. Without it
// commits still return, but nothing reaches Kinesis.
func (e *Engine) Run(ctx context.Context) error {
	late, cancel := wait.Grace(ctx, 20*time.Second)
	defer cancel()
	e.mu.Lock()
	if e.started != nil {
		e.mu.Unlock()
		return errors.New("the engine runs already, or has run")
	}
	e.started = make(chan *forwarder, 10_000)
	for _, f := range e.forwarders {
		e.started <- f
	}
	e.mu.Unlock()
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	for work.Err() == nil {
		select {
		case f := <-e.started:
			group.Go(func() {
				if err := f.run(work, late); err != nil {
					stop(err)
				}
			})
		case <-work.Done():
		}
	}
	group.Wait()
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	if cause := context.Cause(work); ctx.Err() == nil && cause != nil {
		return cause
	}
	return nil
}

// run works until ctx ends or the house fails.
func (f *forwarder) run(ctx, late context.Context) error {
	defer close(f.over)
	work, stop := context.WithCancel(ctx)
	defer stop()
	failures := make(chan error, 2)
	var group, sending sync.WaitGroup
	group.Go(func() { f.keepMap(work) })
	group.Go(func() {
		select {
		case <-f.gone:
			stop()
		case <-work.Done():
		}
	})
	group.Go(func() {
		err := f.read(work, f.from, f.tip)
		if work.Err() == nil {
			failures <- err
			stop()
		}
	})
	sending.Go(func() { f.dispatch(work, late) })
	marking, marked := context.WithCancel(context.WithoutCancel(ctx))
	defer marked()
	done := make(chan error, 1)
	go func() {
		err := f.keepMark(marking, late, f.first, f.from)
		if err != nil {
			stop()
		}
		done <- err
	}()
	sending.Wait() // the last mark is that of the last answer
	group.Wait()
	marked()
	err := <-done
	select {
	case failed := <-failures:
		return failed
	default:
		return err
	}
}

// close ends the forwarder of a stream that is gone.
func (f *forwarder) close(ctx context.Context) error {
	close(f.gone)
	f.e.mu.Lock()
	running := f.e.started != nil && !f.e.ended
	f.e.mu.Unlock()
	if !running {
		return nil
	}
	select {
	case <-f.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Commit stores everything in c at once in the house, and waits until Kinesis has taken the records, or Config.Wait is over: then they are
// durable all the same, and are sent later. It blocks while the spool is full. With c.Placed it waits for Kinesis in any case; if ctx ends before
// that, the records are stored and it returns the error of ctx. Of records that Kinesis never takes it then tells with a *stream.PartialError and
// the receipt of the others; state and marks are stored all the same.
func (e *Engine) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if !slices.ContainsFunc(c.Puts, func(p stream.Put) bool { return e.abroad(p.Stream) }) {
		return e.house.Commit(ctx, c)
	}
	w := &work{e: e, commit: c, puts: make([]*forwarder, len(c.Puts)), early: make([]uint64, len(c.Puts))}
	return w.run(ctx)
}

// work is one Commit.
type work struct {
	e      *Engine
	commit stream.Commit
	puts   []*forwarder // of each put; nil where it stays in the house, or is empty
	early  []uint64
}

func (w *work) run(ctx context.Context) (stream.Receipt, error) {
	c := w.commit
	c.Puts = slices.Clone(c.Puts)
	if err := w.admit(ctx, c.Puts); err != nil {
		return stream.Receipt{}, err
	}
	for i, f := range w.puts {
		if f == nil {
			continue
		}
		if c.Placed {
			f.mu.Lock()
			w.early[i] = f.early.begin()
			f.mu.Unlock()
		}
	}
	c.Placed = true
	r, err := w.e.house.Commit(ctx, c)
	if err != nil {
		w.undo()
		return r, err
	}
	return w.wait(ctx, r)
}

func sizeOf(put *stream.Put) (n int) {
	for i := range put.Events {
		n += put.Events[i].Size()
	}
	return n
}

// admit finds the spools and waits until there is room for all puts. It takes the room of one stream after the other, all of it at
// once and in order of name, so that no two commits wait for each other.
func (w *work) admit(ctx context.Context, puts []stream.Put) error {
	needs := map[*forwarder]amount{}
	for i := range puts {
		if !w.e.abroad(puts[i].Stream) {
			continue
		}
		f, err := w.e.known(ctx, puts[i].Stream)
		if err != nil {
			return err
		}
		puts[i].Stream = f.spool
		if len(puts[i].Events) == 0 {
			continue
		}
		w.puts[i] = f
		need := needs[f]
		need.add(sizeOf(&puts[i]), len(puts[i].Events))
		needs[f] = need
	}
	order := slices.SortedFunc(maps.Keys(needs), func(a, b *forwarder) int { return strings.Compare(a.name, b.name) })
	for i, f := range order {
		if err := f.admit(ctx, int(needs[f].bytes), int(needs[f].records)); err != nil {
			for _, f := range order[:i] {
				f.giveBack(int(needs[f].bytes), int(needs[f].records))
			}
			return err
		}
	}
	return nil
}

func (w *work) undo() {
	for i, f := range w.puts {
		if f == nil {
			continue
		}
		f.giveBack(sizeOf(&w.commit.Puts[i]), len(w.commit.Puts[i].Events))
		if w.commit.Placed {
			f.mu.Lock()
			f.early.end(w.early[i])
			f.mu.Unlock()
		}
	}
}

// wait waits for Kinesis.
func (w *work) wait(ctx context.Context, r stream.Receipt) (stream.Receipt, error) {
	waiters := make([]*waiter, len(w.puts))
	for i, f := range w.puts {
		if f == nil {
			continue
		}
		waiters[i] = f.await(r.Puts[i], w.commit.Placed)
		if w.commit.Placed {
			f.mu.Lock()
			f.early.end(w.early[i])
			f.mu.Unlock()
		}
		defer f.forget(waiters[i])
	}
	if !w.commit.Placed {
		w.patience(ctx, waiters)
		return stream.Receipt{}, nil
	}
	refused := make([][]int, len(waiters))
	some := false
	for i, waiter := range waiters {
		if waiter == nil {
			continue
		}
		select {
		case <-waiter.done:
		case <-w.puts[i].gone:
			return stream.Receipt{}, fmt.Errorf("stream %q was deleted before Kinesis had its events", w.puts[i].name)
		case <-ctx.Done():
			return stream.Receipt{}, ctx.Err()
		}
		if waiter.err != nil {
			return stream.Receipt{}, waiter.err
		}
		slices.Sort(waiter.refused)
		r.Puts[i], refused[i] = waiter.placed, waiter.refused
		some = some || len(waiter.refused) > 0
	}
	if some {
		see := "the stream of refused events has them, and why"
		if w.e.config.Passing {
			see = "the log says why"
		}
		return r, &stream.PartialError{Refused: refused, Err: fmt.Errorf("%w: Kinesis never takes them; %s", stream.ErrTooLarge, see)}
	}
	return r, nil
}

// patience waits as long as a source has to, which is not at all where Kinesis is behind already.
func (w *work) patience(ctx context.Context, waiters []*waiter) {
	limit := w.e.config.Wait
	if limit == setting.Off {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for i, waiter := range waiters {
		if waiter == nil || w.puts[i].behind(limit) {
			continue
		}
		select {
		case <-waiter.done:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// behind reports whether what waits has waited longer than limit.
func (f *forwarder) behind(limit time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head < len(f.window) && time.Since(f.window[f.head].record.Arrived) > limit
}

// Recall implements stream.Recaller: the spool has the events of the last while as they were put.
func (e *Engine) Recall(name string) (stream.Engine, string) {
	if e.abroad(name) {
		name = spoolName(name)
	}
	return e.house, name
}

// Load implements stream.Marks: marks are in the house.
func (e *Engine) Load(ctx context.Context, key string) (stream.Mark, error) {
	return e.house.Load(ctx, key)
}

// List implements stream.Marks.
func (e *Engine) List(ctx context.Context, prefix string) ([]stream.Mark, error) {
	return e.house.List(ctx, prefix)
}

// State implements stream.Marks.
func (e *Engine) State(ctx context.Context, prefix string) ([]stream.Entry, error) {
	return e.house.State(ctx, prefix)
}

// known returns the forwarder of a stream. A stream that was not configured must exist.
func (e *Engine) known(ctx context.Context, name string) (*forwarder, error) {
	e.mu.Lock()
	f := e.forwarders[name]
	e.mu.Unlock()
	if f != nil {
		return f, nil
	}
	if err := stream.CheckName(name); err != nil {
		return nil, err
	}
	if len(e.config.Streams) == 0 {
		if _, err := e.describe(ctx, name); errors.Is(err, stream.ErrNoStream) {
			return nil, err
		}
	}
	return e.forwarder(ctx, name)
}
