package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// entry is one version of a key, as a table or a log of pebble holds it. Its slices are valid during the call they are given to.
type entry struct {
	key, value []byte
	seq        uint64 // of pebble; 0 where a compaction found nothing older
	removed    bool
}

// span is a range of removed keys, end not included.
type span struct{ start, end []byte }

// tableScan reads the versions in one table of pebble, block by block, so that damage costs the block it has hit. Where the blocks lie
// is told by the table's index; if that is damaged, or the end of the file is missing, they are found one behind the other by
// their checksums.
type tableScan struct {
	file    vfs.File
	size    int64
	do      func(*entry) error
	removed []span   // ranges that the table removes
	damage  []string // what could not be read
	unread  []unread // the same, as places between keys

	last []byte // the key read last
}

// unread is a part of a table that cannot be read: what lay behind the key start and before the key end, nil where there is none.
type unread struct {
	span
	bytes uint64
	cut   bool // the index of the table is lost too: it may never have been finished
}

// readTable calls do for every version in the table that can be read.
func readTable(fs vfs.FS, path string, do func(*entry) error) (s *tableScan, err error) {
	s = &tableScan{do: do}
	if s.file, err = fs.Open(path); err != nil {
		return s, err
	}
	defer s.file.Close()
	info, err := s.file.Stat()
	if err != nil {
		return s, err
	}
	s.size = info.Size()
	handles, indexErr := s.layout(fs, path)
	if indexErr != nil {
		s.damage = append(s.damage, fmt.Sprintf("its index cannot be read: %v", indexErr))
		if handles, err = s.search(); err != nil {
			return s, err
		}
	}
	for _, h := range handles {
		before := s.last
		err := s.readBlock(h)
		var stop *stopError
		if errors.As(err, &stop) {
			return s, stop.error
		}
		if err != nil && indexErr == nil {
			s.damage = append(s.damage, fmt.Sprintf("block at byte %d: %v", h.Offset, err))
			s.unread = append(s.unread, unread{span{before, nil}, h.Length, false})
		}
	}
	if indexErr != nil {
		s.unread = append(s.unread, unread{span{s.last, nil}, uint64(s.size), true})
	}
	return s, nil
}

// stopError is an error of the caller's function, which ends the reading.
type stopError struct{ error }

// layout returns the data blocks by the table's own index.
func (s *tableScan) layout(fs vfs.FS, path string) (handles []block.Handle, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return nil, errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if format, err := r.TableFormat(); err != nil || !format.BlockColumnar() {
		return nil, errors.Join(err, fmt.Errorf("format %s of a table is not one of ours", format))
	}
	layout, err := r.Layout()
	if err != nil {
		return nil, err
	}
	for i := range layout.Data {
		handles = append(handles, layout.Data[i].Handle)
	}
	if err := s.removals(r); err != nil {
		s.damage = append(s.damage, fmt.Sprintf("removed ranges: %v", err))
	}
	return handles, nil
}

func (s *tableScan) removals(r *sstable.Reader) error {
	it, err := r.NewRawRangeDelIter(context.Background(), block.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	found, err := it.First()
	for ; found != nil && err == nil; found, err = it.Next() {
		s.removed = append(s.removed, span{append([]byte(nil), found.Start...), append([]byte(nil), found.End...)})
	}
	return err
}

// search finds blocks from the beginning of the file on: each ends where its checksum follows. It stops at the first that does not.
func (s *tableScan) search() ([]block.Handle, error) {
	content, err := io.ReadAll(io.NewSectionReader(s.file, 0, s.size))
	if err != nil {
		return nil, err
	}
	var handles []block.Handle
	start, sum := 0, ^uint32(0)
	for i := 0; i+block.TrailerLen <= len(content); i++ {
		sum = castagnoli[byte(sum)^content[i]] ^ sum>>8
		kind := block.CompressionIndicator(content[i])
		if kind != block.NoCompressionIndicator && kind != block.SnappyCompressionIndicator &&
			kind != block.ZstdCompressionIndicator && kind != block.MinLZCompressionIndicator ||
			maskedSum(^sum) != binary.LittleEndian.Uint32(content[i+1:]) {
			continue
		}
		handles = append(handles, block.Handle{Offset: uint64(start), Length: uint64(i - start)})
		i += block.TrailerLen - 1
		start, sum = i+1, ^uint32(0)
	}
	return handles, nil
}

var keySchema = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)

// readBlock reads the versions of one block.
func (s *tableScan) readBlock(h block.Handle) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is malformed: %v", p)
		}
	}()
	data, err := s.load(h)
	if err != nil {
		return err
	}
	var decoder colblk.DataBlockDecoder
	var it colblk.DataBlockIter
	decoder.Init(&keySchema, data)
	it.InitOnce(&keySchema, pebble.DefaultComparer, nil)
	if err := it.Init(&decoder, block.NoTransforms); err != nil {
		return err
	}
	for kv := it.First(); kv != nil; kv = it.Next() {
		e := entry{key: kv.K.UserKey, seq: uint64(kv.SeqNum())}
		switch kv.Kind() {
		case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
			e.value = kv.InPlaceValue()
		case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
			e.removed = true
		default:
			continue
		}
		s.read(e.key)
		if err := s.do(&e); err != nil {
			return &stopError{err}
		}
	}
	return it.Error()
}

// read notes a key that was read: the parts before it that could not be read end there.
func (s *tableScan) read(key []byte) {
	s.last = append([]byte(nil), key...)
	for i := len(s.unread) - 1; i >= 0 && s.unread[i].end == nil; i-- {
		s.unread[i].end = s.last
	}
}

// load reads a block, checks its checksum and returns it uncompressed.
func (s *tableScan) load(h block.Handle) ([]byte, error) {
	if h.Length > maxRecord || int64(h.Offset+h.Length)+block.TrailerLen > s.size {
		return nil, errors.New("it lies outside the file")
	}
	raw := make([]byte, h.Length+block.TrailerLen)
	if _, err := s.file.ReadAt(raw, int64(h.Offset)); err != nil {
		return nil, err
	}
	body, kind := raw[:h.Length], block.CompressionIndicator(raw[h.Length])
	if maskedSum(crc32.Checksum(raw[:h.Length+1], castagnoli)) != binary.LittleEndian.Uint32(raw[h.Length+1:]) {
		return nil, errors.New("its checksum is wrong")
	}
	if kind == block.NoCompressionIndicator {
		return body, nil
	}
	length, err := block.DecompressedLen(kind, body)
	if err != nil {
		return nil, err
	}
	if length > maxRecord {
		return nil, errors.New("it is too long")
	}
	data := make([]byte, length)
	return data, block.DecompressInto(kind, body, data)
}
