package provider

import (
	"fmt"
	"strconv"
	"time"
)

// raceBlock is what happens in the races of one time, by rider × raceSeconds + second.
type raceBlock struct {
	power   []uint16 // W
	cadence []uint8
	joules  []uint32 // since the start of the race, with this second
}

func (p *Race) block(number int64) *raceBlock {
	keep := int(p.history()/raceSeconds) + 3
	return p.blocks.get(number, keep, func() *raceBlock {
		riders := p.riders()
		b := &raceBlock{
			power:   make([]uint16, riders*raceSeconds),
			cadence: make([]uint8, riders*raceSeconds),
			joules:  make([]uint32, riders*raceSeconds),
		}
		for rider := range riders {
			sum := uint32(0)
			for second := range raceSeconds {
				power, cadence := p.ride(number, rider, second)
				sum += uint32(power)
				i := rider*raceSeconds + second
				b.power[i], b.cadence[i], b.joules[i] = uint16(power), uint8(cadence), sum
			}
		}
		return b
	})
}

// ride says what a rider, here counted from 0, does in a second of a race.
func (p *Race) ride(block int64, rider, second int) (power, cadence int) {
	if n := len(p.Rides); n > 0 {
		r := &p.Rides[rider%n]
		return int(r.Power[second]), int(r.Cadence[second])
	}
	return course{p.Seed, block, rider % p.races(), rider + 1}.ride(second)
}

// output returns the work up to a second in tenths of kJ, rounded.
func (b *raceBlock) output(rider, second int) int64 {
	return (int64(b.joules[rider*raceSeconds+second]) + 50) / 100
}

// speed returns the speed in tenths of km/h that fits the last ten seconds.
func (b *raceBlock) speed(rider, second int) int {
	const run = 10
	i := rider*raceSeconds + second
	if second < run {
		return speeds()[min(int(b.joules[i])/(second+1), maxWatts)]
	}
	return speeds()[min(int(b.joules[i]-b.joules[i-run])/run, maxWatts)]
}

// keepSeconds is for the seconds around now; whoever catches up makes its own.
const keepSeconds = 8

// raceSecond is all messages of a second as frames, by rider.
type raceSecond struct {
	frames []byte
	ends   []int // where the frame of each rider ends
}

// second returns the messages of a Unix second. They are made once for all connections.
func (p *Race) second(unix int64) *raceSecond {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seconds.get(unix, keepSeconds, func() *raceSecond {
		riders := p.riders()
		s := &raceSecond{frames: make([]byte, 0, riders*300), ends: make([]int, riders)}
		scene := p.scene(unix)
		var message []byte
		for rider := range riders {
			message = scene.append(message[:0], rider)
			s.frames = appendFrame(s.frames, opText, message)
			s.ends[rider] = len(s.frames)
		}
		return s
	})
}

// part returns the frames of one of raceParts equal parts, and how many messages they are.
func (s *raceSecond) part(part int) (frames []byte, messages int64) {
	first, last := len(s.ends)*part/raceParts, len(s.ends)*(part+1)/raceParts
	from, to := 0, 0
	if first > 0 {
		from = s.ends[first-1]
	}
	if last > 0 {
		to = s.ends[last-1]
	}
	return s.frames[from:to], int64(last - first)
}

// scene is what the messages of one second have in common.
type scene struct {
	block  *raceBlock
	races  []string // names
	second int
	unix   int64
	time   string
}

func (p *Race) scene(unix int64) *scene {
	number := unix / raceSeconds
	s := &scene{
		block: p.block(number), second: int(unix % raceSeconds), unix: unix,
		time: time.Unix(unix, 0).UTC().Format(time.RFC3339),
	}
	for race := range p.races() {
		s.races = append(s.races, p.raceName(number, race))
	}
	return s
}

func (p *Race) raceName(block int64, race int) string {
	return fmt.Sprintf("%s-%d-%d", p.name(), block, race)
}

// append appends the message of a rider, counted from 0.
func (s *scene) append(dst []byte, rider int) []byte {
	race, i := s.races[rider%len(s.races)], rider*raceSeconds+s.second
	dst = append(dst, `{"type":"telemetry","id":"`...)
	dst = append(append(dst, race...), '/')
	dst = append(strconv.AppendInt(dst, int64(s.second), 10), '/')
	dst = strconv.AppendInt(dst, int64(rider+1), 10)
	dst = append(append(dst, `","race":"`...), race...)
	dst = append(append(dst, `","rider":"`...), riderName(rider+1)...)
	dst = appendNumber(dst, `","rider_id":`, int64(rider+1))
	dst = appendNumber(dst, `,"second":`, int64(s.second))
	dst = appendNumber(dst, `,"power":`, int64(s.block.power[i]))
	dst = appendNumber(dst, `,"cadence":`, int64(s.block.cadence[i]))
	dst = appendTenths(dst, `,"output":`, s.block.output(rider, s.second))
	dst = appendTenths(dst, `,"speed":`, int64(s.block.speed(rider, s.second)))
	dst = append(append(dst, `,"time":"`...), s.time...)
	dst = appendNumber(dst, `","cursor":`, s.unix)
	return append(dst, '}')
}

func appendNumber(dst []byte, label string, n int64) []byte {
	return strconv.AppendInt(append(dst, label...), n, 10)
}

func appendTenths(dst []byte, label string, tenths int64) []byte {
	dst = append(appendNumber(dst, label, tenths/10), '.')
	return append(dst, byte('0'+tenths%10))
}
