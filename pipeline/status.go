package pipeline

import (
	"context"
	"time"

	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/version"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
)

// Status is what a pipeline is doing at one moment. Faces show it; metrics are made from it.
type Status struct {
	Version   string            `json:"version"`
	Started   time.Time         `json:"started"`
	Sources   []SourceStatus    `json:"sources"`
	Streams   []stream.Info     `json:"streams"`
	Consumers []consumer.Status `json:"consumers"`

	// Forwarding is how the streams in Kinesis are written; empty if there are none.
	Forwarding []kinesis.Status `json:"forwarding,omitempty"`
}

// SourceStatus is what a source is doing, and what has become of its events.
type SourceStatus struct {
	source.Status
	Stored     int64 `json:"stored"`
	Bytes      int64 `json:"stored_bytes"`
	Duplicates int64 `json:"duplicates"`
	Commits    int64 `json:"commits"`
	Refused    int64 `json:"refused"`

	Filtered filter.Counts `json:"filtered"` // events that the filter has dropped, by cause
}

// Status returns what the pipeline is doing. It may be called at any time.
func (p *Pipeline) Status() Status {
	s := Status{Version: version.String(), Started: p.started}
	for i, m := range p.managers {
		stats := p.producers[i].Stats()
		s.Sources = append(s.Sources, SourceStatus{
			Status: m.Status(), Stored: stats.Records, Bytes: stats.Bytes,
			Duplicates: stats.Duplicates, Commits: stats.Commits, Refused: stats.Refused, Filtered: stats.Filtered,
		})
	}
	for _, c := range p.consumers {
		s.Consumers = append(s.Consumers, c.Status())
	}
	if p.kinesis != nil {
		s.Forwarding = p.kinesis.Status()
	}
	s.Streams, _ = p.engine.Streams(context.Background()) // from memory: it cannot fail
	return s
}
