// The program bootstrap behaves as package functiontest says. HANDLER chooses another of its handlers.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

type answer struct {
	Failures []events.KinesisBatchItemFailure `json:"batchItemFailures"`
	State    map[string]string                `json:"state,omitempty"`
}

func work(_ context.Context, e events.KinesisTimeWindowEvent) (answer, error) {
	a := answer{Failures: []events.KinesisBatchItemFailure{}}
	var seen strings.Builder
	seen.WriteString(e.State["seen"])
	for _, r := range e.Records {
		fmt.Fprintf(&seen, "%s\n%s\n%s\n", r.Kinesis.SequenceNumber, base64.StdEncoding.EncodeToString(r.Kinesis.Data), r.Kinesis.PartitionKey)
		var what struct{ Do string }
		_ = json.Unmarshal(r.Kinesis.Data, &what)
		switch what.Do {
		case "report":
			a.Failures = append(a.Failures, events.KinesisBatchItemFailure{ItemIdentifier: r.Kinesis.SequenceNumber})
		case "throw":
			return a, errors.New("on purpose")
		case "exit":
			os.Exit(3)
		case "hang":
			select {}
		}
	}
	if !e.Window.Start.IsZero() {
		a.State = map[string]string{"seen": seen.String()}
	}
	return a, nil
}

// broken fails while its answer is read: what is told behind the answer then.
type broken struct{ n int }

func (b *broken) Read(p []byte) (int, error) {
	if b.n++; b.n > 1 {
		return 0, errors.New("the answer broke off on purpose")
	}
	return copy(p, `{"half":`), nil
}

type nothing struct{}

func (nothing) Invoke(context.Context, []byte) ([]byte, error) { return []byte("null"), nil }

type echo struct{}

// Invoke answers the state as it came, or the event itself if the state is whole.
func (echo) Invoke(_ context.Context, event []byte) ([]byte, error) {
	var in struct {
		State json.RawMessage
	}
	if err := json.Unmarshal(event, &in); err != nil {
		return nil, err
	}
	if string(in.State) == `{"whole":true}` {
		in.State = append(append([]byte(`{"event":`), event...), '}')
	}
	return append(append([]byte(`{"state":`), in.State...), '}'), nil
}

func main() {
	switch os.Getenv("HANDLER") {
	case "panic":
		lambda.Start(func(context.Context, json.RawMessage) error { panic("a panic on purpose") })
	case "stream":
		lambda.Start(func(context.Context, json.RawMessage) (*broken, error) { return &broken{}, nil })
	case "nothing":
		lambda.Start(nothing{})
	case "large":
		lambda.Start(func(context.Context, json.RawMessage) (string, error) { return strings.Repeat("x", 6<<20), nil })
	case "echo":
		lambda.Start(echo{})
	case "events":
		lambda.Start(func(context.Context, events.KinesisEvent) error { return nil })
	case "init":
		panic("cannot be started, on purpose")
	default:
		lambda.Start(work)
	}
}
