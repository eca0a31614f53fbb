package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
)

// result reads the answer of a function as AWS does for a stream. Anything without a batchItemFailures that says something is a success; a name in it
// that is not in the batch fails the whole batch. A call of a window that goes on must return a state. The errors are for the consumer to repeat.
func (c *Config) result(in *function.Input, body []byte) (function.Result, error) {
	body = bytes.TrimSpace(body)
	windowed := in.Window != nil
	if !windowed && c.IgnoreBatchItemFailures && !c.Strict {
		return function.Result{}, nil
	}
	if len(body) > 0 && !json.Valid(body) {
		return function.Result{}, errors.New("the answer is no JSON")
	}
	var r function.Result
	answer := gjson.ParseBytes(body)
	if c.Strict {
		if err := strict(answer); err != nil {
			return r, err
		}
	}
	var err error
	answer.ForEach(func(name, value gjson.Result) bool {
		switch {
		case !answer.IsObject():
			return false
		case name.Str == "batchItemFailures" && !c.IgnoreBatchItemFailures:
			r.Failed, err = failures(in.Batch.Records, value)
		case name.Str == "state" && windowed && value.IsObject():
			r.State = []byte(value.Raw)
		}
		return err == nil
	})
	if err != nil {
		return function.Result{}, err
	}
	if windowed && r.State == nil && !in.Window.Final && !in.Window.Early {
		return function.Result{}, errors.New("the answer has no state, which is an object, and the window goes on")
	}
	return r, nil
}

// strict returns an error if an answer says something that is not understood.
func strict(answer gjson.Result) (err error) {
	if !answer.Exists() || answer.Type == gjson.Null || answer.Raw == `""` || answer.Raw == "[]" {
		return nil
	}
	if !answer.IsObject() {
		return errors.New("the answer is no object: expected batchItemFailures, state, or nothing")
	}
	answer.ForEach(func(name, _ gjson.Result) bool {
		if name.Str != "batchItemFailures" && name.Str != "state" {
			err = fmt.Errorf("the answer has a member %.100q: expected batchItemFailures, state, or nothing", name.Str)
		}
		return err == nil
	})
	return err
}

// failures returns the records that a list of batchItemFailures names.
func failures(records []leat.Record, list gjson.Result) (failed []leat.SequenceNumber, err error) {
	if list.Type == gjson.Null {
		return nil, nil
	}
	if !list.IsArray() {
		return nil, errors.New("batchItemFailures of the answer is no list")
	}
	known := make(map[string]int, len(records))
	list.ForEach(func(_, item gjson.Result) bool {
		if len(known) == 0 {
			for i := range records {
				known[records[i].Sequence.String()] = i
			}
		}
		id := item.Get("itemIdentifier")
		i, found := known[id.Str]
		if !found || id.Type != gjson.String {
			err = fmt.Errorf("batchItemFailures of the answer holds %.200s, which names no record of the batch by an itemIdentifier", item.Raw)
			return false
		}
		failed = append(failed, records[i].Sequence)
		return true
	})
	return failed, err
}
