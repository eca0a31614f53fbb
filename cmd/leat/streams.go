package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/remote"
)

func (a *app) streamsCommand() *cobra.Command {
	var p *place
	cmd := &cobra.Command{
		Use: "streams", Short: "List the streams", Args: cobra.NoArgs,
		Example: "  leat streams\n  leat streams --data /var/lib/leat --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.check(cmd); err != nil {
				return err
			}
			e, err := p.read(cmd.Context())
			if err != nil {
				return err
			}
			defer e.close()
			return a.listStreams(cmd.Context(), e)
		},
	}
	p = a.placeFlags(cmd)
	a.jsonFlag(cmd)
	return cmd
}

// listStreams lists the streams of e. While Kinesis does not answer, what waits for it is listed all the same.
func (a *app) listStreams(ctx context.Context, e *opened) error {
	sent := e.forwarding(ctx)
	infos, err := e.Streams(ctx)
	if err != nil && len(sent) == 0 {
		return err
	}
	var warnings []string
	if err != nil {
		warnings = append(warnings, err.Error())
		fmt.Fprintf(a.err, "leat: %v\nleat: this is what waits on the disk for it\n", err)
	}
	for i := range sent {
		if named(infos, sent[i].Stream) {
			continue
		}
		infos = append(infos, stream.Info{Name: sent[i].Stream})
		if err == nil { // Kinesis answers, and does not have it
			warning := fmt.Sprintf("stream %q is not in Kinesis: what is put into it waits on the disk", sent[i].Stream)
			warnings = append(warnings, warning)
			fmt.Fprintf(a.err, "leat: %s\n", warning)
		}
	}
	if !a.json {
		return a.table(infos, sent)
	}
	return a.print(envelope{
		Command: "streams", OK: true, Summary: plural(len(infos), "stream"), Warnings: warnings,
		Result: map[string]any{"streams": describe(infos, sent)},
	})
}

func named(infos []stream.Info, name string) bool {
	return slices.ContainsFunc(infos, func(i stream.Info) bool { return i.Name == name })
}

// forwarding returns how the streams in Kinesis are written by the process that e reaches; nothing where there are none, or no such process.
func (o *opened) forwarding(ctx context.Context) []kinesis.Status {
	client, ok := o.engine.(*remote.Client)
	if !ok {
		return nil
	}
	var status struct {
		Forwarding []kinesis.Status `json:"forwarding"`
	}
	if text, err := client.Status(ctx); err != nil || json.Unmarshal(text, &status) != nil {
		return nil // a process of another version
	}
	return status.Forwarding
}

// sentTo returns how a stream is forwarded, or nil.
func sentTo(sent []kinesis.Status, name string) *kinesis.Status {
	if i := slices.IndexFunc(sent, func(s kinesis.Status) bool { return s.Stream == name }); i >= 0 {
		return &sent[i]
	}
	return nil
}

// isCounted reports whether it is known what a stream holds: Kinesis does not say.
func isCounted(info *stream.Info) bool {
	return len(info.Shards) > 0 && !slices.ContainsFunc(info.Shards, func(s stream.Shard) bool { return s.Tip.IsZero() })
}

// streamRow is one stream in the answer of leat streams --json.
type streamRow struct {
	Name           string     `json:"name"`
	Created        time.Time  `json:"created,omitzero"`
	Records        *int64     `json:"records,omitempty"` // Kinesis does not say
	Bytes          *int64     `json:"bytes,omitempty"`
	RetentionMS    int64      `json:"retention_ms,omitempty"`
	RetentionBytes int64      `json:"retention_bytes,omitempty"`
	Shards         []shardRow `json:"shards"`

	// Of a stream that the running process forwards to Kinesis: what waits on its disk.
	State        kinesis.State `json:"state,omitempty"`
	Reason       string        `json:"reason,omitempty"`
	Waiting      *int64        `json:"waiting,omitempty"`
	WaitingBytes *int64        `json:"waiting_bytes,omitempty"`
	WaitingMS    int64         `json:"waiting_ms,omitempty"` // the oldest of it
}

type shardRow struct {
	ID      string     `json:"id"`
	Parents []string   `json:"parents,omitempty"`
	Start   string     `json:"starting_hash_key"`
	End     string     `json:"ending_hash_key"`
	Closed  *time.Time `json:"closed,omitempty"`
}

// describe returns the rows for JSON, without numbers of records and bytes unless they are counted.
func describe(infos []stream.Info, sent []kinesis.Status) []streamRow {
	rows := []streamRow{}
	for i := range infos {
		info := &infos[i]
		row := streamRow{
			Name: info.Name, Created: info.Created.UTC(),
			RetentionMS: info.Keep.Age.Milliseconds(), RetentionBytes: info.Keep.Bytes, Shards: []shardRow{},
		}
		if isCounted(info) {
			row.Records, row.Bytes = &info.Records, &info.Bytes
		}
		if f := sentTo(sent, info.Name); f != nil {
			row.State, row.Reason, row.Waiting, row.WaitingBytes, row.WaitingMS = f.State, f.Reason, &f.Records, &f.Bytes, f.Age.Milliseconds()
		}
		for _, s := range info.Shards {
			shard := shardRow{ID: s.ID.String(), Start: s.Range.Start.String(), End: s.Range.End.String()}
			for _, parent := range s.Parents {
				shard.Parents = append(shard.Parents, parent.String())
			}
			if !s.Open() {
				closed := s.Closed.UTC()
				shard.Closed = &closed
			}
			row.Shards = append(row.Shards, shard)
		}
		rows = append(rows, row)
	}
	return rows
}

func (a *app) table(infos []stream.Info, sent []kinesis.Status) error {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	waiting := ""
	if len(sent) > 0 {
		waiting = "\tWAITING FOR KINESIS"
	}
	fmt.Fprintln(w, "STREAM\tOPEN SHARDS\tRECORDS\tSIZE\tKEPT FOR"+waiting)
	for i := range infos {
		info := &infos[i]
		records, size, keep := "-", "-", "-"
		if isCounted(info) {
			records, size = humanize.Comma(info.Records), humanize.IBytes(uint64(max(0, info.Bytes)))
		}
		if len(info.Shards) > 0 {
			keep = kept(info.Keep)
		}
		if f := sentTo(sent, info.Name); f != nil {
			waiting = "\t" + waits(f)
		} else if waiting != "" {
			waiting = "\t"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s%s\n", info.Name, openShards(info), records, size, keep, waiting)
	}
	return w.Flush()
}

// openShards counts the open shards of a stream, where they are known.
func openShards(info *stream.Info) string {
	open := 0
	for i := range info.Shards {
		if info.Shards[i].Open() {
			open++
		}
	}
	if len(info.Shards) == 0 {
		return "-"
	}
	return strconv.Itoa(open)
}

func kept(keep stream.Retention) string {
	text := "ever"
	if keep.Age > 0 {
		text = setting.FormatDuration(keep.Age)
	}
	if keep.Bytes > 0 {
		text += ", " + humanize.IBytes(uint64(keep.Bytes))
	}
	return text
}

// waits says what waits for Kinesis, and why.
func waits(f *kinesis.Status) string {
	text := plural(int(f.Records), "record")
	if f.Records > 0 {
		text += ", " + humanize.IBytes(uint64(max(0, f.Bytes))) + ", for " + setting.FormatDuration(f.Age.Truncate(time.Second))
	}
	if f.State != kinesis.Forwarding {
		text += " (" + string(f.State) + ")"
	}
	return text
}
