package main

import (
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/leatstream/leat/source"
)

// logger returns the logger of a verb that runs for long. Logs go to standard error, always.
func (a *app) logger() (*slog.Logger, error) {
	level, err := a.level()
	if err != nil {
		return nil, err
	}
	f, ok := a.err.(*os.File)
	var l *slog.Logger
	if ok && term.IsTerminal(int(f.Fd())) {
		l = slog.New(tint.NewTextHandler(a.err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !a.colored(true), ReplaceAttr: plainErrors}))
	} else {
		l = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level, ReplaceAttr: plainErrors}))
	}
	log.SetFlags(0)
	log.SetOutput(strayLog{l})
	return l, nil
}

// strayLog takes what libraries write to the standard logger. net/http quotes there what a server sends unasked, as much and as often as
// the server likes: that is for debugging only, and short.
type strayLog struct{ log *slog.Logger }

// Write implements io.Writer.
func (s strayLog) Write(line []byte) (int, error) {
	s.log.Debug("a library says", "text", source.Clean(string(line)))
	return len(line), nil
}

func (a *app) level() (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return level, usage(fmt.Errorf("--log-level %q: expected debug, info, warn or error", a.logLevel))
	}
	return level, nil
}

// plainErrors logs an error as its text: without it the errors of some libraries are logged with their stack, over many lines. An error
// that is nil is left out.
func plainErrors(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() != slog.KindAny {
		return attr
	}
	switch value := attr.Value.Any().(type) {
	case error:
		return slog.String(attr.Key, value.Error())
	case nil:
		if attr.Key == "error" {
			return slog.Attr{}
		}
	}
	return attr
}
