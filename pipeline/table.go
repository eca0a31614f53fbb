package pipeline

import (
	"time"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/jsonl"
	"github.com/leatstream/leat/sink/sql"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/httpstream"
	"github.com/leatstream/leat/source/mqtt"
	"github.com/leatstream/leat/source/poll"
	"github.com/leatstream/leat/source/sse"
	"github.com/leatstream/leat/source/tcp"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream/kinesis"
)

// The one map of all adapters. A new one is a line here, and its package.

type sourceAdapter struct {
	config func() any
	build  func(config any, dial source.Dialer) source.Source
}

type sinkAdapter struct {
	config func() any
	build  func(config any, consumer string) sink.Sink

	// batch is what the destination recommends.
	batch consumer.Batch

	// once says why a record has its effect once although it may be delivered twice; empty if that is not so.
	once string
}

var sources = map[string]sourceAdapter{
	"httpstream": {
		config: func() any { return new(httpstream.Config) },
		build: func(c any, dial source.Dialer) source.Source {
			return &httpstream.Source{Config: *c.(*httpstream.Config), Dial: dial}
		},
	},
	"sse": {
		config: func() any { return new(sse.Config) },
		build: func(c any, dial source.Dialer) source.Source {
			return &sse.Source{Config: *c.(*sse.Config), Dial: dial}
		},
	},
	"tcp": {
		config: func() any { return new(tcp.Config) },
		build: func(c any, dial source.Dialer) source.Source {
			return &tcp.Source{Config: *c.(*tcp.Config), Dial: dial}
		},
	},
	"poll": {
		config: func() any { return new(poll.Config) },
		build: func(c any, dial source.Dialer) source.Source {
			return &poll.Source{Config: *c.(*poll.Config), Dial: dial}
		},
	},
	"mqtt": {
		config: func() any { return new(mqtt.Config) },
		build: func(c any, dial source.Dialer) source.Source {
			return &mqtt.Source{Config: *c.(*mqtt.Config), Dial: dial}
		},
	},
	"websocket": {
		config: func() any { return new(websocket.Config) },
		build: func(c any, dial source.Dialer) source.Source {
			return &websocket.Source{Config: *c.(*websocket.Config), Dial: dial}
		},
	},
}

var sinks = map[string]sinkAdapter{
	"sqlite": {
		config: func() any { return new(sql.Config) },
		build:  func(c any, name string) sink.Sink { return &sql.Sink{Config: *c.(*sql.Config), Consumer: name} },
		batch:  consumer.Batch{Records: 10_000, Bytes: 4 << 20},
		once:   "the position is stored in the transaction of the rows",
	},
	"jsonl": {
		config: func() any { return new(jsonl.Config) },
		build:  func(c any, _ string) sink.Sink { return &jsonl.Sink{Config: *c.(*jsonl.Config)} },
		batch:  consumer.Batch{Records: 100_000, Bytes: 16 << 20, Wait: time.Minute},
		once:   "the name and the bytes of a file follow from its records, and a file that is written again replaces its equal",
	},
}

// LocalEngine is the engine of type local, which has no fields: it keeps the streams in the data directory.
type LocalEngine struct{}

// engines are the configurations of what can keep the streams that are listed.
var engines = map[string]func() any{
	"local":   func() any { return new(LocalEngine) },
	"kinesis": func() any { return new(kinesis.Config) },
}

// Adapters returns what package config needs to know of the table.
func Adapters() config.Adapters {
	a := config.Adapters{Sources: map[string]func() any{}, Destinations: map[string]func() any{}, Engines: engines}
	for name, adapter := range sources {
		a.Sources[name] = adapter.config
	}
	for name, adapter := range sinks {
		a.Destinations[name] = adapter.config
	}
	return a
}
