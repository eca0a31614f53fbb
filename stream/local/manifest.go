package local

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestScan is what a MANIFEST of pebble says of the files: which tables are in use, with their first and last key, and from which
// log on the logs are needed. Repair uses it as a hint only: it tells leftovers from live files and names the records of
// a table that is missing. What follows from it counts if it adds up with the digest of the last commit.
type manifestScan struct {
	name   string
	whole  bool // nothing in it was unreadable
	minLog uint64
	tables map[uint64]tableBounds
}

type tableBounds struct{ first, last []byte }

// live reports whether a table is in use.
func (m *manifestScan) live(table uint64) bool {
	_, ok := m.tables[table]
	return ok
}

var errManifest = errors.New("the MANIFEST is malformed")

// readManifest reads the newest MANIFEST of the directory, as far as it can be read.
func readManifest(fs vfs.FS, dir string, names []string) (*manifestScan, error) {
	m := &manifestScan{tables: map[uint64]tableBounds{}}
	marked := ""
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST-") && name > m.name {
			m.name = name
		}
		if strings.HasPrefix(name, "marker.manifest.") {
			marked = max(marked, name)
		}
	}
	if at := strings.LastIndexByte(marked, '.'); at >= 0 {
		m.name = marked[at+1:]
	}
	if m.name == "" {
		return m, errors.New("there is no MANIFEST")
	}
	f, err := fs.Open(fs.PathJoin(dir, m.name))
	if err != nil {
		return m, err
	}
	defer f.Close()
	scan, err := readChunks(f, 0, func(record []byte, _ int64) error { return m.apply(record) })
	m.whole = err == nil && len(scan.holes) == 0 && scan.tail < 0 && marked != "" && len(m.tables)+int(m.minLog) > 0
	return m, err
}

// The tags of an edit of the MANIFEST that pebble writes in our format.
const (
	tagComparer       = 1
	tagMinLog         = 2
	tagNextFile       = 3
	tagLastSeq        = 4
	tagDeletedTable   = 6
	tagPrevLog        = 9
	tagNewTable       = 103
	tagCreatedBacking = 105
	tagRemovedBacking = 106

	tagTableEnd     = 1
	tagTableVirtual = 66
	tagTableBlobs   = 69
)

// apply applies one edit.
func (m *manifestScan) apply(edit []byte) error {
	d := decoder{buf: edit}
	for len(d.buf) > 0 && !d.bad {
		switch tag := d.uvarint(); tag {
		case tagComparer:
			d.bytes()
		case tagMinLog:
			m.minLog = d.uvarint()
		case tagNextFile, tagLastSeq, tagPrevLog, tagRemovedBacking:
			d.uvarint()
		case tagCreatedBacking:
			d.uvarint()
			d.uvarint()
		case tagDeletedTable:
			d.uvarint() // level
			m.remove(d.uvarint())
		case tagNewTable:
			m.add(&d)
		default:
			return errManifest
		}
	}
	if d.bad {
		return errManifest
	}
	return nil
}

// remove takes a table out. A table that moves to another level is removed and added by one edit, in this order.
func (m *manifestScan) remove(table uint64) { delete(m.tables, table) }

func (m *manifestScan) add(d *decoder) {
	d.uvarint() // level
	number := d.uvarint()
	d.uvarint() // size
	first, last := userKey(d.bytes()), userKey(d.bytes())
	d.uvarint() // smallest and largest sequence number
	d.uvarint()
	for !d.bad {
		switch tag := d.uvarint(); {
		case tag == tagTableEnd:
			m.tables[number] = tableBounds{first, last}
			return
		case tag == tagTableVirtual:
			d.bad = true // a part of a file; nothing of ours makes them
		case tag == tagTableBlobs:
			d.uvarint()
			for n := d.uvarint(); n > 0 && !d.bad; n-- {
				d.uvarint()
				d.uvarint()
			}
		default:
			d.bytes()
		}
	}
}

// userKey takes pebble's trailer off an internal key.
func userKey(internal []byte) []byte {
	return append([]byte(nil), internal[:max(0, len(internal)-8)]...)
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.buf)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.buf = d.buf[size:]
	return n
}
