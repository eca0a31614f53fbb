package leat_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leatstream/leat"
)

// The example of a sequence number of version 2 that is known from Kinesis: shard 0, created and arrived at 1700000000, index 0.
const knownSequence = "49646437577108476416916876405825929425585429676275269634"

func TestSequenceNumbersAreThoseOfKinesis(t *testing.T) {
	at := time.Unix(1700000000, 0)
	s := leat.NewSequence(0, at, 0, at)
	if s.String() != knownSequence {
		t.Errorf("got %s, want %s", s, knownSequence)
	}
	if s.Shard() != 0 || s.Index() != 0 || !s.Created().Equal(at) || !s.Arrived().Equal(at) {
		t.Errorf("it reads as %s, index %d, created %v, arrived %v", s.Shard(), s.Index(), s.Created(), s.Arrived())
	}
}

func TestSequenceNumbersKeepTheirFields(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shard := leat.ShardID(rapid.Uint32Range(0, 1<<31-1).Draw(rt, "shard"))
		created := time.Unix(rapid.Int64Range(0, 16025174999).Draw(rt, "created"), 0)
		arrived := time.Unix(rapid.Int64Range(0, 1<<36-1).Draw(rt, "arrived"), 0)
		index := rapid.Uint64Range(0, 1<<63-1).Draw(rt, "index")
		s := leat.NewSequence(shard, created, index, arrived)
		if s.Shard() != shard || s.Index() != index || !s.Created().Equal(created) || !s.Arrived().Equal(arrived) {
			rt.Fatalf("%s reads as %s, %d, %v, %v", s, s.Shard(), s.Index(), s.Created(), s.Arrived())
		}
		if again, err := leat.ParseSequence(s.String()); err != nil || again != s || len(s.String()) != 56 {
			rt.Fatalf("%s parses as %s, %v", s, again, err)
		}
		other := leat.NewSequence(shard, created, rapid.Uint64Range(0, 1<<63-1).Draw(rt, "other index"), arrived)
		a, _ := new(big.Int).SetString(s.String(), 10)
		b, _ := new(big.Int).SetString(other.String(), 10)
		if s.Compare(other) != a.Cmp(b) {
			rt.Fatalf("%s and %s compare as %d, the numbers as %d", s, other, s.Compare(other), a.Cmp(b))
		}
	})
}

func TestPartsLieBetweenTheRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := func(label string, index uint64) leat.SequenceNumber {
			second := rapid.Int64Range(1500000000, 1<<32-1).Draw(rt, label)
			return leat.NewSequence(leat.ShardID(rapid.Uint32Range(0, 1<<24-1).Draw(rt, "shard")), time.Unix(1500000000, 0), index, time.Unix(second, 0))
		}
		index := rapid.Uint64Range(0, 1<<63-2).Draw(rt, "index")
		s := at("arrived", index)
		next := leat.NewSequence(s.Shard(), s.Created(), index+1, s.Arrived())
		before := s
		for _, n := range []int{0, 1, 255, 256, 4095, 4096, rapid.IntRange(4097, leat.MaxPart-1).Draw(rt, "part"), leat.MaxPart} {
			part, ok := s.WithPart(n)
			if !ok || part.Part() != n || part.Whole() != s || part.Shard() != s.Shard() || !part.Arrived().Equal(s.Arrived()) {
				rt.Fatalf("part %d of %s is %s: %d of %s", n, s, part, part.Part(), part.Whole())
			}
			if n > 0 && before.Compare(part) >= 0 || part.Compare(next) >= 0 {
				rt.Fatalf("part %d of %s is not in order", n, s)
			}
			if again, err := leat.ParseSequence(part.String()); err != nil || again != part || len(part.String()) != 56 {
				rt.Fatalf("%s parses as %s, %v", part, again, err)
			}
			before = part
		}
	})
	whole := leat.NewSequence(1<<30, time.Unix(1700000000, 0), 1, time.Unix(1700000000, 0))
	if _, ok := whole.WithPart(1); ok {
		t.Error("a shard took the place of a part")
	}
	if _, ok := leat.NewSequence(0, time.Unix(1, 0), 1, time.Unix(1, 0)).WithPart(leat.MaxPart + 1); ok {
		t.Error("a part beyond the last one has a number")
	}
}

func TestSequenceNumbersOfOtherKindsAreRefused(t *testing.T) {
	zero := leat.SequenceNumber{}
	if zero.String() != "0" || !zero.IsZero() {
		t.Errorf("the zero number is %q", zero)
	}
	for _, text := range []string{
		"", "0", "-1", "x", " " + knownSequence, knownSequence + "0", knownSequence[1:], "+" + knownSequence,
		"49646437577108476416916876405825929425585429676275269635", strings.Repeat("9", 56), strings.Repeat("1", 400),
	} {
		if s, err := leat.ParseSequence(text); err == nil {
			t.Errorf("%q parses as %s", text, s)
		}
	}
}

func TestHashesAreThoseOfKinesis(t *testing.T) {
	for key, want := range map[string]string{ // MD5 of the UTF-8 bytes
		"":  "281949768489412648962353822266799178366",
		"a": "16955237001963240173058271559858726497",
		"é": "136732923097551493579404309126273812335",
	} {
		n, _ := new(big.Int).SetString(leat.HashKey(key).String(), 10)
		if got := n.String(); got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
	if leat.MaxHash.String() != "340282366920938463463374607431768211455" || leat.MaxHash.Next() != (leat.Hash{}) || (leat.Hash{}).Prev() != leat.MaxHash {
		t.Error("the ends of the ring do not meet")
	}
	for _, text := range []string{"-1", "01", "340282366920938463463374607431768211456", "x", ""} {
		if h, err := leat.ParseHash(text); err == nil {
			t.Errorf("%q parses as %s", text, h)
		}
	}
}

func TestShardIDs(t *testing.T) {
	for text, want := range map[string]leat.ShardID{"shardId-000000000042": 42, "shard-42": 42, "42": 42, "0": 0, "shardId-2147483647": 1<<31 - 1} {
		if got, err := leat.ParseShardID(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "shardId-", "x", "shardId-2147483648", "-1-1"} {
		if got, err := leat.ParseShardID(text); err == nil {
			t.Errorf("%q parses as %s", text, got)
		}
	}
}

func BenchmarkSequenceString(b *testing.B) {
	s := leat.NewSequence(3, time.Unix(1700000000, 0), 123456789, time.Unix(1700000100, 0))
	b.ReportAllocs()
	for b.Loop() {
		_ = s.String()
	}
}
