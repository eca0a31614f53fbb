package local

import "github.com/cockroachdb/pebble/v2/vfs"

// OpenMemory opens an engine that keeps everything in memory and is gone with the process: for tests of other
// packages, and for trying things.
func OpenMemory() (*Engine, error) {
	return Open("memory", Options{FS: vfs.NewMem(), MemTable: 1 << 20})
}
