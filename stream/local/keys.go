package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/leatstream/leat"
)

// Keys of the database. Numbers are big-endian, so that keys sort as numbers do.
//
//	r  stream 4  shard 4  first index 8  count 4    a stored batch
//	m  key                                          a mark: epoch 8, value
//	s  key                                          a state entry: value
//	cc                                              the commit state: number 8, epoch 8, time 8, digest 8, ends 8
//	cn                                              the next stream id 4
//	ct stream 4                                     a stream, JSON
//	ch stream 4  shard 4                            a shard, JSON
//	cg stream 4  shard 4  from 8                    a hole: to 8, reason
//	cx name                                         a deleted stream: when its youngest shard was created, in seconds 8
//
// Streams have numbers that are never used twice, so that nothing which outlived a deleted
// stream can be taken for part of a new one with its name. Every value but a stored
// batch ends in the CRC32C of key and value (see sealValue).
const (
	spaceRecords = 'r'
	spaceMarks   = 'm'
	spaceState   = 's'
)

var (
	keyCommit     = []byte("cc")
	keyNextStream = []byte("cn")
)

func recordKey(k batchKey) []byte {
	key := appendShard([]byte{spaceRecords}, k.stream, k.shard)
	key = binary.BigEndian.AppendUint64(key, k.first)
	return binary.BigEndian.AppendUint32(key, k.count)
}

// recordBound is the key before every stored batch that begins at index first or later.
func recordBound(stream uint32, shard leat.ShardID, first uint64) []byte {
	return binary.BigEndian.AppendUint64(appendShard([]byte{spaceRecords}, stream, shard), first)
}

// shardEnd is the key behind every stored batch of the shard.
func shardEnd(stream uint32, shard leat.ShardID) []byte {
	return recordBound(stream, shard, ^uint64(0))
}

func appendShard(key []byte, stream uint32, shard leat.ShardID) []byte {
	key = binary.BigEndian.AppendUint32(key, stream)
	return binary.BigEndian.AppendUint32(key, uint32(shard))
}

const recordKeySize = 1 + 4 + 4 + 8 + 4

func parseRecordKey(key []byte) (batchKey, error) {
	if len(key) != recordKeySize || key[0] != spaceRecords {
		return batchKey{}, fmt.Errorf("key %x is not the key of a batch", key)
	}
	return batchKey{
		stream: binary.BigEndian.Uint32(key[1:]),
		shard:  leat.ShardID(binary.BigEndian.Uint32(key[5:])),
		first:  binary.BigEndian.Uint64(key[9:]),
		count:  binary.BigEndian.Uint32(key[17:]),
	}, nil
}

func streamKey(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte("ct"), id) }

func shardKey(id uint32, shard leat.ShardID) []byte { return appendShard([]byte("ch"), id, shard) }

func holeKey(id uint32, shard leat.ShardID, from uint64) []byte {
	return binary.BigEndian.AppendUint64(appendShard([]byte("cg"), id, shard), from)
}

func spaceKey(space byte, key string) []byte { return append([]byte{space}, key...) }

// prefixEnd is the first key behind all keys with the prefix.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// sealValue returns value with the checksum of key and value behind it.
func sealValue(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.BigEndian.AppendUint32(append([]byte(nil), value...), sum)
}

var errSeal = errors.New("stored value has a wrong checksum")

// openValue checks what sealValue made and returns the value, which shares memory with stored.
func openValue(key, stored []byte) ([]byte, error) {
	if len(stored) < 4 {
		return nil, fmt.Errorf("key %q: %w", key, errSeal)
	}
	value := stored[:len(stored)-4]
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value) != binary.BigEndian.Uint32(stored[len(value):]) {
		return nil, fmt.Errorf("key %q: %w", key, errSeal)
	}
	return value, nil
}
