package local

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The identity file says that a directory is ours, in which format, and which database it is:
//
//	leat data directory, format 1
//	id 9f86d081884c7d659a2feaa0c55ad015
//	crc32c 32c16d49
//
// It is written last when a directory is made and never changed. Where it exists the
// database must exist too, and the other way round: a missing database is never replaced
// by an empty one.
const (
	identityFile = "leat.id"
	newFile      = "leat.id.new" // exists while a directory is being made
	dbDir        = "db"

	// formatVersion is the version of everything in the directory; docs/FORMAT.md describes it.
	formatVersion = 1
)

type identity [16]byte

func (id identity) String() string { return hex.EncodeToString(id[:]) }

func (id identity) text() string {
	body := fmt.Sprintf("leat data directory, format %d\nid %s\n", formatVersion, id)
	return fmt.Sprintf("%scrc32c %08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

func newIdentity() identity {
	var id identity
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func parseIdentity(text string) (identity, error) {
	var id identity
	var format int
	if _, err := fmt.Sscanf(text, "leat data directory, format %d\n", &format); err != nil {
		return id, errors.New("it is not the identity file of a leat data directory, or damaged")
	}
	if format > formatVersion {
		return id, fmt.Errorf("its format is %d and this program knows up to %d: use a newer leat", format, formatVersion)
	}
	_, rest, _ := strings.Cut(text, "\nid ")
	number, _, _ := strings.Cut(rest, "\n")
	raw, err := hex.DecodeString(number)
	if err != nil || len(raw) != len(id) {
		return id, errors.New("it is damaged")
	}
	copy(id[:], raw)
	if text != id.text() {
		return id, errors.New("it is damaged: its checksum is wrong")
	}
	return id, nil
}

func readIdentity(fs vfs.FS, dir string) (identity, error) {
	path := fs.PathJoin(dir, identityFile)
	text, err := readFile(fs, path)
	if err != nil {
		return identity{}, err
	}
	id, err := parseIdentity(string(text))
	if err != nil {
		return identity{}, fmt.Errorf("identity file %s: %w", path, err)
	}
	return id, nil
}

func exists(fs vfs.FS, path string) (bool, error) {
	_, err := fs.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// writeFile makes a file durable under its name: the content first, then the name.
func writeFile(fs vfs.FS, dir, name string, content []byte) error {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// makeDir makes a directory and those above it that are missing, durably.
func makeDir(fs vfs.FS, dir string) error {
	there, err := exists(fs, dir)
	if there || err != nil {
		return err
	}
	above := fs.PathDir(dir)
	if err := makeDir(fs, above); err != nil {
		return err
	}
	return errors.Join(fs.MkdirAll(dir, 0o700), syncDir(fs, above))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
