// Package sinktest is what every sink.Sink must do. A sink's own tests call Run with a way to open a
// destination, and Kill if the destination outlives the process; a new sink begins by making them pass.
package sinktest

import (
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

// Config says how a destination is opened and what it can do. The zero value of every field but
// Open is the strongest promise: whole batches or nothing, once, in order, every field kept.
type Config struct {
	// Open returns the destination that belongs to dir, an existing directory. It is empty if dir is;
	// two calls with one dir, also from two processes, open the same destination. A destination that is no
	// file may use dir as its name. What Open needs to clean up it registers with t.
	Open func(t testing.TB, dir string) Destination

	// Fences: the destination compares Batch.Epoch and refuses a smaller one than it has seen for the
	// shard with an error that wraps stream.ErrFenced.
	Fences bool

	// Remembers: the destination keeps its position beside the rows, and says with a *sink.BehindError that it has lost rows.
	Remembers bool

	// Partial: a delivery that failed may be visible in part.
	Partial bool

	// Repeats: the destination keeps every delivery, so that a repeated record is read back again, equal
	// in every field.
	Repeats bool

	// Unordered: the destination has no order within a shard.
	Unordered bool

	// OnlyJSON: the destination takes no payload but JSON.
	OnlyJSON bool

	// MaxRecord is the largest payload the destination takes. 0: 4 MiB.
	MaxRecord int

	// Keeps returns what can be read back of a row: fields that the destination does not keep are
	// zero. nil: everything is kept.
	Keeps func(Row) Row

	// Refused is a payload that the destination refuses for good. nil: there is none.
	Refused []byte
}

// Destination is one destination under test. New and Read are compulsory.
type Destination struct {
	// New returns a fresh sink over the destination, in the settings under test. The suite closes it if it
	// is an io.Closer; where the suite plays a crash it does so only at the end.
	New func() sink.Sink

	// Read returns what a reader sees, those of one shard in the order of the destination.
	Read func(t testing.TB) []Row

	// Broken returns a fresh sink whose next delivery fails at the given step, counted from 0, and
	// does nothing from there on, as if the process had been killed. With a step behind the last one the
	// delivery succeeds. nil: steps cannot be broken.
	Broken func(step int) sink.Sink

	// Changed returns a fresh sink with other settings, as after an operator's edit: a Planner must follow
	// the plans that were made before. nil: there is nothing to change.
	Changed func() sink.Sink

	// Misconfigured returns a sink that only an operator can mend. nil: there is none.
	Misconfigured func() sink.Sink
}

// Row is one record as it is read back.
type Row struct {
	Shard    leat.ShardID
	Sequence leat.SequenceNumber
	Key      string
	Arrived  int64 // milliseconds since 1970
	Data     string
}

// Run runs the whole suite, every test on a destination of its own.
func Run(t *testing.T, c Config) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*rig)
	}{
		{"BatchesArriveInOrder", testOrder},
		{"AnEmptyBatchChangesNothing", testEmpty},
		{"AwkwardRecordsSurvive", testAwkward},
		{"ALargeRecordSurvives", testLarge},
		{"ARepeatChangesNothing", testRepeat},
		{"ShiftedBoundariesChangeNothing", testShifted},
		{"AnUnknownOutcomeIsRepeated", testUnknown},
		{"ShardsAreDeliveredAtTheSameTime", testShards},
		{"ACancelledDeliveryIsRepeated", testCancel},
		{"ACrashAtAnyStepIsRepeated", testCrash},
		{"ANewerEpochFencesTheOlder", testFence},
		{"ADestinationThatLostRowsSaysSo", testBehind},
		{"AStreamThatReplacedAnotherBeginsAnew", testReplaced},
		{"ARefusedRecordIsPermanent", testRefused},
		{"AMisconfiguredSinkHalts", testHalt},
		{"ClosingAnUnusedSinkIsFine", testUnused},
		{"PlansDependOnTheRangeAlone", testPlans},
		{"PlansOutliveTheirSettings", testChanged},
		{"PlansRefuseOtherRecords", testMismatch},
		{"PlansKnowWhenTheyAreDone", testDone},
		{"RandomOperationsAgreeWithTheModel", testModel},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := open(t, c)
			defer r.close()
			test.run(r)
		})
	}
}
