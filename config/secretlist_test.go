package config_test

import (
	"slices"
	"testing"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/pipeline"
)

func TestEverythingSecretIsListed(t *testing.T) {
	text := `
streams: {feed: {}}
sources:
  - name: feed
    type: websocket
    url: "wss://me:literal-pass@example.org/?apikey=literal-key"
    query: {symbol: "${SYMBOL}", plain: "${UNSET:-default}", token: literal-token}
    headers: {Authorization: "Bearer ${TOKEN}", X-Plain: written}
    stream: feed
`
	c, _ := config.Load([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, pipeline.Adapters(), func(name string) (string, bool) {
		v, ok := map[string]string{"SYMBOL": "BTC-USD", "TOKEN": "abc123"}[name]
		return v, ok
	})
	var got []string
	for _, s := range c.Secrets() {
		got = append(got, s.Name+"="+s.Value.Reveal())
	}
	for _, want := range []string{
		"SYMBOL=BTC-USD", "TOKEN=abc123", "headers.Authorization=Bearer abc123", "headers.X-Plain=written", "=literal-pass", "=literal-key", "=literal-token",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among %q", want, got)
		}
	}
	if slices.Contains(got, "UNSET=default") {
		t.Error("a default is no secret")
	}
}
