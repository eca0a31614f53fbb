package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/sink"
)

func TestADestinationToBeMendedIsToldOfNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 20)
		broken := func(leat.Batch) error { return sink.Halt(errors.New("no such table")) }
		s := &table{fail: broken}
		var log bytes.Buffer
		c := r.consumer(s, func(c *consumer.Consumer) {
			c.Settings.MaxBackoff = time.Second
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		lines := func() int { return strings.Count(log.String(), "must be mended") }
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := lines(); n < 9 || n > 10 {
			t.Errorf("%d lines in 5 minutes", n)
		}
		s.setFail(nil)
		time.Sleep(10 * time.Second)
		s.setFail(broken)
		synctest.Wait()
		before := lines()
		r.put(20, 40)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := lines() - before; n != 1 {
			t.Errorf("%d lines when it is broken again", n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
