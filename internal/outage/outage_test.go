package outage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/outage"
)

var rhythm = outage.Rhythm{First: time.Minute, Longest: time.Hour}

// words returns the minutes in which an outage with a failure in each second is told of.
func words(o *outage.Outage, from time.Time, d time.Duration) (at []int) {
	for s := time.Duration(0); s < d; s += time.Second {
		if _, tell := o.Fail(from.Add(s), rhythm); tell {
			at = append(at, int(s/time.Minute))
		}
	}
	return at
}

func TestWordsBecomeSeldom(t *testing.T) {
	var o outage.Outage
	begun := time.Unix(1_000_000, 0)
	if at := words(&o, begun, 5*time.Hour); !slices.Equal(at, []int{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}) {
		t.Errorf("told in the minutes %v", at)
	}
	lasted, tell := o.End(begun.Add(5 * time.Hour))
	if lasted != 5*time.Hour || !tell || o.Failures != 18000 {
		t.Errorf("it lasted %v, told: %v, %d failures", lasted, tell, o.Failures)
	}
	if _, tell := o.End(begun); tell {
		t.Error("it ends twice")
	}
	if at := words(&o, begun.Add(12*time.Hour), 2*time.Minute); !slices.Equal(at, []int{0, 1}) {
		t.Errorf("the next one is told of in the minutes %v", at)
	}
}

func TestWhatComesAndGoesIsNotTold(t *testing.T) {
	var o outage.Outage
	told, unsaid := 0, 0
	for at := time.Unix(1_000_000, 0); at.Before(time.Unix(1_000_000+24*3600, 0)); at = at.Add(10 * time.Second) {
		more, tell := o.Fail(at, rhythm)
		if unsaid += more; tell {
			told++
		}
		_, over := o.End(at.Add(time.Second))
		if over != tell {
			t.Fatalf("the beginning is told: %v, the end: %v", tell, over)
		}
	}
	if told > 35 || unsaid < 8000 {
		t.Errorf("told %d times, of %d others", told, unsaid)
	}
}
