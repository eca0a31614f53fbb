package pipeline

import "github.com/leatstream/leat/stream/kinesis"

var (
	kinesisSpooled  = desc("kinesis_spooled_records", "Events on the local disk that Kinesis has not taken.", "stream")
	kinesisBytes    = desc("kinesis_spooled_bytes", "Keys and payloads on the local disk that Kinesis has not taken.", "stream")
	kinesisAge      = desc("kinesis_oldest_unsent_seconds", "Age of the oldest event that Kinesis has not taken.", "stream")
	kinesisFailing  = desc("kinesis_failing", "1 while Kinesis takes nothing.", "stream")
	kinesisReceived = desc("kinesis_user_records_received_total", "Events put to the stream.", "stream")
	kinesisPut      = desc("kinesis_user_records_put_total", "Events that Kinesis has taken.", "stream")
	kinesisRecords  = desc("kinesis_records_put_total", "Records that Kinesis has taken; one may hold several events.", "stream")
	kinesisRequests = desc("kinesis_requests_total", "PutRecords requests.", "stream")
	kinesisRetries  = desc("kinesis_retries_total", "Events that were sent again.", "stream")
	kinesisUnknown  = desc("kinesis_unknown_total", "Events that were sent again because an answer was lost: they may be in the stream twice.", "stream")
	kinesisRefused  = desc("kinesis_refused_total", "Events that Kinesis never takes; they are in the stream kinesis/refused/NAME.", "stream")
	kinesisLost     = desc("kinesis_lost_total", "Events that the house has lost before Kinesis had them.", "stream")
	kinesisErrors   = desc("kinesis_errors_total", "Refusals of Kinesis, by code.", "stream", "code")
)

func (e emitter) forwarding(s *kinesis.Status) {
	e.gauge(kinesisSpooled, float64(s.Records), s.Stream)
	e.gauge(kinesisBytes, float64(s.Bytes), s.Stream)
	e.gauge(kinesisAge, s.Age.Seconds(), s.Stream)
	e.gauge(kinesisFailing, truth(s.State == kinesis.Failing), s.Stream)
	c := &s.Counters
	e.counter(kinesisReceived, float64(c.Received), s.Stream)
	e.counter(kinesisPut, float64(c.Records), s.Stream)
	e.counter(kinesisRecords, float64(c.KinesisRecords), s.Stream)
	e.counter(kinesisRequests, float64(c.Requests), s.Stream)
	e.counter(kinesisRetries, float64(c.Retries), s.Stream)
	e.counter(kinesisUnknown, float64(c.Unknown), s.Stream)
	e.counter(kinesisRefused, float64(c.Refused), s.Stream)
	e.counter(kinesisLost, float64(c.Lost), s.Stream)
	for code, n := range c.Errors {
		e.counter(kinesisErrors, float64(n), s.Stream, code)
	}
}
