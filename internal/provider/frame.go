package provider

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The opcodes of RFC 6455.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// bitRSV1 marks a compressed message, in the place where it is in the first byte.
const bitRSV1 = 0x40

// keepBytes is how much of a client's message is kept; the rest is read and thrown away.
const keepBytes = 1 << 20

var errFrame = errors.New("the client broke the WebSocket protocol")

// appendFrame appends an unfragmented frame as a server sends it. To the opcode bitRSV1
// may be added.
//
//	byte 0      1         2…                      then
//	FIN|RSV1|op length    16 or 64 bits of length payload, not masked
//	            0…125, or 126: 16 bits, 127: 64 bits
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, 126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, payload...)
}

// frame is one frame of a client.
type frame struct {
	fin     bool
	opcode  byte
	payload []byte // the first keepBytes of it
}

func (f *frame) control() bool { return f.opcode >= opClose }

// readFrame reads a frame as a client sends it: masked.
func readFrame(r *bufio.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{fin: head[0]&0x80 != 0, opcode: head[0] & 0x0f}
	size, err := readSize(r, head[1]&0x7f)
	if err != nil {
		return frame{}, err
	}
	if head[1]&0x80 == 0 {
		return frame{}, fmt.Errorf("%w: a frame is not masked", errFrame)
	}
	if f.control() && (size > 125 || !f.fin) {
		return frame{}, fmt.Errorf("%w: a control frame has %d bytes or is fragmented", errFrame, size)
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return frame{}, err
	}
	f.payload, err = readPayload(r, size)
	for i := range f.payload {
		f.payload[i] ^= mask[i%4]
	}
	return f, err
}

func readSize(r io.Reader, short byte) (int64, error) {
	var long [8]byte
	switch short {
	case 126:
		_, err := io.ReadFull(r, long[6:])
		return int64(binary.BigEndian.Uint64(long[:])), err
	case 127:
		_, err := io.ReadFull(r, long[:])
		if err == nil && long[0]&0x80 != 0 {
			err = fmt.Errorf("%w: a frame has a negative length", errFrame)
		}
		return int64(binary.BigEndian.Uint64(long[:])), err
	}
	return int64(short), nil
}

func readPayload(r io.Reader, size int64) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(r, min(size, keepBytes)))
	if err == nil && int64(len(payload)) < min(size, keepBytes) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil || size <= keepBytes {
		return payload, err
	}
	_, err = io.CopyN(io.Discard, r, size-keepBytes)
	return payload, err
}
