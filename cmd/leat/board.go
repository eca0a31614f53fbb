package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/pipeline"
	sqlsink "github.com/leatstream/leat/sink/sql"
	"github.com/leatstream/leat/source"
)

// board shows the leaderboard and how everything is doing: redrawn every second on a terminal, elsewhere a line every five.
type board struct {
	*demo
	p      *pipeline.Pipeline
	began  time.Time
	stream string // data directory of the stream
	db     *sql.DB

	last  pipeline.Status
	at    time.Time
	drawn int // rows on the screen

	width, height int // of the terminal when it was drawn
}

const (
	boardRows = 10
	turn      = 10 * time.Second // for which one race is shown

	// farBehind is how many seconds of a race the table may lack before the board says so.
	farBehind = 15
)

func (b *board) show(ctx context.Context) {
	b.at, b.last = time.Now(), b.p.Status()
	if b.terminal {
		fmt.Fprint(b.out, "\x1b[?25l") // no cursor
		defer fmt.Fprint(b.out, "\x1b[?25h")
	} else {
		fmt.Fprint(b.out, b.where())
	}
	for n := 1; wait.For(ctx, time.Second) == nil; n++ {
		now, s := time.Now(), b.p.Status()
		if b.terminal {
			b.draw(b.picture(ctx, &s, now.Sub(b.at), now))
			b.last, b.at = s, now
		} else if n%5 == 0 {
			fmt.Fprintln(b.out, strings.Join(b.counts(&s, now.Sub(b.at)), "  "))
			b.last, b.at = s, now
		}
	}
	if b.db != nil {
		_ = b.db.Close()
	}
}

// draw replaces what is on the screen. After a change of its size nobody knows what is where on it, so it is cleared.
func (b *board) draw(p picture) {
	width, height := b.size()
	lines := p.fit(width, height)
	var out strings.Builder
	switch {
	case b.drawn > 0 && (width != b.width || height != b.height):
		out.WriteString("\x1b[H\x1b[J")
	case b.drawn > 0:
		fmt.Fprintf(&out, "\x1b[%dA\r\x1b[J", b.drawn)
	}
	b.drawn, b.width, b.height = 0, width, height
	for _, line := range lines {
		out.WriteString(line + "\n")
		b.drawn += rows(line, width)
	}
	fmt.Fprint(b.out, out.String())
}

func (b *board) picture(ctx context.Context, s *pipeline.Status, d time.Duration, now time.Time) picture {
	p := picture{title: "Leat: bike races over a line that hangs up; the race shown changes every 10 s", counts: b.counts(s, d)}
	if races := b.race.RaceNames(now.Unix()); len(races) > 0 {
		p.heads, p.riders = b.standings(ctx, races[int(now.Sub(b.began)/turn)%len(races)], now)
	}
	p.commands = strings.Split(strings.TrimSuffix(b.where(), "\n"), "\n")
	p.end = "Ctrl-C stops it; start it again and it goes on where it was."
	return p
}

// standings reads the leaderboard of one race from the table that the pipeline keeps.
func (b *board) standings(ctx context.Context, race string, now time.Time) (heads, riders []string) {
	riders, second, err := b.query(ctx, race)
	head := fmt.Sprintf("  %-28s second %3d of 300", race, second)
	state := catchingUp(len(riders), second, provider.RaceSecond(now.Unix()))
	switch {
	case err != nil:
		riders = []string{"  " + err.Error()}
	case len(riders) == 0:
		riders = []string{"  " + state}
	case state != "":
		head += "  " + state
	}
	for len(riders) < boardRows {
		riders = append(riders, "")
	}
	return []string{
		head,
		fmt.Sprintf("  %2s  %-24s %6s %8s %10s", "#", "rider", "power", "cadence", "output"),
	}, riders
}

// catchingUp says why the table has no riders of a race that is at a second, or is far behind it: the provider sends again what was
// missed, the oldest first. It is empty where the table is about as new as it can be.
func catchingUp(riders, newest, second int) string {
	switch {
	case riders == 0 && second < farBehind:
		return "the race begins"
	case riders == 0:
		return "catching up: no rider of this race has arrived; what was missed comes first"
	case second-newest >= farBehind:
		return fmt.Sprintf("catching up: live is %d", second)
	}
	return ""
}

func (b *board) query(ctx context.Context, race string) (lines []string, second int, err error) {
	if b.db == nil {
		name := "file:" + (&url.URL{Path: filepath.ToSlash(b.table())}).EscapedPath() + "?mode=ro&_pragma=busy_timeout(1000)"
		if b.db, err = sql.Open(sqlsink.Driver, name); err != nil {
			return nil, 0, err
		}
	}
	rows, err := b.db.QueryContext(ctx, `SELECT rider, power, cadence, output, second FROM standing WHERE race = ? ORDER BY output DESC, rider_id LIMIT ?`, race, boardRows)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var rider string
		var power, cadence, at int
		var output float64
		if err := rows.Scan(&rider, &power, &cadence, &output, &at); err != nil {
			return nil, 0, err
		}
		second = max(second, at)
		lines = append(lines, fmt.Sprintf("  %2d  %-24s %4d W %4d rpm %7.1f kJ", len(lines)+1, rider, power, cadence, output))
	}
	return lines, second, rows.Err()
}

// counts says how everything is doing: rates over the time since the last look, the rest since the start.
func (b *board) counts(s *pipeline.Status, d time.Duration) []string {
	rate := func(now, before int64) string {
		return humanize.Comma(int64(float64(now-before)/d.Seconds()+0.5)) + "/s"
	}
	src, was := s.Sources[0], b.last.Sources[0]
	live := 0
	for _, slot := range src.Slots {
		if slot.State == source.Live {
			live++
		}
	}
	lines := []string{
		fmt.Sprintf("received %s over %d connections, stored %s, duplicates dropped %s; %s stored in all",
			rate(src.Events, was.Events), live, rate(src.Stored, was.Stored), rate(src.Duplicates, was.Duplicates), humanize.Comma(b.total(s))),
		fmt.Sprintf("reconnects %d, gaps %d; last: %s", max(0, src.Opened-2), src.Gaps, orDash(src.LastEnd)),
	}
	for i := range s.Consumers {
		delivered, age := sums(&s.Consumers[i])
		before, _ := sums(&b.last.Consumers[i])
		lines = append(lines, fmt.Sprintf("table %s: %s, iterator age %.1f s", s.Consumers[i].Name, rate(delivered, before), age.Seconds()))
	}
	return lines
}

func (b *board) total(s *pipeline.Status) int64 {
	for _, info := range s.Streams {
		if info.Name == "telemetry" {
			return info.Records
		}
	}
	return 0
}

// sums adds up the shards of a consumer: records delivered, and the highest iterator age.
func sums(c *consumer.Status) (delivered int64, age time.Duration) {
	for i := range c.Shards {
		delivered += c.Shards[i].Delivered
		age = max(age, c.Shards[i].IteratorAge)
	}
	return delivered, age
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return strings.TrimPrefix(s, "connection ended: ")
}

// where says how to look inside, a command a line, so that each can be copied.
func (b *board) where() string {
	return fmt.Sprintf("look inside: %s tap telemetry --data %s\ntables:      sqlite3 %s\n", self(), shellQuote(b.stream), shellQuote(b.table()))
}

func (b *board) farewell() {
	s := b.p.Status()
	fmt.Fprintf(b.out, "\n%s messages in %s. Start again with the same --data: it goes on where it was.\n", humanize.Comma(b.total(&s)), b.data)
}
