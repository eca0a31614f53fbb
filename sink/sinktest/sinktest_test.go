package sinktest_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/sinktest"
)

var mutex sync.Mutex

// defectOf names the defect that a child process is given, so that the suite's failures are seen from outside.
const defectOf = "LEAT_SINKTEST_DEFECT"

func TestTable(t *testing.T) {
	sinktest.Run(t, sinktest.Config{
		Fences: true, Remembers: true,
		Refused: []byte("refused"),
		Open: func(testing.TB, string) sinktest.Destination {
			d := &table{defect: os.Getenv(defectOf)}
			return sinktest.Destination{
				New:    func() sink.Sink { return &tableSink{d, -1} },
				Broken: func(step int) sink.Sink { return &tableSink{d, step} },
				Read:   d.read,
			}
		},
	})
}

func TestFiles(t *testing.T) {
	sinktest.Run(t, sinktest.Config{
		Open: func(testing.TB, string) sinktest.Destination {
			d := &files{mu: &mutex, files: map[string][]sinktest.Row{}, defect: os.Getenv(defectOf)}
			other := *d
			other.suffix = ".other"
			return sinktest.Destination{
				New:     func() sink.Sink { return d },
				Changed: func() sink.Sink { return &other },
				Read:    d.read,
			}
		},
	})
}

// TestWeakPromises runs the suite over a destination that keeps every delivery, loses the order and
// shows failed deliveries in part: allowed where the Config says so.
func TestWeakPromises(t *testing.T) {
	sinktest.Run(t, sinktest.Config{
		Repeats: true, Unordered: true, Partial: true, OnlyJSON: true, MaxRecord: 1 << 16,
		Keeps: func(r sinktest.Row) sinktest.Row {
			r.Arrived = 0
			return r
		},
		Open: func(testing.TB, string) sinktest.Destination {
			d := &table{defect: "order"}
			return sinktest.Destination{
				New:    func() sink.Sink { return &tableSink{d, -1} },
				Broken: func(step int) sink.Sink { return &tableSink{d, step} },
				Read: func(t testing.TB) []sinktest.Row {
					rows := d.read(t)
					for i := range rows {
						rows[i].Arrived = 0
					}
					return rows
				},
			}
		},
	})
}

// TestTheSuiteFindsDefects is the control: each defect must be found by the test that is there for it.
func TestTheSuiteFindsDefects(t *testing.T) {
	for _, c := range []struct{ suite, defect, test string }{
		{"TestTable", "empty", "AnEmptyBatch"},
		{"TestTable", "repeat", "ARepeat"},
		{"TestTable", "repeat", "ShiftedBoundaries"},
		{"TestTable", "repeat", "AnUnknownOutcome"},
		{"TestTable", "repeat", "RandomOperations"},
		{"TestTable", "fence", "ANewerEpoch"},
		{"TestTable", "fence", "RandomOperations"},
		{"TestTable", "epoch", "ANewerEpoch"},
		{"TestTable", "partial", "ACancelledDelivery"},
		{"TestTable", "partial", "ACrashAtAnyStep"},
		{"TestTable", "partial", "RandomOperations"},
		{"TestTable", "cursor", "ACrashAtAnyStep"},
		{"TestTable", "behind", "ADestinationThatLost"},
		{"TestTable", "replaced", "AStreamThatReplaced"},
		{"TestFiles", "done", "PlansKnow"},
		{"TestTable", "order", "BatchesArriveInOrder"},
		{"TestTable", "forget", "BatchesArriveInOrder"},
		{"TestTable", "forget", "ShardsAreDelivered"},
		{"TestTable", "cut", "ALargeRecord"},
		{"TestTable", "nul", "AwkwardRecords"},
		{"TestTable", "retry", "ARefusedRecord"},
		{"TestTable", "swallow", "ARefusedRecord"},
		{"TestFiles", "append", "ARepeat"},
		{"TestFiles", "append", "RandomOperations"},
		{"TestFiles", "clock", "PlansDependOnTheRangeAlone"},
		{"TestFiles", "settings", "PlansOutlive"},
		{"TestFiles", "mismatch", "PlansRefuse"},
		{"TestKilled", "late", ""},
	} {
		t.Run(c.suite+"/"+c.defect+"/"+c.test, func(t *testing.T) {
			name := c.suite
			if c.test != "" {
				name += "/" + c.test
			}
			cmd := exec.Command(os.Args[0], "-test.run=^"+strings.Replace(name, "/", "$/^", 1), "-rapid.nofailfile", "-rapid.shrinktime=0s")
			cmd.Env = append(os.Environ(), defectOf+"="+c.defect)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+name) {
				t.Errorf("the defect was not found (%v): %s", err, out)
			}
		})
	}
}
