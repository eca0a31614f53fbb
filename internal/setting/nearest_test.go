package setting_test

import (
	"testing"

	"github.com/leatstream/leat/internal/setting"
)

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		word       string
		candidates []string
		want       string
	}{
		{"ulr", []string{"url", "user"}, "url"},
		{"clikcs", []string{"clicks", "cliques"}, "clicks"},
		{"url", []string{"url"}, "url"},
		{"x", []string{"y", "z"}, "y"},
		{"xy", []string{"ab", "abc"}, ""},
		{"conections", []string{"connections"}, "connections"},
		{"maxbackof", []string{"max_backoff"}, "max_backoff"},
		{"retention", []string{"attention", "retention_bytes"}, "attention"},
		{"ca", []string{"abc"}, ""},
		{"", []string{"a"}, "a"},
		{"", nil, ""},
		{"éa", []string{"aé"}, "aé"},
	} {
		if got, ok := setting.Nearest(c.word, c.candidates); got != c.want || ok != (c.want != "") {
			t.Errorf("%s among %q: got %q, %v; want %q", c.word, c.candidates, got, ok, c.want)
		}
	}
}
