// Package provider holds providers to try Leat on: recorded sessions that are played again, a
// simulated bike race, and servers that misbehave as real ones do.
//
// Each provider is an http.Handler that speaks WebSocket:
//
//	Replay        a recorded Session at its own, another or full speed, with faults; with Rules as a dialogue, also over HTTP
//	Race          up to 1,000 riders and one message per rider and second, resumable
//	Ticker        numbered messages at an interval, no replay
//	Blast         numbered messages as fast as the client takes them
//	Slack         the envelopes, acknowledgements and warnings of Socket Mode
//	Discord       the heartbeats and sessions of the gateway
//	AcceptThenClose, CloseWith, SilentAfter, Bomb, Oversize, HTTPStatus
//
// The zero value of each is usable, its fields are set before the first request, and nothing
// runs but while requests are served: a request lasts as long as its connection. All of
// them wait with timers only, so they work in the virtual time of testing/synctest.
//
// A connection ends when its client leaves or when the context of its request ends, which
// net/http by itself does for no hijacked connection: Serve does.
//
// Every provider but Slack and Discord embeds Clients, which counts what the clients did and breaks
// connections at the wish of a test.
package provider
