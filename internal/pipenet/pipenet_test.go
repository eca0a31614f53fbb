package pipenet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/pipenet"
)

// pair returns the two ends of one connection.
func pair(t *testing.T, n *pipenet.Network) (client, server *pipenet.Conn) {
	t.Helper()
	l := n.Listen("provider:80")
	defer l.Close()
	dialed, err := n.DialContext(t.Context(), "tcp", "provider:80")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialed.(*pipenet.Conn), accepted.(*pipenet.Conn)
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestWhatWasWrittenBeforeCloseIsReadThenEOF(t *testing.T) {
	client, server := pair(t, pipenet.New())
	if _, err := client.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(server)
	if err != nil || string(got) != "last words" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = server.Write([]byte("x"))
	wantError(t, "write to a closed peer", err, syscall.EPIPE)
	_, err = client.Read(make([]byte, 1))
	wantError(t, "read after own close", err, net.ErrClosed)
	_, err = client.Write([]byte("x"))
	wantError(t, "write after own close", err, net.ErrClosed)
	wantError(t, "second close", client.Close(), net.ErrClosed)
}

func TestCloseWriteLeavesTheOtherDirection(t *testing.T) {
	client, server := pair(t, pipenet.New())
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	if _, err := server.Write([]byte("yet")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "yet" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWriteWaitsForRoomAndKeepsEachWriteWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, &pipenet.Network{Buffer: 7})
		const each, writers = 1000, 4
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				if _, err := client.Write(bytes.Repeat([]byte{byte(w)}, each)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // the buffer is full: all of them wait
		buf := make([]byte, each)
		for range writers {
			if _, err := io.ReadFull(server, buf); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(buf, buf[:1]); n != each {
				t.Errorf("writes are mixed: %d of %d bytes are of the first writer", n, each)
			}
		}
		all.Wait()
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, &pipenet.Network{Buffer: 10})
		start := time.Now()
		client.SetReadDeadline(start.Add(time.Hour))
		_, err := client.Read(make([]byte, 1))
		wantError(t, "read", err, os.ErrDeadlineExceeded)
		if nerr, ok := err.(net.Error); !ok || !nerr.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		if waited := time.Since(start); waited != time.Hour {
			t.Errorf("waited %v, want 1h", waited)
		}
		client.SetDeadline(time.Now().Add(time.Minute))
		n, err := client.Write(make([]byte, 11))
		wantError(t, "write", err, os.ErrDeadlineExceeded)
		if n != 10 {
			t.Errorf("wrote %d bytes, want the 10 that fit", n)
		}
		server.Write([]byte("a"))
		client.SetReadDeadline(time.Unix(1, 0))
		_, err = client.Read(make([]byte, 1))
		wantError(t, "read with a deadline in the past", err, os.ErrDeadlineExceeded)
		client.SetReadDeadline(time.Time{})
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Errorf("read without deadline: %v", err)
		}
	})
}

func TestDeadlineSetWhileReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, pipenet.New())
		client.SetReadDeadline(time.Now().Add(time.Second))
		done := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		client.SetReadDeadline(time.Now().Add(time.Hour))
		time.Sleep(time.Minute)
		client.SetReadDeadline(time.Now())
		wantError(t, "read", <-done, os.ErrDeadlineExceeded)
	})
}

func TestCutLosesWhatWasNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipenet.Network{Buffer: 8}
		client, server := pair(t, n)
		server.Write([]byte("lost"))
		blocked := make(chan error)
		go func() {
			_, err := client.Write(make([]byte, 9))
			blocked <- err
		}()
		synctest.Wait()
		if cut := n.Cut("provider:80"); cut != 1 {
			t.Errorf("cut %d connections, want 1", cut)
		}
		wantError(t, "write that waited", <-blocked, syscall.EPIPE)
		for name, end := range map[string]net.Conn{"client": client, "server": server} {
			_, err := end.Read(make([]byte, 1))
			wantError(t, name+" read", err, syscall.ECONNRESET)
			_, err = end.Write([]byte("x"))
			wantError(t, name+" write", err, syscall.EPIPE)
			end.Close()
		}
		if open := n.Conns(""); len(open) != 0 {
			t.Errorf("%d connections are open", len(open))
		}
	})
}

func TestSetLinger0MakesCloseACut(t *testing.T) {
	client, server := pair(t, pipenet.New())
	server.Write([]byte("lost"))
	server.SetLinger(0)
	server.Close()
	_, err := client.Read(make([]byte, 1))
	wantError(t, "read", err, syscall.ECONNRESET)
}

func TestSilenceTellsNobodyAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipenet.Network{Buffer: 8}
		client, server := pair(t, n)
		server.Write([]byte("held"))
		if silenced := n.Silence(""); silenced != 1 {
			t.Errorf("silenced %d connections, want 1", silenced)
		}
		client.SetDeadline(time.Now().Add(24 * time.Hour))
		_, err := client.Read(make([]byte, 1))
		wantError(t, "read", err, os.ErrDeadlineExceeded)
		server.Close()
		client.SetDeadline(time.Now().Add(time.Hour))
		if _, err := client.Write(make([]byte, 8)); err != nil {
			t.Errorf("write into the buffer: %v", err)
		}
		_, err = client.Write([]byte("x"))
		wantError(t, "write into a full buffer", err, os.ErrDeadlineExceeded)
		_, err = client.Read(make([]byte, 1))
		wantError(t, "read after the other end has closed", err, os.ErrDeadlineExceeded)
		client.Close()
		if open := n.Conns(""); len(open) != 0 {
			t.Errorf("%d connections are open", len(open))
		}
	})
}
