package kinesisapi

import (
	"maps"
	"slices"
	"time"
)

// The states of streams and consumers.
const (
	statusCreating = "CREATING"
	statusActive   = "ACTIVE"
	statusUpdating = "UPDATING"
	statusDeleting = "DELETING"
)

const (
	provisioned = "PROVISIONED"
	onDemand    = "ON_DEMAND"
	userKey     = "USER_PARTITION_KEY"
	auto        = "AUTO"
	noKey       = "NONE"
	kms         = "KMS"
)

// meta is what the API keeps of a stream beside what the engine knows. The zero meta is that of a stream which AWS has just made, and
// of every stream that was made without the API.
type meta struct {
	// Created is the creation of the stream, in Unix milliseconds, by which what is left of a deleted stream is recognised. 0: the stream
	// was about to be created, not before NotBefore.
	Created   int64 `json:"created,omitempty"`
	NotBefore int64 `json:"not_before,omitempty"`

	Status string `json:"status,omitempty"` // until Until, in Unix milliseconds; afterwards ACTIVE, or gone
	Until  int64  `json:"until,omitempty"`

	Mode       string            `json:"mode,omitempty"`         // empty: PROVISIONED
	MaxRecord  int               `json:"max_record,omitempty"`   // KiB; 0: 1,024
	Warm       *int              `json:"warm,omitempty"`         // MiB/s
	Strategy   string            `json:"strategy,omitempty"`     // empty: USER_PARTITION_KEY
	Encryption string            `json:"encryption,omitempty"`   // empty: NONE
	KeyID      string            `json:"key_id,omitempty"`       // of Encryption
	Monitoring []string          `json:"monitoring,omitempty"`   // shard-level metrics
	Tags       map[string]string `json:"tags,omitempty"`         //
	Policy     string            `json:"policy,omitempty"`       //
	Scalings   []int64           `json:"scalings,omitempty"`     // calls of UpdateShardCount in the last day, Unix milliseconds
	Modes      []int64           `json:"mode_changes,omitempty"` // calls of UpdateStreamMode in the last day
	Keys       []int64           `json:"encryptions,omitempty"`  // calls of StartStreamEncryption in the last day
	Unkeys     []int64           `json:"decryptions,omitempty"`  // calls of StopStreamEncryption in the last day
	Consumers  []consumer        `json:"consumers,omitempty"`    // in order of name
}

// consumer is a registered consumer of a stream.
type consumer struct {
	Name    string            `json:"name"`
	Created int64             `json:"created"`          // Unix milliseconds; the ARN carries the seconds
	Status  string            `json:"status,omitempty"` // until Until; afterwards ACTIVE, or gone
	Until   int64             `json:"until,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Policy  string            `json:"policy,omitempty"`
}

// clone returns a copy that may be changed.
func (m meta) clone() meta {
	m.Monitoring = slices.Clone(m.Monitoring)
	m.Tags = maps.Clone(m.Tags)
	m.Scalings = slices.Clone(m.Scalings)
	m.Modes = slices.Clone(m.Modes)
	m.Keys, m.Unkeys = slices.Clone(m.Keys), slices.Clone(m.Unkeys)
	m.Consumers = slices.Clone(m.Consumers)
	for i := range m.Consumers {
		m.Consumers[i].Tags = maps.Clone(m.Consumers[i].Tags)
	}
	return m
}

// status returns the state of the stream at a time. A stream that should be gone is still DELETING.
func (m *meta) status(now time.Time) string { return statusAt(m.Status, m.Until, now) }

// status returns the state of the consumer at a time.
func (k *consumer) status(now time.Time) string { return statusAt(k.Status, k.Until, now) }

func statusAt(status string, until int64, now time.Time) string {
	if status == "" || status != statusDeleting && now.UnixMilli() >= until {
		return statusActive
	}
	return status
}

// over reports whether a stream or consumer that is being deleted should be gone.
func over(status string, until int64, now time.Time) bool {
	return status == statusDeleting && now.UnixMilli() >= until
}

// enter begins a state that lasts for the delay of the server.
func (s *Server) enter(status string, now time.Time) (string, int64) {
	if s.cfg.Delay <= 0 {
		return "", 0
	}
	return status, now.Add(s.cfg.Delay).UnixMilli()
}

func (m *meta) mode() string       { return orElse(m.Mode, provisioned) }
func (m *meta) strategy() string   { return orElse(m.Strategy, userKey) }
func (m *meta) encryption() string { return orElse(m.Encryption, noKey) }

// maxRecord is how many bytes the key and the payload of a record may have.
func (m *meta) maxRecord() int {
	if m.MaxRecord == 0 {
		return 1 << 20
	}
	return m.MaxRecord << 10
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
