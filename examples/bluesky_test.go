package examples_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
)

// jetstreamLine is one message of Jetstream.
type jetstreamLine struct {
	DID    string `json:"did"`
	TimeUS int64  `json:"time_us"`
	Kind   string `json:"kind"`
	Commit struct {
		Collection string `json:"collection"`
	} `json:"commit"`
}

// jetstream returns the recorded messages as the server sends them to somebody who wants posts: in the order of their times, 20 s apart.
func jetstream(t *testing.T) (messages []provider.Message) {
	t.Helper()
	sessions, err := provider.ReadRecording(filepath.Join(dataDir(t), "bluesky", "internal__corpus__testdata__expected_v1.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sessions[0].Messages {
		var line jetstreamLine
		if err := json.Unmarshal(m.Data, &line); err != nil {
			t.Fatal(err)
		}
		if line.Kind != "commit" || line.Commit.Collection == "app.bsky.feed.post" {
			messages = append(messages, m)
		}
	}
	at := func(m provider.Message) (n int64) {
		var line jetstreamLine
		_ = json.Unmarshal(m.Data, &line)
		return line.TimeUS
	}
	slices.SortStableFunc(messages, func(a, b provider.Message) int { return cmp.Compare(at(a), at(b)) })
	for i := range messages {
		messages[i].At = time.Duration(i) * 20 * time.Second
	}
	return messages
}

func whole(r *leat.Record) string { return string(r.Data) }

func dataOf(messages []provider.Message) (all []string) {
	for _, m := range messages {
		all = append(all, string(bytes.TrimSpace(m.Data)))
	}
	return all
}

func TestBlueskyGoesOnWhereItWasLeft(t *testing.T) {
	messages := jetstream(t)
	for _, c := range []struct {
		name      string
		retention time.Duration
		gap       bool
	}{{"history is long enough", 36 * time.Hour, false}, {"the stop is longer than the history", time.Minute, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := &provider.Replay{Session: &provider.Session{Messages: messages}, Speed: 1, CutEvery: 7, Rules: &provider.Rules{
					Cursor: expression.MustParse("time_us"), CursorParameter: "cursor", Retention: c.retention, Clamp: true,
				}}
				w := newWorld(t, "bluesky", nil, map[string]http.Handler{"jetstream2.us-east.bsky.network:80": feed})
				w.run()
				time.Sleep(130 * time.Second)
				w.leave()
				time.Sleep(2 * time.Minute)
				w.run()
				time.Sleep(time.Duration(len(messages)) * 20 * time.Second)
				w.leave()
				gaps := w.gaps()
				if c.gap {
					if len(gaps) == 0 || gaps[0].How != "resume" {
						t.Errorf("gaps %+v", gaps)
					}
					return
				}
				if len(gaps) > 0 {
					t.Errorf("gaps %+v", gaps)
				}
				w.once(whole, dataOf(messages))
				if n := w.number("SELECT count(*) FROM posts"); n != len(messages) {
					t.Errorf("the table has %d rows, want %d", n, len(messages))
				}
			})
		})
	}
}
