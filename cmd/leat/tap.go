package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

func (a *app) tapCommand() *cobra.Command {
	t := &tap{app: a}
	cmd := &cobra.Command{
		Use: "tap STREAM", Short: "Show the records of a stream as they arrive", Args: cobra.ExactArgs(1),
		Long: `Tap shows the last records of a stream and then what arrives, until it is interrupted. It is no consumer: nothing that others
do is changed by it. Splits and merges are followed.`,
		Example: `  leat tap clicks                        the last 10 records, then what arrives
  leat tap clicks --from 10m --end       what arrived in the last ten minutes
  leat tap clicks -n 2000 --end --json   the last 2000 as lines of JSON
  leat tap clicks -k user-42             one partition key
  leat tap clicks -f '{"data":{"type":["order"],"total":[{"numeric":[">",100]}]}}'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := within(atLeast("limit", t.limit, 0), atLeast("last", t.last, 0)); err != nil {
				return err
			}
			return t.open(cmd, args[0])
		},
	}
	f := t.flags(cmd)
	f.StringVar(&t.position, "from", "", "where to begin: oldest, latest, how long ago (10m), a time (RFC 3339) or a sequence number")
	f.IntVarP(&t.last, "last", "n", 10, "without --from: begin with so many of the last records")
	f.BoolVarP(&t.end, "end", "e", false, "stop at the newest record instead of waiting for more")
	return cmd
}

func (a *app) getCommand() *cobra.Command {
	t := &tap{app: a, end: true}
	cmd := &cobra.Command{
		Use: "get STREAM", Short: "Print the records that a stream holds", Args: cobra.ExactArgs(1),
		Long: `Get prints what a stream holds, from the oldest record on, and ends. The records of a shard come in their order, and those of a shard that was
split or merged before those of its children.`,
		Example: `  leat get orders --json > orders.ndjson
  leat get orders --raw --from 10m --key user-42
  leat get orders --endpoint http://127.0.0.1:4567 --limit 100`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := within(atLeast("limit", t.limit, 0)); err != nil {
				return err
			}
			return t.open(cmd, args[0])
		},
	}
	f := t.flags(cmd)
	f.StringVar(&t.position, "from", "oldest", "where to begin: oldest, how long ago (10m), a time (RFC 3339) or a sequence number")
	return cmd
}

// flags adds the flags that tap and get have.
func (t *tap) flags(cmd *cobra.Command) *pflag.FlagSet {
	t.place = t.placeFlags(cmd)
	t.jsonFlag(cmd)
	f := cmd.Flags()
	f.StringVarP(&t.key, "key", "k", "", "only this partition key")
	f.TextVarP(&t.filter, "filter", "f", filter.Filter{}, "only records that fit an event `pattern`: JSON, as filter: of a consumer takes it")
	f.BoolVar(&t.why, "why", false, "with --filter: all records, and below those that do not fit why not")
	f.StringVar(&t.shard, "shard", "", "only this shard")
	f.IntVar(&t.limit, "limit", 0, "stop after so many records")
	f.BoolVar(&t.raw, "raw", false, "print only the payloads, one a line")
	return f
}

// open opens the place and prints.
func (t *tap) open(cmd *cobra.Command, name string) error {
	if t.json && t.raw {
		return usage(errors.New("--json and --raw: expected one of them, not both"))
	}
	if t.why && (t.json || t.raw || t.filter.IsZero()) {
		return usage(errors.New("--why: expected with --filter, and without --json and --raw"))
	}
	if err := t.place.check(cmd); err != nil {
		return err
	}
	e, err := t.place.read(cmd.Context())
	if err != nil {
		return err
	}
	defer e.close()
	t.engine, t.stream = e, name
	if !e.live && !t.end {
		t.end = true
		fmt.Fprintf(t.err, "no leat is running on %s: this is what is there\n", t.place.dir)
	}
	return t.run(cmd.Context())
}

// tap is one call of leat tap.
type tap struct {
	*app
	place  *place
	engine engine
	stream string

	filter filter.Filter
	why    bool

	position, key, shard string
	last, limit          int
	end, raw             bool

	shown int
}

func (t *tap) run(ctx context.Context) error {
	from, err := t.begin()
	if err != nil {
		return err
	}
	shards, err := t.engine.Shards(ctx, t.stream)
	if err != nil {
		return noStream(ctx, t.engine, t.stream, err)
	}
	if shards, err = t.only(shards); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f := &follower{
		tap: t, lines: make(chan shardLines), there: shards,
		first: map[leat.ShardID]stream.Position{}, started: map[leat.ShardID]bool{}, done: map[leat.ShardID]bool{},
	}
	for i := range shards {
		f.first[shards[i].ID] = from
	}
	if t.position == "" {
		if err := f.lastRecords(ctx, shards); err != nil {
			return err
		}
	}
	f.start(ctx, shards)
	err = f.print(ctx)
	if !t.end && !t.json && !t.raw {
		fmt.Fprintf(t.err, "%d records shown\n", t.shown)
	}
	return err
}

// begin returns where --from says to begin.
func (t *tap) begin() (stream.Position, error) {
	switch t.position {
	case "", "oldest", "trim_horizon":
		return stream.Oldest(), nil
	case "latest":
		return stream.Latest(), nil
	}
	if d, err := setting.ParseDuration(t.position); err == nil && d > 0 {
		return stream.AtTime(time.Now().Add(-d)), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, t.position); err == nil {
		return stream.AtTime(at), nil
	}
	if s, err := leat.ParseSequence(t.position); err == nil {
		if t.shard == "" {
			t.shard = s.Shard().String()
		}
		return stream.At(s), nil
	}
	return stream.Position{}, usage(fmt.Errorf("--from %q: expected oldest, latest, a duration such as 10m, a time such as 2026-11-21T12:00:00Z, or a sequence number", t.position))
}

func (t *tap) only(shards []stream.Shard) ([]stream.Shard, error) {
	if t.shard == "" {
		return shards, nil
	}
	id, err := leat.ParseShardID(t.shard)
	if err != nil {
		return nil, usage(err)
	}
	i := slices.IndexFunc(shards, func(s stream.Shard) bool { return s.ID == id })
	if i < 0 {
		return nil, usage(fmt.Errorf("stream %q has no %s", t.stream, id))
	}
	return shards[i : i+1], nil
}

// wants reports whether a record is asked for.
func (t *tap) wants(r *leat.Record) bool {
	return (t.key == "" || r.PartitionKey == t.key) && (t.why || t.filter.Record(r) == filter.Pass)
}

// show prints the records of a batch that are asked for and reports whether that was enough.
func (t *tap) show(b *leat.Batch) (enough bool, err error) {
	for i := range b.Records {
		r := &b.Records[i]
		if !t.wants(r) {
			continue
		}
		if err := t.line(b.Shard, r); err != nil {
			return true, err
		}
		t.shown++
		if t.limit > 0 && t.shown >= t.limit {
			return true, nil
		}
	}
	return false, nil
}

func (t *tap) line(shard leat.ShardID, r *leat.Record) error {
	switch {
	case t.json:
		return t.jsonLine(shard, r)
	case t.raw:
		_, err := fmt.Fprintf(t.out, "%s\n", r.Data)
		return err
	}
	text := fmt.Sprintf("%s  %3d  %-16s  %s", r.Arrived.Local().Format("15:04:05.000"), uint32(shard), printable(r.PartitionKey, 40), printable(string(r.Data), 4096))
	if t.width > 0 {
		text = cut(text, t.width)
	}
	if _, err := fmt.Fprintln(t.out, text); err != nil || !t.why {
		return err
	}
	for _, reason := range t.filter.Explain(r) {
		if _, err := fmt.Fprintf(t.out, "%20s%s: %s\n", "", reason.Path, reason.What); err != nil {
			return err
		}
	}
	return nil
}

// tapLine is one record of leat tap --json. Sequence numbers are texts: they are larger than 2^53.
type tapLine struct {
	Stream   string          `json:"stream"`
	Shard    string          `json:"shard"`
	Sequence string          `json:"sequence_number"`
	Key      string          `json:"partition_key"`
	Source   string          `json:"source,omitempty"`
	ID       string          `json:"id,omitempty"`
	Arrived  string          `json:"arrived"`
	Time     string          `json:"time,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Base64   []byte          `json:"data_base64,omitempty"` // of a payload that is not JSON
}

const timeFormat = "2006-01-02T15:04:05.000Z"

func (t *tap) jsonLine(shard leat.ShardID, r *leat.Record) error {
	l := tapLine{
		Stream: t.stream, Shard: shard.String(), Sequence: r.Sequence.String(), Key: r.PartitionKey, Source: r.Source, ID: r.ID,
		Arrived: r.Arrived.UTC().Format(timeFormat),
	}
	if !r.Time.IsZero() {
		l.Time = r.Time.UTC().Format(timeFormat)
	}
	if json.Valid(r.Data) {
		l.Data = r.Data
	} else {
		l.Base64 = r.Data
	}
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(l)
}

// printable makes a text of a stranger fit for a terminal: one line, no control characters, at most n bytes.
func printable(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd {
			return '.'
		}
		return r
	}, s)
}

// cut cuts a text to a number of cells, counting each character as one.
func cut(s string, width int) string {
	n := 0
	for i := range s {
		if n++; n > width {
			return s[:i]
		}
	}
	return s
}

// shardLines is what one shard has for the printer.
type shardLines struct {
	batch leat.Batch
	err   error // io.EOF: the shard is closed; errTip: there is nothing more for now
	shard leat.ShardID
}

var errTip = errors.New("at the tip")

// follower reads all shards and follows them over splits and merges.
type follower struct {
	*tap
	lines   chan shardLines
	there   []stream.Shard                       // at the beginning
	first   map[leat.ShardID]stream.Position     // where shards begin that were there at the beginning; later ones begin at their oldest record
	until   map[leat.ShardID]leat.SequenceNumber // where they end; those that are not in it show nothing. nil: at the newest record
	started map[leat.ShardID]bool
	done    map[leat.ShardID]bool
	open    int
}

// start starts the shards whose parents are done or not asked for, so that the records of a key stay in order.
func (f *follower) start(ctx context.Context, shards []stream.Shard) {
	for i := range shards {
		id := shards[i].ID
		waits := slices.ContainsFunc(shards[i].Parents, func(p leat.ShardID) bool {
			return !f.done[p] && slices.ContainsFunc(shards, func(s stream.Shard) bool { return s.ID == p })
		})
		if f.started[id] || waits {
			continue
		}
		f.started[id] = true
		f.open++
		go func() { f.read(ctx, id, f.first[id]) }()
	}
}

// read sends what one shard holds.
func (f *follower) read(ctx context.Context, id leat.ShardID, from stream.Position) {
	send := func(l shardLines) bool {
		l.shard = id
		select {
		case f.lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	over := errTip
	if f.until != nil {
		over = io.EOF
		if _, some := f.until[id]; !some {
			send(shardLines{err: over})
			return
		}
	}
	r, err := f.engine.Read(ctx, f.stream, id, from)
	if err != nil {
		send(shardLines{err: err})
		return
	}
	defer r.Close()
	for tip := false; ; {
		b, err := r.Next(ctx, stream.Limit{Records: 1000, NoWait: f.end})
		if err == nil && (tip || len(b.Records) == 0) {
			b, err = leat.Batch{}, over
		}
		last := f.reaches(&b)
		var gap *stream.GapError
		if !send(shardLines{batch: b, err: err}) || err != nil && !errors.As(err, &gap) {
			return
		}
		if last {
			send(shardLines{err: over})
			return
		}
		tip = f.end && err == nil && newest(&b) // one that is closed has its end behind that
	}
}

// reaches cuts off a batch what lies behind the last record of its shard that is to be shown, and reports whether that one is in it.
func (f *follower) reaches(b *leat.Batch) bool {
	last, known := f.until[b.Shard]
	if !known {
		return false
	}
	i := slices.IndexFunc(b.Records, func(r leat.Record) bool { return r.Sequence.Compare(last) >= 0 })
	if i < 0 {
		return false
	}
	b.Records = b.Records[:i+1]
	return true
}

// print prints until there is nothing more to come, enough is shown, or ctx ends.
func (f *follower) print(ctx context.Context) error {
	for f.open > 0 {
		var l shardLines
		select {
		case l = <-f.lines:
		case <-ctx.Done():
			return nil
		}
		var gap *stream.GapError
		switch {
		case errors.As(l.err, &gap):
			fmt.Fprintf(f.err, "… %d records from %s to %s are missing (%s)\n", gap.Count, gap.From, gap.To, gap.Reason)
		case errors.Is(l.err, io.EOF):
			f.open--
			f.closed(ctx, l.shard)
		case errors.Is(l.err, errTip):
			f.open--
		case l.err != nil && ctx.Err() == nil:
			return l.err
		default:
			if enough, err := f.show(&l.batch); enough || err != nil {
				return err
			}
		}
	}
	return nil
}

// closed goes on with the children of a shard, once all their parents are done.
func (f *follower) closed(ctx context.Context, id leat.ShardID) {
	f.done[id] = true
	if f.until != nil {
		f.start(ctx, f.there)
		return
	}
	shards, err := f.engine.Shards(ctx, f.stream)
	if err != nil || f.shard != "" {
		return
	}
	var children []string
	for i := range shards {
		if _, known := f.first[shards[i].ID]; !known && slices.Contains(shards[i].Parents, id) {
			children = append(children, fmt.Sprint(uint32(shards[i].ID)))
		}
	}
	if len(children) > 0 && !f.json && !f.raw {
		fmt.Fprintf(f.err, "shard %d closed → %s\n", uint32(id), strings.Join(children, ", "))
	}
	f.start(ctx, shards)
}
