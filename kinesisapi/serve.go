package kinesisapi

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// drainFor is how long requests that are under way may go on when the server is to end. Subscriptions are ended at once.
const drainFor = 2 * time.Second

// answerFor is how long a request may take until its answer has been read: a client that does not read holds up to 24 MiB.
const answerFor = 2 * time.Minute

// Serve serves h on l until ctx ends: HTTP/1.1 and HTTP/2, over TLS where cfg is not nil, else both in the clear (h2c), as SubscribeToShard
// may need it. At most 10,000 connections are open at a time, others wait. It closes l. At the end of ctx subscriptions of a *Server end at once. The error is nil at the end of ctx.
func Serve(ctx context.Context, l net.Listener, h http.Handler, cfg *tls.Config) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg != nil)
	protocols.SetUnencryptedHTTP2(cfg == nil)
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s := &http.Server{
		Handler: h, Protocols: protocols, TLSConfig: cfg,
		// A subscription lasts longer, and takes both timeouts away.
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: answerFor, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	log := slog.New(slog.DiscardHandler)
	if server, ok := h.(*Server); ok {
		s.RegisterOnShutdown(server.EndSubscriptions)
		log = server.log
	}
	l = bound(l, maxConnections, log)
	ended := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(ended)
		draining, cancel := context.WithTimeout(context.Background(), drainFor)
		defer cancel()
		context.AfterFunc(draining, stop)
		if s.Shutdown(draining) != nil {
			stop()
			_ = s.Close()
		}
	})
	var err error
	if cfg != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		unhook()
		return err
	}
	<-ended
	return nil
}
