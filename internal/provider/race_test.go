package provider_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

// telemetry is a message of a Race.
type telemetry struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Race    string    `json:"race"`
	Rider   string    `json:"rider"`
	RiderID int       `json:"rider_id"`
	Second  int       `json:"second"`
	Power   int       `json:"power"`
	Cadence int       `json:"cadence"`
	Output  float64   `json:"output"`
	Speed   float64   `json:"speed"`
	Time    time.Time `json:"time"`
	Cursor  int64     `json:"cursor"`
}

func parse(t *testing.T, message string) telemetry {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(message))
	d.DisallowUnknownFields()
	var m telemetry
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	return m
}

func TestRaceSendsEachRiderOnceASecondWithinTheSecond(t *testing.T) {
	p := &provider.Race{Riders: 25, Races: 4}
	bubble(t, p, func(c client) {
		time.Sleep(1234 * time.Millisecond)
		next := time.Now().Truncate(time.Second).Add(time.Second)
		conn := c.dial("/")
		for second := range 3 {
			for n := 1; n <= 25; n++ {
				m := parse(c.T, read(c.T, conn, 1)[0])
				at := next.Add(time.Duration(second) * time.Second)
				race := fmt.Sprintf("criterium-%d-%d", at.Unix()/300, (n-1)%4)
				expect(c.T, "rider", m.RiderID, n)
				expect(c.T, "race", m.Race, race)
				expect(c.T, "id", m.ID, fmt.Sprintf("%s/%d/%d", race, at.Unix()%300, n))
				expect(c.T, "second", int64(m.Second), at.Unix()%300)
				expect(c.T, "cursor", m.Cursor, at.Unix())
				expect(c.T, "time", m.Time.Equal(at), true)
				if late := time.Since(at); late < 0 || late >= time.Second {
					c.Errorf("rider %d is sent %v after the second", n, late)
				}
			}
		}
		expect(c.T, "last part", time.Since(next), 2900*time.Millisecond)
	})
}

func TestRaceIsAFunctionOfSeedAndSecond(t *testing.T) {
	const unix = 1706522417
	first, again, other := &provider.Race{Riders: 50}, &provider.Race{Riders: 50}, &provider.Race{Riders: 50, Seed: 1}
	again.Messages(unix + 1000)
	if !reflect.DeepEqual(first.Messages(unix), again.Messages(unix)) {
		t.Error("two providers disagree")
	}
	if reflect.DeepEqual(first.Messages(unix), other.Messages(unix)) {
		t.Error("the seed changes nothing")
	}
	// Whatever changes this line breaks who compares runs on different machines.
	expect(t, "message", string(first.Messages(unix)[41]), `{"type":"telemetry","id":"criterium-5688408-1/17/42","race":"criterium-5688408-1",`+
		`"rider":"Bela Mühlbach","rider_id":42,"second":17,"power":325,"cadence":94,"output":5.4,"speed":41.6,`+
		`"time":"2024-01-29T10:00:17Z","cursor":1706522417}`)
}

func TestRaceLooksLikeARace(t *testing.T) {
	p := &provider.Race{Seed: 7, Riders: 200}
	sums, names := map[int]int{}, map[string]bool{}
	highest, coasting := 0, 0
	for second := range int64(300) {
		for _, message := range p.Messages(3000 + second) {
			m := parse(t, string(message))
			sums[m.RiderID] += m.Power
			names[m.Rider] = true
			highest = max(highest, m.Power)
			if m.Power == 0 {
				coasting++
			}
			if m.Power > 1500 || m.Cadence > 135 || m.Speed > 90 || (m.Power == 0) != (m.Cadence == 0) {
				t.Fatalf("implausible: %s", message)
			}
			if want := float64((sums[m.RiderID]+50)/100) / 10; m.Output != want {
				t.Fatalf("output %v, want %v: %s", m.Output, want, message)
			}
		}
	}
	expect(t, "riders", len(sums), 200)
	expect(t, "names", len(names), 200)
	for rider, sum := range sums {
		if mean := sum / 300; mean < 120 || mean > 480 {
			t.Errorf("rider %d has a mean of %d W", rider, mean)
		}
	}
	if highest < 700 {
		t.Errorf("nobody sprints: at most %d W", highest)
	}
	if share := float64(coasting) / 60_000; share < 0.005 || share > 0.03 {
		t.Errorf("%.3f of the time is coasting", share)
	}
}

func TestLeaderboardAgreesWithTheMessages(t *testing.T) {
	p := &provider.Race{Riders: 40, Races: 3}
	const unix = 1706522417
	outputs := map[string]map[int]float64{}
	for _, message := range p.Messages(unix) {
		m := parse(t, string(message))
		if outputs[m.Race] == nil {
			outputs[m.Race] = map[int]float64{}
		}
		outputs[m.Race][m.RiderID] = m.Output
	}
	board := p.Leaderboard(unix)
	expect(t, "races", len(board), 3)
	for _, race := range p.RaceNames(unix) {
		expect(t, "riders of "+race, len(board[race]), len(outputs[race]))
		for i, s := range board[race] {
			expect(t, "rank", s.Rank, i+1)
			expect(t, "output", s.Output, outputs[race][s.RiderID])
			if i > 0 {
				if before := board[race][i-1]; before.Output < s.Output || before.Output == s.Output && before.RiderID > s.RiderID {
					t.Errorf("%+v is before %+v", before, s)
				}
			}
		}
	}
}
