package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// rival measures Redpanda Connect: its websocket input, its file output.
func rival(ctx context.Context, program, dir string, s *sender) (r report, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out := filepath.Join(dir, "out")
	text := fmt.Sprintf("http: {enabled: false}\nlogger: {level: ERROR}\ninput: {websocket: {url: %q}}\noutput: {file: {path: %q, codec: lines}}\n", s.url, out)
	settings := filepath.Join(dir, "connect.yaml")
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, program, "-c", settings) //nolint:gosec // a program that .ci/bench has built
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return r, err
	}
	err = until(ctx, time.Millisecond, func() bool { return s.blast.Counts().Connections > 0 })
	begun := time.Now()
	if err == nil {
		want := int64(rivalMessages * (messageSize + 1)) // and a line break
		err = until(ctx, time.Millisecond, func() bool {
			info, err := os.Stat(out)
			return err == nil && info.Size() >= want
		})
	}
	r.Seconds = time.Since(begun).Seconds()
	if ended := end(cmd, 3*time.Second); err == nil {
		err = ended
	}
	r.cpu, r.peak = used(cmd.ProcessState)
	return r, err
}
