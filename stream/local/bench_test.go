package local

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// The benchmarks of this package put against a floor that is measured in the same run: a bare file, preallocated and filled with zeros, that is
// written and synced in the same pattern, with group commit. make bench prints the ratios.

const benchRecord = 200 // bytes of a payload

// benchEvents returns n messages as a provider of trades sends them: JSON of 200 bytes, some fields the same in all of them, some random.
func benchEvents(n int) []leat.Event {
	rng := rand.New(rand.NewPCG(7, 11))
	events := make([]leat.Event, n)
	for i := range events {
		symbol := fmt.Sprintf("SYM%03d-USD", rng.IntN(200))
		data := fmt.Appendf(nil, `{"type":"match","trade_id":%d,"maker":"%016x","taker":"%016x","side":"sell","size":"%.8f","price":"%.2f","product_id":"%s","time":"2026-11-21T09:15:%02d.%06dZ"}`,
			900_000_000+i, rng.Uint64(), rng.Uint64(), rng.Float64(), 1000*rng.Float64(), symbol, rng.IntN(60), rng.IntN(1_000_000))
		for len(data) < benchRecord {
			data = append(data, ' ')
		}
		events[i] = leat.Event{PartitionKey: symbol, Data: data[:benchRecord]}
	}
	return events
}

// benchDir is on the disk of the temporary directory, which must not be in memory if the figures are to mean anything.
func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("LEAT_BENCH_DIR"), "leat-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// writers runs n goroutines that call put until b has enough, and reports records a second.
func writers(b *testing.B, n, records int, put func(writer int) error) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(records * benchRecord))
	b.ResetTimer()
	start := time.Now()
	var group sync.WaitGroup
	for w := range n {
		group.Go(func() {
			for i := w; i < b.N; i += n {
				if err := put(w); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*records)/time.Since(start).Seconds(), "records/s")
}

var patterns = []struct{ writers, records int }{{1, 1}, {64, 1}, {1, 500}, {8, 100}, {8, 500}}

func BenchmarkCommit(b *testing.B) {
	for _, p := range patterns {
		b.Run(fmt.Sprintf("engine/%dx%d", p.writers, p.records), func(b *testing.B) {
			dir := benchDir(b)
			e, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			streamtest.Create(b, e, "s", 4)
			events := benchEvents(p.writers * p.records)
			before := diskBytes()
			writers(b, p.writers, p.records, func(w int) error {
				mine := events[w*p.records : (w+1)*p.records]
				_, err := e.Commit(b.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: mine}}})
				return err
			})
			m := e.db.Metrics()
			written := float64(m.WAL.BytesWritten)
			for i := range m.Levels {
				written += float64(m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted)
			}
			payload := float64(b.N * p.records * benchRecord)
			b.ReportMetric(written/payload, "disk-bytes/byte")
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(diskBytes()-before)/payload, "written-bytes/byte")
		})
		b.Run(fmt.Sprintf("floor/%dx%d", p.writers, p.records), func(b *testing.B) {
			f := newFloor(b, filepath.Join(benchDir(b), "floor"), floorSize)
			payloads := floorPayloads(p.writers, p.records)
			writers(b, p.writers, p.records, func(w int) error { return f.write(payloads[w]) })
		})
		b.Run(fmt.Sprintf("alone/%dx%d", p.writers, p.records), func(b *testing.B) {
			f := newFloor(b, filepath.Join(benchDir(b), "floor"), floorSize)
			payloads := floorPayloads(p.writers, p.records)
			var at atomic.Int64
			writers(b, p.writers, p.records, func(w int) error {
				n := int64(len(payloads[w]))
				if _, err := f.file.WriteAt(payloads[w], at.Add(n)%(floorSize-n)); err != nil {
					return err
				}
				return unix.Fdatasync(int(f.file.Fd()))
			})
		})
	}
}

// diskBytes is what this process has caused to be written to disks, as the kernel counts it; 0 where it does not say.
func diskBytes() (n int64) {
	text, _ := os.ReadFile("/proc/self/io")
	_, after, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	_, _ = fmt.Sscan(after, &n)
	return n
}

const floorSize = 512 << 20

// floorPayloads returns for each writer what a log would write of its records: the messages, and a few bytes for each.
func floorPayloads(writers, records int) [][]byte {
	payloads := make([][]byte, writers)
	for i, e := range benchEvents(writers * records) {
		w := i / records
		payloads[w] = append(append(payloads[w], e.PartitionKey...), 0, 0)
		payloads[w] = append(payloads[w], e.Data...)
	}
	return payloads
}

// floor is the least that any log must do: bytes behind one another in a file, a sync shared by those who wait. The other pattern, alone,
// writes the same and syncs for every put by itself.
type floor struct {
	file *os.File
	size int64

	mu      sync.Mutex
	pending []byte
	waiting []chan error
	at      int64
	busy    bool
}

func newFloor(b *testing.B, path string, size int64) *floor {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	zero := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := f.Write(zero); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &floor{file: f, size: size}
}

func (f *floor) write(p []byte) error {
	done := make(chan error, 1)
	f.mu.Lock()
	f.pending = append(f.pending, p...)
	f.waiting = append(f.waiting, done)
	lead := !f.busy
	f.busy = true
	f.mu.Unlock()
	if lead {
		f.lead()
	}
	return <-done
}

func (f *floor) lead() {
	var spare []byte
	for {
		f.mu.Lock()
		data, waiting := f.pending, f.waiting
		if len(waiting) == 0 {
			f.busy = false
			f.mu.Unlock()
			return
		}
		f.pending, f.waiting = spare[:0], nil
		f.mu.Unlock()
		if f.at+int64(len(data)) > f.size {
			f.at = 0
		}
		_, err := f.file.WriteAt(data, f.at)
		f.at += int64(len(data))
		if err == nil {
			err = unix.Fdatasync(int(f.file.Fd()))
		}
		for _, done := range waiting {
			done <- err
		}
		spare = data
	}
}

func BenchmarkRead(b *testing.B) {
	dir := benchDir(b)
	e, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	streamtest.Create(b, e, "s", 4)
	const total = 2_000_000
	events := benchEvents(500)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range total / 500 / 8 {
				if _, err := e.Commit(b.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: events}}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	read := 0
	for b.Loop() {
		for _, s := range streamtest.Shards(b, e, "s") {
			r, err := e.Read(b.Context(), "s", s.ID, stream.Oldest())
			if err != nil {
				b.Fatal(err)
			}
			for {
				batch, err := r.Next(b.Context(), stream.Limit{NoWait: true})
				if err != nil {
					b.Fatal(err)
				}
				if len(batch.Records) == 0 {
					break
				}
				read += len(batch.Records)
			}
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(read), "ns/record")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(read), "allocs/record")
}
