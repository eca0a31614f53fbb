package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// DefaultHangUp is a mean time between hang-ups that shows something within a minute.
const DefaultHangUp = 20 * time.Second

// raceParts is into how many equal parts, sent evenly over the second, the messages of a second fall.
const raceParts = 10

// Race is an http.Handler for simulated bike races: one message per rider and second, to each
// connection.
//
//	{"type":"telemetry","id":"criterium-5689012-3/17/42","race":"criterium-5689012-3","rider":"Ada Weir",
//	 "rider_id":42,"second":17,"power":287,"cadence":91,"output":5.1,"speed":38.2,
//	 "time":"2024-01-29T10:00:17Z","cursor":1706522417}
//
// Races last 300 seconds, are aligned to 1970, and follow each other without a pause; the number in the
// name of a race is its place in time. second runs from 0 to 299; output is the work of the
// rider in this race up to the end of this second, in kJ; cursor is the Unix second of time.
// Everything is a function of the fields of Race and of the second, so a provider that is
// started again, or a second one, goes on with the same races and the same messages.
//
// The messages of a second are sent within this second, in the order of rider_id, a tenth of them
// each 100 ms. A new connection begins with the next whole second. With ?cursor=<unix second> it
// begins with that second, inclusive, since a client that was cut may have seen a part of it: what it
// has seen comes again with the same id. With ?after=<unix second> it begins behind that second.
// It goes back by at most History, without a word where that is not far enough, and
// is sent CatchUp seconds per second until it is live. A cursor in the future means live.
type Race struct {
	// Seed makes other races. Any value.
	Seed uint64

	// Name is the first part of the names of races, of letters and digits. Default "criterium".
	Name string

	// Riders is how many riders there are in all. Default 1,000; with Rides as many as rides.
	Riders int

	// Races is how many races are held at a time; rider n, counted from 1, is in race (n-1) mod Races. Default 8.
	Races int

	// Rides, if there are any, is what the riders ride: rider n rides number n-1, and beyond the
	// last from the first again, the same in each race.
	Rides []Ride

	// History is how far back a cursor may go. Default 15 minutes.
	History time.Duration

	// CatchUp is how many seconds of history are sent in a second. Default 50.
	CatchUp float64

	// NoReplay ignores cursors: the provider is live only.
	NoReplay bool

	// HangUp is the mean of the random time after which a connection ends: of 20 connections
	// about 6 end with close frame 1001, 4 with 1012, 6 with a reset and 4 in half-open silence, which lasts
	// until the client leaves. When and how is a function of Seed and of the number of the
	// connection, counted from 1 since the provider was made. 0: never.
	HangUp time.Duration

	Clients

	mu      sync.Mutex
	blocks  cache[*raceBlock]  // by seconds since 1970 / raceSeconds
	seconds cache[*raceSecond] // by seconds since 1970
}

// ServeHTTP implements http.Handler.
func (p *Race) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, err := p.begin(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.serve(w, r, func(ctx context.Context, c *conn) error {
		return p.play(ctx, c, from)
	})
}

// begin returns the first second that the client of r is to get.
func (p *Race) begin(r *http.Request) (int64, error) {
	now := time.Now().Unix()
	query := r.URL.Query()
	name, behind := "cursor", int64(0)
	if query.Has("after") {
		name, behind = "after", 1
	}
	if text := query.Get(name); text != "" {
		second, err := strconv.ParseInt(text, 10, 62)
		if err != nil {
			return 0, fmt.Errorf("%s %q: expected a Unix time in whole seconds", name, text)
		}
		if !p.NoReplay {
			return min(max(second+behind, now-p.history()), now+1), nil
		}
	}
	return now + 1, nil
}

func (p *Race) play(ctx context.Context, c *conn, from int64) error {
	hangUp := p.hangUp(c.number)
	if !hangUp.at.IsZero() { // also while the client takes nothing
		if err := c.raw.SetWriteDeadline(hangUp.at.Add(closeGrace)); err != nil {
			return err
		}
	}
	for unix := from; ; unix++ {
		err := p.emit(ctx, c, hangUp, unix)
		if time.Since(time.Unix(unix, 0)) > time.Second && err == nil {
			err = hangUp.wait(ctx, c, time.Now().Add(p.pause()))
		}
		if errors.Is(err, errHangUp) {
			return hangUp.do(ctx, c)
		}
		if err != nil {
			return err
		}
	}
}

// emit sends one second part by part, each when it is due. A second that is over is sent at once.
func (p *Race) emit(ctx context.Context, c *conn, hangUp hangUp, unix int64) error {
	if err := hangUp.wait(ctx, c, time.Unix(unix, 0)); err != nil {
		return err
	}
	second := p.second(unix)
	if time.Since(time.Unix(unix, 0)) >= time.Second {
		return c.write(second.frames, int64(len(second.ends)))
	}
	for part := range raceParts {
		if err := hangUp.wait(ctx, c, time.Unix(unix, int64(part)*int64(time.Second/raceParts))); err != nil {
			return err
		}
		frames, messages := second.part(part)
		if err := c.write(frames, messages); err != nil {
			return err
		}
	}
	return nil
}

func (p *Race) name() string {
	if p.Name == "" {
		return "criterium"
	}
	return p.Name
}

func (p *Race) riders() int {
	switch {
	case p.Riders > 0:
		return p.Riders
	case len(p.Rides) > 0:
		return len(p.Rides)
	}
	return 1000
}

func (p *Race) races() int {
	if p.Races <= 0 {
		return min(8, p.riders())
	}
	return min(p.Races, p.riders())
}

func (p *Race) history() int64 {
	if p.History <= 0 {
		return 15 * 60
	}
	return int64(p.History / time.Second)
}

func (p *Race) pause() time.Duration {
	if p.CatchUp <= 0 {
		return time.Second / 50
	}
	return time.Duration(float64(time.Second) / p.CatchUp)
}
