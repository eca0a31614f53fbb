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

	// Err is why the file could not be read, if that is so. Load does not report it, but misses nothing that the file may declare.
	Err error
}

// Adapters says which types of sources, destinations and engines there are: for each a function that
// returns a new pointer to its Config struct. The name of the type is what type: says.
type Adapters struct {
	Sources      map[string]func() any
	Destinations map[string]func() any
	Engines      map[string]func() any
}

// Config is what the files say, with the defaults filled in.
type Config struct {
	// The directory that holds the streams; relative to the working directory. It is created with mode 0700 if it does
	// not exist. One process uses it at a time, and no destination may be in it. docs/FORMAT.md describes what is in it.
	Data string `yaml:"data" default:"./leat-data"`

	// The address to serve /metrics on for Prometheus: host:port, such as 127.0.0.1:8700. Whoever reaches the address may read it: there
	// is no password. Default: it is not served.
	Metrics string `yaml:"metrics"`

	// How long a stop may take to finish the work in hand. What is not finished by then is done again after the next start.
	Grace time.Duration `yaml:"grace" default:"20s" min:"1s"`

	// The free space on the disk of data below which the streams take no more events. Sources then wait, and
	// deliveries and retention go on. Default: 256MiB or 2 % of the disk, whichever is less, but at least 32MiB.
	DiskReserve setting.Size `yaml:"disk_reserve"`

	// Serves the streams over the HTTP API of Amazon Kinesis, so that AWS's SDKs and command line work with them. Default: it is not served.
	KinesisAPI *KinesisAPI `yaml:"kinesis_api"`

	// What keeps the streams. Default: type: local, which keeps them in data.
	Engine Engine `yaml:"engine"`

	// The streams, by name. The streams for gaps and dead letters need not be listed: they are made with one shard and
	// keep 14 days. A stream that is no longer listed stays as it is.
	Streams []Stream `yaml:"streams"`

	// Where events come from.
	Sources []Source `yaml:"sources"`

	// Where records go, one consumer for each destination.
	Consumers []Consumer `yaml:"consumers"`

	// Files are the files that ${file:…} and ${credential:…} have read, sorted. When one of
	// them changes, the configuration has to be loaded again.
	Files []string `yaml:"-"`

	secrets []NamedSecret // without those of the adapters
}

// Stream is one entry of streams.
type Stream struct {
	// Name is the key of the entry, and satisfies stream.CheckName.
	Name string `yaml:"-"`

	// How many shards the stream is made with: so many records of different keys can be delivered at the same time. A stream
	// that exists keeps the shards it has.
	Shards int `yaml:"shards" default:"1" min:"1" max:"10000"`

	// How long a record is kept after its arrival, whether or not it has been delivered; a consumer is told of what it
	// missed. A change holds from the next start. "off": without limit.
	Retention time.Duration `yaml:"retention" default:"24h"`

	// How many bytes of keys and payloads are kept, over all shards, counted as they arrived and not as they are
	// compressed. The oldest records go first. Default: without limit.
	RetentionBytes setting.Size `yaml:"retention_bytes"`

	// ShardsGiven tells that the file says shards.
	ShardsGiven bool `yaml:"-"`

	// At is where the stream is declared.
	At Position `yaml:"-"`
}

// Source is one item of sources.
type Source struct {
	// The name, unique among the sources: up to 123 letters, digits, "_", "." and "-". It stands in logs and metrics. The position of
	// the source is stored under it: under another name it begins anew. The stream NAME.gaps tells what the provider
	// did not deliver.
	Name string `yaml:"name,required"`

	// Which kind of source this is; it decides which further fields there are.
	Type string `yaml:"type,required"`

	// The stream that the events go to. Several sources may share one.
	Stream string `yaml:"stream,required"`

	// Settings are the fields that every source has.
	Settings source.Settings `yaml:",inline"`

	// Filtering says which events are stored.
	Filtering producer.Filtering `yaml:",inline"`

	// How events are gathered into commits.
	Batch producer.Settings `yaml:"batch"`

	// Adapter is what Adapters.Sources made for Type, filled in.
	Adapter any `yaml:"-"`

	// At is where the source is declared.
	At Position `yaml:"-"`
}

// Consumer is one item of consumers.
type Consumer struct {
	// The name, unique among the consumers: up to 124 letters, digits, "_", "." and "-". It stands in logs and metrics. How far
	// the consumer is is stored under it: under another name it begins anew, as start says.
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

// Engine is what keeps the streams that are listed. The streams of gaps and dead letters, and all positions, are always in data.
type Engine struct {
	// Which kind of engine this is; it decides which further fields there are.
	Type string `yaml:"type,required"`

	// Adapter is what Adapters.Engines made for Type, filled in; nil if the files name no engine.
	Adapter any `yaml:"-"`
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
