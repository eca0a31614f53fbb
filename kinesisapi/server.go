package kinesisapi

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat/kinesisapi/iterator"
	"github.com/leatstream/leat/kinesisapi/sigv4"
	"github.com/leatstream/leat/stream"
)

// Config says what a Server serves, and how. Engine and Admin are required; the other zero values are right for development.
type Config struct {
	// Engine and Admin hold the streams. Usually they are one value.
	Engine stream.Engine
	Admin  stream.Admin

	// Account is the account that streams belong to when the request does not name one as its access key: 12 digits.
	// Empty: 000000000000.
	Account string

	// Region is the region of requests that name none in the scope of their signature. Empty: us-east-1.
	Region string

	// Keys verifies signatures. nil: requests must carry one, as the SDKs send it, but only its region and account are looked at.
	// Pages that a browser has from another machine are then refused.
	Keys *sigv4.Verifier

	// Delay is how long streams and consumers stay in CREATING, UPDATING and DELETING. 0: such states are never seen.
	Delay time.Duration

	// Throttle applies the rate limits of AWS: 1,000 records/s and 1 MiB/s into a shard, 5 reads/s and 2 MiB/s out of it, and so on.
	Throttle bool

	// ShardLimit is how many open shards an account may have in a region. 0: 20,000.
	ShardLimit int

	// Faults makes requests fail on purpose.
	Faults Faults

	// Logger takes what an operator should know, and each request at debug level. nil discards it.
	Logger *slog.Logger
}

// Server serves the API. It implements http.Handler; all methods may be called by any number of goroutines.
type Server struct {
	cfg      Config
	log      *slog.Logger
	catalog  catalog
	sealer   atomic.Pointer[iterator.Sealer]
	scratch  sync.Pool // of *scratch
	throttle throttle
	large    chan struct{} // holds one for every large body in memory
	full     chan struct{} // holds one for every GetRecords that may have a full answer in memory

	subscriptions subscriptions

	// Gaps counts the times that a reader was told of records that are gone and went on behind them.
	gaps atomic.Int64

	// early is when a reader ahead of its shard was last logged, in seconds since 1970.
	early atomic.Int64
}

// New returns a server. It does no I/O: what the engine keeps is read with the first request.
func New(cfg Config) (*Server, error) {
	if cfg.Engine == nil || cfg.Admin == nil {
		return nil, errors.New("serve the Kinesis API: an engine is needed")
	}
	if cfg.Account == "" {
		cfg.Account = "000000000000"
	}
	if !isAccount(cfg.Account) {
		return nil, errors.New("serve the Kinesis API: the account must have 12 digits")
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if err := stream.CheckName(cfg.Region); err != nil {
		return nil, errors.New("serve the Kinesis API: the region must be a name such as us-east-1")
	}
	if cfg.ShardLimit == 0 {
		cfg.ShardLimit = 20_000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Logger, large: make(chan struct{}, maxLarge), full: make(chan struct{}, maxLarge)}
	s.scratch.New = func() any { return &scratch{} }
	return s, nil
}

// Gaps returns how many times a reader met records that are gone, to retention or to damage, and was led on behind them.
func (s *Server) Gaps() int64 { return s.gaps.Load() }

// ServeHTTP implements http.Handler. The path does not matter, as on AWS.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	work := s.scratch.Get().(*scratch)
	c := &call{s: s, w: w, request: r, scratch: work}
	defer c.endTurn()
	c.serve()
	c.told()
	if c.keep {
		return // someone may still look at it
	}
	work.reset()
	s.scratch.Put(work)
}
