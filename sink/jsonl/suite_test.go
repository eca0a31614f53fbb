package jsonl

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/sinktest"
)

// suite returns the conformance suite's view of a directory of files in the settings given.
func suite(c Config) sinktest.Config {
	open := func(t testing.TB, dir string) sinktest.Destination {
		c := c
		c.Path = filepath.Join(dir, "files")
		changed, wrong := c, c
		changed.Envelope, changed.Compression, changed.Partition = !c.Envelope, "gzip", "none"
		if c.Compression == "gzip" {
			changed.Compression = "none"
		}
		wrong.Path = filepath.Join(dir, "missing", "files")
		return sinktest.Destination{
			New:           func() sink.Sink { return &Sink{Config: c} },
			Broken:        func(step int) sink.Sink { return &Sink{Config: c, open: breakAt(step, errKilled)} },
			Changed:       func() sink.Sink { return &Sink{Config: changed} },
			Misconfigured: func() sink.Sink { return &Sink{Config: wrong} },
			Read: func(t testing.TB) []sinktest.Row {
				rows := readFiles(t, c.Path)
				if !c.Envelope {
					for i := range rows {
						rows[i] = bare(rows[i])
					}
				}
				return rows
			},
		}
	}
	config := sinktest.Config{Open: open}
	config.Keeps = func(r sinktest.Row) sinktest.Row {
		if isJSON([]byte(r.Data)) {
			r.Data = strings.NewReplacer("\n", " ", "\r", " ").Replace(strings.Trim(r.Data, " \t\r\n"))
		}
		if !c.Envelope {
			r = bare(r)
		}
		return r
	}
	return config
}

// bare returns what is left of a row without an envelope.
func bare(r sinktest.Row) sinktest.Row { return sinktest.Row{Shard: r.Shard, Data: r.Data} }

// readFiles returns all records of the visible files, and fails the test if a name and its contents differ.
func readFiles(t testing.TB, dir string) []sinktest.Row {
	t.Helper()
	var all []sinktest.Row
	type numbered struct {
		first leat.SequenceNumber
		rows  []sinktest.Row
	}
	var found []numbered
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		parts := strings.Split(strings.TrimPrefix(d.Name(), "shardId-"), "-")
		if len(parts) != 3 {
			return fmt.Errorf("unexpected file %s", path)
		}
		shard, err := leat.ParseShardID(parts[0])
		if err != nil {
			return err
		}
		first, err := leat.ParseSequence(parts[1])
		if err != nil {
			return err
		}
		rows, err := readFile(path, shard)
		found = append(found, numbered{first, rows})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, func(a, b numbered) int { return a.first.Compare(b.first) })
	for _, f := range found {
		all = append(all, f.rows...)
	}
	return all
}

func readFile(path string, shard leat.ShardID) ([]sinktest.Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		if in, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	case ".zst":
		d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		in = d
	}
	var rows []sinktest.Row
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s ends in the middle of a line: %w", path, err)
		}
		row, err := readLine(line[:len(line)-1])
		if err != nil {
			return nil, fmt.Errorf("%s: line %.200q: %w", path, line, err)
		}
		row.Shard = shard
		rows = append(rows, row)
	}
}

// readLine is the reader that the package comment describes.
func readLine(line []byte) (row sinktest.Row, err error) {
	if !json.Valid(line) {
		return row, errors.New("not JSON")
	}
	var e map[string]json.RawMessage
	if json.Unmarshal(line, &e) != nil || e["sequence_number"] == nil {
		row.Data, err = unwrap(line)
		return row, err
	}
	var arrived time.Time
	row.Key, err = text(e["key"], e["key_base64"])
	err = errors.Join(err, json.Unmarshal(e["sequence_number"], &row.Sequence), json.Unmarshal(e["arrived"], &arrived))
	if e["id"] == nil && e["id_base64"] == nil || e["time"] == nil {
		err = errors.Join(err, errors.New("id or time is missing"))
	}
	row.Arrived = arrived.UnixMilli()
	if row.Data = string(e["data"]); e["data"] == nil {
		data, bad := text(e["data_text"], e["data_base64"])
		row.Data, err = data, errors.Join(err, bad)
	}
	return row, err
}

func unwrap(line []byte) (string, error) {
	d := json.NewDecoder(strings.NewReader(string(line)))
	open, err := d.Token()
	if err != nil || open != json.Delim('{') {
		return string(line), nil
	}
	name, err := d.Token()
	if err != nil || name != wrappedText && name != wrappedBase64 {
		return string(line), nil
	}
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return "", err
	}
	if name == wrappedText {
		return text(value, nil)
	}
	return text(nil, value)
}

// text returns a member that is a text, or in base64.
func text(plain, base json.RawMessage) (s string, err error) {
	if plain != nil {
		return s, json.Unmarshal(plain, &s)
	}
	if err := json.Unmarshal(base, &s); err != nil {
		return "", err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err
}

func TestPayloadsPassTheSuite(t *testing.T) { sinktest.Run(t, suite(Config{})) }

func TestGzipPassesTheSuite(t *testing.T) {
	sinktest.Run(t, suite(Config{Compression: "gzip", Partition: "day", Envelope: true}))
}

func TestZstandardPassesTheSuite(t *testing.T) {
	sinktest.Run(t, suite(Config{Compression: "zstd", Partition: "none", Envelope: true}))
}

func TestAKilledProcessLeavesWholeFiles(t *testing.T) {
	sinktest.Kill(t, suite(Config{Compression: "zstd", Envelope: true}))
}
