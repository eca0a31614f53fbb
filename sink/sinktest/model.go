package sinktest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// model is what the consumer knows and what the destination must hold.
type model struct {
	*rig
	sink   sink.Sink
	epoch  uint64
	zombie sink.Sink // a sink of the epoch before, nil if there is none
	shards []*shardModel
}

// shardModel is one shard. The log is endless; positions are indexes into it.
type shardModel struct {
	id    leat.ShardID
	known int    // the checkpoint: everything below is delivered
	there int    // what the destination holds; not below known
	epoch uint64 // of the last delivery that got through
	plans []planned
	open  bool // the last plan may not have been executed
}

// planned is a plan that the consumer has made durable.
type planned struct {
	from, to int
	plan     []byte
}

func testModel(r *rig) {
	rapid.Check(r.t, func(t *rapid.T) {
		fresh := &rig{Config: r.Config, Destination: r.Open(r.t, r.t.TempDir()), t: r.t}
		defer fresh.close()
		m := &model{rig: fresh, sink: fresh.fresh(), epoch: 1}
		for i := range 3 {
			m.shards = append(m.shards, &shardModel{id: leat.ShardID(i * 16)})
		}
		actions := map[string]func(*rapid.T){
			"deliver": m.deliver,
			"repeat":  m.repeat,
			"cancel":  m.cancel,
			"reopen":  func(*rapid.T) { m.sink = m.reopen(m.sink) },
			"crash":   func(*rapid.T) { m.sink = m.fresh() },
			"takeover": func(*rapid.T) {
				m.zombie, m.sink = m.sink, m.fresh()
				m.epoch++
			},
		}
		if fresh.Broken != nil {
			actions["break"] = m.breakAt
		}
		if fresh.Fences {
			actions["zombie"] = m.awake
		}
		// Fewer actions than Repeat would take: at most destinations each of them waits for a disk or a network.
		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(1, 16).Draw(t, "actions") {
			actions[rapid.SampledFrom(names).Draw(t, "action")](t)
			m.agree(t)
		}
		m.deliver(t) // whatever happened, it goes on
		m.agree(t)
	})
}

func (m *model) shard(t *rapid.T) *shardModel { return rapid.SampledFrom(m.shards).Draw(t, "shard") }

func (m *model) planner() bool {
	_, ok := m.sink.(sink.Planner)
	return ok
}

// deliver delivers what comes next, and before it what may have been delivered already.
func (m *model) deliver(t *rapid.T) {
	s := m.shard(t)
	m.must(t, s, m.next(t, s))
}

// repeat delivers what is known to be there.
func (m *model) repeat(t *rapid.T) {
	s := m.shard(t)
	if s.known == 0 {
		return
	}
	if m.planner() {
		m.must(t, s, rapid.SampledFrom(s.plans).Draw(t, "plan"))
		return
	}
	from := rapid.IntRange(0, s.known-1).Draw(t, "from")
	m.must(t, s, planned{from: from, to: rapid.IntRange(from+1, s.known).Draw(t, "to")})
}

// cancel delivers with a context that ends under way.
func (m *model) cancel(t *rapid.T) {
	s := m.shard(t)
	ctx := cancelAfter(m.t.Context(), rapid.IntRange(0, 30).Draw(t, "looks"))
	defer ctx.cancel()
	m.may(ctx, t, s, m.next(t, s))
}

// breakAt delivers by a process that is killed under way.
func (m *model) breakAt(t *rapid.T) {
	s := m.shard(t)
	p := m.next(t, s)
	m.sink = m.keep(m.Broken(rapid.IntRange(0, 12).Draw(t, "step")))
	m.may(m.t.Context(), t, s, p)
	m.sink = m.fresh()
}

// awake lets the sink of the epoch before deliver.
func (m *model) awake(t *rapid.T) {
	s := m.shard(t)
	if m.zombie == nil || s.epoch < m.epoch {
		return // nobody is fenced
	}
	p := m.next(t, s)
	err := m.zombie.Deliver(m.t.Context(), m.records(s, p, m.epoch-1))
	if !errors.Is(err, stream.ErrFenced) {
		t.Fatalf("a batch of epoch %d after one of %d: got %v, want an error that wraps stream.ErrFenced", m.epoch-1, s.epoch, err)
	}
}

// next returns a range that begins at or before the checkpoint and goes beyond it; for a Planner
// the open plan, or a new one.
func (m *model) next(t *rapid.T, s *shardModel) planned {
	n := rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 130)).Draw(t, "records")
	if !m.planner() {
		back := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, s.known)).Draw(t, "overlap")
		return planned{from: s.known - back, to: s.known + n}
	}
	if s.open {
		return s.plans[len(s.plans)-1]
	}
	p := planned{from: s.known, to: s.known + n}
	plan, err := m.sink.(sink.Planner).Plan(m.records(s, p, m.epoch))
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	p.plan = plan
	s.plans, s.open = append(s.plans, p), true
	return p
}

func (m *model) records(s *shardModel, p planned, epoch uint64) leat.Batch {
	b := m.batch(s.id, p.from, p.to)
	b.Epoch = epoch
	return b
}

// try delivers the range as the consumer does.
func (m *model) attempt(ctx context.Context, s *shardModel, p planned) error {
	b := m.records(s, p, m.epoch)
	if planner, ok := m.sink.(sink.Planner); ok {
		return planner.Execute(ctx, p.plan, b)
	}
	return m.sink.Deliver(ctx, b)
}

// must delivers without a fault.
func (m *model) must(t *rapid.T, s *shardModel, p planned) {
	t.Helper()
	if err := m.attempt(m.t.Context(), s, p); err != nil {
		t.Fatalf("deliver %d to %d of %s: %v", p.from, p.to, s.id, err)
	}
	m.settle(s, p)
}

// may delivers with a fault: the range may be at the destination afterwards or not, whatever the error.
func (m *model) may(ctx context.Context, t *rapid.T, s *shardModel, p planned) {
	t.Helper()
	err := m.attempt(ctx, s, p)
	if err == nil {
		m.settle(s, p)
		return
	}
	if sink.IsPermanent(err) || sink.IsHalt(err) {
		t.Fatalf("a fault in transit is Permanent or Halt: %v", err)
	}
	if m.differs(m.log()...) == "" {
		return
	}
	was, epoch := s.there, s.epoch
	s.there, s.epoch = max(s.there, p.to), m.epoch
	if m.Partial {
		m.sink = m.fresh()
		m.must(t, s, p)
	} else if why := m.differs(m.log()...); why != "" {
		t.Fatalf("after %v the destination holds neither all of the records %d to %d nor none (it held %d in epoch %d): %s",
			err, p.from, p.to, was, epoch, why)
	}
}

func (m *model) settle(s *shardModel, p planned) {
	s.known, s.there, s.epoch = max(s.known, p.to), max(s.there, p.to), m.epoch
	s.open = s.open && p.to < s.plans[len(s.plans)-1].to
}

// log returns what the destination must hold.
func (m *model) log() []leat.Batch {
	var all []leat.Batch
	for _, s := range m.shards {
		all = append(all, m.batch(s.id, 0, s.there))
	}
	return all
}

func (m *model) agree(t *rapid.T) { m.rig.check(t, m.log()...) }
