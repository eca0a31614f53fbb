// Package shared is read by the tests of configdoc.
package shared

// TLS is nested.
type TLS struct {
	// The certificate.
	CA string `yaml:"ca"`
}

// Limits are embedded.
type Limits struct {
	// How fast.
	Rate int64 `yaml:"rate" max:"9"`
}

// Retry is inlined.
type Retry struct {
	// How often again.
	Times int `yaml:"times" default:"3"`
}
