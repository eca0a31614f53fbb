package provider_test

import (
	"testing"

	"github.com/leatstream/leat/internal/provider"
)

func named(url, text string) *provider.Replay {
	s := &provider.Session{URL: url, Messages: []provider.Message{{Data: []byte(text)}}}
	return &provider.Replay{Session: s}
}

func TestEndpointsServeRecordingsByNumberAndByPath(t *testing.T) {
	e := &provider.Endpoints{Replays: []*provider.Replay{
		named("wss://a.example/ws/public?x=1", "a"), named("wss://b.example", "b"), named("wss://c.example/other", "c"),
	}}
	bubble(t, e, func(c client) {
		for path, want := range map[string]string{
			"/0": "a", "/1": "b", "/2": "c", "/ws/public?y=2": "a", "/": "b", "/other": "c",
		} {
			expect(c.T, path, join(read(c.T, c.dial(path), 1)), want)
		}
		expect(c.T, "status of an unknown path", c.refused("/3").StatusCode, 404)
	})
}

func TestRecordingsOfOnePathMeetDifferentConnections(t *testing.T) {
	e := &provider.Endpoints{}
	for _, name := range []string{"a", "b", "c", "d"} {
		e.Replays = append(e.Replays, named("wss://example.org/ws", name))
	}
	bubble(t, e, func(c client) {
		var got string
		for range 5 {
			got += join(read(c.T, c.dial("/ws"), 1))
		}
		expect(c.T, "recordings", got, "abcda")
		expect(c.T, "cut", e.Replays[2].CutAll(), 1)
	})
}

func TestASingleRecordingIsServedEverywhere(t *testing.T) {
	e := &provider.Endpoints{Replays: []*provider.Replay{named("wss://example.org/ws", "a")}}
	bubble(t, e, func(c client) {
		for _, path := range []string{"/", "/0", "/ws", "/whatever?x=y"} {
			expect(c.T, path, join(read(c.T, c.dial(path), 1)), "a")
		}
	})
}
