package kinesisapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// subscriptionLife is after how long AWS ends a subscription. The client calls again.
	subscriptionLife = 5 * time.Minute
	// subscriptionGuard is how long a subscription cannot be taken over by another call.
	subscriptionGuard = 5 * time.Second
	// heartbeat is how long a subscription says nothing.
	heartbeat = 5 * time.Second
	// lastWords is how long a client may take to read the last frames of a subscription that has ended.
	lastWords = 5 * time.Second
)

// Why a subscription ends, as the cause of its context.
var (
	errTakenOver    = errors.New("taken over by another call")
	errConsumerGone = errors.New("the consumer was deregistered")
	errShuttingDown = errors.New("the server is shutting down")
	errLifeIsOver   = errors.New("its five minutes are over")
)

// subscriptions knows who is subscribed to what. The zero value is ready.
type subscriptions struct {
	mu   sync.Mutex
	all  map[subscriptionKey]*subscription
	over bool // the server is shutting down
}

// subscriptionKey is what at most one call is subscribed to.
type subscriptionKey struct {
	consumer string // ARN
	stream   int64  // when it was created, Unix milliseconds
	shard    string
}

// subscription is one call of SubscribeToShard that was successful. It is remembered until it neither lives nor guards its key.
type subscription struct {
	began time.Time
	end   context.CancelCauseFunc // nil: it has ended
}

// begin takes the key for a call, unless another one has had it for less than subscriptionGuard, also if that has ended. An older one
// ends. The context is done when the subscription has to end; leave must be called then.
func (s *subscriptions) begin(ctx context.Context, key subscriptionKey) (_ context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for k, old := range s.all {
		if old.end == nil && now.Sub(old.began) >= subscriptionGuard {
			delete(s.all, k)
		}
	}
	if old := s.all[key]; old != nil {
		if now.Sub(old.began) < subscriptionGuard {
			return ctx, nil, false
		}
		old.end(errTakenOver)
	}
	ctx, stopLife := context.WithTimeoutCause(ctx, subscriptionLife, errLifeIsOver)
	ctx, end := context.WithCancelCause(ctx)
	if s.over {
		end(errShuttingDown)
	}
	mine := &subscription{began: now, end: end}
	if s.all == nil {
		s.all = make(map[subscriptionKey]*subscription)
	}
	s.all[key] = mine
	return ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		mine.end = nil
		end(nil)
		stopLife()
	}, true
}

// endConsumer ends the subscriptions of a consumer.
func (s *subscriptions) endConsumer(arn string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, sub := range s.all {
		if key.consumer != arn {
			continue
		}
		if sub.end != nil {
			sub.end(why)
		}
		delete(s.all, key)
	}
}

// EndSubscriptions ends all subscriptions, now and from now on, in a way that makes clients subscribe again. Hand it to
// http.Server.RegisterOnShutdown: a shutdown would wait up to five minutes for them otherwise.
func (s *Server) EndSubscriptions() {
	s.subscriptions.mu.Lock()
	defer s.subscriptions.mu.Unlock()
	s.subscriptions.over = true
	for _, sub := range s.subscriptions.all {
		if sub.end != nil {
			sub.end(errShuttingDown)
		}
	}
}
