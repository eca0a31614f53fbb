package httpstream_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/httpstream"
)

const secret = "hunter2hunter2"

// with runs f in a bubble where h is served at feed:80, and closes whatever f opens.
func with(t *testing.T, h http.HandlerFunc, f func(t *testing.T, n *pipenet.Network, s *httpstream.Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		serve80(t, n, "feed:80", h)
		c := httpstream.Config{MaxMessage: 1 << 10}
		c.URL = expression.MustParseTemplate("http://feed/stream?token=" + secret)
		f(t, n, &httpstream.Source{Config: c, Dial: n.DialContext})
		time.Sleep(time.Minute) // connections that are kept close
	})
}

func serve80(t *testing.T, n *pipenet.Network, address string, h http.Handler) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	served, listener := make(chan error, 1), n.Listen(address)
	go func() { served <- provider.Serve(ctx, listener, h) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// read opens a connection and reads it to its end.
func read(t *testing.T, s source.Source, after leat.Cursor) (texts []string, err error) {
	t.Helper()
	c, err := s.Open(t.Context(), after)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for {
		events, err := c.Next(t.Context())
		if err != nil {
			return texts, err
		}
		for _, e := range events {
			texts = append(texts, string(e.Data))
		}
	}
}

func TestARefusalTellsStatusReasonAndRetryAfter(t *testing.T) {
	with(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "too many\nconnections"+strings.Repeat("x", 1000))
	}, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
		_, err := read(t, s, "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Kind != source.EndHTTP || end.Code != 429 || end.RetryAfter != 17*time.Second || !strings.HasPrefix(end.Reason, "too many connections") || len(end.Reason) > 300 {
			t.Errorf("got %+v", err)
		}
	})
}

func TestCompressedAnswersAreRead(t *testing.T) {
	compressors := map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"DEFLATE": func(w io.Writer) io.WriteCloser {
			f, _ := flate.NewWriter(w, 5)
			return f
		},
	}
	for name, compress := range compressors {
		with(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip, deflate" {
				t.Errorf("offered %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", name)
			c := compress(w)
			_, _ = io.WriteString(c, "1\n2\n"+strings.Repeat("0", 10<<20)+"\n3")
			_ = c.Close()
		}, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
			c, err := s.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if events, err := c.Next(t.Context()); len(events) != 2 {
				t.Errorf("%s: got %q, %v", name, events, err)
			}
			var skip *source.SkipError
			if _, err := c.Next(t.Context()); !errors.As(err, &skip) || skip.Bytes != 10<<20+1 {
				t.Errorf("%s: got %v", name, err)
			}
			if events, err := c.Next(t.Context()); len(events) != 1 || string(events[0].Data) != "3" {
				t.Errorf("%s: got %q, %v", name, events, err)
			}
		})
	}
}

// A small event must not wait for more of a compressed stream.
func TestCompressedEventsComeAtOnce(t *testing.T) {
	with(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		c := gzip.NewWriter(w)
		_, _ = io.WriteString(c, "1\n")
		_ = c.Flush()
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		if events, err := c.Next(t.Context()); len(events) != 1 || err != nil || time.Since(begun) > time.Second {
			t.Errorf("got %q, %v after %v", events, err, time.Since(begun))
		}
	})
}

func TestSilenceEndsTheConnectionAndKeepAlivesDoNot(t *testing.T) {
	with(t, func(w http.ResponseWriter, r *http.Request) {
		for range 10 {
			_, _ = io.WriteString(w, "\r\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Second)
		}
		<-r.Context().Done()
	}, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
		s.Config.Silence = 30 * time.Second
		begun := time.Now()
		_, err := read(t, s, "")
		var end *source.EndError
		if lived := time.Since(begun); !errors.As(err, &end) || end.Kind != source.EndStall || lived != 210*time.Second {
			t.Errorf("got %v after %v", err, lived)
		}
	})
}

func TestTheRequestIsWhatTheSettingsSay(t *testing.T) {
	got := make(chan *http.Request, 2)
	bodies := make(chan string, 2)
	with(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r
		bodies <- string(body)
	}, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
		s.Config.Headers = map[string]setting.Secret{"X-Key": setting.NewSecret(secret), "X-From": setting.NewSecret("{{cursor}}")}
		s.Config.Query = map[string]expression.Template{"since": expression.MustParseTemplate("{{cursor}}")}
		if err := s.Config.Body.UnmarshalValue(map[string]any{"from": "{{cursor}}"}); err != nil {
			t.Fatal(err)
		}
		if !s.Config.UsesCursor() {
			t.Error("does not use the cursor")
		}
		for _, after := range []leat.Cursor{"", "a&b"} {
			_, err := read(t, s, after)
			var end *source.EndError
			if !errors.As(err, &end) || end.Kind != source.EndClose {
				t.Errorf("got %v", err)
			}
			r, body := <-got, <-bodies
			_, from := r.Header["X-From"]
			if r.Method != "POST" || r.Header.Get("X-Key") != secret || r.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(r.UserAgent(), "leat/") ||
				body != `{"from":"`+string(after)+`"}` || r.URL.Query().Has("since") != (after != "") || r.URL.Query().Get("since") != string(after) || from != (after != "") {
				t.Errorf("got %s %v %v %q", r.Method, r.URL, r.Header, body)
			}
		}
	})
}

func TestHeadersGoToNoOtherHost(t *testing.T) {
	with(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://other/", http.StatusTemporaryRedirect)
	}, func(t *testing.T, n *pipenet.Network, s *httpstream.Source) {
		serve80(t, n, "other:80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") }))
		_, err := read(t, s, "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Kind != source.EndDial || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	})
}

func TestABrokenValueEndsTheConnection(t *testing.T) {
	for framing, text := range map[string]string{"json": "{}\n}", "length": "x\n", "varint": strings.Repeat("\xff", 12)} {
		with(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
			s.Config.Framing = framing
			_, err := read(t, s, "")
			var end *source.EndError
			if !errors.As(err, &end) || end.Kind != source.EndProtocol {
				t.Errorf("%s: got %v", framing, err)
			}
		})
	}
}

func TestAnEndInsideOfAMessageIsNoGoodbye(t *testing.T) {
	for framing, text := range map[string]string{"json": `{} {"a":`, "length": "7\r\nabc", "length32": "\x00\x00", "ndjson": ""} {
		with(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
			s.Config.Framing = framing
			_, err := read(t, s, "")
			var end *source.EndError
			if !errors.As(err, &end) || (end.Kind == source.EndClose) != (text == "") {
				t.Errorf("%s: got %v", framing, err)
			}
		})
	}
}

func TestJSONValuesBehindEachOther(t *testing.T) {
	const text = ` {"a":"}\"{"}[1,[2]]` + "\n\n" + `"x\\" 12 true{"b":{}}null`
	want := []string{`{"a":"}\"{"}`, `[1,[2]]`, `"x\\"`, "12", "true", `{"b":{}}`, "null"}
	with(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }, func(t *testing.T, _ *pipenet.Network, s *httpstream.Source) {
		s.Config.Framing = "json"
		if got, err := read(t, s, ""); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestCheckRepeatsNoSecrets(t *testing.T) {
	for _, url := range []string{"ws://h/?token=" + secret, "http://h:x/?token=" + secret, secret + "://h/", "https://?token=" + secret} {
		var c httpstream.Config
		c.URL = expression.MustParseTemplate(url)
		if err := c.Check(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
	var c httpstream.Config
	c.URL = expression.MustParseTemplate("https://h/")
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	c.Headers = map[string]setting.Secret{"X": setting.NewSecret(secret + "{{")}
	if err := c.Check(); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}

// pieces is a reader that returns a text in pieces.
type pieces struct {
	text []byte
	cut  []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := len(p.text)
	if len(p.cut) > 0 {
		n, p.cut = min(n, int(p.cut[0])+1), append(p.cut[1:], p.cut[0])
	}
	n = copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}

// However a stream is cut into pieces, the messages are the same.
func FuzzFraming(f *testing.F) {
	f.Add(uint8(0), []byte("{}\n\r\n1\r\n2"), []byte{0})
	f.Add(uint8(1), []byte(`{"a":"\"}"} [1] 2 3`), []byte{0, 2})
	f.Add(uint8(2), []byte("2\r\n{}\r\n1\n7"), []byte{1})
	f.Add(uint8(3), []byte("\x00\x00\x00\x02{}\x00\x00\x00\x00"), []byte{0})
	f.Add(uint8(4), []byte("\x02{}\x00\x81\x00x"), []byte{0})
	f.Fuzz(func(t *testing.T, kind uint8, text, cut []byte) {
		whole := run(t, kind, bytes.Clone(text), nil)
		if len(cut) > 0 {
			if parts := run(t, kind, bytes.Clone(text), cut); parts != whole {
				t.Errorf("got %q in pieces, %q whole", parts, whole)
			}
		}
	})
}

// run returns what is read out of a text.
func run(t *testing.T, kind uint8, text, cut []byte) string {
	framing := []string{"ndjson", "json", "length", "length32", "varint"}[int(kind)%5]
	feed := source.NewFeed(time.Second)
	m := &source.Messages{Feed: feed, Framing: httpstream.NewFraming(framing), Limit: 64}
	r := source.StartReading(feed, func() {}, func(ctx context.Context) error { return m.Run(ctx, &pieces{text, cut}) })
	defer r.Close()
	var out strings.Builder
	for {
		events, err := r.Next(t.Context())
		for _, e := range events {
			if len(e.Data) > 64 || len(e.Data) == 0 {
				t.Errorf("an event of %d bytes", len(e.Data))
			}
			out.WriteString(string(e.Data) + "|")
		}
		var skip *source.SkipError
		switch {
		case errors.As(err, &skip):
			out.WriteString("skip|")
		case err != nil:
			return out.String() + err.Error()
		}
	}
}
