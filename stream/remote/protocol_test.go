package remote_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/stream"
)

// send sends text as it is and returns the answer up to the end of the connection.
func send(t *testing.T, r *rig, text string) (answer string) {
	t.Helper()
	conn, err := r.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestStalledClientsAreHungUpOn(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		by   time.Duration
	}{
		"nothing":          {"", 10 * time.Second},
		"half a header":    {"POST /v1/commit HTTP/1.1\r\nHost: le", 10 * time.Second},
		"half a body":      {"POST /v1/shards HTTP/1.1\r\nHost: leat\r\nContent-Length: 100\r\n\r\n{", time.Minute},
		"half a commit":    {"POST /v1/commit HTTP/1.1\r\nHost: leat\r\nContent-Length: 100\r\n\r\n{", time.Minute},
		"no reader's line": {"POST /v1/read HTTP/1.1\r\nHost: leat\r\nTransfer-Encoding: chunked\r\n\r\n", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, _ *counted) {
				start := time.Now()
				answer := send(t, r, c.text)
				if passed := time.Since(start); passed != c.by || strings.Contains(answer, " 200 OK") {
					t.Errorf("after %v: %s", passed, answer)
				}
			})
		})
	}
}

func TestBodiesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, _ *counted) {
		client := r.network.Client()
		defer client.CloseIdleConnections()
		post := func(path string, body io.Reader) (status int, answer string) {
			t.Helper()
			resp, err := client.Post("http://leat"+path, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			all, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(all)
		}
		long := `{"Stream":"` + strings.Repeat("s", 1<<20) + `"}`
		for _, c := range []struct {
			path string
			body io.Reader
			want int
		}{
			{"/v1/shards", strings.NewReader(`{"Stream":"s"}`), http.StatusOK},
			{"/v1/shards", strings.NewReader(`{"Stream":"nowhere"}`), http.StatusNotFound},
			{"/v1/shards", strings.NewReader(`{`), http.StatusBadRequest},
			{"/v1/shards", strings.NewReader(long), http.StatusRequestEntityTooLarge},
			{"/v1/commit", io.MultiReader(strings.NewReader(`{}`)), http.StatusRequestEntityTooLarge}, // of unknown length
			{"/v1/commit", strings.NewReader(`{"puts":7}`), http.StatusBadRequest},
			{"/v1/commit", strings.NewReader(`{"state":[{"key":"%","raw":true}]}`), http.StatusBadRequest},
			{"/v1/load", strings.NewReader(`{"key":"%","raw":true}`), http.StatusBadRequest},
			{"/v1/read", strings.NewReader(long), http.StatusBadRequest},
			{"/v1/read", strings.NewReader(""), http.StatusBadRequest},
			{"/v1/read", strings.NewReader("7\n"), http.StatusBadRequest},
			{"/v1/nothing", strings.NewReader(""), http.StatusNotFound},
		} {
			if got, answer := post(c.path, c.body); got != c.want {
				t.Errorf("%s: got %d %s, want %d", c.path, got, answer, c.want)
			}
		}
		huge := "POST /v1/commit HTTP/1.1\r\nHost: leat\r\nContent-Length: 134217729\r\n\r\n"
		if answer := send(t, r, huge); !strings.Contains(answer, "too_large") {
			t.Errorf("got %s", answer)
		}
	})
}

// A client like curl, which sends all it has to say and then ends its side, gets the answer that is due.
func TestOneRequestCanReadOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig, e *counted) {
		client := r.network.Client()
		defer client.CloseIdleConnections()
		body := `{"Stream":"s","From":{"Kind":1}}` + "\n" + `{"limit":{}}` + "\n"
		resp, err := client.Post("http://leat/v1/read", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		put(t, e, "a")
		all, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || !strings.Contains(string(all), `"data":"YQ=="`) {
			t.Errorf("got %s, %v", all, err)
		}
		if resp, err = client.Post("http://leat/v1/read", "application/json", strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		resp.Body.Close() // while it waits
		if synctest.Wait(); e.readers.Load() != 0 {
			t.Error("the reader is still open")
		}
	})
}

func TestAReaderThatBreaksTheProtocolIsEnded(t *testing.T) {
	for name, lines := range map[string]string{
		"asks twice":    `{"limit":{}}` + "\n" + `{"limit":{}}` + "\n",
		"no JSON":       `{"limit":{}}` + "\n" + "what?\n",
		"too long":      `{"limit":{}}` + "\n" + strings.Repeat(" ", 100<<10) + "\n",
		"interrupts":    `{"interrupt":true}` + "\n",
		"asks too much": `{"limit":{"Records":1e99}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig, e *counted) {
				body, asks := io.Pipe()
				opened := make(chan struct{}) // before, an end of the connection is an error of Post
				go func() {
					defer asks.Close()
					io.WriteString(asks, `{"Stream":"s"}`+"\n")
					<-opened
					io.WriteString(asks, lines)
				}()
				client := r.network.Client()
				defer client.CloseIdleConnections()
				resp, err := client.Post("http://leat/v1/read", "application/json", body)
				close(opened)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				all, err := io.ReadAll(bufio.NewReader(resp.Body))
				if strings.Contains(string(all), "records") {
					t.Errorf("got %s, %v", all, err)
				}
				if synctest.Wait(); e.readers.Load() != 0 {
					t.Error("the reader is still open")
				}
			})
		})
	}
}

func TestAServerThatAnswersUnaskedIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.NewServeMux()
		h.HandleFunc("/v1/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Protocol":1}`) })
		h.HandleFunc("/v1/read", func(w http.ResponseWriter, _ *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			io.WriteString(w, `{}{}{"records":[{"seq":"7"}]}`)
		})
		tail := read(t, serve(t, h), stream.Oldest())
		defer tail.Close()
		synctest.Wait()
		next(t, tail, stream.Limit{}) // the first was taken for an answer
		for range 2 {
			if b, err := tail.Next(t.Context(), stream.Limit{}); err == nil {
				t.Errorf("got %+v", b)
			}
		}
	})
}
