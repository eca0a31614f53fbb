package source

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// attempts returns the hosts of attempts, of which some fail.
func attempts(t *testing.T, p *Preparation, n int, fails func(host string) bool) (taken []string) {
	t.Helper()
	for range n {
		vars, err := p.Variables(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		host := vars["host"].(string)
		taken = append(taken, host)
		_ = p.Try(t.Context(), vars, func() error {
			if fails(host) {
				return errors.New("no")
			}
			return nil
		})
	}
	return taken
}

func TestHostsAreChangedAfterFailures(t *testing.T) {
	list := []string{"a", "b", "c"}
	for order, want := range map[string][]string{
		"rotate":  {"a", "b", "b", "b"},
		"ordered": {"a", "b", "a", "b"},
	} {
		got := attempts(t, (&Before{Hosts: list, HostOrder: order}).Start(nil), 4, func(host string) bool { return host == "a" })
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", order, got, want)
		}
	}
	all := attempts(t, (&Before{Hosts: list, HostOrder: "rotate"}).Start(nil), 4, func(string) bool { return true })
	if !slices.Equal(all, []string{"a", "b", "c", "a"}) {
		t.Errorf("all fail: got %v", all)
	}
	random := attempts(t, (&Before{Hosts: list, HostOrder: "random"}).Start(nil), 100, func(string) bool { return true })
	for i := range random[1:] {
		if random[i] == random[i+1] {
			t.Fatalf("a host that failed is taken again: %v", random)
		}
	}
	for _, host := range list {
		if !slices.Contains(random, host) {
			t.Errorf("%s is never taken", host)
		}
	}
	one := attempts(t, (&Before{Hosts: []string{"a"}, HostOrder: "random"}).Start(nil), 2, func(string) bool { return true })
	if !slices.Equal(one, []string{"a", "a"}) {
		t.Errorf("one host: got %v", one)
	}
}

// Two connections that fail on one host do not pass over the next one.
func TestConnectionsThatFailTogetherChangeTheHostOnce(t *testing.T) {
	p := (&Before{Hosts: []string{"a", "b", "c"}, HostOrder: "rotate"}).Start(nil)
	one, _ := p.Variables(t.Context(), "")
	two, _ := p.Variables(t.Context(), "")
	for _, vars := range []map[string]any{one, two} {
		_ = p.Try(t.Context(), vars, func() error { return errors.New("no") })
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	three, _ := p.Variables(t.Context(), "")
	_ = p.Try(stopped, three, func() error { return context.Canceled })
	if four, _ := p.Variables(t.Context(), ""); three["host"] != "b" || four["host"] != "b" {
		t.Errorf("got %v and %v", three["host"], four["host"])
	}
}

func TestVariablesAreEvaluatedAtEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := (&Before{Hosts: []string{"a"}, Variables: map[string]expression.Template{
			"from": expression.MustParseTemplate("{{host}}:{{cursor}}:{{at}}"), "at": expression.MustParseTemplate("{{unix()}}"),
		}}).Start(nil)
		vars, err := p.Variables(t.Context(), "7")
		if err != nil || vars["from"] != "a:7:946684800" {
			t.Errorf("got %v, %v", vars, err)
		}
	})
}

func TestWhatIsWrongBefore(t *testing.T) {
	for field, b := range map[string]Before{
		"hosts[1]":         {Hosts: []string{"a:1", "https://b"}},
		"variables.host":   {Variables: map[string]expression.Template{"host": {}}},
		"variables.typo":   {Variables: map[string]expression.Template{"typo": expression.MustParseTemplate("{{curser}}")}},
		"variables.a-b":    {Variables: map[string]expression.Template{"a-b": {}}},
		"variables.second": {Variables: map[string]expression.Template{"first": {}, "second": expression.MustParseTemplate("{{third}}"), "third": expression.MustParseTemplate("{{second}}{{first}}")}},
	} {
		var wrong *setting.FieldError
		if err := b.Check(); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	fine := Before{Hosts: []string{"a", "b:1", "[::1]:2"}, Variables: map[string]expression.Template{"x": expression.MustParseTemplate("{{host}}{{cursor}}")}}
	if err := fine.Check(); err != nil {
		t.Error(err)
	}
	for text, b := range map[string]Before{
		"https://a.example/": {Hosts: []string{"a", "b"}},
		"ftp://a.example/":   {},
		"https://":           {},
		"wss://a.example":    {},
	} {
		address := expression.MustParseTemplate(text)
		if err := b.CheckAddress(&address, "http", "https"); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	address := expression.MustParseTemplate("https://{{host}}/x")
	if err := fine.CheckAddress(&address, "http", "https"); err != nil {
		t.Error(err)
	}
	if err := (&Before{}).CheckUse("url", address.Names()); err == nil {
		t.Error("{{host}} without hosts is taken")
	}
}
