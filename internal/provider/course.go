package provider

import "sync"

// raceSeconds is how long a race lasts. Races are aligned to it from 1970 on.
const raceSeconds = 300

// course says how hard the riders ride. It is a pure function of its fields, in whole
// numbers, so that it is the same on every machine. Factors are in thousandths.
type course struct {
	seed  uint64
	block int64 // seconds since 1970 / raceSeconds
	race  int
	rider int // counted from 1
}

// Each of these is a source of chance of its own.
const (
	chanceFitness = iota
	chanceForm
	chanceHills
	chanceRhythm
	chanceJitter
	chanceAttack
	chanceCoast
	chanceSprint
	chanceCadence
	chanceHangUp
)

// ride returns the power in watts and the cadence in revolutions per minute in a second of the race.
func (c course) ride(second int) (power, cadence int) {
	fitness := c.fitness()
	if c.coasts(second) {
		return 0, 0
	}
	power = fitness
	for _, factor := range []int{c.form(), c.hills(second), c.rhythm(second), c.jitter(second), c.attack(second), c.ends(second)} {
		power = power * factor / 1000
	}
	cadence = 68 + 24*power/fitness + between(c.roll(chanceCadence, uint64(second)), -3, 3)
	return power, min(cadence, 135)
}

// fitness is what the rider can hold, the same in all races.
func (c course) fitness() int { return between(roll(c.seed, chanceFitness, uint64(c.rider)), 190, 380) }

// form is how good the rider's day is.
func (c course) form() int { return between(c.roll(chanceForm, 0), 940, 1060) }

// hills are the same for all riders of a race.
func (c course) hills(second int) int {
	return smooth(roll(c.seed, chanceHills, uint64(c.block)<<16|uint64(c.race)), second, wave{40, 850, 1180})
}

// rhythm is the slow wandering of a rider's effort.
func (c course) rhythm(second int) int {
	return smooth(c.roll(chanceRhythm, 0), second, wave{7, 900, 1100})
}

// jitter is what changes from second to second.
func (c course) jitter(second int) int {
	return between(c.roll(chanceJitter, uint64(second)), 960, 1040)
}

// attack is one in twelve runs of 20 seconds: hard at first, fading, and paid for afterwards.
func (c course) attack(second int) int {
	const length = 20
	run, into := uint64(second/length), second%length
	if h := c.roll(chanceAttack, run); h%12 == 0 {
		return 1000 + between(h>>8, 300, 650)*(length-into)/length
	}
	if run > 0 && c.roll(chanceAttack, run-1)%12 == 0 {
		return 880 + 120*into/length
	}
	return 1000
}

// ends are the start from standstill and the sprint.
func (c course) ends(second int) int {
	const start, sprint = 5, 12
	switch left := raceSeconds - second; {
	case second < start:
		return 400 + 600*second/start
	case left <= sprint:
		return 1000 + between(c.roll(chanceSprint, 0), 5, 100)*(sprint-left+1)
	}
	return 1000
}

// coasts is one in sixty runs of four seconds, but not in the finish.
func (c course) coasts(second int) bool {
	return second < raceSeconds-20 && second >= 20 && c.roll(chanceCoast, uint64(second/4))%60 == 0
}

// roll is a random number for this rider in this race.
func (c course) roll(chance, n uint64) uint64 {
	return roll(c.seed, chance, uint64(c.block)<<32|uint64(c.rider)<<10|n)
}

// roll returns a random number that depends on nothing but its arguments.
func roll(seed, chance, n uint64) uint64 { return mix(mix(seed+chance*0x9e3779b97f4a7c15) ^ n) }

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// between maps a random number to one from low to high inclusive.
func between(random uint64, low, high int) int {
	return low + int(random%uint64(high-low+1))
}

// smooth wanders between low and high, straight from one random value to the next.
func smooth(seed uint64, second int, w wave) int {
	knot, into := uint64(second/w.period), second%w.period
	a, b := between(mix(seed^knot), w.low, w.high), between(mix(seed^(knot+1)), w.low, w.high)
	return (a*(w.period-into) + b*into) / w.period
}

// wave is what smooth wanders between, and how many seconds from one random value to the next.
type wave struct{ period, low, high int }

// maxWatts bounds the table of speeds.
const maxWatts = 3000

// speeds is the speed in tenths of km/h that so many watts give against the air on the flat:
// 0.22 W s³/m³.
var speeds = sync.OnceValue(func() *[maxWatts + 1]int {
	var table [maxWatts + 1]int
	speed := int64(0)
	for watts := range table {
		for 22*(speed+1)*(speed+1)*(speed+1) <= int64(watts)*4665600 {
			speed++
		}
		table[watts] = int(speed)
	}
	return &table
})
