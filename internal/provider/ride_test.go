package provider_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

// The windows of each file with records at most 1 s and 10 s apart.
var rideWindows = map[string][2]int{
	"dtcooper_python-fitparse__2019-02-17-062644-ELEMNT-297E-195-0.fit": {26, 27},
	"dtcooper_python-fitparse__null_compressed_speed_dist.fit":          {6, 6},
	"dtcooper_python-fitparse__sample-activity-indoor-trainer.fit":      {7, 7},
	"muktihari_fit__WithGearChangeData.fit":                             {6, 6},
	"muktihari_fit__activity_lowbattery.fit":                            {13, 13},
	"tormoder_fit__0134902991.fit":                                      {1, 2},
	"tormoder_fit__Edge810-Vector-2013-08-16-15-35-10.fit":              {15, 15},
	"tormoder_fit__garmin.fit":                                          {15, 18},
	"dtcooper_python-fitparse__garmin-edge-500-activity.fit":            {0, 0},
}

func TestRecordedRidesAreCutIntoWindows(t *testing.T) {
	folder := dataFolder(t, "rides")
	for file, want := range rideWindows {
		for i, gap := range []time.Duration{time.Second, 10 * time.Second} {
			rides, err := provider.ReadRideFile(filepath.Join(folder, file), gap)
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			expect(t, file+" with gaps up to "+gap.String(), len(rides), want[i])
		}
	}
	for gap, want := range map[time.Duration]int{time.Second: 89, 10 * time.Second: 94} {
		rides, err := provider.ReadRides(folder, gap)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "all rides", len(rides), want)
	}
}

func TestRecordedRidesAreRaced(t *testing.T) {
	rides, err := provider.ReadRides(dataFolder(t, "rides"), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider.Race{Rides: rides}
	const end = bubbleStart + 299
	board := p.Leaderboard(end)
	expect(t, "races", len(board), 8)
	riders := 0
	for _, standings := range board {
		for _, s := range standings {
			riders++
			expect(t, "output", s.Output, kilojoules(&rides[s.RiderID-1]))
		}
	}
	expect(t, "riders", riders, 94)
}

func kilojoules(r *provider.Ride) float64 {
	joules := 0
	for _, power := range r.Power {
		joules += int(power)
	}
	return float64((joules+50)/100) / 10
}

func TestRidesAreReusedByMoreRiders(t *testing.T) {
	rides := make([]provider.Ride, 2)
	for second := range rides[1].Power {
		rides[1].Power[second], rides[1].Cadence[second] = 200, 90
	}
	p := &provider.Race{Rides: rides, Riders: 5, Races: 1}
	board := p.Leaderboard(bubbleStart + 299)[p.RaceNames(bubbleStart)[0]]
	order := ""
	for _, s := range board {
		order += string(rune('0' + s.RiderID))
	}
	expect(t, "order", order, "24135")
	expect(t, "output of the first", board[0].Output, 60)
}

func TestADirectoryWithoutRidesIsAnError(t *testing.T) {
	if _, err := provider.ReadRides(t.TempDir(), time.Second); err == nil {
		t.Error("no error")
	}
	if _, err := provider.ReadRideFile(filepath.Join(t.TempDir(), "x.fit"), time.Second); err == nil {
		t.Error("no error for an absent file")
	}
}
