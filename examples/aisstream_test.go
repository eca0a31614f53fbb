package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/source"
)

// aisstream is aisstream.io: it wants to be told what to send within 3 s, confirms that, and sends JSON in binary messages.
type aisstream struct {
	reports    int
	compressed bool
	opened     int
}

func (a *aisstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.opened++
	a.compressed = strings.Contains(r.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	c, err := ws.Accept(w, r, &ws.AcceptOptions{CompressionMode: ws.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx, stop := context.WithTimeout(r.Context(), 3*time.Second)
	_, text, err := c.Read(ctx)
	stop()
	var want struct {
		APIKey        string
		BoundingBoxes [][][]float64
	}
	if err != nil || json.Unmarshal(text, &want) != nil || len(want.BoundingBoxes) == 0 || len(want.BoundingBoxes[0]) != 2 {
		return
	}
	if want.APIKey != "secret" {
		_ = c.Write(r.Context(), ws.MessageText, []byte(`{"error":"Api Key Is Not Valid"}`))
		_ = c.Close(ws.StatusNormalClosure, "")
		return
	}
	_ = c.Write(r.Context(), ws.MessageText, []byte(`{"MessageType":"SubscriptionConfirmation"}`))
	life := c.CloseRead(r.Context())
	for n := range a.reports {
		if !sleepUntil(life, time.Now().Add(time.Second)) {
			return
		}
		_ = c.Write(life, ws.MessageBinary, fmt.Appendf(nil,
			`{"MessageType":"PositionReport","MetaData":{"MMSI":%d,"ShipName":"SHIP %d           ","latitude":50.1,"longitude":-1.5,"time_utc":%q},"Message":{"PositionReport":{"MessageID":1,"UserID":%d,"Sog":12.5,"Valid":true}}}`,
			235000000+n%5, n%5, time.Now().UTC().Format("2006-01-02 15:04:05.999999999 +0000 UTC"), 235000000+n%5))
	}
	<-life.Done()
}

func TestAisstreamShowsWhereShipsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &aisstream{reports: 30}
		w := newWorld(t, "aisstream", variables["aisstream"], map[string]http.Handler{"stream.aisstream.io:80": a})
		w.run()
		time.Sleep(time.Minute)
		w.leave()
		records := w.records()
		if len(records) != 30 || !a.compressed {
			t.Errorf("%d records, compression offered: %v", len(records), a.compressed)
		}
		for _, r := range records {
			if r.Time.IsZero() || r.Time.Year() != 2000 {
				t.Fatalf("an event without its time: %s", r.Data)
			}
		}
		if n := w.number("SELECT count(*) FROM ships WHERE ship LIKE 'SHIP _' AND speed = 12.5 AND latitude = 50.1"); n != 5 {
			t.Errorf("%d ships, want 5", n)
		}
	})
}

// A key that is refused is no reason to ask again and again.
func TestAisstreamThatRefusesTheKeyIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &aisstream{}
		w := newWorld(t, "aisstream", map[string]string{"AISSTREAM_KEY": "wrong"}, map[string]http.Handler{"stream.aisstream.io:80": a})
		w.run()
		time.Sleep(10 * time.Minute)
		s := w.status()
		w.leave()
		if s.State != source.Failing || !strings.Contains(s.LastEnd, "Api Key Is Not Valid") || a.opened > 12 {
			t.Errorf("%d connections, state %s, %s", a.opened, s.State, s.LastEnd)
		}
	})
}
