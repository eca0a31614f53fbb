package kinesis

import (
	"context"
	"fmt"
	"time"

	"github.com/leatstream/leat/stream"
)

// backlog counts what the spool holds that Kinesis has not taken: keys and payloads.
type backlog struct {
	guess  amount // of what was there when the spool was opened, until it is read
	unread amount // stored since then and not read yet
	window amount // read and not done
	total  int64  // bytes stored since the spool was opened
	exact  bool   // guess is over
}

type amount struct{ bytes, records int64 }

func (a *amount) add(bytes, records int) {
	a.bytes += int64(bytes)
	a.records += int64(records)
}

func (b *backlog) all() amount {
	return amount{b.guess.bytes + b.unread.bytes + b.window.bytes, b.guess.records + b.unread.records + b.window.records}
}

func (b *backlog) stored(bytes, records int) {
	b.unread.add(bytes, records)
	b.total += int64(bytes)
}

func (b *backlog) read(bytes int) {
	from := &b.unread
	if !b.exact {
		from = &b.guess
	}
	from.add(-bytes, -1)
	b.window.add(bytes, 1)
}

func (b *backlog) done(bytes int) { b.window.add(-bytes, -1) }

// known tells that all that was there when the spool was opened is in the window.
func (b *backlog) known() { b.guess, b.exact = amount{}, true }

// admit waits until there is room in the spool, and takes it.
func (f *forwarder) admit(ctx context.Context, bytes, records int) error {
	for {
		f.mu.Lock()
		select {
		case <-f.gone:
			f.mu.Unlock()
			return fmt.Errorf("put into %q: %w: it was deleted", f.name, stream.ErrNoStream)
		default:
		}
		there := f.backlog.all().bytes
		if there <= 0 || there+int64(bytes) <= int64(f.e.config.Spool) {
			f.backlog.stored(bytes, records)
			f.counters.Received += int64(records)
			short := 2*f.extent() > f.keep
			f.mu.Unlock()
			if !short {
				return nil
			}
			if err := f.fitRetention(ctx); err != nil {
				f.giveBack(bytes, records)
				return err
			}
			return nil
		}
		if f.freed == nil {
			f.freed = make(chan struct{})
		}
		freed := f.freed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.gone:
		case <-freed:
		}
	}
}

// giveBack tells that what was admitted was not stored.
func (f *forwarder) giveBack(bytes, records int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backlog.stored(-bytes, -records)
	f.counters.Received -= int64(records)
	f.free()
}

// free wakes whoever waits for room in the spool. The caller holds mu.
func (f *forwarder) free() {
	if f.freed != nil {
		close(f.freed)
		f.freed = nil
	}
}

// extent is how many bytes of the spool lie behind the first record that is not forwarded, forwarded or not: what the house must not
// remove. The caller holds mu.
func (f *forwarder) extent() int64 { return f.backlog.guess.bytes + f.backlog.unread.bytes + f.held }

// leastKeep is what a spool keeps at least, forwarded or not.
const leastKeep = 64 << 20

// sample says how many bytes were stored up to a time.
type sample struct {
	at    time.Time
	total int64
}

// fitRetention sees to it that the house removes nothing from the spool that is not forwarded, and nothing whose identity may be asked
// for. It counts in bytes and not in time: no clock can then cost an event.
func (f *forwarder) fitRetention(ctx context.Context) error {
	f.keeping.Lock()
	defer f.keeping.Unlock()
	now := time.Now()
	f.mu.Lock()
	there, keep, total := f.extent(), f.keep, f.backlog.total
	f.mu.Unlock()
	if n := len(f.samples); n == 0 || now.Sub(f.samples[n-1].at) >= max(time.Second, f.e.config.Remember/64) {
		f.samples = append(f.samples, sample{now, total})
	}
	for len(f.samples) > 1 && now.Sub(f.samples[1].at) > f.e.config.Remember {
		f.samples = f.samples[1:]
	}
	first := f.samples[0]
	want := leastKeep + 2*there + 2*(total-first.total)
	steady := now.Sub(f.opened) > f.e.config.Remember+time.Minute // what was there before has been forwarded long ago
	switch {
	case keep < want:
		want *= 2
	case steady && keep > 8*want:
		want *= 4
	default:
		return nil
	}
	if err := f.e.house.SetRetention(ctx, f.spool, stream.Retention{Bytes: want}); err != nil {
		return fmt.Errorf("keep the spool of stream %q: %w", f.name, err)
	}
	f.mu.Lock()
	f.keep = want
	f.mu.Unlock()
	return nil
}
