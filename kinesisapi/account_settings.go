package kinesisapi

import (
	"encoding/json"
	"fmt"
	"time"
)

// DescribeAccountSettings, UpdateAccountSettings
//
// AWS lets an account commit itself to a minimum of throughput (On-demand Advantage), which cannot be ended before 24 hours are over:
// until then the status is ENABLED_UNTIL_EARLIEST_ALLOWED_END.
//
// Leat stores the commitment; it raises the limit of consumers and allows warm throughput, and costs nothing.
//
// Differences: that the earliest end is 24 hours after the start is not certain of AWS.

// accountMeta is what the API keeps of an account in a region. All times are Unix milliseconds.
type accountMeta struct {
	Status   string `json:"status,omitempty"` // of the commitment; empty: DISABLED
	Started  int64  `json:"started_at,omitempty"`
	Earliest int64  `json:"earliest_end,omitempty"`
	Ended    int64  `json:"ended_at,omitempty"`
}

const (
	enabled      = "ENABLED"
	disabled     = "DISABLED"
	enabledUntil = "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
)

// advantage reports whether the account has committed itself to a minimum of throughput, which raises some of its limits. It is
// for the functions that change runs.
func (c *call) advantage() bool {
	m := c.s.catalog.accounts[c.accountKey()]
	return m.at(c.now).Status != ""
}

func (c *call) accountKey() string { return c.region + "/" + c.account }

// at returns the settings as they are at a time: a commitment that was to end has ended.
func (m accountMeta) at(now time.Time) accountMeta {
	if m.Status == enabledUntil && now.UnixMilli() >= m.Earliest {
		return accountMeta{Ended: m.Earliest, Started: m.Started}
	}
	return m
}

func (c *call) describeAccountSettings() (value, error) {
	c.s.catalog.mu.Lock()
	defer c.s.catalog.mu.Unlock()
	m := c.s.catalog.accounts[c.accountKey()].at(c.now)
	return m.value(), nil
}

func (c *call) updateAccountSettings() (value, error) {
	s := c.s
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	m := s.catalog.accounts[c.accountKey()].at(c.now)
	switch wanted := c.in.get("MinimumThroughputBillingCommitment").str("Status"); {
	case wanted == enabled && m.Status == "":
		m = accountMeta{Status: enabled, Started: c.now.UnixMilli(), Earliest: c.now.Add(dayHours * time.Hour).UnixMilli()}
	case wanted == enabled:
		m.Status = enabled
	case m.Status != "" && c.now.UnixMilli() < m.Earliest:
		m.Status = enabledUntil
	case m.Status != "":
		m = accountMeta{Started: m.Started, Ended: c.now.UnixMilli()}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return value{}, fmt.Errorf("store the settings of account %s: %w", c.account, err)
	}
	if err := s.store(c.steady(), keyAccount+c.accountKey(), text); err != nil {
		return value{}, err
	}
	s.catalog.accounts[c.accountKey()] = m
	return m.value(), nil
}

func (m accountMeta) value() value {
	out := object(field{"Status", textOf(orElse(m.Status, disabled))})
	for _, f := range []struct {
		name string
		at   int64
	}{{"StartedAt", m.Started}, {"EndedAt", m.Ended}, {"EarliestAllowedEndAt", m.Earliest}} {
		if f.at != 0 {
			out = out.with(f.name, timeOf(f.at))
		}
	}
	return object(field{"MinimumThroughputBillingCommitment", out})
}
