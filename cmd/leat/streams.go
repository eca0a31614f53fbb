package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
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
			infos, err := e.Streams(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.print(envelope{
					Command: "streams", OK: true, Summary: plural(len(infos), "stream"),
					Result: map[string]any{"streams": describe(infos, !p.distant())},
				})
			}
			return a.table(infos, !p.distant())
		},
	}
	p = a.placeFlags(cmd)
	a.jsonFlag(cmd)
	return cmd
}

// streamRow is one stream in the answer of leat streams --json.
type streamRow struct {
	Name           string     `json:"name"`
	Created        time.Time  `json:"created"`
	Records        *int64     `json:"records,omitempty"` // Kinesis does not say
	Bytes          *int64     `json:"bytes,omitempty"`
	RetentionMS    int64      `json:"retention_ms,omitempty"`
	RetentionBytes int64      `json:"retention_bytes,omitempty"`
	Shards         []shardRow `json:"shards"`
}

type shardRow struct {
	ID      string     `json:"id"`
	Parents []string   `json:"parents,omitempty"`
	Start   string     `json:"starting_hash_key"`
	End     string     `json:"ending_hash_key"`
	Closed  *time.Time `json:"closed,omitempty"`
}

// describe returns the rows for JSON, without numbers of records and bytes unless they are counted.
func describe(infos []stream.Info, counted bool) []streamRow {
	rows := []streamRow{}
	for i := range infos {
		info := &infos[i]
		row := streamRow{
			Name: info.Name, Created: info.Created.UTC(),
			RetentionMS: info.Keep.Age.Milliseconds(), RetentionBytes: info.Keep.Bytes, Shards: []shardRow{},
		}
		if counted {
			row.Records, row.Bytes = &info.Records, &info.Bytes
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

func (a *app) table(infos []stream.Info, counted bool) error {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STREAM\tOPEN SHARDS\tRECORDS\tSIZE\tKEPT FOR")
	for _, info := range infos {
		open := 0
		for i := range info.Shards {
			if info.Shards[i].Open() {
				open++
			}
		}
		keep := "ever"
		if info.Keep.Age > 0 {
			keep = setting.FormatDuration(info.Keep.Age)
		}
		if info.Keep.Bytes > 0 {
			keep += ", " + humanize.IBytes(uint64(info.Keep.Bytes))
		}
		records, size := "-", "-"
		if counted {
			records, size = humanize.Comma(info.Records), humanize.IBytes(uint64(max(0, info.Bytes)))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", info.Name, open, records, size, keep)
	}
	return w.Flush()
}
