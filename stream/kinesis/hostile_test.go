package kinesis_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// keys returns n events of so many keys in turn, and what each key is to hold.
func keys(many, n int) (events []leat.Event, want map[string][]string) {
	want = map[string][]string{}
	for i := range n {
		key := fmt.Sprint("key", i%many)
		text := fmt.Sprintf("%s %06d", key, i)
		want[key] = append(want[key], text)
		events = append(events, leat.Event{ID: fmt.Sprint(i), PartitionKey: key, Data: []byte(text)})
	}
	return events, want
}

// check compares what is stored with what was put, and returns how many are there more than once. The first of each are in the order of
// their key.
func check(t *testing.T, f *fake, want map[string][]string) (twice int) {
	t.Helper()
	for key, list := range want {
		got := f.stored(key)
		seen := map[string]bool{}
		var once []string
		for _, text := range got {
			if !seen[text] {
				once = append(once, text)
			}
			seen[text] = true
		}
		if !slices.Equal(once, list) {
			t.Fatalf("%s: %d records, want %d, or not in their order: %.300q", key, len(once), len(list), once)
		}
		twice += len(got) - len(once)
	}
	return twice
}

// hostile puts 6,000 events of 60 keys in 30 commits to a fake, and returns it with the last status.
func hostile(t *testing.T, f *fake, c kinesis.Config) (twice int, s kinesis.Status) {
	t.Helper()
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	c.Endpoint, c.Streams = f.serve(t), []string{"s"}
	e, stop := start(t, c, house)
	events, want := keys(60, 6000)
	for part := range slices.Chunk(events, 200) {
		put(t, e, "s", part...)
	}
	drained(t, e)
	s = e.Status()[0]
	stop()
	return check(t, f, want), s
}

func refuse(code string) func(int, int) string {
	return func(int, int) string {
		if rand.N(10) < 2 {
			return code
		}
		return ""
	}
}

func TestRecordsThatAreRefusedAreSentAgainAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"ProvisionedThroughputExceededException", "InternalFailure"} {
		for _, aggregate := range []bool{false, true} {
			t.Run(fmt.Sprint(code, " aggregate ", aggregate), func(t *testing.T) {
				f := newFake("s", 4)
				f.onDemand = true
				f.code = refuse(code)
				twice, s := hostile(t, f, kinesis.Config{Aggregate: aggregate, Wait: time.Millisecond})
				if twice != 0 {
					t.Errorf("%d are there twice", twice)
				}
				if s.Counters.Retries == 0 || s.Counters.Unknown != 0 || s.Counters.Errors[code] == 0 {
					t.Errorf("counted %+v", s.Counters)
				}
			})
		}
	}
}

func TestWithoutOrderNothingIsLostEither(t *testing.T) {
	f := newFake("s", 4)
	f.onDemand = true
	f.code = refuse("InternalFailure")
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Order: "none", Endpoint: f.serve(t), Streams: []string{"s"}}, house)
	events, _ := keys(3, 3000)
	put(t, e, "s", events...)
	drained(t, e)
	stop()
	got := f.stored("")
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != 3000 || len(got) != 3000 {
		t.Errorf("%d records, %d of them different", len(got), n)
	}
}

// An answer that is lost is the only reason why an event is there twice, and only what was in that request is.
func TestALostAnswerDuplicatesAtMostWhatItWasFor(t *testing.T) {
	for _, aggregate := range []bool{false, true} {
		t.Run(fmt.Sprint("aggregate ", aggregate), func(t *testing.T) {
			f := newFake("s", 4)
			f.onDemand = true
			var requests, lost atomic.Int64
			lose := func(w http.ResponseWriter, which int64) bool {
				n := requests.Load()
				if n > 20 || n%4 != which {
					return false
				}
				lost.Add(1)
				hangUp(w)
				return true
			}
			f.before = func(w http.ResponseWriter, _ *http.Request, _ *putRecords) bool {
				requests.Add(1)
				return lose(w, 3) // before anything is stored
			}
			f.after = func(w http.ResponseWriter, _ *http.Request) bool { return lose(w, 1) }
			twice, s := hostile(t, f, kinesis.Config{Aggregate: aggregate, Wait: time.Millisecond})
			t.Logf("%d answers were lost, %d events are there twice, of %d that were on their way", lost.Load(), twice, s.Counters.Unknown)
			if int64(twice) > s.Counters.Unknown || lost.Load() == 0 {
				t.Errorf("%d are there twice, %d were on their way without an answer", twice, s.Counters.Unknown)
			}
		})
	}
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// virtual opens an engine in a bubble of virtual time.
func virtual(t *testing.T, f *fake, c kinesis.Config) (e *kinesis.Engine, stop func()) {
	return virtualOver(t, f, c, openHouse(t, vfs.NewMem()))
}

func virtualOver(t *testing.T, f *fake, c kinesis.Config, house *local.Engine) (e *kinesis.Engine, stop func()) {
	net := pipenet.New()
	server := &http.Server{Handler: f}
	go server.Serve(net.Listen("kinesis:80"))
	transport := &http.Transport{DialContext: net.DialContext, MaxIdleConnsPerHost: 64}
	c.Endpoint, c.Streams, c.Transport = "http://kinesis:80", []string{"s"}, transport
	e, end := start(t, c, house)
	return e, func() {
		end()
		house.Close()
		transport.CloseIdleConnections()
		server.Close()
		synctest.Wait()
	}
}

func TestAccessDeniedIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("s", 4)
		f.onDemand = true
		denied := time.Now().Add(25 * time.Second)
		var count atomic.Int64
		f.before = func(w http.ResponseWriter, _ *http.Request, _ *putRecords) bool {
			if time.Now().After(denied) {
				return false
			}
			count.Add(1)
			fail(w, 400, "AccessDeniedException", "not authorized to perform kinesis:PutRecords")
			return true
		}
		e, stop := virtual(t, f, kinesis.Config{})
		events, want := keys(60, 6000)
		begun := time.Now()
		for part := range slices.Chunk(events, 500) {
			put(t, e, "s", part...)
			time.Sleep(time.Second)
		}
		if took := time.Since(begun); took > 14*time.Second {
			t.Errorf("12 commits and 12 s took %v: they waited although Kinesis takes nothing", took)
		}
		s := e.Status()[0]
		if s.State != kinesis.Failing || !strings.Contains(s.Reason, "AccessDenied") || s.Records != 6000 || s.Age < 10*time.Second {
			t.Errorf("the status is %+v", s)
		}
		time.Sleep(time.Until(denied))
		requests := count.Load()
		t.Logf("%d requests in 25 s", requests)
		if requests >= 20 || requests < 2 {
			t.Errorf("%d requests in 25 s", requests)
		}
		time.Sleep(2 * time.Minute)
		drained(t, e)
		if s := e.Status()[0]; s.State != kinesis.Forwarding || s.Reason != "" {
			t.Errorf("the status is %+v", s)
		}
		stop()
		if twice := check(t, f, want); twice != 0 {
			t.Errorf("%d are there twice", twice)
		}
	})
}

func TestDistanceCostsNoThroughput(t *testing.T) {
	for _, latency := range []time.Duration{25 * time.Millisecond, 250 * time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("s", 4)
				f.onDemand = true
				f.before = func(http.ResponseWriter, *http.Request, *putRecords) bool { time.Sleep(latency); return false }
				e, stop := virtual(t, f, kinesis.Config{})
				events, want := keys(20_000, 40_000)
				begun := time.Now()
				var group sync.WaitGroup
				for part := range slices.Chunk(events, 2000) {
					group.Go(func() { put(t, e, "s", part...) })
				}
				group.Wait()
				drained(t, e)
				rate := 40_000 / time.Since(begun).Seconds()
				t.Logf("%.0f records/s", rate)
				if rate < 10_000 {
					t.Errorf("only %.0f records/s", rate)
				}
				stop()
				n := 0
				for _, list := range want {
					n += len(list)
				}
				if got := len(f.stored("")); got != n {
					t.Errorf("%d are stored", got)
				}
			})
		})
	}
}

func TestRequestsKeepTheLimitsOfKinesis(t *testing.T) {
	f := newFake("s", 4)
	f.onDemand = true
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}}, house)
	var events []leat.Event
	for i := range 500 {
		events = append(events, leat.Event{PartitionKey: fmt.Sprint(i), Data: bytes.Repeat([]byte("x"), 30_000)})
	}
	put(t, e, "s", events...)
	drained(t, e)
	stop()
	if f.total != 500 {
		t.Errorf("%d are stored", f.total)
	}
	t.Logf("requests of %v bytes", f.sizes)
	if most := slices.Max(f.sizes); most > 10<<20 {
		t.Errorf("a request had %d bytes", most)
	}
}

func TestWhatKinesisNeverTakesIsKeptAndBlocksNothing(t *testing.T) {
	f := newFake("s", 2)
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	f.before = func(w http.ResponseWriter, _ *http.Request, p *putRecords) bool { // one that is found by halving
		for _, r := range p.Records {
			if string(r.Data) == "poison" {
				fail(w, 400, "ValidationException", "1 validation error detected")
				return true
			}
		}
		return false
	}
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}}, house)
	events, want := keys(60, 600)
	large := leat.Event{ID: "large", PartitionKey: "key1", Data: make([]byte, 1<<20)}
	long := leat.Event{ID: "long", PartitionKey: strings.Repeat("é", 257), Data: []byte("long")}
	broken := leat.Event{ID: "broken", PartitionKey: "\xff", Data: []byte("broken")}
	broken.PartitionKey = string([]byte{0xff})
	poison := leat.Event{ID: "poison", PartitionKey: "key2", Data: []byte("poison")}
	events = slices.Insert(events, 300, large, long, broken, poison)
	put(t, e, "s", events...)
	drained(t, e)
	stop()
	check(t, f, want)
	refused := map[string]kinesis.Refused{}
	for _, r := range streamtest.ReadAll(t, house, "kinesis/refused/s", 0, stream.Oldest()) {
		var letter kinesis.Refused
		if err := json.Unmarshal(r.Data, &letter); err != nil {
			t.Fatal(err)
		}
		refused[letter.EventID] = letter
	}
	for id, why := range map[string]string{"large": "at most 1048576", "long": "256 characters", "broken": "UTF-8", "poison": "ValidationException"} {
		if got := refused[id]; !strings.Contains(got.Reason, why) || got.Source != "feed" {
			t.Errorf("%s: %q of %q", id, got.Reason, got.Source)
		}
	}
	if len(refused) != 4 || len(refused["large"].Data) != 1<<20 {
		t.Errorf("%d are refused", len(refused))
	}
	if s := e.Status()[0]; s.Counters.Refused != 4 || s.Records != 0 {
		t.Errorf("the status is %+v", s)
	}
}
