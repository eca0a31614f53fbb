package provider

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

func TestRidersHaveDifferentNames(t *testing.T) {
	seen := map[string]int{}
	for rider := 1; rider <= 5000; rider++ {
		name := riderName(rider)
		if other, taken := seen[name]; taken {
			t.Errorf("riders %d and %d are both %s", other, rider, name)
		}
		seen[name] = rider
	}
}

func TestRidesBeginAnewBehindAGap(t *testing.T) {
	var records rideRecords
	add := func(from, to uint32) {
		for at := from; at <= to; at++ {
			records = append(records, rideRecord{time: at, power: uint16(at), cadence: uint8(at)})
		}
	}
	add(0, 100)
	add(111, 500) // behind a gap of 11 s
	add(506, 780)
	rides := records.cut(10)
	if len(rides) != 2 {
		t.Fatalf("got %d rides, want 2", len(rides))
	}
	if first := rides[0].Power; first[0] != 111 || first[299] != 410 {
		t.Errorf("the first ride goes from %d to %d", first[0], first[299])
	}
	if second := rides[1].Power; second[0] != 411 || second[89] != 500 || second[94] != 500 || second[95] != 506 || second[299] != 710 {
		t.Errorf("the second ride is %v", second)
	}
	if rides := records.cut(1); len(rides) != 1 {
		t.Errorf("got %d rides without gaps, want 1", len(rides))
	}
}

func TestTheCacheKeepsTheHighestKeys(t *testing.T) {
	var c cache[int64]
	made := 0
	get := func(key int64) {
		if got := c.get(key, 3, func() int64 { made++; return key * 10 }); got != key*10 {
			t.Errorf("key %d has %d", key, got)
		}
	}
	for _, key := range []int64{5, 3, 4, 6, 3, 5, 6, 4} {
		get(key)
	}
	if made != 5 { // 3 was made twice
		t.Errorf("made %d values, want 5", made)
	}
}

func TestLargeFramesOfClientsAreReadButNotKept(t *testing.T) {
	stream := append([]byte{0x82, 0xff}, binary.BigEndian.AppendUint64(nil, keepBytes+5)...)
	stream = append(stream, make([]byte, 4+keepBytes+5)...)
	stream = append(stream, 0x89, 0x80, 0, 0, 0, 0)
	r := bufio.NewReader(bytes.NewReader(stream))
	if f, err := readFrame(r); err != nil || len(f.payload) != keepBytes {
		t.Errorf("got %d bytes, %v", len(f.payload), err)
	}
	if f, err := readFrame(r); err != nil || f.opcode != opPing {
		t.Errorf("got %+v, %v behind a large frame", f, err)
	}
}

func TestBrokenFramesAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		want   error
	}{
		"not masked":      {"\x81\x01x", errFrame},
		"long ping":       {"\x89\xfe\x00\x7e1234" + string(make([]byte, 126)), errFrame},
		"fragmented ping": {"\x09\x801234", errFrame},
		"negative length": {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff1234", errFrame},
		"cut in payload":  {"\x81\x851234ab", io.ErrUnexpectedEOF},
		"cut in head":     {"\x81", io.ErrUnexpectedEOF},
		"nothing":         {"", io.EOF},
	} {
		if _, err := readFrame(bufio.NewReader(bytes.NewReader([]byte(c.stream)))); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x81\x851234hello"))
	f.Add([]byte("\x82\xfe\x00\x7e1234" + string(make([]byte, 126))))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for {
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			if frame.control() && len(frame.payload) > 125 || len(frame.payload) > len(data) {
				t.Errorf("a frame of %d bytes in %d", len(frame.payload), len(data))
			}
		}
	})
}

func BenchmarkRaceSecond(b *testing.B) {
	p := &Race{}
	p.second(1706522400)
	b.ReportAllocs()
	unix := int64(1706522400)
	for b.Loop() {
		unix++
		p.second(unix)
	}
}
