package provider

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// handshakeSalt is the fixed text of RFC 6455, section 1.3.
const handshakeSalt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// handshake is the answer to a client that asked for a WebSocket.
type handshake struct {
	accept      string // value of Sec-WebSocket-Accept
	subprotocol string // the first that the client offers; empty: none
	deflate     bool   // agree on permessage-deflate
}

// shake checks that r asks for a WebSocket; otherwise it answers r with an error.
func shake(w http.ResponseWriter, r *http.Request) (handshake, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket") || key == "" {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		err := errors.New("this address speaks WebSocket only")
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
		return handshake{}, err
	}
	sum := sha1.Sum([]byte(key + handshakeSalt))
	h := handshake{accept: base64.StdEncoding.EncodeToString(sum[:])}
	offered, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	h.subprotocol = strings.TrimSpace(offered)
	return h, nil
}

// hijack takes the connection of a request away from net/http, with what the client has sent already.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.Reader, error) {
	raw, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the server cannot switch protocols", http.StatusInternalServerError)
		return nil, nil, fmt.Errorf("hijack a connection: %w", err)
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return raw, bufio.NewReader(io.MultiReader(bytes.NewReader(early), raw)), nil
}

// response returns the bytes that end the handshake.
func (h handshake) response() []byte {
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + h.accept + "\r\n"
	if h.subprotocol != "" {
		head += "Sec-WebSocket-Protocol: " + h.subprotocol + "\r\n"
	}
	if h.deflate {
		head += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
	}
	return []byte(head + "\r\n")
}

// offersDeflate reports whether the client of r offers permessage-deflate (RFC 7692).
func offersDeflate(r *http.Request) bool {
	for _, offers := range r.Header.Values("Sec-WebSocket-Extensions") {
		for offer := range strings.SplitSeq(offers, ",") {
			name, _, _ := strings.Cut(offer, ";")
			if strings.TrimSpace(name) == "permessage-deflate" {
				return true
			}
		}
	}
	return false
}

func hasToken(h http.Header, name, token string) bool {
	for _, values := range h.Values(name) {
		for value := range strings.SplitSeq(values, ",") {
			if strings.EqualFold(strings.TrimSpace(value), token) {
				return true
			}
		}
	}
	return false
}
