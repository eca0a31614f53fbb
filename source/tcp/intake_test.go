package tcp_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/tcp"
)

// Sentences become objects, and one that is damaged a gap, in its place.
func TestSentencesAreDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		l := n.Listen("feed:1")
		go func() {
			c, _ := l.Accept()
			_, _ = io.WriteString(c, "$GPX,1*52\r\n$GPX,2*00\r\n$GPX,3*50\r\n")
			_ = c.Close()
		}()
		nmea, err := decode.NewStep("nmea", nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &tcp.Source{Config: tcp.Config{Address: "feed:1", Intake: source.Intake{Decode: []decode.Step{nmea}}}, Dial: n.DialContext}
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			events, err := c.Next(t.Context())
			for _, e := range events {
				got = append(got, string(e.Data))
			}
			var skip *source.SkipError
			if errors.As(err, &skip) {
				got = append(got, skip.Reason)
			} else if err != nil {
				break
			}
		}
		_ = c.Close()
		_ = l.Close()
		if strings.Join(got, " ") != `{"talker":"GP","type":"X","fields":["1"]} decode {"talker":"GP","type":"X","fields":["3"]}` {
			t.Errorf("got %q", got)
		}
	})
}
