package pipeline_test

import (
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/pipeline"
)

// What leat explain shows is to be copied, so it must use what there is.
func TestTheExplainedExamplesAreTrueOfTheRealAdapters(t *testing.T) {
	env := func(name string) (string, bool) {
		return "secret-token", name == "FEED_TOKEN"
	}
	load := func(text string) config.Diagnostics {
		var inputs []config.Input
		for i, part := range strings.Split(text, "--- # second file\n") {
			inputs = append(inputs, config.Input{Name: []string{"leat.yaml", "second.yaml"}[i], Text: []byte(part)})
		}
		_, found := config.Load(inputs, pipeline.Adapters(), env)
		return found
	}
	for _, c := range config.Codes() {
		if found := load(c.Wrong); len(found) != 1 || found[0].Code != c.Code {
			t.Errorf("%s: its wrong example gives %v", c.Code, found.Err())
		}
		for _, d := range load(c.Right) {
			if d.Code != "config.idle" {
				t.Errorf("%s: its right example gives %s: %s", c.Code, d.Code, d.Message)
			}
		}
	}
}
