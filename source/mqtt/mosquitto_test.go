//nolint:misspell // a broker is called Mosquitto
package mqtt_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	five "github.com/eclipse/paho.golang/packets"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/mqtt"
)

// daemon is a broker that runs: Mosquitto.
type daemon struct{ socket string }

// startDaemon runs one until the test ends, or skips the test.
func startDaemon(t *testing.T) *daemon {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if program = "/usr/sbin/mosquitto"; !exists(program) {
			if os.Getenv("LEAT_TEST_ALL") == "1" {
				t.Fatal("LEAT_TEST_ALL=1, but mosquitto is not installed")
			}
			t.Skip("mosquitto is not installed; .ci/prepare installs it")
		}
	}
	dir, err := os.MkdirTemp("", "leat") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &daemon{socket: filepath.Join(dir, "s")}
	settings := fmt.Sprintf("listener 0 %s\nallow_anonymous true\npersistence false\nuser root\n", m.socket)
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-v", "-c", file)
	out, err := cmd.StderrPipe()
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
	said := bufio.NewScanner(out)
	var all strings.Builder
	for said.Scan() {
		all.WriteString(said.Text() + "\n")
		if strings.HasSuffix(said.Text(), " running") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return m
		}
	}
	t.Fatalf("mosquitto did not start:\n%s", all.String())
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// Dial is for a Source.
func (m *daemon) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", m.socket)
}

// publish returns when the broker has taken the messages.
func (m *daemon) publish(t *testing.T, retain bool, texts ...string) {
	t.Helper()
	c, err := m.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	connect := five.NewControlPacket(five.CONNECT)
	*connect.Content.(*five.Connect) = five.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "publisher", CleanStart: true, Properties: &five.Properties{}}
	if _, err := connect.WriteTo(c); err != nil {
		t.Fatal(err)
	}
	if _, err := five.ReadPacket(c); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		p := five.NewControlPacket(five.PUBLISH)
		*p.Content.(*five.Publish) = five.Publish{Topic: "a/" + strings.Fields(text + " x")[0][:1], PacketID: uint16(i + 1), QoS: 1, Retain: retain, Payload: []byte(text), Properties: &five.Properties{}}
		if _, err := p.WriteTo(c); err != nil {
			t.Fatal(err)
		}
		if _, err := five.ReadPacket(c); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = c.Write([]byte{0xe0, 0})
}

// next reads so many events.
func next(t *testing.T, c source.Conn, want int) (texts []string) {
	t.Helper()
	for len(texts) < want {
		events, err := c.Next(t.Context())
		if err != nil {
			t.Fatalf("after %q: %v", texts, err)
		}
		for _, e := range events {
			texts = append(texts, string(e.Data))
		}
	}
	return texts
}

func wantTexts(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMosquittoKeepsWhatIsNotDurable(t *testing.T) {
	for _, version := range []string{"5", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			m := startDaemon(t)
			s := &mqtt.Source{Config: config(version), Dial: m.Dial}
			open := func(continues bool) source.Conn {
				t.Helper()
				c, err := s.Open(t.Context(), leat.Cursor(""))
				if err != nil {
					t.Fatal(err)
				}
				if does, known := c.(source.Continuer).Continues(); does != continues || !known {
					t.Errorf("goes on: %v, %v", does, known)
				}
				return c
			}
			c := open(false)
			m.publish(t, false, "1") // of several the first would be done with when the second is asked for
			wantTexts(t, next(t, c, 1), "1")
			_ = c.Close() // before it is durable, as far as the connection knows
			m.publish(t, false, "2", "3")
			c = open(true)
			wantTexts(t, next(t, c, 3), "1", "2", "3")
			done, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = c.Next(done) // now they are
			_ = c.Close()
			m.publish(t, false, "5", "6")
			c = open(true)
			wantTexts(t, next(t, c, 2), "5", "6")
			_ = c.Close()
		})
	}
}

func TestMosquittoAnswersPingsAndManyMessages(t *testing.T) {
	m := startDaemon(t)
	s := &mqtt.Source{Config: config("5"), Dial: m.Dial}
	c, err := s.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var texts []string
	for i := range 500 {
		texts = append(texts, fmt.Sprintf(`{"n":%d}`, i))
	}
	m.publish(t, false, texts...)
	wantTexts(t, next(t, c, len(texts)), texts...)
}

func TestMosquittoSendsRetainedMessages(t *testing.T) {
	for _, c := range []struct {
		version, retained string
		first, second     bool
	}{{"5", "new", true, false}, {"5", "all", true, true}, {"5", "none", false, false}, {"3.1.1", "new", true, false}, {"3.1.1", "all", true, true}, {"3.1.1", "none", false, false}} {
		t.Run(c.version+" "+c.retained, func(t *testing.T) {
			m := startDaemon(t)
			m.publish(t, true, "old")
			config := config(c.version)
			config.Retained, config.Envelope = c.retained, true
			s := &mqtt.Source{Config: config, Dial: m.Dial}
			for i, old := range []bool{c.first, c.second} {
				conn, err := s.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				m.publish(t, false, "new")
				want := []string{`{"topic":"a/n","data":"new"}`}
				if old {
					want = append([]string{`{"topic":"a/o","data":"old"}`}, want...)
				}
				wantTexts(t, next(t, conn, len(want)), want...)
				done, cancel := context.WithCancel(t.Context())
				cancel()
				_, _ = conn.Next(done)
				_ = conn.Close()
				if t.Failed() {
					t.Fatalf("at connection %d", i)
				}
			}
		})
	}
}
