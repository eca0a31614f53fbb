package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Pebble writes its logs and its MANIFEST in blocks of 32 KiB. A block is a run of chunks, a record one chunk or several:
//
//	┌────────┬────────┬──────┬────────────┬─────────────┬─────────┐
//	│ crc32c │ length │ kind │ log number │ synced up to│ payload │
//	│ 4      │ 2      │ 1    │ 4          │ 8           │         │
//	└────────┴────────┴──────┴────────────┴─────────────┴─────────┘
//	                         └ kind 5 – 12 ┘└ kind 9 – 12 ┘
//
// Numbers are little-endian. The kinds of each format are full, first, middle and last. The checksum covers everything from the kind
// on and is rotated (see maskedSum). A log file that was used before carries chunks of its older number behind its end.
//
// Pebble refuses a log with a damaged chunk as a whole. This reader goes on behind it: at the next chunk, if the length of the
// damaged one leads there, else at the next block.
const (
	chunkBlock  = 32 << 10
	legacyHead  = 4 + 2 + 1
	recycleHead = legacyHead + 4
	syncHead    = recycleHead + 8
	maxRecord   = 4 * maxCommit // a longer one is no record of ours
)

// The parts a chunk can be of its record.
const (
	chunkFull = iota
	chunkFirst
	chunkMiddle
	chunkLast
)

// byteRange is a part of a file.
type byteRange struct{ from, to int64 }

// chunkScan reads the records of one file.
type chunkScan struct {
	number uint32 // the low half of the file's number
	do     func(record []byte, at int64) error

	holes []byteRange // damage with something readable behind it
	tail  int64       // where the readable part ends, if bytes that are not zero follow; else -1

	block  []byte
	base   int64 // of block in the file
	record []byte
	at     int64 // of record in the file
	open   bool  // record has begun
	broken int64 // where something unreadable began; -1
}

var errLogEnd = errors.New("end of log")

// readChunks calls do for every whole record in r, also for those behind damage. The slice is valid during the call.
func readChunks(r io.Reader, number uint64, do func(record []byte, at int64) error) (*chunkScan, error) {
	s := &chunkScan{number: uint32(number), do: do, broken: -1, tail: -1}
	buf := make([]byte, chunkBlock)
	for {
		n, readErr := io.ReadFull(r, buf)
		s.block = buf[:n]
		if err := s.scan(); errors.Is(err, errLogEnd) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		s.base += int64(n)
		switch {
		case errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF):
			if s.open {
				s.lose(0)
			}
			s.tail = s.broken
			return s, nil
		case readErr != nil:
			return s, fmt.Errorf("at byte %d: %w", s.base, readErr)
		}
	}
}

// scan reads the chunks of the block.
func (s *chunkScan) scan() error {
	at := 0
	for at+legacyHead <= len(s.block) {
		if allZero(s.block[at:]) {
			if len(s.block)-at >= syncHead && s.open {
				s.lose(at)
			}
			return nil
		}
		if s.trailer(at) {
			return errLogEnd
		}
		part, payload, end, ok := s.chunk(at)
		if !ok {
			s.lose(at)
			if at, ok = s.behind(at); !ok {
				return nil
			}
			continue
		}
		s.found(at, part)
		if err := s.add(part, payload, s.base+int64(at)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// trailer reports whether the end of a log that was closed lies there.
func (s *chunkScan) trailer(at int) bool {
	b := s.block[at:]
	return !s.open && len(b) >= recycleHead && allZero(b[:6]) && b[6] == 5 && binary.LittleEndian.Uint32(b[7:]) == s.number+1
}

// chunk returns the chunk at the offset if it is whole and one of this file.
func (s *chunkScan) chunk(at int) (part int, payload []byte, end int, ok bool) {
	b := s.block[at:]
	if len(b) < legacyHead || b[6] == 0 || b[6] > 12 {
		return 0, nil, 0, false
	}
	head := [...]int{legacyHead, recycleHead, syncHead}[(b[6]-1)/4]
	length := head + int(binary.LittleEndian.Uint16(b[4:]))
	if length > len(b) || head > legacyHead && binary.LittleEndian.Uint32(b[7:]) != s.number ||
		maskedSum(crc32.Checksum(b[6:length], castagnoli)) != binary.LittleEndian.Uint32(b) {
		return 0, nil, 0, false
	}
	return int(b[6]-1) % 4, b[head:length], at + length, true
}

// behind finds the chunk that follows the damaged one at the offset: its length is believed if a whole chunk lies where it leads.
func (s *chunkScan) behind(at int) (int, bool) {
	length := int(binary.LittleEndian.Uint16(s.block[at+4:]))
	for _, head := range []int{syncHead, recycleHead, legacyHead} {
		next := at + head + length
		if _, _, _, ok := s.chunk(min(next, len(s.block))); ok {
			return next, true
		}
	}
	return 0, false
}

// lose notes that nothing can be read from the offset on; what had begun of a record goes with it.
func (s *chunkScan) lose(at int) {
	from := s.base + int64(at)
	if s.open {
		from, s.open = s.at, false
	}
	if s.broken < 0 {
		s.broken = from
	}
}

// found ends what was lost before a good chunk. The rest of a record whose beginning is lost is lost too.
func (s *chunkScan) found(at, part int) {
	if s.open && (part == chunkFull || part == chunkFirst) {
		s.lose(at)
	}
	orphan := !s.open && (part == chunkMiddle || part == chunkLast)
	switch {
	case s.broken >= 0 && !orphan:
		s.holes = append(s.holes, byteRange{s.broken, s.base + int64(at)})
		s.broken = -1
	case s.broken < 0 && orphan:
		s.broken = s.base + int64(at)
	}
}

func (s *chunkScan) add(part int, payload []byte, at int64) error {
	switch part {
	case chunkFull:
		return s.do(payload, at)
	case chunkFirst:
		s.record, s.at, s.open = append(s.record[:0], payload...), at, true
		return nil
	}
	if !s.open {
		return nil
	}
	if s.record = append(s.record, payload...); len(s.record) > maxRecord {
		s.lose(0)
		return nil
	}
	if part == chunkLast {
		s.open = false
		return s.do(s.record, s.at)
	}
	return nil
}

// maskedSum is the form in which pebble stores a CRC32C.
func maskedSum(sum uint32) uint32 { return (sum>>15 | sum<<17) + 0xa282ead8 }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
