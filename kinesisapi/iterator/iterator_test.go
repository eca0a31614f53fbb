package iterator

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

var (
	key  = [32]byte{1, 2, 3}
	noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
)

func example(name string) Iterator {
	seq := leat.NewSequence(7, noon, 1<<62, noon.Add(time.Hour))
	return Iterator{Stream: name, Created: noon.Add(123456789), Shard: 7, From: stream.After(seq), Issued: noon}
}

// The vectors are those of the specification of XAES-256-GCM (C2SP).
func TestSealIsXAES256GCM(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, v := range []struct {
		key             byte
		additional, out string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		s := New([32]byte(bytes.Repeat([]byte{v.key}, 32)))
		got := s.aead(nonce).Seal(nil, nonce[12:], []byte("XAES-256-GCM"), []byte(v.additional))
		if hex.EncodeToString(got) != v.out {
			t.Errorf("key %02x: got %x, want %s", v.key, got, v.out)
		}
	}
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	s := New(key)
	seq := leat.NewSequence(7, noon, 5, noon)
	for _, from := range []stream.Position{
		stream.Oldest(), stream.At(seq), stream.After(seq), stream.After(leat.SequenceNumber{}),
		stream.AtTime(noon.Add(-time.Nanosecond)), stream.AtTime(time.Unix(-5, 7)),
	} {
		it := example("us-west-2/123456789012/orders")
		it.From = from
		token, err := s.Seal(it)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{token, `"` + token + `"`} {
			got, err := s.Open(text, noon.Add(Life))
			if err != nil {
				t.Fatalf("%s: %v", from, err)
			}
			if got.Stream != it.Stream || !got.Created.Equal(it.Created) || got.Shard != 7 || !got.Issued.Equal(noon) ||
				got.From.Kind != from.Kind || got.From.Sequence != from.Sequence || !got.From.Time.Equal(from.Time) && from.Kind == stream.FromTime {
				t.Errorf("got %+v, want %+v", got, it)
			}
		}
	}
}

func TestShardIteratorsHaveTheOuterFormOfAWS(t *testing.T) {
	s := New(key)
	for n := 1; n <= 237; n++ {
		token, err := s.Seal(example(strings.Repeat("n", n)))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil || len(raw) != 152+(n+2)/16*16 || !bytes.HasPrefix(raw, []byte{0, 0, 0, 0, 0, 0, 0, 1}) || len(token) > MaxShardIterator {
			t.Fatalf("name of %d: %d bytes, %d characters: %v", n, len(raw), len(token), err)
		}
		if got, err := s.Open(token, noon); err != nil || len(got.Stream) != n {
			t.Fatalf("name of %d: %v", n, err)
		}
	}
	if _, err := s.Seal(example(strings.Repeat("n", 238))); err == nil {
		t.Error("a token of more than 512 characters was sealed")
	}
}

func TestLatestHasToBeFixed(t *testing.T) {
	it := example("orders")
	it.From = stream.Latest()
	if _, err := New(key).Seal(it); err == nil {
		t.Error("LATEST was sealed as it is")
	}
}

func TestNothingElseOpens(t *testing.T) {
	s := New(key)
	token, err := s.Seal(example("orders"))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.StdEncoding.DecodeString(token)
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			if _, err := s.Open(base64.StdEncoding.EncodeToString(changed), noon); !errors.Is(err, ErrInvalid) {
				t.Fatalf("byte %d changed: %v", i, err)
			}
		}
	}
	list := s.SealList([]byte(`{"a":1}`), noon)
	for _, bad := range []string{"", `"`, `""`, "AAA", token[:len(token)-4], token + "AAAA", token + "\n", `"` + token, list, `""` + token + `""`} {
		if _, err := s.Open(bad, noon); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := s.OpenList(token, noon); !errors.Is(err, ErrInvalid) {
		t.Errorf("a shard iterator opens as a NextToken: %v", err)
	}
	if _, err := New([32]byte{9}).Open(token, noon); !errors.Is(err, ErrInvalid) {
		t.Errorf("another key opens it: %v", err)
	}
}

func TestTokensExpire(t *testing.T) {
	s := New(key)
	token, err := s.Seal(example("orders"))
	if err != nil {
		t.Fatal(err)
	}
	list := s.SealList([]byte("payload"), noon)
	if got, err := s.OpenList(list, noon.Add(Life)); err != nil || string(got) != "payload" {
		t.Errorf("got %q, %v", got, err)
	}
	expired := (*ExpiredError)(nil)
	if _, err := s.OpenList(list, noon.Add(Life+time.Millisecond)); !errors.As(err, &expired) {
		t.Error(err)
	}
	_, err = s.Open(token, noon.Add(6*time.Minute))
	if !errors.As(err, &expired) || !expired.Issued.Equal(noon) {
		t.Fatal(err)
	}
	const want = "Iterator expired. The iterator was created at time Wed Nov 25 12:00:00 UTC 2026 while right now it is " +
		"Wed Nov 25 12:06:00 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds."
	if err.Error() != want {
		t.Errorf("got %s", err)
	}
	if _, err := s.Open(token, noon.Add(-skew)); err != nil {
		t.Errorf("a clock that went back a little: %v", err)
	}
	if _, err := s.Open(token, noon.Add(-skew-time.Second)); !errors.Is(err, ErrInvalid) {
		t.Errorf("from the future: %v", err)
	}
}

// FuzzOpen gives Open what it did not seal, and fields that it would never seal.
func FuzzOpen(f *testing.F) {
	s := New(key)
	token, err := s.Seal(example("orders"))
	if err != nil {
		f.Fatal(err)
	}
	it := example("orders")
	f.Add(token, it.fields())
	it.From = stream.AtTime(noon)
	f.Add(s.SealList([]byte("x"), noon), it.fields())
	f.Add(`""`, []byte{})
	f.Fuzz(func(t *testing.T, token string, fields []byte) {
		if _, err := s.OpenList(token, noon); err != nil && !errors.Is(err, ErrInvalid) && !errors.As(err, new(*ExpiredError)) {
			t.Fatal(err)
		}
		_, _ = s.Open(token, noon)
		got, err := s.Open(s.seal(kindShard, fields, overhead+len(fields)), noon)
		if err != nil {
			return
		}
		again, err := s.Seal(got)
		if err != nil {
			return // a name of more than 237 bytes
		}
		twice, err := s.Open(again, noon)
		if err != nil || twice.String() != got.String() {
			t.Fatalf("%v, then %v: %v", got, twice, err)
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	s := New(key)
	it := example("orders")
	for b.Loop() {
		token, err := s.Seal(it)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Open(token, noon); err != nil {
			b.Fatal(err)
		}
	}
}
