// Package eventstream writes and reads the frames of application/vnd.amazon.eventstream, in which SubscribeToShard answers.
//
//	all integers big-endian
//	┌────────────┬──────────────┬─────────────────────┬─────────┬─────────┬──────────────────────────────┐
//	│ total      │ headers      │ CRC-32 of the first │ headers │ payload │ CRC-32 of everything before, │
//	│ length, 4  │ length, 4    │ 8 bytes, 4          │         │         │ 4                            │
//	└────────────┴──────────────┴─────────────────────┴─────────┴─────────┴──────────────────────────────┘
//	header: length of name 1, name, type 1 (7: string), length of value 2, value
package eventstream

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// ContentType is the content type of an answer made of frames.
const ContentType = "application/vnd.amazon.eventstream"

const (
	preludeSize = 12
	overhead    = preludeSize + 4
	typeString  = 7
	// maxFrame and maxHeaders are the limits of AWS's decoders.
	maxFrame   = 24 << 20
	maxHeaders = 128 << 10
)

// AppendInitial appends the frame that must come first, before any event: clients refuse a stream that begins otherwise.
func AppendInitial(dst []byte, contentType string) []byte {
	dst, at := Begin(dst, "initial-response", contentType)
	return End(dst, at)
}

// AppendEvent appends an event. It allocates nothing if dst has the room.
func AppendEvent(dst []byte, event, contentType string, payload []byte) []byte {
	dst, at := Begin(dst, event, contentType)
	return End(append(dst, payload...), at)
}

// AppendException appends a frame that says why a stream ends. The name is that of a modelled error, the payload its document.
func AppendException(dst []byte, name, contentType string, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	dst = appendHeader(dst, ":message-type", "exception")
	dst = appendHeader(dst, ":exception-type", name)
	dst = appendHeader(dst, ":content-type", contentType)
	dst = closeHeaders(dst, at)
	return End(append(dst, payload...), at)
}

// Begin appends the start of an event, up to its payload, which the caller appends before End. The second result is for End.
func Begin(dst []byte, event, contentType string) ([]byte, int) {
	at := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	dst = appendHeader(dst, ":message-type", "event")
	dst = appendHeader(dst, ":event-type", event)
	dst = appendHeader(dst, ":content-type", contentType)
	return closeHeaders(dst, at), at
}

// End completes the frame that Begin started at the place at.
func End(dst []byte, at int) []byte {
	frame := dst[at:]
	binary.BigEndian.PutUint32(frame, uint32(len(frame)+4))
	binary.BigEndian.PutUint32(frame[8:], crc32.ChecksumIEEE(frame[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(frame))
}

func closeHeaders(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at+4:], uint32(len(dst)-at-preludeSize))
	return dst
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = append(dst, typeString)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// Message is one frame as it was read.
type Message struct {
	Headers map[string]string
	Payload []byte // shares the memory of the frame
}

// Errors of Decode.
var (
	// ErrShort says that the frame is not complete yet. Read more.
	ErrShort = errors.New("event stream: frame is not complete")
	// ErrDamaged says that the bytes are no frame. The stream cannot be read any further.
	ErrDamaged = errors.New("event stream: damaged frame")
)

// Decode reads the frame at the start of b and returns what follows it. Headers of other types than string are refused as damaged:
// Kinesis sends none.
func Decode(b []byte) (m Message, rest []byte, err error) {
	if len(b) < preludeSize {
		return m, b, ErrShort
	}
	total, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) ||
		total > maxFrame || headers > maxHeaders || total < headers+overhead {
		return m, b, ErrDamaged
	}
	if uint64(len(b)) < uint64(total) {
		return m, b, ErrShort
	}
	frame, rest := b[:total], b[total:]
	sum := len(frame) - 4
	if crc32.ChecksumIEEE(frame[:sum]) != binary.BigEndian.Uint32(frame[sum:]) {
		return m, b, ErrDamaged
	}
	end := preludeSize + int(headers)
	if m.Headers, err = decodeHeaders(frame[preludeSize:end]); err != nil {
		return m, b, err
	}
	m.Payload = slices.Clip(frame[end:sum])
	return m, rest, nil
}

func decodeHeaders(b []byte) (map[string]string, error) {
	headers := map[string]string{}
	for len(b) > 0 {
		name := int(b[0])
		if len(b) < 1+name+3 || b[1+name] != typeString || name == 0 {
			return nil, ErrDamaged
		}
		value := int(binary.BigEndian.Uint16(b[2+name:]))
		start := 1 + name + 3
		if len(b) < start+value {
			return nil, ErrDamaged
		}
		headers[string(b[1:1+name])] = string(b[start : start+value])
		b = b[start+value:]
	}
	return headers, nil
}
