package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

// The streams that sources and consumers have beside those that are declared.
const (
	gapsSuffix = ".gaps"
	deadSuffix = ".dlq"
)

// declared is a name and where it stands.
type declared struct {
	name   string
	file   *file
	at     span
	given  bool // there is a name
	broken bool // there is one, but it cannot be used
}

func (d declared) related(message string) Related {
	return Related{Position: d.file.position(d.at), Message: message}
}

// writer is a source and what it refers to.
type writer struct {
	declared
	stream, connections declared
	redundant           bool // several connections and nothing to tell events by
}

// reader is a consumer and what it refers to.
type reader struct {
	declared
	stream, dead declared
}

// deadLetters returns the stream that the consumer's dead letters go to.
func (r reader) deadLetters() declared {
	if r.dead.name != "" {
		return r.dead
	}
	return declared{name: r.name + deadSuffix, file: r.stream.file, at: r.stream.at, given: r.given}
}

// judge checks what only all files together can tell: references between streams, sources and consumers.
func (l *loader) judge() {
	known := l.known()
	used := map[string]bool{}
	for _, w := range l.sources {
		l.refer(w.stream, known, used)
		used[w.name+gapsSuffix] = true
		if w.redundant {
			l.report(w.file, report{
				code: codeMissingEventID, at: w.connections.at,
				message: "more than one connection needs event_id, or every event is stored more than once",
				hint:    "add event_id, with what tells one event from another",
			})
		}
	}
	for _, r := range l.readers {
		l.refer(r.stream, known, used)
		l.deadLetters(r)
		used[r.deadLetters().name] = true
	}
	l.unused(used)
	l.served()
}

// served reports a kinesis_api where the engine keeps the streams elsewhere, which its configuration says with a method Elsewhere.
func (l *loader) served() {
	_, elsewhere := l.config.Engine.Adapter.(interface{ Elsewhere() })
	if api, ok := l.set["kinesis_api"]; ok && elsewhere {
		l.report(api.file, report{
			code: codeRefused, at: api.at, message: fmt.Sprintf("kinesis_api serves streams that are in data; with engine: {type: %s} they are not", l.config.Engine.Type),
			hint: "leave out one of the two: clients reach these streams where the engine keeps them",
		})
	}
}

// known returns the names of all streams.
func (l *loader) known() map[string]bool {
	known := map[string]bool{}
	for _, s := range l.streams {
		known[s.name] = true
	}
	for _, w := range l.sources {
		known[w.name+gapsSuffix] = w.given
	}
	for _, r := range l.readers {
		l.unread = l.unread || r.dead.broken
		if dead := r.deadLetters(); dead.given {
			known[dead.name] = true
		}
	}
	maps.DeleteFunc(known, func(_ string, is bool) bool { return !is })
	return known
}

// refer checks a reference to a stream and notes what is used.
func (l *loader) refer(to declared, known, used map[string]bool) {
	if used[to.name] = true; !to.given {
		l.vague = true
		return
	}
	derived := strings.HasSuffix(to.name, gapsSuffix) || strings.HasSuffix(to.name, deadSuffix)
	if known[to.name] || l.unread || l.unnamed && derived {
		return
	}
	r := report{code: codeUnknownStream, at: to.at, message: fmt.Sprintf("unknown stream %s", quote(to.name)), hint: "declare it under streams"}
	if near, ok := setting.Nearest(to.name, slices.Collect(maps.Keys(known))); ok {
		used[near] = true
		r.hint = fmt.Sprintf("did you mean %q?", near)
	}
	l.report(to.file, r)
}

// deadLetters checks where the dead letters of a consumer go.
func (l *loader) deadLetters(r reader) {
	dead := r.deadLetters()
	if !dead.given {
		return
	}
	if r.dead.name != "" && stream.CheckName(dead.name) != nil {
		l.report(dead.file, report{
			code: codeName, at: dead.at, message: fmt.Sprintf("%s cannot be the name of a stream", quote(dead.name)),
			hint: "use 1 to 128 letters, digits, _, - and .",
		})
	}
	if dead.name == r.stream.name {
		l.report(dead.file, report{
			code: codeDeadLetterLoop, at: dead.at, message: fmt.Sprintf("consumer %s reads the stream that its dead letters go to", quote(r.name)),
			hint: "give it another stream with dead_letters",
		})
	}
}

// unused warns of streams that nothing refers to. Where there are no sources and consumers, the streams
// are there for the API.
func (l *loader) unused(used map[string]bool) {
	if l.unread || l.unnamed || l.vague || len(l.sources)+len(l.readers) == 0 {
		return
	}
	for _, s := range l.streams {
		if !used[s.name] && !s.broken {
			l.report(s.file, report{
				code: codeUnusedStream, at: s.at, message: fmt.Sprintf("no source writes to the stream %q, and no consumer reads it", s.name),
			})
		}
	}
}

// idle warns of a configuration that moves nothing. Where there are mistakes, they may be why.
func (l *loader) idle(inputs []Input) {
	serves := l.config.KinesisAPI != nil // whoever reaches the API writes and reads
	if len(inputs) == 0 || len(l.sources)+len(l.readers) > 0 || serves || l.unread || slices.ContainsFunc(l.reports, func(r report) bool { return severities[r.code] == Error }) {
		return
	}
	l.report(newFile(inputs[0]), report{
		code: codeIdle, at: span{1, 1, 0}, message: "there are no sources and no consumers: nothing will move",
		hint: "add sources and consumers; leat demo shows how it looks",
	})
}
