package pipeline

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/source"
)

// Metrics returns a registry that reads the status of the pipeline whenever it is asked. Labels come from the configuration and
// from short lists of kinds alone, so that their number is bounded.
func (p *Pipeline) Metrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(&metrics{p}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

type metrics struct{ p *Pipeline }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("leat_"+name, help, labels, nil)
}

var (
	buildInfo = desc("build_info", "The version of leat; always 1.", "version")

	sourceConnections = desc("source_connections", "Connections of a source by state.", "source", "state")
	sourceEvents      = desc("source_events_total", "Events received, duplicates included.", "source")
	sourceStored      = desc("producer_records_total", "Events stored in the stream.", "source")
	sourceBytes       = desc("producer_bytes_total", "Keys and payloads stored in the stream.", "source")
	sourceDuplicates  = desc("producer_duplicates_total", "Events dropped because the stream had them.", "source")
	sourceFiltered    = desc("producer_filtered_events_total", "Events that the filter of the source has dropped, by cause.", "source", "cause")
	sourceRefused     = desc("producer_refused_total", "Commits that the stream refused and that were put again.", "source")
	sourceEnds        = desc("source_reconnects_total", "Connections that ended, by kind and by close code or HTTP status.", "source", "reason", "code")
	sourceGaps        = desc("source_gaps_total", "Gap records written, by how the gap was found.", "source", "how")
	sourceGapSeconds  = desc("source_gap_seconds_total", "The time that gap records cover.", "source", "how")
	sourceGapEvents   = desc("source_gap_events_total", "Events that gap records call missing, where that is known.", "source", "how")
	sourceRepaired    = desc("source_repaired_events_total", "Events that came after a gap record had called them missing.", "source", "how")
	sourceBackfilled  = desc("source_backfilled_events_total", "Events that were missed, and came because they were asked for afterwards.", "source")
	sourceFilling     = desc("source_backfills_waiting", "Gaps that are to be filled.", "source")
	sourceUnfilled    = desc("source_backfills_failed_total", "Gaps that stay, though a tier of backfill fitted.", "source")
	sourceSlow        = desc("source_below_least_rate", "1 while the source brings less than least_rate.", "source")
	sourceStopped     = desc("source_stopped", "1 after a rule of ends has stopped the source.", "source")
	sourceForgotten   = desc("source_counts_forgotten_total", "Counts of a gap rule that were dropped because there were too many.", "source")
	sourceGapOpen     = desc("source_gap_open", "1 while no connection covers what the provider sends.", "source")
	sourceSkipped     = desc("source_skipped_total", "Messages left out, such as those that are too large.", "source")
	sourceUnknown     = desc("source_unknown_messages_total", "Messages for which no rule of classify holds, though one says what is data.", "source")
	sourceLateAcks    = desc("source_late_acks_total", "Messages that were acknowledged after the deadline.", "source")
	sourceLastData    = desc("source_last_data_timestamp_seconds", "When the source last received an event.", "source")

	streamRecords = desc("stream_records", "Records held.", "stream")
	streamBytes   = desc("stream_bytes", "Keys and payloads held.", "stream")
	streamShards  = desc("stream_shards", "Open shards.", "stream")

	consumerAge       = desc("consumer_iterator_age_seconds", "Age of the oldest record that is not done.", "consumer", "stream", "shard")
	consumerDelivered = desc("consumer_records_total", "Records delivered.", "consumer", "stream", "shard")
	consumerBytes     = desc("consumer_bytes_total", "Keys and payloads delivered.", "consumer", "stream", "shard")
	consumerFailures  = desc("consumer_failures_total", "Deliveries that failed.", "consumer", "stream", "shard")
	consumerDead      = desc("consumer_dead_letters_total", "Records put into the dead-letter stream.", "consumer", "stream", "shard")
	consumerFiltered  = desc("consumer_filtered_records_total", "Records that the filter has dropped, by cause.", "consumer", "stream", "shard", "cause")
	consumerMissing   = desc("consumer_expired_records_total", "Records that expired or were damaged before they were read.", "consumer", "stream", "shard")
	consumerHalted    = desc("consumer_halted", "1 while an operator must mend something.", "consumer", "stream", "shard")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, out) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	s := m.p.Status()
	e := emitter{out}
	e.gauge(buildInfo, 1, s.Version)
	for i := range s.Sources {
		e.source(&s.Sources[i])
	}
	for _, info := range s.Streams {
		e.gauge(streamRecords, float64(info.Records), info.Name)
		e.gauge(streamBytes, float64(info.Bytes), info.Name)
		open := 0
		for i := range info.Shards {
			if info.Shards[i].Open() {
				open++
			}
		}
		e.gauge(streamShards, float64(open), info.Name)
	}
	for i := range s.Forwarding {
		e.forwarding(&s.Forwarding[i])
	}
	for _, c := range s.Consumers {
		for i := range c.Shards {
			e.shard(c.Name, c.Stream, &c.Shards[i])
		}
	}
}

type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v float64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (e emitter) source(s *SourceStatus) {
	states := map[source.State]int{source.Connecting: 0, source.Live: 0, source.Waiting: 0}
	for _, slot := range s.Slots {
		states[slot.State]++
	}
	for state, n := range states {
		e.gauge(sourceConnections, float64(n), s.Name, string(state))
	}
	e.counter(sourceEvents, float64(s.Events), s.Name)
	e.counter(sourceStored, float64(s.Stored), s.Name)
	e.counter(sourceBytes, float64(s.Bytes), s.Name)
	e.counter(sourceDuplicates, float64(s.Duplicates), s.Name)
	e.counter(sourceRefused, float64(s.Refused), s.Name)
	e.filtered(sourceFiltered, &s.Filtered, s.Name)
	ends := map[[2]string]float64{}
	for end, n := range s.Ends {
		ends[[2]string{string(end.Kind), codeLabel(end.Code)}] += float64(n)
	}
	for labels, n := range ends {
		e.counter(sourceEnds, n, s.Name, labels[0], labels[1])
	}
	e.gaps(s)
	e.gauge(sourceGapOpen, truth(!s.GapSince.IsZero()), s.Name)
	e.counter(sourceSkipped, float64(s.Skipped), s.Name)
	if !s.LastData.IsZero() {
		e.gauge(sourceLastData, float64(s.LastData.UnixMilli())/1000, s.Name)
	}
}

// gaps has a value for every way in which a gap is found, so that the first one is an increase.
func (e emitter) gaps(s *SourceStatus) {
	kinds := slices.Clone(source.GapKinds)
	for how := range s.GapsBy {
		if !slices.Contains(kinds, how) {
			kinds = append(kinds, how)
		}
	}
	for _, how := range kinds {
		n := s.GapsBy[how]
		e.counter(sourceGaps, float64(n.Records), s.Name, how)
		e.counter(sourceGapSeconds, n.Time.Seconds(), s.Name, how)
		e.counter(sourceGapEvents, float64(n.Missing), s.Name, how)
		if n.Repaired > 0 || how == source.GapSequence {
			e.counter(sourceRepaired, float64(n.Repaired), s.Name, how)
		}
	}
	e.counter(sourceForgotten, float64(s.CountsForgotten), s.Name)
	e.counter(sourceUnknown, float64(s.Unknown), s.Name)
	e.counter(sourceLateAcks, float64(s.LateAcks), s.Name)
	e.gauge(sourceSlow, truth(!s.SlowSince.IsZero()), s.Name)
	e.gauge(sourceStopped, truth(s.Stopped != ""), s.Name)
	e.counter(sourceBackfilled, float64(s.Backfilled), s.Name)
	e.gauge(sourceFilling, float64(s.RepairsWaiting), s.Name)
	e.counter(sourceUnfilled, float64(s.RepairsFailed), s.Name)
}

// codeLabel is a close code or an HTTP status as a label. Codes that no standard names, of which a provider may choose any, share one by their
// first digit.
func codeLabel(code int) string {
	if code == 0 || code >= 1000 && code < 1016 || http.StatusText(code) != "" {
		return strconv.Itoa(code)
	}
	text := strconv.Itoa(code)
	return text[:1] + strings.Repeat("x", len(text)-1)
}

func (e emitter) shard(name, stream string, s *consumer.ShardStatus) {
	labels := []string{name, stream, s.Shard.String()}
	e.gauge(consumerAge, s.IteratorAge.Seconds(), labels...)
	e.counter(consumerDelivered, float64(s.Delivered), labels...)
	e.counter(consumerBytes, float64(s.Bytes), labels...)
	e.counter(consumerFailures, float64(s.Failures), labels...)
	e.counter(consumerDead, float64(s.DeadLettered), labels...)
	e.filtered(consumerFiltered, &s.Filtered, labels...)
	e.counter(consumerMissing, float64(s.Missing), labels...)
	e.gauge(consumerHalted, truth(s.State == consumer.Halted), labels...)
}

// filtered has a value for every cause.
func (e emitter) filtered(d *prometheus.Desc, counts *filter.Counts, labels ...string) {
	for _, v := range filter.Causes {
		e.counter(d, float64(counts[v]), append(slices.Clone(labels), v.String())...)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
