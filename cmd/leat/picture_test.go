package main

import (
	"slices"
	"strings"
	"testing"
)

var race = picture{
	title: strings.Repeat("title ", 12), heads: []string{"  race", "  #"}, riders: strings.Split(strings.Repeat("  rider ä,", boardRows-1)+"  rider", ","),
	counts: []string{strings.Repeat("count ", 20), "ends", "table one", "table two"},
	commands: []string{
		"look inside: leat tap telemetry --data /var/folders/somewhere/deep/down/leat-demo/stream",
		"tables:      sqlite3 /var/folders/somewhere/deep/down/leat-demo/race.db",
	},
	end: "Ctrl-C stops it",
}

func TestTheBoardNeverOutgrowsTheTerminal(t *testing.T) {
	for width := 1; width <= 140; width++ {
		for height := 2; height <= 40; height++ {
			lines := race.fit(width, height)
			if n := allRows(lines, width); n > height-1 {
				t.Fatalf("%d x %d: %d rows: %q", width, height, n, lines)
			}
			for _, line := range lines {
				if len([]rune(line)) > width && !slices.Contains(race.commands, line) {
					t.Fatalf("%d x %d: %q wraps", width, height, line)
				}
			}
		}
	}
}

func TestTheBoardSaysThatItCatchesUp(t *testing.T) {
	for _, c := range []struct {
		riders, newest, second int
		want                   string
	}{
		{10, 120, 121, ""},
		{10, 110, 121, ""},
		{10, 40, 121, "catching up: live is 121"},
		{0, 0, 2, "the race begins"},
		{0, 0, 121, "catching up: no rider of this race has arrived; what was missed comes first"},
	} {
		if got := catchingUp(c.riders, c.newest, c.second); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestTheBoardKeepsItsCommandsWhole(t *testing.T) {
	for _, c := range []struct{ width, height, riders int }{{0, 0, 10}, {200, 50, 10}, {80, 24, 9}, {80, 20, 5}, {40, 24, 7}, {80, 15, 3}, {80, 12, 0}} {
		lines := race.fit(c.width, c.height)
		riders := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "  rider") {
				riders++
			}
		}
		if !slices.Contains(lines, race.commands[0]) || !slices.Contains(lines, race.commands[1]) || riders != c.riders {
			t.Errorf("%d x %d: %d riders, want %d: %q", c.width, c.height, riders, c.riders, lines)
		}
	}
}
