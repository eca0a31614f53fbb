package local

import (
	"encoding/binary"
	"hash/fnv"
)

// digest is a checksum over everything in the database but the stored batches: the sum of the hashes of all other
// keys with their values. It is stored with every commit, so that a database which has lost a part of
// its past, and still has its newest commit, is found out: the streams, marks and state it has
// do not add up. The batches of a shard follow one another, so that of them only the end must be known: see setEnd.
type digest struct {
	sum    uint64
	hashes map[string]uint64 // of each key; needed to take a replaced value out of the sum
}

func newDigest() *digest { return &digest{hashes: map[string]uint64{}} }

// covered reports whether a key counts: all but batches and the commit number, which holds the sum.
func covered(key []byte) bool { return key[0] != spaceRecords && string(key) != string(keyCommit) }

// set replaces the value of key; a nil value removes it.
func (d *digest) set(key string, hash uint64, present bool) {
	d.sum -= d.hashes[key]
	if !present {
		delete(d.hashes, key)
		return
	}
	d.hashes[key] = hash
	d.sum += hash
}

func hashOf(key, value []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(key)
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(value)
	return h.Sum64() | 1 // never 0, so that an entry always counts
}

// setEnd computes the hash of where the shard ends. The sum over all shards is stored with every commit: batches that are missing
// at the end of a shard are found by it, whatever else is there.
func (s *shardState) setEnd() uint64 {
	var b [24]byte
	binary.BigEndian.PutUint32(b[:], s.stream.id)
	binary.BigEndian.PutUint32(b[4:], uint32(s.id))
	binary.BigEndian.PutUint64(b[8:], s.next)
	binary.BigEndian.PutUint64(b[16:], s.total)
	s.end = fnvOffset
	for _, c := range b {
		s.end = (s.end ^ uint64(c)) * fnvPrime
	}
	s.end |= 1
	return s.end
}

// FNV-1a, written out: it is done for every shard of every commit and must not allocate.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// ends returns the sum over all shards.
func (c *catalog) ends() (sum uint64) {
	for _, s := range c.all() {
		for _, shard := range s.list() {
			sum += shard.end
		}
	}
	return sum
}

// change is one key that a frame sets or removes.
type change struct {
	key     string
	hash    uint64
	present bool
}

// put stores a value with its checksum.
func (f *frame) put(key, value []byte) {
	_ = f.batch.Set(key, sealValue(key, value), nil) // the batch is in memory: it cannot fail
	if covered(key) {
		f.changes = append(f.changes, change{string(key), hashOf(key, value), true})
	}
}

// remove deletes a key.
func (f *frame) remove(key []byte) {
	_ = f.batch.Delete(key, nil)
	f.changes = append(f.changes, change{key: string(key)})
}

// set stores or, where value is nil, removes.
func (f *frame) set(key, value []byte) {
	if value == nil {
		f.remove(key)
		return
	}
	f.put(key, value)
}

// loadDigest adds up what is in the database.
func (e *Engine) loadDigest() (*digest, error) {
	d := newDigest()
	for _, space := range []byte{'c', spaceMarks, spaceState} {
		err := e.scan([]byte{space}, func(key, value []byte) error {
			if covered(key) {
				d.set(string(key), hashOf(key, value), true)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}
