package main

import (
	"os"
	"path/filepath"
	"strings"
)

// self is how a user calls this program again: "go run ./cmd/leat" if that is how it was started, which leaves nothing in the path.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return "leat"
	}
	if strings.Contains(filepath.ToSlash(path), "/go-build") {
		return "go run ./cmd/leat"
	}
	return "leat"
}
