package local

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// hexBlock finds the blocks of docs/FORMAT.md that begin with ```hex and a name.
var hexBlock = regexp.MustCompile("(?s)```hex ([a-z-]+)\n(.*?)```")

// examples returns the bytes of the examples in docs/FORMAT.md by name: of each line what is before the first two spaces.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "FORMAT.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, m := range hexBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(m[2]) {
			digits, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "  ")
			b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
			if err != nil {
				t.Fatalf("example %s, line %q: %v", m[1], line, err)
			}
			found[m[1]] = append(found[m[1]], b...)
		}
	}
	return found
}

// The examples of docs/FORMAT.md are what this program writes.
func TestTheDocumentedBytesAreTheRealOnes(t *testing.T) {
	k := batchKey{stream: 1, shard: 2, first: 7, count: 2}
	value := appendHead(nil, "race")
	value = appendRecord(value, &leat.Event{PartitionKey: "k", ID: "a1", Time: clockEpoch, Data: []byte("hello")})
	value = appendRecord(value, &leat.Event{PartitionKey: "k", HashKey: &leat.Hash{Lo: 5}, Data: []byte("x")})
	value = compress(value, nil)
	sealBatch(value, checksum(value[:len(value)-trailerSize]), trailer{k, clockEpoch.Add(123 * time.Millisecond), 100})

	markKey := spaceKey(spaceMarks, "source/race")
	markValue := append(binary.BigEndian.AppendUint64(nil, 3), `{"cursor":"42"}`...)
	holeValue := append(binary.BigEndian.AppendUint64(nil, 9), "lost"...)
	ended := &shardState{stream: &streamState{id: 1}, id: 2, next: 9, total: 100}
	last := commitState{number: 1000, epoch: 3, at: clockEpoch, digest: hashOf(markKey, markValue), ends: ended.setEnd()}
	id := identity{0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 0x9a, 0x2f, 0xea, 0xa0, 0xc5, 0x5a, 0xd0, 0x15}
	high := highWater{epoch: 3, commit: 1000, next: map[place]uint64{{1, 2}: 9}}

	got := examples(t)
	for name, want := range map[string][]byte{
		"batch-key":    recordKey(k),
		"batch-value":  value,
		"mark-key":     markKey,
		"mark-value":   sealValue(markKey, markValue),
		"hole-key":     holeKey(1, 2, 7),
		"hole-value":   sealValue(holeKey(1, 2, 7), holeValue),
		"commit-value": sealValue(keyCommit, last.encode()),
		"high-water":   high.encode(nil, id),
	} {
		if !bytes.Equal(got[name], want) {
			t.Errorf("example %s: the document has\n%x, this program writes\n%x", name, got[name], want)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("example %s is checked by nobody", name)
	}
}

// The identity file and the JSON of the catalog that docs/FORMAT.md shows are what this program writes.
func TestTheDocumentedTextsAreTheRealOnes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "FORMAT.md"))
	if err != nil {
		t.Fatal(err)
	}
	id := identity{0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 0x9a, 0x2f, 0xea, 0xa0, 0xc5, 0x5a, 0xd0, 0x15}
	streamText := jsonOf(t, streamMeta{Name: "clicks", Created: 1700000000000, Age: 24 * time.Hour, Next: 4})
	shardText := jsonOf(t, shardMeta{
		Parents: []leat.ShardID{0, 1}, Range: stream.HashRange{Start: leat.Hash{Lo: 7}, End: leat.MaxHash},
		Created: 1700000001000, Closed: 1700000900000, Floor: 501, Removed: 120000,
	})
	for _, want := range []string{id.text(), streamText, shardText} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/FORMAT.md lacks\n%s", want)
		}
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
