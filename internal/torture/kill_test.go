package torture

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// rounds is how much of a long test to run: short in every test run, LEAT_TORTURE times as much in make torture.
func rounds(short int) int {
	factor, err := strconv.Atoi(os.Getenv("LEAT_TORTURE"))
	if err != nil || factor < 1 {
		return short
	}
	return short * factor
}

func randomly(most time.Duration) time.Duration { return rand.N(most + 1) }

// rig is a provider and a directory over many lives of the process between them.
type rig struct {
	t        testing.TB
	provider feed
	ledger   *ledger
	usual    time.Duration // how long a start takes
	seam     seam
	files    time.Duration
	figures  figures
}

type figures struct {
	kills, unopened, unstarted, checks, looks, events, gaps int
}

func newRig(t testing.TB, p feed, dir string, s seam) *rig {
	t.Helper()
	return &rig{
		t: t, provider: p, ledger: newLedger(dir), usual: 100 * time.Millisecond,
		seam: s, files: 5 * time.Millisecond,
	}
}

func (r *rig) start(last int64) *process {
	return start(r.t, order{
		Dir: r.ledger.dir, URL: r.provider.url(), Connections: 1 + rand.IntN(2), Files: r.files, Seam: r.seam, Last: last,
	})
}

// life starts the process, lets stop end it at a random instant, and notes what was acknowledged until then.
func (r *rig) life(m moment, stop func(*process) error) {
	r.t.Helper()
	base := r.ledger.acked
	p := r.start(0)
	p.until(r.t, m, r.usual)
	if m == underway && rand.IntN(8) == 0 {
		r.look()
	}
	if err := stop(p); err != nil {
		r.t.Fatal(err)
	}
	stored := p.stored.Load()
	r.figures.kills++
	select {
	case took := <-p.opened:
		r.usual = (7*r.usual + took) / 8
	default:
		r.figures.unopened++
	}
	if stored == 0 {
		r.figures.unstarted++
	}
	r.ledger.acked = max(r.ledger.acked, base+stored, r.provider.acknowledged())
}

// look reads the table while the process writes it: what a reader has seen must stay.
func (r *rig) look() {
	r.t.Helper()
	counts, err := r.ledger.look(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for shard, n := range counts {
		r.ledger.table[shard] = max(r.ledger.table[shard], n)
	}
	r.figures.looks++
}

func (r *rig) check(last int64) error {
	r.figures.checks++
	err := r.ledger.check(r.t.Context(), last)
	r.figures.events, r.figures.gaps = int(r.ledger.acked), r.ledger.gaps
	return err
}

// drain lets a last process deliver everything and end in order.
func (r *rig) drain() {
	r.t.Helper()
	last := r.provider.finish()
	p := r.start(last)
	select {
	case <-p.drained:
	case <-p.silent:
	case <-time.After(2 * time.Minute): // only of a test that fails
		err := p.kill()
		r.t.Fatalf("not drained, %d events stored by the last process: %v", p.stored.Load(), err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Error(err)
	}
	<-p.silent
	if err := p.cmd.Wait(); err != nil {
		r.t.Fatalf("the last process: %v: %s", err, p.stderr)
	}
	if err := r.check(last); err != nil {
		r.t.Fatal(err)
	}
	if n, err := r.ledger.leftovers(); err != nil || n > 0 {
		r.t.Errorf("%d files are left half written: %v", n, err)
	}
}

// A process that is killed at any instant, again and again, has lost nothing that it acknowledged and delivers every event once, to the
// table and to the files. The controls show that the same harness notices when it is otherwise.
func TestCrashByKill(t *testing.T) {
	kills(t, websocketProvider, 100)
	control(t, defect{provider: websocketProvider, seam: seamNone, tries: 5})
	control(t, defect{provider: websocketProvider, seam: seamCursorFirst, tries: 600, want: errCursorAhead})
	control(t, defect{provider: websocketProvider, seam: seamRandomName, tries: 600, want: errDuplicated})
}

// The same of a provider that forgets what is acknowledged: only what is durable may be.
func TestCrashByKillOfWhatTheProviderForgets(t *testing.T) {
	for name, provider := range map[string]func(testing.TB) feed{
		"mqtt":      func(t testing.TB) feed { return serveBroker(t) },
		"websocket": func(t testing.TB) feed { return serveForgetful(t) },
	} {
		t.Run(name, func(t *testing.T) {
			kills(t, provider, 50)
			control(t, defect{provider: provider, seam: seamNone, tries: 5})
			control(t, defect{provider: provider, seam: seamAckEarly, tries: 600, want: errLost})
		})
	}
}

// kills kills processes over one directory so many times, and as often over others in a long test.
func kills(t *testing.T, provider func(testing.TB) feed, series int) {
	t.Helper()
	begun := time.Now()
	var all figures
	for n := range rounds(1) {
		r := newRig(t, provider(t), t.TempDir(), "")
		for range series {
			r.life(anyMoment(), (*process).kill)
			if rand.IntN(8) > 0 {
				continue
			}
			if err := r.check(0); err != nil {
				t.Fatalf("series %d, after %d kills: %v", n, r.figures.kills, err)
			}
		}
		if err := r.check(0); err != nil {
			t.Fatalf("series %d, after all kills: %v", n, err)
		}
		r.drain()
		all.add(r.figures)
	}
	t.Logf("%d kills (%d before the start was through, %d more before the first acknowledgement), %d checks, %d looks at the living table, %d events: "+
		"0 lost, 0 duplicated, %d gaps reported; %.1f s for 100 kills", all.kills, all.unopened, all.unstarted-all.unopened, all.checks, all.looks,
		all.events, all.gaps, time.Since(begun).Seconds()*100/float64(all.kills))
}

// A process that is killed while it makes its data directory leaves something that the next one can open.
func TestCrashByKillBeforeThereIsAnything(t *testing.T) {
	var all figures
	for range rounds(10) {
		r := newRig(t, serveNumbers(t), t.TempDir(), "")
		r.life(opening, (*process).kill)
		if err := r.check(0); err != nil {
			t.Fatal(err)
		}
		r.life(opening, (*process).kill)
		r.life(underway, (*process).kill)
		if err := r.check(0); err != nil {
			t.Fatal(err)
		}
		all.add(r.figures)
	}
	t.Logf("%d kills over %d new directories (%d before the start was through): 0 lost, 0 duplicated", all.kills, all.kills/3, all.unopened)
}

// anyMoment returns where to kill: mostly where something is under way.
func anyMoment() moment {
	switch n := rand.IntN(10); {
	case n < 2:
		return opening
	case n < 4:
		return opened
	}
	return underway
}

func (f *figures) add(o figures) {
	f.kills += o.kills
	f.unopened += o.unopened
	f.unstarted += o.unstarted
	f.checks += o.checks
	f.looks += o.looks
	f.gaps += o.gaps
	f.events += o.events
}

// defect is a run with a seeded defect.
type defect struct {
	provider func(testing.TB) feed
	seam     seam
	tries    int
	want     error // nil: no defect
}

func websocketProvider(t testing.TB) feed { return serveNumbers(t) }

func control(t *testing.T, c defect) {
	t.Helper()
	r := newRig(t, c.provider(t), t.TempDir(), c.seam)
	for range c.tries {
		r.life(underway, (*process).kill)
		err := r.check(0)
		switch {
		case err == nil:
		case c.want != nil && errors.Is(err, c.want):
			t.Logf("control caught: %s, after %d kills: %v", c.seam, r.figures.kills, err)
			return
		default:
			t.Fatalf("control %s: %v", c.seam, err)
		}
	}
	if c.want != nil {
		t.Errorf("control not caught: %s, %d kills", c.seam, c.tries)
		return
	}
	r.drain()
	t.Logf("control without a defect: %d kills, %d events: 0 lost, 0 duplicated", r.figures.kills, r.figures.events)
}
