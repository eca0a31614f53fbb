package main

import (
	"os"
	"runtime/debug"

	"github.com/leatstream/leat/config"
)

const (
	baseMemory       = 100 << 20 // engine, batches in hand, destinations
	connectionMemory = 2 << 20   // what a connection holds for its producer
	readMemory       = 150 << 20 // what all connections hold at most
	identityMemory   = 80        // of a remembered event_id, at most
)

// limitMemory makes the collector keep the heap near what the configuration needs, instead of letting it grow to twice what is in use. It is
// no bound: what is needed is had. The environment variable GOMEMLIMIT has precedence.
func limitMemory(c *config.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryFor(c))
	}
}

// memoryFor returns how many bytes a configuration needs.
func memoryFor(c *config.Config) int64 {
	n, connections := int64(baseMemory), 0
	for i := range c.Sources {
		s := &c.Sources[i].Settings
		connections += s.Connections
		if s.Identified(c.Sources[i].Adapter) {
			n += int64(s.DedupeEvents) * identityMemory
		}
	}
	return n + min(readMemory, int64(connections)*connectionMemory)
}
