package kinesisapi

// accountMeta is what the API keeps of an account in a region.
type accountMeta struct {
	Status   string `json:"status,omitempty"`     // of the billing commitment; empty: DISABLED
	Started  int64  `json:"started_at,omitempty"` // Unix milliseconds
	Earliest int64  `json:"earliest_end,omitempty"`
	Ended    int64  `json:"ended_at,omitempty"`
}

// advantage reports whether the account has committed itself to a minimum of throughput, which raises some of its limits. It is
// for the functions that change runs.
func (c *call) advantage() bool {
	return c.s.catalog.accounts[c.region+"/"+c.account].Status == enabled
}

const (
	enabled      = "ENABLED"
	disabled     = "DISABLED"
	enabledUntil = "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
)
