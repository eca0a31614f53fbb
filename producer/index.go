package producer

// index finds entries by their identity. It holds no pointer, so that the collector passes over it, and takes 40 to 80 bytes for each entry: a
// map, which needs more of both memory and time, was the largest cost of a fast source.
//
//	ring    entries, number n at n modulo the length, which is a power of two
//	slots   twice as many; each 0, or 32 bits of an identity and the place of its entry in the ring plus one
//
// An entry's slot is the one that the 32 bits name, or else the next free one behind it.
type index struct {
	ring  []entry
	slots []uint64
}

// firstRing is the length with which a ring begins.
const firstRing = 1 << 10

// at returns entry number n.
func (x *index) at(n uint64) *entry { return &x.ring[n&uint64(len(x.ring)-1)] }

func (x *index) has(id identity) bool {
	if len(x.slots) == 0 {
		return false
	}
	mask := uint64(len(x.slots) - 1)
	tag := id[0] >> 32
	for i := tag & mask; x.slots[i] != 0; i = (i + 1) & mask {
		if s := x.slots[i]; s>>32 == tag && x.ring[uint32(s)-1].id == id {
			return true
		}
	}
	return false
}

// add stores entry number n, for which there is room.
func (x *index) add(n uint64, e entry) {
	place := n & uint64(len(x.ring)-1)
	x.ring[place] = e
	mask := uint64(len(x.slots) - 1)
	tag := e.id[0] >> 32
	i := tag & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = tag<<32 | (place + 1)
}

// drop removes entry number n, which is there. What lies behind its slot moves up, so that no search ends too early.
func (x *index) drop(n uint64) {
	place := n & uint64(len(x.ring)-1)
	mask := uint64(len(x.slots) - 1)
	i := x.ring[place].id[0] >> 32 & mask
	for uint64(uint32(x.slots[i])) != place+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		if home := x.slots[j] >> 32; (j-home)&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}

// grow makes room for twice as many entries; there are those from head up to next.
func (x *index) grow(head, next uint64) {
	old := *x
	size := max(firstRing, 2*len(old.ring))
	x.ring, x.slots = make([]entry, size), make([]uint64, 2*size)
	for n := head; n < next; n++ {
		x.add(n, *old.at(n))
	}
}
