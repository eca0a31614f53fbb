package provider

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// answer plays into the body of an answer that does not end by itself.
func (p *Replay) answer(w http.ResponseWriter, r *http.Request) {
	a := &answered{p: p, out: w, flush: http.NewResponseController(w).Flush}
	kind := "application/x-ndjson"
	if a.sse = p.Rules.As == "sse"; a.sse {
		kind = "text/event-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	if p.Rules.Bomb > 0 {
		w.Header().Set("Content-Encoding", "gzip")
		a.zip = gzip.NewWriter(w)
		a.out = a.zip
	}
	p.count(func(n *Counts) { n.Connections++; n.Open++ })
	defer p.count(func(n *Counts) { n.Open-- })
	w.WriteHeader(http.StatusOK)
	next, _ := p.begin(r)
	if a.write(r.Context(), nil) != nil {
		return
	}
	_ = p.dialogue(r.Context(), a, next) // the client is told what there is to tell
	if a.zip != nil && !a.broken {
		_ = a.zip.Close()
	}
	if a.broken {
		panic(http.ErrAbortHandler) // net/http ends the connection, in the middle of the body
	}
}

// answered is the wire of an HTTP answer.
type answered struct {
	p      *Replay
	out    io.Writer
	zip    *gzip.Writer // nil: not compressed
	flush  func() error
	sse    bool
	broken bool
}

func (a *answered) write(ctx context.Context, text []byte) error {
	pause := a.p.Rules.SlowDrip
	if pause <= 0 || len(text) == 0 {
		return a.put(text)
	}
	for piece := range slices.Chunk(text, dripSize) {
		if err := a.put(piece); err != nil {
			return err
		}
		if err := waitUntil(ctx, time.Now().Add(pause)); err != nil {
			return err
		}
	}
	return nil
}

func (a *answered) put(text []byte) error {
	if _, err := a.out.Write(text); err != nil {
		return err
	}
	if a.zip != nil {
		if err := a.zip.Flush(); err != nil {
			return err
		}
	}
	return a.flush()
}

func (a *answered) send(ctx context.Context, m *Message) error {
	text := asLine(m)
	if a.sse {
		text = asEvent(m)
	}
	a.p.count(func(n *Counts) { n.Sent++ })
	return a.write(ctx, text)
}

// asLine returns a message as one line; what is binary and no JSON is a text in base64.
func asLine(m *Message) []byte {
	var b bytes.Buffer
	switch {
	case json.Valid(m.Data) && json.Compact(&b, m.Data) == nil:
	case m.Binary:
		b.WriteString(`"` + base64.StdEncoding.EncodeToString(m.Data) + `"`)
	default:
		b.Write(bytes.ReplaceAll(bytes.ReplaceAll(m.Data, []byte("\r"), nil), []byte("\n"), []byte(" ")))
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// asEvent returns a message as a Server-Sent Event, and an empty one as a comment.
func asEvent(m *Message) []byte {
	var b bytes.Buffer
	data := string(m.Data)
	if m.Binary && !json.Valid(m.Data) {
		data = base64.StdEncoding.EncodeToString(m.Data)
	}
	if data == "" && m.Event == "" && m.ID == "" {
		return []byte(":\n\n")
	}
	if m.Event != "" {
		b.WriteString("event: " + m.Event + "\n")
	}
	if m.ID != "" {
		b.WriteString("id: " + m.ID + "\n")
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(data, "\r", ""), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func (a *answered) bomb(context.Context) error {
	text := "data: "
	if !a.sse {
		text = ""
	}
	if _, err := io.WriteString(a.out, text); err != nil {
		return err
	}
	if _, err := io.Copy(a.out, padded(0, bombSize)); err != nil {
		return err
	}
	return a.put([]byte("\n\n"))
}

// close ends the body. There is no way to say why.
func (a *answered) close(context.Context, int, string) error { return nil }

func (a *answered) cut(context.Context) error {
	a.broken = true
	return nil
}

func (a *answered) stall(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (a *answered) hear() <-chan []byte { return nil }

// bombSize is what a bomb inflates to.
const bombSize = 1 << 30

// bomb returns a compressed message of bombSize bytes. What is compressed up to a flush is repeated, so that it costs next to nothing.
var bomb = sync.OnceValue(func() []byte {
	const piece = 1 << 20
	head, tail := `{"id":0,"pad":"`, `"}`
	block := func(text string) []byte {
		var b bytes.Buffer
		z, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			panic(err) // the level is right
		}
		_, _ = io.WriteString(z, text) // into memory
		_ = z.Flush()
		return b.Bytes()
	}
	packed := block(head)
	packed = append(packed, bytes.Repeat(block(strings.Repeat("a", piece)), bombSize/piece-1)...)
	packed = append(packed, block(strings.Repeat("a", piece-len(head)-len(tail)))...)
	packed = append(packed, block(tail)...)
	return bytes.TrimSuffix(packed, []byte{0, 0, 0xff, 0xff})
})
