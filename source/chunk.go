package source

// ChunkSize is how large the pieces of memory are that messages are read into, at most: among many connections they are smaller.
const ChunkSize = 256 << 10

// mostGrowth is by how much the memory of a long message grows at most, so that one of the largest size takes little more than that.
const mostGrowth = 4 << 20

// Chunk is the memory that the reading goroutine of a transport reads into, many messages in one piece. What was cut out of it is
// never written again. Its length is what has been read; its zero value is ready for use.
type Chunk []byte

// Room returns the room behind what has been read, between 1 and most bytes. What begins at start, an unfinished message,
// moves to new memory where the chunk is full, and start with it. The caller lengthens the Chunk by what it puts there.
func (c *Chunk) Room(start *int, most int) []byte {
	if len(*c) == cap(*c) {
		begun := (*c)[*start:]
		*c = append(make([]byte, 0, max(chunkSize(), min(2*len(begun), len(begun)+mostGrowth))), begun...)
		*start = 0
	}
	return (*c)[len(*c):min(cap(*c), len(*c)+most)]
}

// Cut returns what has been read from start on, for good.
func (c *Chunk) Cut(start int) []byte {
	data := (*c)[start:len(*c):len(*c)]
	if cap(*c) > ChunkSize {
		*c = nil // a small message behind it must not keep it
	}
	return data
}
