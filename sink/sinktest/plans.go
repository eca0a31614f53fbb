package sinktest

import (
	"bytes"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

func testPlans(r *rig) {
	p := r.planner()
	b := r.batch(0, 0, 40)
	plan := r.plan(p, b)
	again := r.plan(r.fresh().(sink.Planner), b)
	if !bytes.Equal(plan, again) || len(plan) == 0 {
		r.t.Errorf("two plans of one range differ: %q and %q", plan, again)
	}
	r.check(r.t) // Plan does no I/O
	later := b
	later.Epoch, later.Behind = 9, 1e9
	if p := r.plan(p, later); !bytes.Equal(p, plan) {
		r.t.Errorf("another epoch gives another plan: %q and %q", p, plan)
	}
	if p := r.plan(p, r.batch(0, 0, 39)); bytes.Equal(p, plan) {
		r.t.Errorf("another range gives the same plan: %q", p)
	}
	for range 3 {
		r.execute(p, plan, b)
		r.check(r.t, b)
	}
	if err := p.Deliver(r.t.Context(), own(b)); err != nil {
		r.t.Errorf("Deliver: %v", err)
	}
	r.check(r.t, b)
}

func testChanged(r *rig) {
	p := r.planner()
	if r.Changed == nil {
		r.t.Skip("there is nothing to change")
	}
	done, open := r.batch(0, 0, 40), r.batch(0, 40, 90)
	donePlan, openPlan := r.plan(p, done), r.plan(p, open)
	r.execute(p, donePlan, done)
	changed, ok := r.keep(r.Changed()).(sink.Planner)
	if !ok {
		r.t.Fatal("the changed sink is no sink.Planner")
	}
	if bytes.Equal(r.plan(changed, done), donePlan) {
		r.t.Error("the changed sink makes the same plan: choose a setting that counts")
	}
	r.execute(changed, donePlan, done)
	r.execute(changed, openPlan, open)
	r.check(r.t, done, open)
	r.execute(p, openPlan, open)
	r.check(r.t, done, open)
}

func testMismatch(r *rig) {
	p := r.planner()
	b := r.batch(0, 0, 40)
	plan := r.plan(p, b)
	hole := own(b)
	hole.Records = append(hole.Records[:20], hole.Records[21:]...)
	for name, other := range map[string]leat.Batch{
		"fewer":          r.batch(0, 0, 39),
		"more":           r.batch(0, 0, 41),
		"shifted":        r.batch(0, 1, 41),
		"a hole":         hole,
		"another shard":  r.batch(1, 0, 40),
		"nothing at all": {Stream: streamName, Epoch: 1},
	} {
		err := p.Execute(r.t.Context(), plan, other)
		if err == nil || sink.IsPermanent(err) {
			r.t.Errorf("%s: got %v, want an error that is not Permanent", name, err)
		}
	}
	for _, bad := range []string{"", "{", "null", "7", `"x"`, "\x00"} {
		if err := p.Execute(r.t.Context(), []byte(bad), own(b)); err == nil || sink.IsPermanent(err) {
			r.t.Errorf("plan %q: got %v, want an error that is not Permanent", bad, err)
		}
	}
	r.check(r.t)
	r.execute(p, plan, b)
	r.check(r.t, b)
}

func (r *rig) plan(p sink.Planner, b leat.Batch) []byte {
	r.t.Helper()
	plan, err := p.Plan(own(b))
	if err != nil {
		r.t.Fatalf("plan %s: %v", describe(b), err)
	}
	return plan
}

func (r *rig) execute(p sink.Planner, plan []byte, b leat.Batch) {
	r.t.Helper()
	if err := p.Execute(r.t.Context(), plan, own(b)); err != nil {
		r.t.Fatalf("execute %q: %v", plan, err)
	}
}

func testDone(r *rig) {
	p := r.planner()
	b := r.batch(0, 0, 40)
	plan := r.plan(p, b)
	r.done(p, plan, false)
	if r.Broken != nil {
		for step := 0; ; step++ {
			broken, ok := r.keep(r.Broken(step)).(sink.Planner)
			if !ok {
				r.t.Fatal("the broken sink is no sink.Planner")
			}
			b := r.batch(1, step*40, step*40+40)
			plan := r.plan(broken, b)
			err := broken.Execute(r.t.Context(), plan, own(b))
			done, doneErr := r.fresh().(sink.Planner).Done(r.t.Context(), plan)
			if there := r.differs(r.batch(1, 0, step*40+40)) == ""; doneErr != nil || done != there {
				r.t.Errorf("broken at step %d: done %v, %v, and it is there: %v", step, done, doneErr, there)
			}
			if err == nil {
				break
			}
			r.execute(r.fresh().(sink.Planner), plan, b)
		}
	}
	r.execute(p, plan, b)
	r.done(p, plan, true)
	r.done(r.fresh().(sink.Planner), plan, true)
	r.done(p, r.plan(p, r.batch(0, 40, 50)), false)
}

func (r *rig) done(p sink.Planner, plan []byte, want bool) {
	r.t.Helper()
	if done, err := p.Done(r.t.Context(), plan); done != want || err != nil {
		r.t.Errorf("plan %s: done %v, %v; want %v", plan, done, err, want)
	}
}
