package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// rival is Redpanda Connect with its websocket input.
type rival struct {
	program, dir string
	from         *sender
	connections  int         // how many inputs it has; 0: one
	output       string      // of its configuration, in YAML
	done         func() bool // everything has arrived
}

// run measures it from its connection until all has arrived.
func (r *rival) run(ctx context.Context) (got report, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	input := fmt.Sprintf("{websocket: {url: %q}}", r.from.url)
	if r.connections > 1 {
		input = fmt.Sprintf("{broker: {copies: %d, inputs: [%s]}}", r.connections, input)
	}
	text := fmt.Sprintf("http: {enabled: false}\nlogger: {level: ERROR}\ninput: %s\noutput: %s\n", input, r.output)
	settings := filepath.Join(r.dir, "connect.yaml")
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return got, err
	}
	cmd := exec.CommandContext(ctx, r.program, "-c", settings) //nolint:gosec // a program that .ci/bench has built
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return got, err
	}
	err = until(ctx, time.Millisecond, func() bool { return r.from.blast.Counts().Connections > 0 })
	begun := time.Now()
	if err == nil {
		err = until(ctx, time.Millisecond, r.done)
	}
	got.Seconds = time.Since(begun).Seconds()
	err = errors.Join(err, end(cmd, 3*time.Second))
	got.cpu, got.Peak = used(cmd.ProcessState)
	return got, err
}

// toFile is the rival with its file output.
func toFile(program, dir string, s *sender) *rival {
	out := filepath.Join(dir, "out")
	want := int64(rivalMessages * (messageSize + 1)) // and a line break
	return &rival{program: program, dir: dir, from: s, output: fmt.Sprintf("{file: {path: %q, codec: lines}}", out), done: func() bool {
		info, err := os.Stat(out)
		return err == nil && info.Size() >= want
	}}
}

// toKinesisAPI is the rival with its aws_kinesis output, with batches, as it is fastest.
func toKinesisAPI(program, dir string, s *sender, d *discard) *rival {
	output := fmt.Sprintf(`
  aws_kinesis:
    stream: %s
    partition_key: ${! json("id") }
    endpoint: %q
    region: us-east-1
    credentials: {id: bench, secret: bench}
    max_in_flight: 64
    batching: {count: 500, period: 100ms}`, kinesisStream, d.url)
	return &rival{program: program, dir: dir, from: s, output: output, done: func() bool { return d.records.Load() >= rivalToKinesis }}
}
