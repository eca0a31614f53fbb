// Package clients runs the clients that people use against Leat: each creates a stream, puts, reads all of it, splits and merges shards,
// reads on across that in the order of every key, subscribes where it can, and deletes the stream. docs/clients.md lists them.
//
// The package has tests only. .ci/prepare installs the clients; those that are not there are skipped.
package clients
