package tcp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/sourcetest"
	"github.com/leatstream/leat/source/tcp"
)

func secrets(texts ...string) (all []setting.Secret) {
	for _, text := range texts {
		all = append(all, setting.NewSecret(text))
	}
	return all
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Kit{
		Serve: serve,
		Source: func(n *pipenet.Network) source.Source {
			c := tcp.Config{Address: sourcetest.Address, MaxMessage: sourcetest.Limit, Send: secrets("LOGIN x", `{{cursor == "" ? "" : "FROM " + cursor}}`, "GO")}
			return &tcp.Source{Config: c, Dial: n.DialContext}
		},
		Cursor: "$GPRMC,7*00",
	})
}

// serve plays on connections behind what the client says first.
func serve(ctx context.Context, n *pipenet.Network, play sourcetest.Play) error {
	l := n.Listen(sourcetest.Address)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		all.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			serveOne(ctx, c, play)
		})
	}
}

func serveOne(ctx context.Context, c net.Conn, play sourcetest.Play) {
	defer c.Close()
	said := bufio.NewReader(c)
	cursor := ""
	for {
		line, err := said.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		if from, ok := strings.CutPrefix(line, "FROM "); ok {
			cursor = from
		}
		if line == "GO" {
			break
		}
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, said)
	}()
	write := func(text string) error {
		_, err := io.WriteString(c, text)
		return err
	}
	play(&sourcetest.Player{
		Event:  func(text string) error { return write(text + "\r\n") },
		Alive:  func() error { return write("\r\n") },
		End:    func() { _ = c.Close() },
		Break:  func() { c.(*pipenet.Conn).Cut() },
		Gone:   gone,
		Cursor: cursor,
	})
	select {
	case <-gone:
	case <-ctx.Done():
	}
	_ = c.Close()
	<-gone
}

func TestAnEndInsideOfALineIsNoGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		l := n.Listen("feed:1")
		go func() {
			c, _ := l.Accept()
			_, _ = io.WriteString(c, "one\ntw")
			_ = c.Close()
		}()
		c, err := (&tcp.Source{Config: tcp.Config{Address: "feed:1"}, Dial: n.DialContext}).Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if events, err := c.Next(t.Context()); len(events) != 1 || string(events[0].Data) != "one" {
			t.Errorf("got %q, %v", events, err)
		}
		var end *source.EndError
		if events, err := c.Next(t.Context()); !errors.As(err, &end) || end.Kind != source.EndRead {
			t.Errorf("got %q, %v", events, err)
		}
		_ = c.Close()
		_ = l.Close()
	})
}

func TestSilenceEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		l := n.Listen("feed:1")
		defer l.Close()
		c, err := (&tcp.Source{Config: tcp.Config{Address: "feed:1", Silence: 30 * time.Second}, Dial: n.DialContext}).Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		var end *source.EndError
		if _, err := c.Next(t.Context()); !errors.As(err, &end) || end.Kind != source.EndStall || time.Since(begun) != 30*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

// The certificate of the provider must be good; that of a test is not.
func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	server.TLS.MinVersion = tls.VersionTLS12
	_, err := (&tcp.Source{Config: tcp.Config{Address: server.Listener.Addr().String(), TLS: true}}).Open(t.Context(), "")
	var certificate *tls.CertificateVerificationError
	if !errors.As(err, &certificate) {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []tcp.Config{{Address: "host"}, {Address: ":1"}, {Address: "host:1", Send: secrets("hunter2 {{")}} {
		if err := c.Check(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
	c := tcp.Config{Address: "host:1", Send: secrets("a {{cursor}}")}
	if err := c.Check(); err != nil || !c.UsesCursor() {
		t.Errorf("got %v", err)
	}
}

// What a source finds out before it connects stands in its address and in what it sends.
func TestHostAndTokenAreFoundOutAtEveryAttempt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		l := n.Listen("b:1")
		heard := make(chan string, 1)
		go func() {
			c, _ := l.Accept()
			line, _ := bufio.NewReader(c).ReadString('\n')
			heard <- line
			_ = c.Close()
		}()
		config := tcp.Config{
			Address: "{{host}}:1", Send: secrets("LOGIN {{token}} {{unix()}}"),
			Before: source.Before{Hosts: []string{"a", "b"}, Credentials: &source.Credentials{File: file}},
		}
		if err := errors.Join(config.Check(), config.Before.Check()); err != nil {
			t.Fatal(err)
		}
		s := &tcp.Source{Config: config, Dial: n.DialContext}
		if _, err := s.Open(t.Context(), ""); err == nil {
			t.Error("the first host is there")
		}
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if line := <-heard; line != "LOGIN hunter2 946684800\r\n" {
			t.Errorf("heard %q", line)
		}
		_ = c.Close()
		time.Sleep(time.Minute)
	})
	for _, c := range []tcp.Config{{Address: "{{host}}:1"}, {Address: "a:1", Send: secrets("{{token}}")}, {Address: "a:1", Send: secrets("{{nothing}}")}} {
		if c.Check() == nil {
			t.Errorf("%s is taken", c.Address)
		}
	}
}
