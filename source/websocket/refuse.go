package websocket

import (
	"net/http"

	"github.com/leatstream/leat/source"
)

// refused says why there is no connection.
func (s *Source) refused(response *http.Response, err error) error {
	s.client.CloseIdleConnections()
	switch {
	case response == nil:
		return &source.EndError{Kind: source.EndDial, Err: source.Tellable(err)}
	case response.StatusCode == http.StatusSwitchingProtocols:
		return &source.EndError{Kind: source.EndDial, Err: err}
	}
	return source.Refused(response)
}
