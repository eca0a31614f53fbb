package kinesisapi_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/kinesisapi"
)

// More connections than are taken wait until one ends, and that is told.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		network := pipenet.New()
		l := kinesisapi.Bound(network.Listen("kinesis:80"), 2, slog.New(slog.NewTextHandler(&log, nil)))
		accepted := make(chan net.Conn, 3)
		ended := make(chan error, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				accepted <- c
			}
		}()
		for range 3 {
			go func() { _, _ = network.DialContext(t.Context(), "tcp", "kinesis:80") }()
		}
		synctest.Wait()
		if n := len(accepted); n != 2 || !strings.Contains(log.String(), "connections=2") {
			t.Errorf("%d are open; log %q", n, log.String())
		}
		first := <-accepted
		first.Close()
		first.Close() // as net/http may do
		synctest.Wait()
		if n := len(accepted); n != 2 {
			t.Errorf("%d are open after one has ended", n)
		}
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed listener: %v", err)
		}
		for len(accepted) > 0 {
			(<-accepted).Close()
		}
	})
}
