package provider

import (
	"cmp"
	"slices"
)

// Standing is the place of a rider in a race at the end of a second.
type Standing struct {
	Rank    int // from 1
	Race    string
	RiderID int
	Rider   string
	Output  float64 // kJ with one decimal, as in the messages
}

// RaceNames returns the names of the races that are held in a Unix second.
func (p *Race) RaceNames(unix int64) []string {
	var names []string
	for race := range p.races() {
		names = append(names, p.raceName(unix/raceSeconds, race))
	}
	return names
}

// RaceSecond returns which second of their races a Unix second is: 0 to 299.
func RaceSecond(unix int64) int { return int(unix % raceSeconds) }

// Leaderboard returns, computed anew, all riders of the races that are held in a Unix second, by
// the name of the race, with the highest output first. Riders of equal output, as the
// messages give it, have different ranks in the order of their ids.
func (p *Race) Leaderboard(unix int64) map[string][]Standing {
	p.mu.Lock()
	block := p.block(unix / raceSeconds)
	p.mu.Unlock()
	names := p.RaceNames(unix)
	board := map[string][]Standing{}
	for rider := range p.riders() {
		race := names[rider%len(names)]
		board[race] = append(board[race], Standing{
			Race: race, RiderID: rider + 1, Rider: riderName(rider + 1),
			Output: float64(block.output(rider, int(unix%raceSeconds))) / 10,
		})
	}
	for _, standings := range board {
		slices.SortStableFunc(standings, func(a, b Standing) int { return cmp.Compare(b.Output, a.Output) })
		for i := range standings {
			standings[i].Rank = i + 1
		}
	}
	return board
}

// Messages returns the messages of a Unix second in the order in which they are sent.
func (p *Race) Messages(unix int64) [][]byte {
	p.mu.Lock()
	scene := p.scene(unix)
	p.mu.Unlock()
	var messages [][]byte
	for rider := range p.riders() {
		messages = append(messages, scene.append(nil, rider))
	}
	return messages
}
