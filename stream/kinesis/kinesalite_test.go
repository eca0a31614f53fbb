package kinesis_test

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// node returns the directory of others' implementations, or skips.
func node(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	at := filepath.Join(cache, "leat", "kinesalite")
	_, missing := os.Stat(filepath.Join(at, "node_modules", "kinesalite"))
	if _, err := exec.LookPath("node"); err != nil || missing != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatal("kinesalite is not installed: run .ci/prepare")
		}
		t.Skip("kinesalite is not installed: run .ci/prepare")
	}
	return at
}

// kinesalite starts kinesalite on a free port and returns its URL.
func kinesalite(t testing.TB) string {
	t.Helper()
	script := `const s = require('kinesalite')({createStreamMs: 1, deleteStreamMs: 1, updateStreamMs: 1, shardLimit: 10000})
s.listen(0, '127.0.0.1', () => console.log(s.address().port))`
	cmd := exec.Command("node", "-e", script)
	cmd.Dir = node(t)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("kinesalite does not start: %v", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(line)
}

// In JSON only: kinesalite gives back what it took in CBOR as the text form of a buffer.
func TestKinesaliteTakesWhatIsPutAndGivesItBack(t *testing.T) {
	t.Parallel()
	url := kinesalite(t)
	for _, aggregate := range []bool{false, true} {
		t.Run(fmt.Sprint("aggregate ", aggregate), func(t *testing.T) {
			house := openHouse(t, vfs.NewMem())
			defer house.Close()
			e, stop := start(t, kinesis.Config{Endpoint: url, Aggregate: aggregate, Pace: "off"}, house)
			defer stop()
			name := fmt.Sprint("clicks-", aggregate)
			streamtest.Create(t, e, name, 3)
			events, want := keys(60, 600)
			place := leat.Hash{Hi: 1 << 63, Lo: 7}
			events = append(events, leat.Event{ID: "x", PartitionKey: "placed", HashKey: &place, Time: time.UnixMilli(1700000000123), Data: []byte("placed")})
			want["placed"] = []string{"placed"}
			put(t, e, name, events...)
			drained(t, e)
			got := map[string][]string{}
			var last leat.SequenceNumber
			for _, s := range streamtest.Shards(t, e, name) {
				last = leat.SequenceNumber{}
				for _, r := range streamtest.ReadAll(t, e, name, s.ID, stream.Oldest()) {
					if r.Sequence.Compare(last) <= 0 || r.Sequence.Shard() != s.ID {
						t.Fatalf("%s follows %s in %s", r.Sequence, last, s.ID)
					}
					last = r.Sequence
					got[r.PartitionKey] = append(got[r.PartitionKey], string(r.Data))
					if aggregate && r.PartitionKey == "placed" && (r.ID != "x" || r.Source != "feed" || r.Time.UnixMilli() != 1700000000123 || *r.HashKey != place) {
						t.Errorf("the record is %+v", r)
					}
				}
			}
			for key := range want {
				if !slices.Equal(got[key], want[key]) {
					t.Fatalf("%s: got %q", key, got[key])
				}
			}
		})
	}
}

// A checkpoint may lie in the middle of an aggregate.
func TestReadersBeginInsideAggregates(t *testing.T) {
	t.Parallel()
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: kinesalite(t), Aggregate: true, Pace: "off"}, house)
	defer stop()
	streamtest.Create(t, e, "s", 1)
	events, _ := run("k", 700)
	put(t, e, "s", events...)
	put(t, e, "s", events...)
	drained(t, e)
	all := streamtest.ReadAll(t, e, "s", 0, stream.Oldest())
	if len(all) != 1400 {
		t.Fatalf("%d records", len(all))
	}
	for _, i := range []int{0, 1, 254, 255, 256, 257, 698, 699, 700, 701, 1398, 1399} {
		again, err := leat.ParseSequence(all[i].Sequence.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := streamtest.ReadAll(t, e, "s", 0, stream.After(again)); len(got) != 1399-i || i < 1399 && got[0].Sequence != all[i+1].Sequence {
			t.Errorf("after %d there are %d", i, len(got))
		}
		if got := streamtest.ReadAll(t, e, "s", 0, stream.At(again)); len(got) != 1400-i || got[0].Sequence != all[i].Sequence {
			t.Errorf("at %d there are %d", i, len(got))
		}
	}
}

// instance is an engine over kinesalite, for the suite.
type instance struct {
	url    string
	fs     *vfs.MemFS
	house  kinesis.House
	engine *kinesis.Engine
	stop   func()
}

func (i *instance) Engine() streamtest.Engine { return i.engine }

func (i *instance) Reopen(t testing.TB) {
	i.stop()
	if c, ok := i.house.(interface{ Close() error }); ok {
		c.Close()
	}
	i.open(t)
}

func (i *instance) Crash(t testing.TB) { i.Reopen(t) }

func (i *instance) open(t testing.TB) {
	house := openHouse(t, i.fs)
	i.house = house
	i.engine, i.stop = start(t, kinesis.Config{Endpoint: i.url, Pace: "off"}, house)
}

// contract runs the suite over a service.
func contract(t *testing.T, serve func(t testing.TB) string, without map[string]string) {
	streamtest.Run(t, streamtest.Config{Without: without, New: func(t testing.TB) streamtest.Instance {
		i := &instance{url: serve(t), fs: vfs.NewMem()}
		i.open(t)
		t.Cleanup(func() {
			i.stop()
			i.house.(interface{ Close() error }).Close()
		})
		return i
	}})
}

const (
	fewerFields = "Kinesis keeps no source, identity and time of an event, and takes no record of 16 MiB"
	onlyHours   = "Kinesis keeps records for whole hours, from 24 up, and not by bytes"
	ofAModel    = "the model changes retention by bytes and puts what Kinesis does not take"
)

func TestContractOverKinesalite(t *testing.T) {
	t.Parallel()
	contract(t, kinesalite, map[string]string{
		"EveryFieldSurvives":                fewerFields,
		"StreamsAreCreatedListedDeleted":    onlyHours,
		"RandomOperationsAgreeWithTheModel": ofAModel,
		"SplitAndMergeCloseParents":         "kinesalite splits shards that are closed",
		"DeletedStreamsStayDeleted":         "kinesalite gives a stream that is made again in the same second the numbers that the old one had",
	})
}

// leatServer serves an engine of Leat over the Kinesis API.
func leatServer(t testing.TB, c kinesisapi.Config) string {
	engine := openHouse(t, vfs.NewMem())
	c.Engine, c.Admin = engine, engine
	api, err := kinesisapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		engine.Close()
	})
	return server.URL
}

func TestContractOverLeat(t *testing.T) {
	t.Parallel()
	contract(t, func(t testing.TB) string { return leatServer(t, kinesisapi.Config{}) }, map[string]string{
		"EveryFieldSurvives":                fewerFields,
		"StreamsAreCreatedListedDeleted":    onlyHours,
		"RandomOperationsAgreeWithTheModel": ofAModel,
	})
}
