package provider

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/leatstream/leat/internal/wait"
)

// blastChunk is about how many bytes one write takes.
const blastChunk = 256 << 10

// variedChunks is how many different chunks there are where messages vary, on a connection that has many.
const variedChunks = 32

// blastKeys is how many keys there are: k00 to k99.
const blastKeys = 100

// Blast is an http.Handler that sends numbered messages on each connection as fast as the client
// takes them, at very little cost: frames are made in advance and written in large pieces.
//
//	{"id":"0000000000000001","key":"k01","pad":"aaa…"}
//
// Ids begin at 1 on each connection, and the key is the last two digits of the id. Behind the last
// message the connection is idle.
type Blast struct {
	// Size of a message in bytes, at least 46. Default 200.
	Size int

	// Count is how many messages are sent on a connection. 0: without end.
	Count int64

	// Varied makes the padding half random digits, other ones in each of many thousand messages, so that they
	// compress about as well as those of real providers do. Otherwise it is one letter.
	Varied bool

	// Rate is how many messages a second are sent on a connection; 0: as fast as the client takes them. Then messages have another member, at,
	// the time of their sending in microseconds since 1970, as sixteen digits in a text, and are 24 bytes longer.
	Rate int

	Clients
}

// ServeHTTP implements http.Handler.
func (p *Blast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, p.play)
}

func (p *Blast) play(ctx context.Context, c *conn) error {
	chunks := p.chunks()
	begun := time.Now()
	for id, i := int64(1), 0; p.Count == 0 || id <= p.Count; i++ {
		chunk := chunks[i%len(chunks)]
		last := p.Count
		if p.Rate > 0 {
			due, err := p.due(ctx, begun, id)
			if err != nil {
				return err
			}
			if last == 0 || due < last {
				last = due
			}
		}
		n := chunk.number(id, last)
		if p.Rate > 0 {
			chunk.stamp(n, time.Now().UnixMicro())
		}
		if err := c.write(chunk.frames[:n*chunk.frame], int64(n)); err != nil {
			return err
		}
		id += int64(n)
	}
	return c.idle(ctx)
}

// blastStep is how often messages are sent where their rate is limited.
const blastStep = time.Millisecond

// due waits until message id may be sent, and returns the last one that may.
func (p *Blast) due(ctx context.Context, begun time.Time, id int64) (int64, error) {
	for {
		due := int64(time.Since(begun).Seconds() * float64(p.Rate))
		if due >= id {
			return due, nil
		}
		if err := wait.For(ctx, blastStep); err != nil {
			return 0, err
		}
	}
}

// blastFrames is a run of frames of one length, of which only id, key and at change.
type blastFrames struct {
	frames  []byte
	frame   int // length of one frame
	id, key int // where their digits begin in a frame
	at      int // the same of the time; 0: there is none

	pad, end int // where the padding begins and ends
}

// vary makes every other 16 bytes of the padding random digits.
func (b *blastFrames) vary(random *rand.Rand) {
	for at := 0; at < len(b.frames); at += b.frame {
		for i, pad := 0, b.frames[at+b.pad:at+b.end]; i < len(pad); i++ {
			if i/16%2 == 0 {
				pad[i] = "0123456789abcdef"[random.IntN(16)]
			}
		}
	}
}

// chunks returns the runs of frames that are sent in turn.
func (p *Blast) chunks() []*blastFrames {
	if !p.Varied {
		return []*blastFrames{p.chunk()}
	}
	n := int64(variedChunks)
	if p.Count > 0 {
		n = max(4, min(n, p.Count/3000))
	}
	chunks := make([]*blastFrames, n)
	digits := rand.New(rand.NewPCG(1, 2))
	for i := range chunks {
		chunks[i] = p.chunk()
		chunks[i].vary(digits)
	}
	return chunks
}

func (p *Blast) chunk() *blastFrames {
	const head, middle, timed, pad = `{"id":"`, `0000000000000000","key":"k`, `00","at":"0000000000000000`, `","pad":"`
	size := p.Size
	if size <= 0 {
		size = 200
	}
	tail := "00" + pad
	if p.Rate > 0 {
		tail = timed + pad
	}
	message := []byte(head + middle + tail)
	for len(message) < size-len(`"}`) {
		message = append(message, 'a')
	}
	one := appendFrame(nil, opText, append(message, `"}`...))
	offset := len(one) - len(message) - len(`"}`)
	b := &blastFrames{
		frame: len(one), id: offset + len(head), key: offset + len(head) + len(middle),
		pad: offset + len(head) + len(middle) + len(tail), end: len(one) - len(`"}`),
	}
	if p.Rate > 0 {
		b.at = b.key + len(timed) - 16
	}
	for range max(1, blastChunk/len(one)) {
		b.frames = append(b.frames, one...)
	}
	return b
}

// number writes ids from first on into the frames, and returns how many frames it numbered: all,
// or up to the id last, if that is not 0.
func (b *blastFrames) number(first, last int64) int {
	n := len(b.frames) / b.frame
	if last > 0 {
		n = int(min(int64(n), last-first+1))
	}
	for i := range n {
		frame := b.frames[i*b.frame : (i+1)*b.frame]
		id := first + int64(i)
		writeDigits(frame[b.id:b.id+16], id)
		writeDigits(frame[b.key:b.key+2], id%blastKeys)
	}
	return n
}

// stamp writes a time into the first n frames.
func (b *blastFrames) stamp(n int, micros int64) {
	for i := range n {
		at := i*b.frame + b.at
		writeDigits(b.frames[at:at+16], micros)
	}
}

// writeDigits fills dst with the last decimal digits of n.
func writeDigits(dst []byte, n int64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// BlastID returns the id with which Blast sends message number n, counted from 1.
func BlastID(n int64) string {
	var digits [16]byte
	writeDigits(digits[:], n)
	return string(digits[:])
}
