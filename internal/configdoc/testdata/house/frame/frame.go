// Package frame is read by the tests of configdoc.
package frame

import "time"

// Config is the top level.
type Config struct {
	// The data directory.
	Data string `yaml:"data" default:"./data"`

	// How long a stop may take.
	Grace time.Duration `yaml:"grace" default:"20s"`

	// The streams, by name.
	Streams []Stream `yaml:"streams"`

	// What events come from.
	Sources []Source `yaml:"sources"`

	// Where records go.
	Consumers []Consumer `yaml:"consumers"`
}

// Stream is an entry.
type Stream struct {
	Name string `yaml:"-"`

	// How many shards.
	Shards int `yaml:"shards" default:"1" min:"1" max:"10000"`
}

// Source is an item.
type Source struct {
	// The name.
	Name string `yaml:"name,required"`

	// The type.
	Type string `yaml:"type,required"`
}

// Consumer is an item.
type Consumer struct {
	// The name.
	Name string `yaml:"name,required"`

	// Where the records go.
	Destination Destination `yaml:"destination,required"`
}

// Destination has a type.
type Destination struct {
	// The type.
	Type string `yaml:"type,required"`
}
