package kinesis

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

func jsonAnswer(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"FailedRecordCount":0,"Records":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"SequenceNumber":"4964643757710847641691687640582592942558542967627526%04d","ShardId":"shardId-000000000000"}`, i)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func TestAnswersAreReadInEveryForm(t *testing.T) {
	cbor := "\xbf\x71FailedRecordCount\x01\x67Records\x9f" + // of indefinite length, as some SDKs write it
		"\xa2\x6eSequenceNumber\x6212\x67ShardId\x54shardId-000000000003" + "\xbf\x69ErrorCode\x7f\x61A\x61B\xff\x6cErrorMessage\x61m\xff" +
		"\xff\x6eEncryptionType\xf6\x63xyz\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x00\xff"
	good := `{"FailedRecordCount":1,"Records":[{"SequenceNumber":"12","ShardId":"shardId-000000000003"},{"ErrorCode":"AB","ErrorMessage":"m"}]}`
	for name, body := range map[string]string{
		"json":    good,
		"spaces":  strings.NewReplacer(":", " :\n", ",", " , ", "}", " } ").Replace(good),
		"nulls":   `{"EncryptionType":null,"FailedRecordCount":1,"Records":[{"ErrorCode":null,"SequenceNumber":"12","ShardId":"shardId-000000000003"},{"ErrorCode":"AB","ErrorMessage":"m"}]}`,
		"escapes": strings.Replace(good, "AB", `\u0041B`, 1),
		"more":    strings.Replace(good, "{", `{"Other":{"a":[1.5,true]},`, 1),
	} {
		a, err := readJSON([]byte(body))
		checkAnswer(t, name, a, err)
	}
	a, err := readCBOR([]byte(cbor))
	checkAnswer(t, "cbor", a, err)
	for _, body := range []string{"", "{", "[]", "null", `{"Records":[{]}`, good[:40], good + "x"} {
		if a, err := readJSON([]byte(body)); err == nil && len(a.outcomes) > 0 {
			t.Errorf("%q reads as %v", body, a)
		}
	}
	for n := range len(cbor) {
		if _, err := readCBOR([]byte(cbor[:n])); err == nil {
			t.Errorf("the first %d bytes read as an answer", n)
		}
	}
}

func checkAnswer(t *testing.T, name string, a answer, err error) {
	t.Helper()
	if err != nil || a.failed != 1 || len(a.outcomes) != 2 || string(a.outcomes[0].sequence) != "12" ||
		shardNumber(a.outcomes[0].shard) != 3 || len(a.outcomes[0].code) != 0 || string(a.outcomes[1].code) != "AB" || string(a.outcomes[1].message) != "m" {
		t.Errorf("%s: got %+v, %v", name, a, err)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(jsonAnswer(2))
	f.Add([]byte("\xa2\x71FailedRecordCount\x00\x67Records\x81\xa1\x67ShardId\x61x"))
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _ = readJSON(body)
		_, _ = readCBOR(body)
	})
}

func BenchmarkAnswerInJSON(b *testing.B) {
	body := jsonAnswer(500)
	b.SetBytes(500)
	for b.Loop() {
		if a, err := readJSON(body); err != nil || len(a.outcomes) != 500 {
			b.Fatal(err)
		}
	}
}

func benchmarkEncode(b *testing.B, encode func([]byte, string, []entry) []byte) {
	entries := make([]entry, 500)
	for i := range entries {
		entries[i] = entry{key: fmt.Sprint("key-", i), data: make([]byte, 200)}
	}
	var body []byte
	b.SetBytes(500)
	for b.Loop() {
		body = encode(body[:0], "stream", entries)
	}
}

// BenchmarkEncodeAndSend is one request of 500 records of 200 bytes to a server that answers at once: encoded, hashed, signed, sent, answered, read.
func BenchmarkEncodeAndSend(b *testing.B) {
	for _, format := range []string{"cbor", "json"} {
		b.Run(format, func(b *testing.B) {
			answer, kind := jsonAnswer(500), "application/x-amz-json-1.1"
			if format == "cbor" {
				answer, kind = cborAnswer(500), "application/x-amz-cbor-1.1"
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header()["Content-Type"] = []string{kind}
				_, _ = w.Write(answer)
			}))
			defer server.Close()
			w := &wire{
				client: http.DefaultClient, url: server.URL + "/", region: "us-east-1", json: format == "json", signer: v4.NewSigner(),
				credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
			}
			entries := make([]entry, 500)
			for i := range entries {
				entries[i] = entry{key: fmt.Sprint("key-", i), data: make([]byte, 200)}
			}
			for b.Loop() {
				got, err := w.put(b.Context(), "s", entries)
				if err != nil {
					b.Fatal(err)
				}
				w.release(got)
			}
			b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func cborAnswer(n int) []byte {
	out := appendText(appendHead(nil, cborMap, 2), "FailedRecordCount")
	out = appendHead(appendText(append(out, 0), "Records"), cborList, n)
	for range n {
		out = appendText(appendText(appendHead(out, cborMap, 2), "SequenceNumber"), "49646437577108476416916876405825929425585429676275269634")
		out = appendText(appendText(out, "ShardId"), "shardId-000000000000")
	}
	return out
}

// MB/s are millions of records in a second.
func BenchmarkEncodeCBOR(b *testing.B) { benchmarkEncode(b, appendCBOR) }

func BenchmarkEncodeJSON(b *testing.B) { benchmarkEncode(b, appendJSON) }
