package source_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// moody sends an event and hangs up, or is away.
type moody struct {
	mu    sync.Mutex
	away  outage
	asked []string
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if within([]outage{m.away}, time.Now()) != nil {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	m.mu.Lock()
	m.asked = append(m.asked, r.URL.Query().Get("seconds")+"/"+r.URL.Query().Get("minutes"))
	m.mu.Unlock()
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	_ = c.Write(r.Context(), ws.MessageText, []byte(`{"id":1}`))
	sleepUntil(c.CloseRead(r.Context()), time.Now().Add(10*time.Minute))
}

// A provider that takes the length of an outage is told it, rounded up, and nothing at the first connection.
func TestTheLengthOfAnOutageIsAVariable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &moody{}
		feed.away = outage{time.Now().Add(10 * time.Minute), time.Now().Add(12*time.Minute + 5*time.Second)}
		r := newRig(t, feed)
		r.run(func(s *source.Settings, w *websocket.Config) {
			s.Stall, s.MaxBackoff = -1, time.Second
			w.Query = map[string]expression.Template{
				"seconds": expression.MustParseTemplate("{{outage_seconds}}"),
				"minutes": expression.MustParseTemplate("{{outage_minutes != nil ? min(outage_minutes, 5) : nil}}"),
			}
		})
		time.Sleep(15 * time.Minute)
		r.leave()
		feed.mu.Lock()
		defer feed.mu.Unlock()
		if len(feed.asked) != 2 || feed.asked[0] != "/" || !strings.HasSuffix(feed.asked[1], "/3") {
			t.Errorf("asked %q", feed.asked)
		}
	})
}
