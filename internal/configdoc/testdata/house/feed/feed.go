// Package feed is read by the tests of configdoc.
package feed

import (
	"time"

	"example.test/house/internal/setting"
	common "example.test/house/shared"
)

// Config has a field of every kind.
type Config struct {
	// Where the feed is. A pipe | in a comment
	// is no end of a cell.
	//
	// A second paragraph.
	URL string `yaml:"url,required"`

	// How many.
	Count int `yaml:"count" default:"4" min:"1" max:"64"`

	// What part.
	Share float64 `yaml:"share" max:"0.5"`

	// How often.
	Every time.Duration `yaml:"every" default:"15s" min:"1s"`

	Limit setting.Size `yaml:"limit" default:"16MiB"` // How large.

	// Who may.
	Key setting.Secret `yaml:"key"`

	// In which way.
	Mode mode `yaml:"mode" default:"fast" enum:"fast,safe"`

	// How strict.
	Level Level `yaml:"level"`

	// Whether at all.
	On bool `yaml:"on" default:"false"`

	// What is said first.
	Hello any `yaml:"hello"`

	// What is said last.
	Bye Message `yaml:"bye"`

	// What is sent along.
	Headers map[string]setting.Secret `yaml:"headers"`

	// What is left out.
	Rules []rule `yaml:"rules"`

	// How it is encrypted.
	TLS *common.TLS `yaml:"tls"`

	common.Limits
	Retry common.Retry `yaml:",inline"`

	Handle  func()
	Skipped string `yaml:"-"`
	hidden  string
}

type mode string

// Level reads itself.
type Level struct{ n int }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText([]byte) error { return nil }

// Message reads itself.
type Message struct{ text string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Message) UnmarshalText([]byte) error { return nil }

// UnmarshalValue implements setting.ValueUnmarshaler.
func (m *Message) UnmarshalValue(any) error { return nil }

type rule struct {
	// What it is about.
	When string `yaml:"when,required"`

	// Its names.
	Names map[string]struct {
		// How heavy.
		Weight int32 `yaml:"weight"`
	} `yaml:"names"`
}
