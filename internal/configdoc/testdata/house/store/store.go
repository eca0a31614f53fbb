// Package store is read by the tests of configdoc.
package store

// Config is a destination.
type Config struct {
	// Where the files go.
	Path string `yaml:"path,required"`
}
