package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

func (a *app) putCommand() *cobra.Command {
	p := &put{app: a}
	cmd := &cobra.Command{
		Use: "put STREAM [TEXT...]", Short: "Write records into a stream", Args: cobra.MinimumNArgs(1),
		Long: `Put writes each TEXT, or each line of standard input, as a record, and prints where it went once it is durable. It writes into a data directory, also
one that a running leat has open, or with --endpoint or --aws into Kinesis.`,
		Example: `  leat put orders '{"id":1}'
  tail -f app.log | leat put logs
  leat put orders --key-from customer.id < orders.ndjson
  leat put orders --endpoint http://127.0.0.1:4567 --key user-42 hello`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.run(cmd, args) },
	}
	p.place = a.placeFlags(cmd)
	a.jsonFlag(cmd)
	f := cmd.Flags()
	f.StringVarP(&p.fixed, "key", "k", "", "the partition key of all records, as it is; default: a random key for each record")
	f.StringVar(&p.keyText, "key-from", "", "expression that finds the partition key in each record, such as customer.id")
	f.IntVar(&p.batch, "batch", 500, "how many records are written at once, at most; fewer if no more are ready")
	f.IntVar(&p.create, "create", 0, "make the stream with so many shards unless it is there")
	f.BoolVarP(&p.quiet, "quiet", "q", false, "do not print where the records went")
	f.DurationVar(&p.timeout, "timeout", time.Minute, "give up if a batch takes longer")
	return cmd
}

// put is one call of leat put.
type put struct {
	*app
	place                 *place
	keyText, fixed        string
	key                   expression.Value
	batch, create         int
	quiet                 bool
	timeout               time.Duration
	stream                string
	abroad                bool // the stream is in Kinesis
	engine                engine
	written, refused, row int
}

// maxLine is the largest record of Kinesis: 10 MiB.
const maxLine = 10 << 20

func (p *put) run(cmd *cobra.Command, args []string) error {
	if err := within(between("batch", p.batch, 1, 500), between("create", p.create, 0, 10_000), atLeast("timeout", p.timeout, time.Millisecond)); err != nil {
		return err
	}
	if p.keyText != "" && p.fixed != "" {
		return usage(errors.New("--key and --key-from: expected one of them, not both"))
	}
	if p.keyText != "" {
		if err := p.key.UnmarshalText([]byte(p.keyText)); err != nil {
			return usage(fmt.Errorf("--key-from %q: %w", p.keyText, err))
		}
	}
	if err := p.place.check(cmd); err != nil {
		return err
	}
	ctx := cmd.Context()
	e, err := p.place.write(ctx, p.create > 0)
	if err != nil {
		return err
	}
	defer e.close()
	p.engine, p.stream = e, args[0]
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if len(args) > 1 {
		return p.texts(ctx, args[1:])
	}
	return p.lines(ctx)
}

// prepare sees to it that the stream is there.
func (p *put) prepare(ctx context.Context) error {
	shards, err := p.engine.Shards(ctx, p.stream)
	p.abroad = err == nil && len(shards) > 0 && shards[0].Tip.IsZero()
	if !errors.Is(err, stream.ErrNoStream) {
		return err
	}
	if p.create == 0 {
		return noStream(ctx, p.engine, p.stream, err)
	}
	err = p.engine.Create(ctx, stream.Spec{Name: p.stream, Shards: p.create, Keep: stream.Retention{Age: 24 * time.Hour}})
	if errors.Is(err, stream.ErrExists) {
		return nil
	}
	return err
}

func (p *put) texts(ctx context.Context, texts []string) error {
	var events []leat.Event
	for _, text := range texts {
		p.row++
		events = p.append(events, []byte(text))
		if len(events) == p.batch {
			if err := p.commit(ctx, events); err != nil {
				return err
			}
			events = nil
		}
	}
	return p.end(p.commit(ctx, events))
}

// lines puts what comes on standard input: all that is ready at once.
func (p *put) lines(ctx context.Context) error {
	lines := make(chan line, p.batch)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go readLines(reading, p.in, lines)
	for {
		events, last, err := p.gather(ctx, lines)
		if err == nil {
			err = p.commit(ctx, events)
		}
		if err != nil || last {
			return p.end(err)
		}
	}
}

// line is one line of standard input, or why there are no more.
type line struct {
	text []byte
	err  error
}

var errLong = fmt.Errorf("it is longer than %d bytes", maxLine)

func readLines(ctx context.Context, in io.Reader, lines chan<- line) {
	defer close(lines)
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		text, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return
		}
		select {
		case lines <- line{text, err}:
		case <-ctx.Done():
			return
		}
		if err != nil && !errors.Is(err, errLong) {
			return
		}
	}
}

// readLine returns the next line without its end; of one that is too long, nothing but the error.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(text)+len(part) > maxLine+2; !long {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLong
		case errors.Is(err, io.EOF) && len(text) > 0:
			return text, nil
		case err != nil:
			return nil, err
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
	}
}

// gather waits for a line and takes those that are ready behind it. Empty lines are passed over.
func (p *put) gather(ctx context.Context, lines <-chan line) (events []leat.Event, last bool, err error) {
	for size := 0; len(events) < p.batch && size < maxLine; {
		var l line
		var more bool
		select {
		case l, more = <-lines:
		default:
			if len(events) > 0 {
				return events, false, nil
			}
			select {
			case l, more = <-lines:
			case <-ctx.Done():
				return events, true, nil
			}
		}
		if !more {
			return events, true, nil
		}
		p.row++
		switch {
		case errors.Is(l.err, errLong):
			p.refuse(l.err)
		case l.err != nil:
			return events, true, fmt.Errorf("read standard input: %w", l.err)
		case len(l.text) > 0:
			events = p.append(events, l.text)
			size += len(l.text)
		}
	}
	return events, false, nil
}

func (p *put) refuse(err error) {
	p.refused++
	fmt.Fprintf(p.err, "leat: line %d is not put: %v\n", p.row, err)
}

// append adds a record, or refuses the text if the expression finds no key in it.
func (p *put) append(events []leat.Event, text []byte) []leat.Event {
	key := p.fixed
	switch {
	case p.keyText != "":
		m := expression.NewMessage(text)
		found, ok := p.key.Text(&m)
		if !ok || found == "" {
			p.refuse(fmt.Errorf("there is no %s in it", p.keyText))
			return events
		}
		key = strings.Clone(found)
	case key == "":
		key = rand.Text()
	case p.row == 1 && finds(key, text):
		fmt.Fprintf(p.err, "leat: the key of all records is %q; --key-from %s takes it out of each record\n", key, key)
	}
	return append(events, leat.Event{PartitionKey: key, Data: text})
}

// finds reports whether a key is an expression that finds something in a record, and is likely meant as one.
func finds(key string, text []byte) bool {
	var e expression.Value
	if e.UnmarshalText([]byte(key)) != nil {
		return false
	}
	m := expression.NewMessage(text)
	_, found := e.Text(&m)
	return found
}

// putLine is one record of leat put --json.
type putLine struct {
	Stream   string `json:"stream"`
	Shard    string `json:"shard"`
	Sequence string `json:"sequence_number"`
	Key      string `json:"partition_key"`
}

func (p *put) commit(ctx context.Context, events []leat.Event) error {
	if len(events) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.engine.Commit(limited, stream.Commit{Puts: []stream.Put{{Stream: p.stream, Events: events}}, Placed: true})
	if err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w after %s%s", err, setting.FormatDuration(p.timeout), p.fate(len(events)))
		}
		return fmt.Errorf("put into %s: %w; %d records before these were put", p.stream, err, p.written)
	}
	p.written += len(events)
	if p.quiet {
		return nil
	}
	out := bufio.NewWriter(p.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i, at := range r.Puts[0] {
		if p.json {
			err = enc.Encode(putLine{p.stream, at.Shard.String(), at.Sequence.String(), events[i].PartitionKey})
		} else {
			_, err = fmt.Fprintf(out, "%s %s\n", at.Shard, at.Sequence)
		}
		if err != nil {
			return err
		}
	}
	return out.Flush()
}

// fate says why Kinesis takes nothing, if that is so, and what becomes of n records whose time is over.
func (p *put) fate(n int) string {
	o, _ := p.engine.(*opened)
	switch {
	case o == nil || o.sent == nil && !p.abroad:
		return ""
	case o.sent == nil:
		return "; the running leat most likely has these on its disk, and sends them when Kinesis takes them"
	}
	s := o.sent(p.stream)
	if s.Reason != "" {
		s.Reason = " (" + s.Reason + ")"
	}
	some := ""
	if s.Flying > 0 || s.Counters.Unknown > 0 {
		some = ", and others may have been"
	}
	return fmt.Sprintf("%s; of these %s %d were put%s, and the rest is not kept", s.Reason, plural(n, "record"), max(0, int(s.Counters.Records)-p.written), some)
}

// end says how many records there were.
func (p *put) end(err error) error {
	if err != nil {
		return err
	}
	if !p.json {
		fmt.Fprintf(p.err, "%s put\n", plural(p.written, "record"))
	}
	if p.refused > 0 {
		err := fmt.Errorf("not put: %s", plural(p.refused, "line"))
		if p.keyText == "" {
			return err
		}
		return &exitError{code: exitFailed, err: err, hint: "--key-from is an expression over each record; --key is one key for all"}
	}
	return nil
}
