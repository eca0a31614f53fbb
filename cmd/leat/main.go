// Leat brings unbounded streams of events to where people work with them. See the README, or run leat help.
package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := untilSignal(context.Background())
	code := execute(ctx, os.Args[1:], standardStreams())
	stop()
	os.Exit(code)
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. A second one ends the process at
// once, which is as safe as a crash.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		if s, ok := (<-signals).(syscall.Signal); ok {
			os.Exit(128 + int(s))
		}
	}()
	return ctx, cancel
}

// The exit codes. 128 and the number of the signal follow a second signal.
const (
	exitDone        = 0
	exitFailed      = 1 // it ran and failed, wholly or in part
	exitUsage       = 2 // wrong usage or wrong configuration
	exitEnvironment = 3 // something is not there: a free port, a data directory in order, room on the disk
)

// exitError gives an error an exit code and a hint for the operator.
type exitError struct {
	code int
	hint string // may be empty
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error { return &exitError{code: exitUsage, err: err} }

func environment(err error, hint string) error {
	return &exitError{code: exitEnvironment, hint: hint, err: err}
}

// exitCode returns the code and the hint of err.
func exitCode(err error) (int, string) {
	var (
		e     *exitError
		asked *url.Error
	)
	switch {
	case err == nil:
		return exitDone, ""
	case errors.As(err, &e):
		return e.code, e.hint
	case errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, &asked):
		return exitFailed, "nothing listens there: is leat dev running, and at this port?"
	}
	return exitFailed, ""
}
