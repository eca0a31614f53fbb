package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Intake says what happens to a message between the transport and the mapping: it is decoded, classified and split. Every transport whose
// provider sends messages has it. Its zero value hands messages on as they are.
type Intake struct {
	// What makes JSON of a message, step by step, such as [gzip] or [{zstd: dictionary.zdict}, {json_string: payload}]. gzip, zlib, deflate (without a
	// header), zstd (with a dictionary: zstd: FILE), base64 (both alphabets) unpack a message; zlib_stream and zstd_stream a connection that is one
	// compressed stream, flushed behind each message. msgpack and cbor become JSON, in which bytes are {"$bytes": BASE64} and links of AT Protocol
	// {"$link": CID}; cbor: [header, body] are messages of two items in a row. csv: [COLUMN, ""], or csv: {columns: […], comma: ";", numbers: true},
	// makes an object of each row, without the columns that have no name. nmea makes an object of a sentence and verifies its checksum; nmea: ais joins the sentences of
	// an AIS message and decodes positions and names. json_string: PATH replaces a text in which an object or a list is written by that. member: PATH goes on with one
	// member of the message; a message without it stays as it is. text changes nothing. What cannot be decoded is left out and becomes a gap record.
	// Default: nothing.
	Decode []decode.Step `yaml:"decode"`

	// The largest message behind each step of decode. A larger one is left out and becomes a gap record.
	MaxDecoded setting.Size `yaml:"max_decoded" default:"16MiB" min:"1KiB" max:"64MiB"`

	// What messages are, by rules of which the first that holds counts. A message for which none holds is data.
	Classify []Class `yaml:"classify"`

	// Where one message holds many events: each becomes a record of its own.
	Split *Split `yaml:"split"`

	// What events get from messages before them, where a provider names a subscription once and then uses a number for it: {learn: [{when: event == "subscriptionStatus",
	// key: channelID, value: pair}], of: msg[0], as: pair}.
	Labels *Labels `yaml:"labels"`
}

// Files implements setting.Filer: the dictionaries of decode.
func (in *Intake) Files() (named []setting.File) {
	for i := range in.Decode {
		if path := in.Decode[i].Dictionary(); path != "" {
			named = append(named, setting.File{Field: "decode[" + strconv.Itoa(i) + "]." + in.Decode[i].String(), Path: path, Parse: decode.CheckDictionary})
		}
	}
	return named
}

// Class is a rule that says what a message is.
type Class struct {
	// The messages that it is about, such as type == "heartbeat". Comparisons of member paths with constants are quick.
	When expression.Condition `yaml:"when,required"`

	// What they are. "data": events. "heartbeat", "ack" and "control": signs of life, and no events. "warn": the same, and told in the log. "reconnect": the
	// provider wants us to connect anew. "rate_limited": the same, after a minute or retry_after. "fatal": it will not serve us, so that connecting anew soon does not help.
	// "replace": it will end the connection, so that the next one is opened before this one is closed, with event_id; without, behind it. "gap": it has left something out,
	// which becomes a gap record. "progress": no event, but what cursor finds in it is a position, as in a bookmark of Kubernetes. "caught_up": all of the past has been
	// sent; where there is such a rule, the cursors of a connection count only from this message on, so that a provider which sends the newest first, or in no order,
	// is asked for all of it again if the connection ends before. Where one rule says data, messages for which none holds are counted as unknown.
	Is string `yaml:"is,required" enum:"data,heartbeat,ack,control,warn,reconnect,replace,fatal,rate_limited,gap,progress,caught_up"`

	// What is told about it: a text in which {{…}} are expressions over the message. Default: the message, up to 256 bytes.
	Why expression.Template `yaml:"why"`

	// For how many seconds the provider wants to be left alone, such as retry_after_ms / 1000. Where is says that the connection ends.
	RetryAfter expression.Value `yaml:"retry_after"`
}

// The values of Class.Is.
const (
	classData      = "data"
	classHeartbeat = "heartbeat"
	classAck       = "ack"
	classControl   = "control"
	classWarn      = "warn"
	classReconnect = "reconnect"
	classReplace   = "replace"
	classFatal     = "fatal"
	classLimited   = "rate_limited"
	classGap       = "gap"
	classProgress  = "progress"
	classCaughtUp  = "caught_up"
)

// limitedPause is how long a provider is left alone that says we ask too much, and not for how long.
const limitedPause = time.Minute

// Check returns what is wrong with the settings taken together.
func (in *Intake) Check() error {
	var wrong []error
	for i := range in.Classify {
		c := &in.Classify[i]
		if ends := c.Is == classReconnect || c.Is == classFatal || c.Is == classLimited; !ends && !c.RetryAfter.IsZero() && c.Is != "" {
			wrong = append(wrong, setting.FieldErrorf(fmt.Sprintf("classify[%d].retry_after", i), "is for what ends the connection: reconnect, rate_limited and fatal; %s does not", c.Is))
		}
	}
	if in.Split != nil {
		wrong = append(wrong, in.Split.check("split."))
	}
	if in.Labels != nil {
		wrong = append(wrong, in.Labels.check())
	}
	return errors.Join(wrong...)
}

// IsZero reports whether messages are handed on as they are.
func (in *Intake) IsZero() bool {
	return len(in.Decode) == 0 && len(in.Classify) == 0 && in.Split == nil && in.Labels == nil
}

// Start returns what takes the messages of a new connection, which is opened under ctx. It reads the files that decoding needs.
func (in *Intake) Start(ctx context.Context) (*Intaking, error) {
	if in.IsZero() {
		return &Intaking{}, nil
	}
	with := *in
	setting.Default(&with)
	t := &Intaking{rules: with.Classify, limit: int(with.MaxDecoded), log: logOf(ctx)}
	t.telling, _ = ctx.Value(countingKey{}).(bool)
	if in.Split != nil {
		t.split = newSplitter(in.Split, t.limit)
	}
	if in.Labels != nil {
		t.labels = newLabeler(in.Labels)
	}
	t.known = slices.ContainsFunc(in.Classify, func(c Class) bool { return c.Is == classData })
	if len(with.Decode) == 0 {
		return t, nil
	}
	var err error
	if t.decoder, err = decode.NewDecoder(with.Decode, t.limit); err != nil {
		return nil, err
	}
	return t, nil
}

type countingKey struct{}

// withCounting returns a context under which connections hand on, as marks, what classify calls heartbeat, ack or control, for a gap rule.
func withCounting(ctx context.Context) context.Context {
	return context.WithValue(ctx, countingKey{}, true)
}
