package examples_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// opensky is OpenSky: tokens live for half an hour, an answer says where aircraft are now, and who asks too much is told how long to wait.
type opensky struct {
	credits int // requests until then

	mu      sync.Mutex
	tokens  map[string]time.Time
	issued  int
	asked   int
	refused int // 401
	limited int // 429
	until   time.Time
	hasty   int // came while it was to wait
	heard   map[string]bool
}

func (o *opensky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if strings.HasSuffix(r.URL.Path, "/token") {
		_ = r.ParseForm()
		if r.PostForm.Get("grant_type") != "client_credentials" || r.PostForm.Get("client_id") != "us" || r.PostForm.Get("client_secret") != "secret" {
			http.Error(w, `{"error":"unauthorized_client"}`, http.StatusUnauthorized)
			return
		}
		o.issued++
		token := fmt.Sprintf("token-%d", o.issued)
		o.tokens[token] = now.Add(30 * time.Minute)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":1800,"token_type":"Bearer"}`, token)
		return
	}
	if expires := o.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; now.After(expires) {
		o.refused++
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	if now.Before(o.until) {
		o.hasty++
	}
	if o.asked++; o.asked == o.credits {
		o.limited++
		o.until = now.Add(10 * time.Minute)
		w.Header().Set("X-Rate-Limit-Retry-After-Seconds", "600")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	o.states(w, now.Unix())
}

// states are five aircraft, each of which is heard from every so many seconds, so that an answer may have none that was in the one before.
func (o *opensky) states(w http.ResponseWriter, now int64) {
	var list []string
	for n := range int64(5) {
		contact := now - now%(10+n)
		craft := fmt.Sprintf("4b18%02d", n)
		o.heard[fmt.Sprint(craft, contact)] = true
		list = append(list, fmt.Sprintf(`[%q,"SWR%dH  ","Switzerland",%d,%d,8.5,47.4,10668,false,230.5,90,0,null,10900,"1000",false,0]`, craft, n, contact, contact))
	}
	_, _ = fmt.Fprintf(w, `{"time":%d,"states":[%s]}`, now, strings.Join(list, ","))
}

func TestOpenSkyShowsWhereAircraftAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &opensky{credits: 200, tokens: map[string]time.Time{}, heard: map[string]bool{}}
		w := newWorld(t, "opensky", variables["opensky"], map[string]http.Handler{"opensky-network.org:80": o, "auth.opensky-network.org:80": o})
		w.run()
		time.Sleep(3 * time.Hour)
		w.leave()
		records := w.records()
		if len(records) != len(o.heard) {
			t.Errorf("%d positions, want %d", len(records), len(o.heard))
		}
		if n := w.number("SELECT count(*) FROM aircraft WHERE callsign LIKE 'SWR_H' AND baro_altitude = 10668 AND on_ground = 0"); n != 5 {
			t.Errorf("%d aircraft, want 5", n)
		}
		if o.refused > 0 || o.hasty > 0 || o.limited != 1 || o.issued < 6 || o.issued > 8 {
			t.Errorf("%d tokens, refused %d, %d times while it was to wait", o.issued, o.refused, o.hasty)
		}
		gaps := w.gaps() // only the time in which it was to wait
		if len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From) < 10*time.Minute {
			t.Errorf("gaps %+v", gaps)
		}
	})
}
