//go:build !linux

package process

import (
	"os"
	"syscall"
)

// Elsewhere the process alone is ended, not its group, and its memory is not watched.

func attributes() *syscall.SysProcAttr { return nil }

func awaitExit(int) {}

func killGroup(p *os.Process) { _ = p.Kill() }

func terminate(p *os.Process) { _ = p.Kill() }

func resident(int) int64 { return 0 }
