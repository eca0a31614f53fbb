package kinesis_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
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

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines that contain a text.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// virtualFake serves f in a bubble of virtual time, and returns an engine over it.
func virtualFake(t *testing.T, f *fake, c kinesis.Config) (e *kinesis.Engine, house *local.Engine, stop func()) {
	net := pipenet.New()
	server := &http.Server{Handler: f}
	go server.Serve(net.Listen("kinesis:80"))
	transport := &http.Transport{DialContext: net.DialContext, MaxIdleConnsPerHost: 64}
	house = openHouse(t, vfs.NewMem())
	c.Endpoint, c.Transport, c.Streams = "http://kinesis:80", transport, []string{f.name}
	e, over := start(t, c, house)
	return e, house, func() {
		over()
		house.Close()
		transport.CloseIdleConnections()
		server.Close()
		synctest.Wait()
	}
}

// An outage of a day is told of when it begins, now and then, and when it is over, and not with every attempt.
func TestAnOutageIsToldOfNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newFake("s", 1), &lines{}
		var down atomic.Bool
		f.before = func(w http.ResponseWriter, _ *http.Request, _ *putRecords) bool {
			if down.Load() {
				fail(w, 500, "InternalFailure", "for the test")
			}
			return down.Load()
		}
		e, _, stop := virtualFake(t, f, kinesis.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
		defer stop()
		event := leat.Event{PartitionKey: "k", Data: []byte("x")}
		down.Store(true)
		put(t, e, "s", event)
		time.Sleep(24 * time.Hour)
		if s := e.Status()[0]; s.State != kinesis.Failing || s.Counters.Requests < 1000 {
			t.Errorf("status %+v", s)
		}
		if n := len(log.with("does not take records; they wait")); n != 1 {
			t.Errorf("its beginning was told of %d times", n)
		}
		if n := len(log.with("still does not take records")); n < 20 || n > 32 {
			t.Errorf("it was told of %d times in between", n)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		again := log.with("takes records again")
		if len(again) != 1 || !strings.Contains(again[0], "after=24h") || !strings.Contains(again[0], "failures=") {
			t.Errorf("its end was told as %q", again)
		}
		for range 100 { // a service that comes and goes
			down.Store(true)
			put(t, e, "s", event)
			time.Sleep(time.Second)
			down.Store(false)
			time.Sleep(time.Minute)
		}
		if n := len(log.with("Kinesis")); n > 40 {
			t.Errorf("%d lines: %q", n, log.with("Kinesis"))
		}
	})
}

// Where every record is refused for itself, the service is what is wrong: nothing becomes a letter, and all of it arrives once it is mended.
func TestAServiceThatRefusesEverythingGetsEverythingLater(t *testing.T) {
	for _, burst := range []int{1000, 1} {
		t.Run(fmt.Sprint(burst), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("s", 2)
				var wrong atomic.Bool
				wrong.Store(true)
				f.before = func(w http.ResponseWriter, _ *http.Request, _ *putRecords) bool {
					if wrong.Load() {
						fail(w, 400, "ValidationException", "1 validation error detected")
					}
					return wrong.Load()
				}
				e, house, stop := virtualFake(t, f, kinesis.Config{Wait: time.Millisecond})
				defer stop()
				events, want := keys(200, 2000)
				for i := 0; i < len(events); i += burst {
					put(t, e, "s", events[i:i+burst]...)
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Hour)
				s := e.Status()[0]
				if s.State != kinesis.Failing || !strings.Contains(s.Reason, "every record is refused") || !strings.Contains(s.Reason, "ValidationException") {
					t.Errorf("status %+v", s)
				}
				letters := len(streamtest.ReadAll(t, house, "kinesis/refused/s", 0, stream.Oldest()))
				if letters > 100 || burst > 1 && letters > 0 {
					t.Errorf("%d letters", letters)
				}
				wrong.Store(false)
				time.Sleep(time.Hour)
				if s := e.Status()[0]; s.Records != 0 || s.State != kinesis.Forwarding {
					t.Errorf("status %+v", s)
				}
				if burst > 1 {
					check(t, f, want)
				} else if n := f.count(); n+letters != 2000 {
					t.Errorf("%d records and %d letters", n, letters)
				}
			})
		})
	}
}

// A connection that is refused has sent nothing: no event may be there twice.
func TestARefusedConnectionLeavesNothingUnknown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	server := &http.Server{Handler: newFake("s", 1)}
	go server.Serve(l)
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: url, Streams: []string{"s"}, Wait: time.Millisecond}, house)
	defer stop()
	put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("x")})
	drained(t, e)
	server.Close()
	put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("x")})
	for e.Status()[0].Counters.Errors["unreachable"] == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing was refused")
		}
		time.Sleep(time.Millisecond)
	}
	if s := e.Status()[0]; s.Counters.Unknown > s.Counters.Errors["lost"] { // the first attempt may have met the end of a connection
		t.Errorf("counted %+v", s.Counters)
	}
}

// However many records Kinesis refuses in a row: the good ones among and behind them arrive soon, nothing is lost, and the log stays short.
func TestManyBadRecordsHoldUpNoGoodOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newFake("s", 2), &lines{}
		f.before = func(w http.ResponseWriter, _ *http.Request, put *putRecords) bool {
			bad := slices.ContainsFunc(put.Records, func(r struct {
				Data            []byte
				PartitionKey    string
				ExplicitHashKey string
			},
			) bool {
				return strings.HasPrefix(string(r.Data), "bad")
			})
			if bad {
				fail(w, 400, "ValidationException", "1 validation error detected")
			}
			return bad
		}
		e, house, stop := virtualFake(t, f, kinesis.Config{Wait: time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
		defer stop()
		var bad []leat.Event
		for i := range 1000 {
			bad = append(bad, leat.Event{PartitionKey: fmt.Sprint("bad", i), Data: fmt.Append(nil, "bad ", i)})
		}
		put(t, e, "s", bad...)
		events, want := keys(50, 600)
		for i := range events {
			put(t, e, "s", events[i])
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		check(t, f, want)
		events, _ = keys(50, 3600)
		for i := range events { // each that is taken tells what is wrong with some others
			put(t, e, "s", events[i])
			time.Sleep(time.Second)
		}
		s := e.Status()[0]
		if s.Records != 0 || s.State != kinesis.Forwarding || s.Counters.Refused != 1000 {
			t.Errorf("status %+v", s)
		}
		if n := len(streamtest.ReadAll(t, house, "kinesis/refused/s", 0, stream.Oldest())); n != 1000 {
			t.Errorf("%d letters", n)
		}
		if n := len(log.with("Kinesis")); n > 150 {
			t.Errorf("%d lines: %.2000q", n, log.with("Kinesis"))
		}
	})
}

// Kinesis may answer well and take nothing, record by record. That is an outage as every other.
func TestAnswersThatTakeNothingAreAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := newFake("s", 2), &lines{}
		var down atomic.Bool
		down.Store(true)
		f.code = func(int, int) string {
			if down.Load() {
				return "InternalFailure"
			}
			return ""
		}
		e, _, stop := virtualFake(t, f, kinesis.Config{Wait: time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
		defer stop()
		events, want := keys(50, 600)
		put(t, e, "s", events...)
		time.Sleep(time.Hour)
		if s := e.Status()[0]; s.State != kinesis.Failing || !strings.Contains(s.Reason, "InternalFailure") {
			t.Errorf("status %+v", s)
		}
		if n := len(log.with("take records")); n == 0 || n > 10 {
			t.Errorf("%d lines: %q", n, log.with("take records"))
		}
		down.Store(false)
		time.Sleep(time.Minute)
		if s := e.Status()[0]; s.State != kinesis.Forwarding || s.Records != 0 {
			t.Errorf("status %+v", s)
		}
		check(t, f, want)
	})
}
