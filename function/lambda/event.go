package lambda

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/jsontext"
)

// maxPayload is AWS's bound on an event, and on an answer, in bytes.
const maxPayload = 6 << 20

// event writes the events that AWS hands to a function for records of Kinesis
// (docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html):
//
//	{"Records":[
//	  {"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"…","sequenceNumber":"…","data":"base64","approximateArrivalTimestamp":1545084650.987},
//	   "eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-…:…","eventName":"aws:kinesis:record",
//	   "invokeIdentityArn":"…","awsRegion":"…","eventSourceARN":"…"}, …]
//
// and for a tumbling window also
//
//	,"window":{"start":"2020-12-09T07:04:00Z","end":"…"},"state":{…},"shardId":"…","eventSourceARN":"…",
//	 "isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}
//
// without any space.
type event struct {
	identity, region string
	streamARN        string
	limit            int // bytes

	middle, end []byte // what is equal in all records of a batch, behind data and behind the second sequence number
}

// append appends the event of in to buf. The error is a *function.TooLargeError, Permanent if not even one record fits.
func (e *event) append(buf []byte, in *function.Input) ([]byte, error) {
	shard := in.Batch.Shard.String()
	e.prepare(shard)
	tail := e.tail(in.Window, shard)
	base := len(buf)
	buf = append(buf, `{"Records":[`...)
	for i := range in.Batch.Records {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = e.record(buf, &in.Batch.Records[i])
		if len(buf)-base+len("]")+len(tail) > e.limit {
			err := error(&function.TooLargeError{Fits: i, Limit: e.limit})
			if i == 0 {
				err = function.Permanent(err)
			}
			return buf, err
		}
	}
	return append(append(buf, ']'), tail...), nil
}

func (e *event) prepare(shard string) {
	e.middle = append(append(e.middle[:0], `},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"`...), shard...)
	e.middle = append(e.middle, ':')
	e.end = append(e.end[:0], `","eventName":"aws:kinesis:record","invokeIdentityArn":`...)
	e.end = jsontext.AppendString(e.end, e.identity)
	e.end = jsontext.AppendString(append(e.end, `,"awsRegion":`...), e.region)
	e.end = jsontext.AppendString(append(e.end, `,"eventSourceARN":`...), e.streamARN)
	e.end = append(e.end, '}')
}

func (e *event) record(buf []byte, r *leat.Record) []byte {
	buf = append(buf, `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":`...)
	buf = jsontext.AppendString(buf, r.PartitionKey)
	buf = append(buf, `,"sequenceNumber":"`...)
	from := len(buf)
	buf, _ = r.Sequence.AppendText(buf) // which never fails
	to := len(buf)
	buf = append(buf, `","data":"`...)
	buf = base64.StdEncoding.AppendEncode(buf, r.Data)
	buf = append(buf, `","approximateArrivalTimestamp":`...)
	buf = appendSeconds(buf, r.Arrived.UnixMilli())
	buf = append(buf, e.middle...)
	buf = append(buf, buf[from:to]...)
	return append(buf, e.end...)
}

// appendSeconds appends milliseconds as seconds with three decimals.
func appendSeconds(buf []byte, milli int64) []byte {
	if milli < 0 {
		buf, milli = append(buf, '-'), -milli
	}
	buf = strconv.AppendInt(buf, milli/1000, 10)
	rest := milli % 1000
	return append(buf, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

// tail returns what follows the records.
func (e *event) tail(w *function.Window, shard string) []byte {
	if w == nil {
		return []byte("}")
	}
	tail := append([]byte(nil), `,"window":{"start":"`...)
	tail = w.Start.UTC().AppendFormat(tail, time.RFC3339)
	tail = append(tail, `","end":"`...)
	tail = w.End.UTC().AppendFormat(tail, time.RFC3339)
	tail = append(tail, `"},"state":`...)
	if w.State == nil {
		tail = append(tail, "{}"...)
	}
	tail = append(tail, w.State...)
	tail = append(append(append(tail, `,"shardId":"`...), shard...), `","eventSourceARN":`...)
	tail = jsontext.AppendString(tail, e.streamARN)
	tail = strconv.AppendBool(append(tail, `,"isFinalInvokeForWindow":`...), w.Final)
	tail = strconv.AppendBool(append(tail, `,"isWindowTerminatedEarly":`...), w.Early)
	return append(tail, '}')
}
