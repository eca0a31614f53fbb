package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// websocketConfig is a source with a field of every kind.
type websocketConfig struct {
	URL         string                         `yaml:"url,required"`
	Subscribe   any                            `yaml:"subscribe"`
	Headers     map[string]setting.Secret      `yaml:"headers"`
	Labels      map[string]string              `yaml:"labels"`
	MaxMessage  setting.Size                   `yaml:"max_message" default:"16MiB" min:"1KiB"`
	Ping        time.Duration                  `yaml:"ping" default:"15s"`
	Compression bool                           `yaml:"compression"`
	Sample      float64                        `yaml:"sample" max:"1"`
	Channels    []string                       `yaml:"channels"`
	Rules       []ruleConfig                   `yaml:"rules"`
	Hosts       map[string]ruleConfig          `yaml:"hosts"`
	TLS         *tlsConfig                     `yaml:"tls"`
	Hello       message                        `yaml:"hello"`
	Query       map[string]expression.Template `yaml:"query"`
	Handle      func()
}

type ruleConfig struct {
	When  expression.Value `yaml:"when,required"`
	Limit int              `yaml:"limit" default:"10" min:"1"`
}

type tlsConfig struct {
	CA  string         `yaml:"ca"`
	Key setting.Secret `yaml:"key"`
}

// message is a text, or a mapping or list that becomes JSON.
type message struct{ text string }

func (m *message) UnmarshalText(text []byte) error {
	m.text = string(text)
	return nil
}

func (m *message) UnmarshalValue(value any) error {
	js, err := json.Marshal(value)
	if len(js) > 40 {
		return fmt.Errorf("expected a short message, got %d bytes", len(js))
	}
	m.text = string(js)
	return err
}

func (c *websocketConfig) Check() error {
	var wrong []error
	if !strings.HasPrefix(c.URL, "ws") {
		wrong = append(wrong, &setting.FieldError{Field: "url", Err: errors.New("must begin with ws:// or wss://"), Hint: "a feed over HTTP is read with type: sse or type: http"})
	}
	if c.TLS != nil && c.TLS.CA == "none" {
		wrong = append(wrong, setting.FieldErrorf("tls.ca", "there is no certificate %q", c.TLS.CA))
	}
	if len(c.Rules) > 1 && c.Rules[1].Limit == 13 {
		wrong = append(wrong, setting.FieldErrorf("rules[1].limit", "brings bad luck"))
	}
	if c.Ping == setting.Off && c.Compression {
		wrong = append(wrong, errors.New("compression needs ping"))
	}
	return errors.Join(wrong...)
}

// parquetConfig is a destination.
type parquetConfig struct {
	Path        string         `yaml:"path,required"`
	User        string         `yaml:"user"`
	Password    setting.Secret `yaml:"password"`
	Compression string         `yaml:"compression" default:"zstd" enum:"zstd,snappy,none"`
	Port        int            `yaml:"port" default:"9000" min:"1" max:"65535"`
	On          bool           `yaml:"on"`
	Level       *int           `yaml:"level" min:"0" max:"9"`
}

func (c *parquetConfig) Place() setting.Place {
	return setting.Place{Field: "path", Path: c.Path, Alone: c.Port != 9001}
}

var stubs = config.Adapters{
	Sources:      map[string]func() any{"websocket": func() any { return new(websocketConfig) }},
	Destinations: map[string]func() any{"parquet": func() any { return new(parquetConfig) }, "jsonl": func() any { return new(parquetConfig) }},
}

var environment = map[string]string{"PORT": "8080", "EIGHTY": "eighty", "EMPTY": "", "TRUE": "true", "MARK": "s3cr3t-marker", "LAKE_PASSWORD": "l4k3-marker", "FEED_TOKEN": "f33d-marker", "CREDENTIALS_DIRECTORY": "testdata/credentials"}

func env(name string) (string, bool) {
	value, ok := environment[name]
	return value, ok
}

// load loads one text as leat.yaml, or several where lines "--- # second file" cut it.
func load(text string) (*config.Config, config.Diagnostics) {
	var inputs []config.Input
	for i, part := range strings.Split(text, "--- # second file\n") {
		name := "leat.yaml"
		if i > 0 {
			name = "second.yaml"
		}
		inputs = append(inputs, config.Input{Name: name, Text: []byte(part)})
	}
	return config.Load(inputs, stubs, env)
}

// faults returns the diagnostics without that of a configuration that has no sources and consumers, as those of tests are that are about
// other things.
func faults(d config.Diagnostics) config.Diagnostics {
	return slices.DeleteFunc(slices.Clone(d), func(d config.Diagnostic) bool { return d.Code == "config.idle" })
}
