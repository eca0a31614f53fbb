package kinesisapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat/kinesisapi/iterator"
	"github.com/leatstream/leat/stream"
)

// Keys of what the API keeps in the engine's state.
const (
	keyPrefix  = "kinesisapi/"
	keySeal    = keyPrefix + "seal"     // 32 bytes
	keyStream  = keyPrefix + "stream/"  // a meta
	keyAccount = keyPrefix + "account/" // an accountMeta
)

// viewFor is how old what is known of the streams may be when a record is put or read. A change through the API is known at once, others
// (leat run makes a stream) after this time, or when an unknown stream is asked for.
const viewFor = time.Second

// catalog knows the streams of the engine and what the API keeps of them.
type catalog struct {
	view atomic.Pointer[view]

	mu       sync.Mutex // held for changes; puts and reads never wait for it
	loaded   bool
	metas    map[string]meta // by the engine's name of the stream
	accounts map[string]accountMeta
}

// view is the streams at one time. It is never changed.
type view struct {
	at      time.Time
	streams map[string]*streamView
	names   []string // in order
}

// streamView is one stream in a view.
type streamView struct {
	full string // the engine's name
	info stream.Info
	meta meta
}

func (v *streamView) created() int64 { return v.info.Created.UnixMilli() }

// ready loads what the engine keeps, once.
func (s *Server) ready(ctx context.Context) error {
	if s.catalog.view.Load() != nil {
		return nil
	}
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	return s.refresh(ctx)
}

// look returns what is known of the streams; see viewFor.
func (s *Server) look(ctx context.Context) (*view, error) {
	seen := s.catalog.view.Load()
	if seen != nil && (time.Since(seen.at) < viewFor || !s.catalog.mu.TryLock()) {
		return seen, nil
	}
	if seen == nil {
		s.catalog.mu.Lock()
	}
	defer s.catalog.mu.Unlock()
	err := s.refresh(ctx)
	return s.catalog.view.Load(), err
}

// fresh returns the streams as they are now.
func (s *Server) fresh(ctx context.Context) (*view, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	err := s.refresh(ctx)
	return s.catalog.view.Load(), err
}

// refresh makes a new view; streams whose deletion was delayed until now are deleted. mu is held.
func (s *Server) refresh(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	infos, err := s.cfg.Admin.Streams(ctx)
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	now := time.Now()
	next := &view{at: now, streams: make(map[string]*streamView, len(infos)), names: make([]string, 0, len(infos))}
	for i := range infos {
		v := &streamView{full: infos[i].Name, info: infos[i]}
		if v.meta, err = s.metaOf(ctx, v); err != nil {
			return err
		}
		if over(v.meta.Status, v.meta.Until, now) {
			if err := s.drop(ctx, v.full); err != nil {
				return err
			}
			continue
		}
		next.streams[v.full] = v
		next.names = append(next.names, v.full)
	}
	s.catalog.view.Store(next)
	return nil
}

// metaOf returns what is kept of a stream. What was written down for a stream that was about to be created is bound to it. mu is held.
func (s *Server) metaOf(ctx context.Context, v *streamView) (meta, error) {
	m, found := s.catalog.metas[v.full]
	if found && m.Created == 0 && v.created() >= m.NotBefore {
		err := s.bind(ctx, v.full, m, v.created())
		return s.catalog.metas[v.full], err
	}
	if !found || m.Created != v.created() {
		return meta{}, nil
	}
	return m, nil
}

// drop deletes a stream, and then what is kept of it. mu is held.
func (s *Server) drop(ctx context.Context, full string) error {
	if err := s.cfg.Admin.Delete(ctx, full); err != nil && !errors.Is(err, stream.ErrNoStream) {
		return err
	}
	if _, found := s.catalog.metas[full]; !found {
		return nil
	}
	if err := s.store(ctx, keyStream+full, nil); err != nil {
		return err
	}
	delete(s.catalog.metas, full)
	return nil
}

// load reads the state of the engine, once. It removes what belongs to streams that are gone. mu is held.
func (s *Server) load(ctx context.Context) error {
	if s.catalog.loaded {
		return nil
	}
	s.catalog.metas, s.catalog.accounts = map[string]meta{}, map[string]accountMeta{}
	entries, err := s.cfg.Engine.State(ctx, keyPrefix)
	if err != nil {
		return fmt.Errorf("load the state of the API: %w", err)
	}
	infos, err := s.cfg.Admin.Streams(ctx)
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	created := make(map[string]int64, len(infos))
	for i := range infos {
		created[infos[i].Name] = infos[i].Created.UnixMilli()
	}
	var key []byte
	for i := range entries {
		if entries[i].Key == keySeal {
			key = entries[i].Value
			continue
		}
		if err := s.loadEntry(ctx, &entries[i], created); err != nil {
			return err
		}
	}
	if err := s.loadSeal(ctx, key); err != nil {
		return err
	}
	s.catalog.loaded = true
	return nil
}

func (s *Server) loadEntry(ctx context.Context, e *stream.Entry, created map[string]int64) error {
	if full, found := strings.CutPrefix(e.Key, keyStream); found {
		var m meta
		if err := json.Unmarshal(e.Value, &m); err != nil {
			return fmt.Errorf("read what is kept of stream %q: %w", full, err)
		}
		at, exists := created[full]
		if pending := m.Created == 0 && at >= m.NotBefore; !exists || !pending && m.Created != at {
			return s.store(ctx, e.Key, nil)
		}
		s.catalog.metas[full] = m
	}
	if name, found := strings.CutPrefix(e.Key, keyAccount); found {
		var m accountMeta
		if err := json.Unmarshal(e.Value, &m); err != nil {
			return fmt.Errorf("read what is kept of account %q: %w", name, err)
		}
		s.catalog.accounts[name] = m
	}
	return nil
}

// loadSeal takes the key of iterators, or makes one if this is the first start on these data.
func (s *Server) loadSeal(ctx context.Context, key []byte) error {
	if len(key) != 32 {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		if err := s.store(ctx, keySeal, key); err != nil {
			return err
		}
	}
	s.sealer.Store(iterator.New([32]byte(key)))
	return nil
}

// store makes one entry durable.
func (s *Server) store(ctx context.Context, key string, text []byte) error {
	_, err := s.cfg.Engine.Commit(ctx, stream.Commit{State: []stream.Entry{{Key: key, Value: text}}})
	if err != nil {
		return fmt.Errorf("store the state of the API: %w", err)
	}
	return nil
}

// save makes m durable as what is kept of a stream. mu is held.
func (s *Server) save(ctx context.Context, full string, m meta) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("store what is kept of stream %q: %w", full, err)
	}
	if err := s.store(ctx, keyStream+full, text); err != nil {
		return err
	}
	s.catalog.metas[full] = m
	return nil
}

// bind ties m to the stream that was created at a time. mu is held.
func (s *Server) bind(ctx context.Context, full string, m meta, created int64) error {
	m.Created, m.NotBefore = created, 0
	return s.save(ctx, full, m)
}

// change changes what is kept of the stream that the call names: edit gets a copy, and everything is durable when change returns nil. edit
// may shape the stream through the Admin; other changes wait meanwhile.
func (c *call) change(edit func(*streamView, *meta) error) error {
	s := c.s
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	if err := s.refresh(c.ctx()); err != nil {
		return err
	}
	v := s.catalog.view.Load().streams[c.full(c.name)]
	if v == nil {
		return c.noStream()
	}
	m := v.meta.clone()
	if err := edit(v, &m); err != nil {
		return err
	}
	if err := s.bind(c.steady(), v.full, m, v.created()); err != nil {
		return err
	}
	return s.refresh(c.steady())
}

func (c *call) noStream() error {
	return notFound("Stream %s under account %s not found.", c.name, c.account)
}

// stream returns the stream that the call names, by what is known of it; see viewFor.
func (c *call) stream() (*streamView, error) {
	full := c.full(c.name)
	seen, err := c.s.look(c.ctx())
	if err != nil {
		return nil, err
	}
	if v := seen.streams[full]; v != nil && !over(v.meta.Status, v.meta.Until, c.now) {
		return v, nil
	}
	return c.streamNow()
}

// streamNow is stream, but as the stream is now.
func (c *call) streamNow() (*streamView, error) {
	seen, err := c.s.fresh(c.ctx())
	if err != nil {
		return nil, err
	}
	v := seen.streams[c.full(c.name)]
	if v == nil {
		return nil, c.noStream()
	}
	return v, nil
}

// active refuses a stream in any other state.
func (c *call) active(v *streamView) error {
	if status := v.meta.status(c.now); status != statusActive {
		return inUse("Stream %s under account %s not ACTIVE, instead in state %s", c.name, c.account, status)
	}
	return nil
}
