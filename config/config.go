// Package config reads the configuration of Leat: YAML in one or more files, strictly, and
// with every mistake of every file reported at its line and column.
//
// It is the frame: it knows streams, sources and consumers, and is told by Adapters which
// types of sources and destinations there are. What a field may be called, and what it may
// hold, stands in the tags of the structs; see package internal/setting.
package config

import (
	"strconv"
	"time"

	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
)

// Input is one file.
type Input struct {
	Name string // as diagnostics show it
	Text []byte // UTF-8, with or without a byte order mark
}

// Adapters says which types of sources and destinations there are: for each a function that
// returns a new pointer to its Config struct. The name of the type is what type: says.
type Adapters struct {
	Sources      map[string]func() any
	Destinations map[string]func() any
}

// Config is what the files say, with the defaults filled in.
type Config struct {
	// The data directory of the embedded engine.
	Data string `yaml:"data" default:"./leat-data"`

	// The address to serve /metrics on, such as 127.0.0.1:8700. Default: it is not served.
	Metrics string `yaml:"metrics"`

	// How long a stop may take to finish the work in hand.
	Grace time.Duration `yaml:"grace" default:"20s" min:"1s"`

	// Below so much free space on the disk puts are refused. 0: the engine decides.
	DiskReserve setting.Size `yaml:"disk_reserve"`

	// The streams, by name. A stream for dead letters or gaps need not be listed.
	Streams []Stream `yaml:"streams"`

	// What events come from.
	Sources []Source `yaml:"sources"`

	// Where records go, one consumer for each destination.
	Consumers []Consumer `yaml:"consumers"`

	// Files are the files that ${file:…} and ${credential:…} have read, sorted. When one of
	// them changes, the configuration has to be loaded again.
	Files []string `yaml:"-"`
}

// Stream is one entry of streams.
type Stream struct {
	// Name is the key of the entry, and satisfies stream.CheckName.
	Name string `yaml:"-"`

	// How many shards the stream is created with. Afterwards shards are split and merged.
	Shards int `yaml:"shards" default:"1" min:"1" max:"10000"`

	// How long a record is kept. "off": without limit.
	Retention time.Duration `yaml:"retention" default:"24h"`

	// How many bytes of keys and payloads are kept, over all shards. 0: without limit.
	RetentionBytes setting.Size `yaml:"retention_bytes"`

	// At is where the stream is declared.
	At Position `yaml:"-"`
}

// Source is one item of sources.
type Source struct {
	// The name, unique among the sources. It stands in logs and metrics, and with .gaps behind
	// it it is the stream of what the provider did not deliver.
	Name string `yaml:"name,required"`

	// Which kind of source this is; it decides which further fields there are.
	Type string `yaml:"type,required"`

	// The stream that the events go to.
	Stream string `yaml:"stream,required"`

	// Settings are the fields that every source has.
	Settings source.Settings `yaml:",inline"`

	// How events are gathered into commits.
	Batch producer.Settings `yaml:"batch"`

	// Adapter is what Adapters.Sources made for Type, filled in.
	Adapter any `yaml:"-"`

	// At is where the source is declared.
	At Position `yaml:"-"`
}

// Consumer is one item of consumers.
type Consumer struct {
	// The name, unique among the consumers. It stands in logs and metrics, and with .dlq behind
	// it it is the stream of the records that could not be delivered.
	Name string `yaml:"name,required"`

	// The stream that is read.
	Stream string `yaml:"stream,required"`

	// Settings are the fields that every consumer has. DeadLetters is never empty.
	Settings consumer.Settings `yaml:",inline"`

	// Where the records go.
	Destination Destination `yaml:"destination,required"`

	// At is where the consumer is declared.
	At Position `yaml:"-"`
}

// Destination is where a consumer delivers to.
type Destination struct {
	// Which kind of destination this is; it decides which further fields there are.
	Type string `yaml:"type,required"`

	// Adapter is what Adapters.Destinations made for Type, filled in.
	Adapter any `yaml:"-"`
}

// Position is a place in a file. Lines and columns count from 1, columns in characters.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns file:line:column.
func (p Position) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}
