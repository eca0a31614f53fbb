package sinktest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

// The environment of a child process: the destination, and where it begins.
const (
	childDir   = "LEAT_SINKTEST_DIR"
	childKnown = "LEAT_SINKTEST_KNOWN"
)

// report is what a child tells on a line of its own: what it tries, and what is delivered.
type report struct {
	Shard    leat.ShardID
	From, To int
	Plan     []byte `json:",omitempty"`
	Done     bool   // delivered; else: about to be delivered
}

const reportMark = "sinktest: "

// Kill starts child processes that deliver to one destination and kills each at a random moment (SIGKILL). What a
// child had delivered must be there, what it was delivering must be there whole or not at all, and the
// next process must be able to go on. The test that calls Kill must do nothing else, because the child is
// the same test in a second process.
func Kill(t *testing.T, c Config) {
	if dir := os.Getenv(childDir); dir != "" {
		(&child{rig: &rig{Config: c, t: t}, sink: c.Open(t, dir).New()}).run()
		return
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	p := &parent{rig: &rig{Config: c, Destination: c.Open(t, dir), t: t}, dir: dir}
	defer p.close()
	p.shards[1].id = 1
	for range rounds {
		p.round()
	}
	t.Logf("%d kills, %d of them under way, of which %d came too late", rounds, p.underWay, p.late)
}

// child delivers batches until it is killed, or until it has delivered so many that nobody seems to be there
// to kill it.
type child struct {
	*rig
	sink sink.Sink
}

func (c *child) run() {
	var known [2]int
	if err := json.Unmarshal([]byte(os.Getenv(childKnown)), &known); err != nil {
		c.t.Fatal(err)
	}
	for i := range 2000 {
		shard := i % len(known)
		to := known[shard] + 1 + rand.IntN(300)
		rep := report{Shard: leat.ShardID(shard), From: known[shard], To: to}
		if err := c.pass(c.batch(rep.Shard, rep.From, rep.To), rep); err != nil {
			c.t.Fatal(err)
		}
		known[shard] = to
	}
}

func (c *child) pass(b leat.Batch, rep report) (err error) {
	p, planner := c.sink.(sink.Planner)
	if planner {
		if rep.Plan, err = p.Plan(own(b)); err != nil {
			return err
		}
	}
	if err := tell(rep); err != nil {
		return err
	}
	if planner {
		err = p.Execute(c.t.Context(), rep.Plan, b)
	} else {
		err = c.sink.Deliver(c.t.Context(), b)
	}
	if err != nil {
		return err
	}
	rep.Done = true
	return tell(rep)
}

// tell writes one line at once, so that it is in the pipe whole or not at all.
func tell(rep report) error {
	line, err := json.Marshal(rep)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "%s%s\n", reportMark, line)
	return err
}

// parent is the consumer's memory over all children.
type parent struct {
	*rig
	dir      string
	shards   [2]shardModel
	underWay int // kills during a delivery
	late     int // of these, the ones after which the records were there
}

func (p *parent) round() {
	p.t.Helper()
	tried := p.run(1 + rand.IntN(16))
	for i := range p.shards {
		s := &p.shards[i]
		s.there = s.known
	}
	if tried != nil {
		p.underWay++
	}
	if tried != nil && p.differs(p.log()...) != "" {
		p.shards[tried.Shard].there = tried.To
		p.late++
	}
	if !p.Partial {
		p.check(p.t, p.log()...)
	}
	if tried == nil {
		return
	}
	// The next process finishes what the killed one had begun.
	s, next := &p.shards[tried.Shard], p.fresh()
	b := p.batch(s.id, tried.From, tried.To)
	if planner, ok := next.(sink.Planner); ok {
		p.execute(planner, tried.Plan, b)
	} else {
		p.deliver(next, b)
	}
	s.known, s.there = tried.To, tried.To
	p.check(p.t, p.log()...)
	p.close()
}

func (p *parent) log() []leat.Batch {
	var all []leat.Batch
	for i := range p.shards {
		all = append(all, p.batch(p.shards[i].id, 0, p.shards[i].there))
	}
	return all
}

// run starts a child, kills it after so many reports, and returns what it was about to deliver, if anything.
func (p *parent) run(reports int) (tried *report) {
	p.t.Helper()
	known, err := json.Marshal([2]int{p.shards[0].known, p.shards[1].known})
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(p.t.Name(), "/", "$/^")+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), childDir+"="+p.dir, childKnown+"="+string(known))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var noise strings.Builder // of the child's test framework: nothing, if all is well
	lines := bufio.NewReader(out)
	for n := 0; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		text, ok := strings.CutPrefix(line, reportMark)
		if !ok {
			noise.WriteString(line)
			continue
		}
		tried = p.note(text)
		if n++; n == reports {
			for range rand.IntN(50_000) { // some milliseconds at most, so that the kill meets any moment of a delivery
				runtime.Gosched()
			}
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil || noise.Len() > 0 {
		p.t.Fatalf("the child ended by itself (%v): %s%s", err, noise.String(), stderr.String())
	}
	return tried
}

// note records what a child told and returns it while it is not delivered.
func (p *parent) note(text string) *report {
	var rep report
	if err := json.Unmarshal([]byte(text), &rep); err != nil {
		p.t.Fatalf("%q: %v", text, err)
	}
	if !rep.Done {
		return &rep
	}
	p.shards[rep.Shard].known = rep.To
	return nil
}
