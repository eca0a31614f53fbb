package jsonl

import (
	"crypto/sha256"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/leatstream/leat"
)

// layouts are the directories of a partition, in the notation of package time.
var layouts = map[string]string{
	"hour": "dt=2006-01-02/hour=15",
	"day":  "dt=2006-01-02",
	"none": "",
}

var extensions = map[string]string{
	"none": ".jsonl",
	"gzip": ".jsonl.gz",
	"zstd": ".jsonl.zst",
}

func (c *Config) partition() string {
	if c.Partition == "" {
		return "hour"
	}
	return c.Partition
}

func (c *Config) compression() string {
	if c.Compression == "" {
		return "none"
	}
	return c.Compression
}

// name returns the name of the file for b below Path, with slashes.
func (c *Config) name(b *leat.Batch) string {
	dir := b.Records[0].Arrived.UTC().Format(layouts[c.partition()])
	base := fmt.Sprintf("%s-%s-%s%s", b.Shard, b.First(), b.Last(), extensions[c.compression()])
	return path.Join(element(b.Stream), dir, base)
}

// element returns name as one element of a path: the characters a-z, A-Z, 0-9, "_", "-", "=" and "." as
// they are, every other byte as % and two digits, and so a dot at the start. Different names give different
// elements, also on a file system that does not tell A from a: a name with capitals, like one that would be
// longer than 128 bytes, ends in %h and a hash of the name.
func element(name string) string {
	var out strings.Builder
	hashed := false
	for i, c := range []byte(name) {
		switch {
		case c >= 'A' && c <= 'Z':
			hashed = true
			out.WriteByte(c)
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-', c == '=', c == '.' && i > 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	encoded := out.String()
	if !hashed && encoded != "" && len(encoded) <= 128 {
		return encoded
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%.110s%%h%x", encoded, sum[:8])
}

// local reports whether name stays below the directory it is joined to. The files are opened through
// os.Root as well.
func local(name string) bool {
	return name != "" && path.Clean(name) == name && filepath.IsLocal(filepath.FromSlash(name)) &&
		!strings.HasPrefix(path.Base(name), ".")
}
