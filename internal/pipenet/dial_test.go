package pipenet_test

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/leatstream/leat/internal/pipenet"
)

func TestDialsAreRefused(t *testing.T) {
	n := pipenet.New()
	dial := func() error {
		c, err := n.DialContext(t.Context(), "tcp", "provider:80")
		if err == nil {
			c.Close()
		}
		return err
	}
	wantError(t, "without listener", dial(), syscall.ECONNREFUSED)
	l := n.Listen("provider:80")
	for _, addr := range []string{"provider:80", ""} {
		n.Refuse(addr)
		wantError(t, "after Refuse", dial(), syscall.ECONNREFUSED)
		n.Admit(addr)
		wantError(t, "after Admit", dial(), nil)
	}
	waiting, err := n.DialContext(t.Context(), "tcp", "provider:80")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = waiting.Read(make([]byte, 1))
	wantError(t, "never accepted", err, syscall.ECONNRESET)
	wantError(t, "after the listener is closed", dial(), syscall.ECONNREFUSED)
	_, err = l.Accept()
	wantError(t, "accept", err, net.ErrClosed)
	n.Listen("provider:80").Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = n.DialContext(ctx, "tcp", "provider:80")
	wantError(t, "with an ended context", err, context.Canceled)
}

func TestListenOnAnAddressInUsePanics(t *testing.T) {
	n := pipenet.New()
	defer n.Listen("provider:80").Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n.Listen("provider:80")
}

func TestConnsAreListedOldestFirst(t *testing.T) {
	n := pipenet.New()
	defer n.Listen("a:1").Close()
	defer n.Listen("b:1").Close()
	var ends []net.Conn
	for _, addr := range []string{"a:1", "b:1", "a:1"} {
		c, err := n.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, c)
	}
	open := n.Conns("a:1")
	if len(open) != 2 || open[0] != ends[0] || open[1] != ends[2] || len(n.Conns("")) != 3 {
		t.Errorf("got %v", open)
	}
	if _, _, err := net.SplitHostPort(ends[0].LocalAddr().String()); err != nil || ends[0].LocalAddr() == ends[1].LocalAddr() {
		t.Errorf("client address %v: %v", ends[0].LocalAddr(), err)
	}
}
