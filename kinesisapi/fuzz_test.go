package kinesisapi_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/leatstream/leat/kinesisapi"
)

var seeds = []string{
	`{"StreamName":"s","Records":[{"Data":"aGVsbG8=","PartitionKey":"k"},{"PartitionKey":"ü","Data":"","ExplicitHashKey":"12"}]}`,
	` { "Records" : [ { "Data" : "YQ==" , "PartitionKey" : "k" } ] , "StreamARN" : "arn:aws:kinesis:us-east-1:000000000000:stream/s" } `,
	`{"StreamName":"s","Records":[{"Data":"YQ\u003d=","PartitionKey":"k"}]}`,
	`{"StreamName":"s","Records":[{"Data":"YQ=","PartitionKey":"k"}],"DryRun":true}`,
	`{"StreamName":"s","Records":[{"Data":"YR==","PartitionKey":null}]}`,
	`{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":"a","PartitionKey":"b"}]}`,
	`{"StreamName":"s","Records":[{"Data":"YQ==","ExplicitHashKey":"340282366920938463463374607431768211456"}]}`,
	"{\"StreamName\":\"s\",\"Records\":[{\"Data\":\"YWFh\n\n\n\nYWFh\",\"PartitionKey\":\"k\"}]}", // line ends in a string are no JSON
	`{"a":[1,-2.5e3,true,false,null,"\ud83d\ude00\ud83d"]}`,
}

// Where the fast path takes a body of JSON, the general path takes it too and finds the same in it; and the parser takes what
// encoding/json takes.
func FuzzJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		differ(t, body, false)
		same, ok := kinesisapi.Again(body, false)
		if !same {
			t.Errorf("%q is not the same when it is written and read", body)
		}
		valid := json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
		if ok && !valid || !ok && valid && len(body) < 64 {
			t.Errorf("%q: taken %t, valid %t", body, ok, valid)
		}
	})
}

// FuzzCBOR is FuzzJSON for CBOR.
func FuzzCBOR(f *testing.F) {
	for _, s := range seeds {
		if body, ok := kinesisapi.ToCBOR("PutRecords", s); ok {
			f.Add([]byte(body))
		}
	}
	for _, s := range []string{
		"bf6752656b6f726473ff",                                     // an indefinite map
		"bf675265636f7264739fbf64446174614161ffffff",               // indefinite all the way
		"a1675265636f72647381a164446174615f41614162ff",             // a string in chunks
		"a16154c11b000001712345678a", "a16154c1fb41d0000000000000", // times
		"a16161f97e00", "a16161f93c00", "a16161c249010000000000000000", // half floats, a big number
	} {
		body, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		differ(t, body, true)
		if same, _ := kinesisapi.Again(body, true); !same {
			t.Errorf("%x is not the same when it is written and read", body)
		}
	})
}

func differ(t *testing.T, body []byte, cbor bool) {
	fast, ok := kinesisapi.Fast(bytes.Clone(body), cbor)
	if !ok {
		return
	}
	slow, ok := kinesisapi.Slow(bytes.Clone(body), cbor)
	if !ok || fast.Stream != slow.Stream || fast.ARN != slow.ARN || len(fast.Events) != len(slow.Events) {
		t.Fatalf("%q: fast %+v, slow %+v %t", body, fast, slow, ok)
	}
	for i := range fast.Events {
		a, b := &fast.Events[i], &slow.Events[i]
		if a.PartitionKey != b.PartitionKey || !bytes.Equal(a.Data, b.Data) || (a.HashKey == nil) != (b.HashKey == nil) || a.HashKey != nil && *a.HashKey != *b.HashKey {
			t.Fatalf("%q: record %d is %+v and %+v", body, i, a, b)
		}
	}
}

// The fast path takes what clients send.
func TestFastPathIsTaken(t *testing.T) {
	for i, s := range seeds[:2] {
		body, _ := kinesisapi.ToCBOR("PutRecords", s)
		if _, ok := kinesisapi.Fast([]byte(s), false); !ok {
			t.Errorf("JSON %d is not taken", i)
		}
		if _, ok := kinesisapi.Fast([]byte(body), true); !ok {
			t.Errorf("CBOR %d is not taken", i)
		}
	}
}
