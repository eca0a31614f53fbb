package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/leatstream/leat/pipeline"
)

// variables are what an example needs that cannot do without an account.
var variables = map[string]map[string]string{
	"github":    {"GITHUB_TOKEN": "secret"},
	"mastodon":  {"MASTODON_TOKEN": "secret"},
	"aisstream": {"AISSTREAM_KEY": "secret"},
	"opensky":   {"OPENSKY_CLIENT_ID": "us", "OPENSKY_CLIENT_SECRET": "secret"},
	"slack":     {"SLACK_APP_TOKEN": "xapp-secret"},
	"discord":   {"DISCORD_TOKEN": "token"},
	"alpaca":    {"ALPACA_KEY": "us", "ALPACA_SECRET": "secret"},
}

// resumed are the examples that promise to have each event once; of the others what happens while nobody is connected is lost.
var resumed = []string{"bluesky", "wikimedia", "nostr", "github", "kubernetes", "couchdb", "discord"}

// Every example is in order with its variables set, and says at its head what it needs and what it promises.
func TestEveryExampleOfAProviderIsInOrder(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("providers", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	needed := regexp.MustCompile(`\$\{(\w+):\?`)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			body := text(t, name)
			c := load(t, name, body, variables[name])
			want := pipeline.BestEffort
			if slices.Contains(resumed, name) {
				want = pipeline.ExactlyOnceIn
			}
			if g := pipeline.Guarantees(c)[0]; g.Step != want {
				t.Errorf("%s: %s, want %s: %s", g.Edge, g.Step, want, g.Reason)
			}
			if c.Sources[0].Name != name || c.Streams[0].Name != name {
				t.Errorf("the source is called %s and the stream %s", c.Sources[0].Name, c.Streams[0].Name)
			}
			head, _, _ := strings.Cut(body, "\n\n")
			for _, line := range []string{"# Account:", "# Resume:", "# Gaps:", "#   ", "leat run examples/providers/" + name + ".yaml", "sqlite3 " + name + ".db"} {
				if !strings.Contains(head, line) {
					t.Errorf("the head says nothing of %q", line)
				}
			}
			for _, v := range needed.FindAllStringSubmatch(body, -1) {
				if variables[name][v[1]] == "" || !strings.Contains(head, v[1]) {
					t.Errorf("the head does not say that %s is needed, or the test does not set it", v[1])
				}
			}
			guide, err := os.ReadFile(filepath.Join("..", "docs", "providers.md"))
			if err != nil || !strings.Contains(string(guide), "../examples/providers/"+name+".yaml") {
				t.Errorf("docs/providers.md does not name it: %v", err)
			}
		})
	}
}
