package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/muktihari/fit/decoder"
	"github.com/muktihari/fit/profile/basetype"
	"github.com/muktihari/fit/profile/typedef"
	"github.com/muktihari/fit/profile/untyped/fieldnum"
	"github.com/muktihari/fit/proto"
)

// Ride is five minutes of a recorded ride, second by second.
type Ride struct {
	Power   [raceSeconds]uint16 // W
	Cadence [raceSeconds]uint8  // revolutions per minute
}

// ReadRides returns the rides in the FIT files of a directory, in the order of the file
// names and of time: all disjoint windows of five minutes in which records with power
// and cadence are at most gap apart. Over a gap the earlier record counts. Checksums are
// ignored, and nothing but power, cadence and timestamp is looked at.
func ReadRides(dir string, gap time.Duration) ([]Ride, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.fit"))
	if err != nil {
		return nil, fmt.Errorf("read rides: %w", err)
	}
	slices.Sort(files)
	var rides []Ride
	for _, file := range files {
		more, err := ReadRideFile(file, gap)
		if err != nil {
			return nil, err
		}
		rides = append(rides, more...)
	}
	if len(rides) == 0 {
		return nil, fmt.Errorf("read rides: no FIT file with five minutes of power and cadence in %s", dir)
	}
	return rides, nil
}

// ReadRideFile returns the rides in one FIT file, see ReadRides. There may be none.
func ReadRideFile(path string, gap time.Duration) ([]Ride, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rides: %w", err)
	}
	defer file.Close()
	var records rideRecords
	d := decoder.New(file, decoder.WithIgnoreChecksum(), decoder.WithMesgListener(&records), decoder.WithBroadcastOnly())
	for d.Next() {
		if _, err := d.Decode(); err != nil {
			return nil, fmt.Errorf("read rides: %s: %w", path, err)
		}
	}
	return records.cut(uint32(gap / time.Second)), nil
}

// rideRecord is a record with power and cadence. Its time is in seconds.
type rideRecord struct {
	time    uint32
	power   uint16
	cadence uint8
}

type rideRecords []rideRecord

// OnMesg implements decoder.MesgListener.
func (l *rideRecords) OnMesg(m proto.Message) {
	if m.Num != typedef.MesgNumRecord {
		return
	}
	r := rideRecord{
		time:    m.FieldValueByNum(fieldnum.RecordTimestamp).Uint32(),
		power:   m.FieldValueByNum(fieldnum.RecordPower).Uint16(),
		cadence: m.FieldValueByNum(fieldnum.RecordCadence).Uint8(),
	}
	if r.time != basetype.Uint32Invalid && r.power != basetype.Uint16Invalid && r.cadence != basetype.Uint8Invalid {
		*l = append(*l, r)
	}
}

// cut returns the windows. A window begins with a record and holds the seconds from its time on; the
// next begins with the record behind the one that completes it.
func (l rideRecords) cut(gap uint32) []Ride {
	var rides []Ride
	start := 0
	for i := range l {
		if i > start && (l[i].time < l[i-1].time || l[i].time-l[i-1].time > gap) {
			start = i
		}
		if l[i].time-l[start].time >= raceSeconds-1 {
			rides = append(rides, l[start:i+1].ride())
			start = i + 1
		}
	}
	return rides
}

func (l rideRecords) ride() Ride {
	var ride Ride
	at := 0
	for second := range raceSeconds {
		for at+1 < len(l) && l[at+1].time-l[0].time <= uint32(second) {
			at++
		}
		ride.Power[second], ride.Cadence[second] = l[at].power, l[at].cadence
	}
	return ride
}
