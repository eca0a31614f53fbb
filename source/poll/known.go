package poll

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/leatstream/leat"
)

// mark stands for an event.
type mark [8]byte

func markOf(text string) (m mark) {
	sum := sha256.Sum256([]byte(text))
	copy(m[:], sum[:])
	return m
}

const (
	// generation is after how many events what was not seen again since is forgotten the next time.
	generation = 20_000

	// remembered is how many events a cursor names.
	remembered = 16
)

// known are the events that were in answers, bounded.
type known struct {
	young, old map[mark]struct{}
	last       []mark // the last ones that were handed on
}

func (k *known) any() bool { return len(k.young)+len(k.old) > 0 }

func (k *known) has(m mark) bool {
	if _, ok := k.young[m]; ok {
		return true
	}
	_, ok := k.old[m]
	return ok
}

// add notes that an event was seen.
func (k *known) add(m mark) {
	if k.young == nil {
		k.young = map[mark]struct{}{}
	}
	if !k.has(m) {
		k.last = append(k.last, m)
		if len(k.last) > 2*remembered {
			k.last = append(k.last[:0], k.last[len(k.last)-remembered:]...)
		}
	}
	k.young[m] = struct{}{}
}

// rest is called behind each answer, with the number of its events: what was in none for long is forgotten.
func (k *known) rest(events int) {
	if len(k.young) > max(generation, events) {
		k.old, k.young = k.young, nil
	}
}

// cursor names the last events: one of them in an answer of the next connection shows that it goes on where this one was left.
func (k *known) cursor() leat.Cursor {
	from := max(0, len(k.last)-remembered)
	parts := make([]string, 0, remembered)
	for _, m := range k.last[from:] {
		parts = append(parts, hex.EncodeToString(m[:]))
	}
	return leat.Cursor(strings.Join(parts, " "))
}

// recall notes the events of a cursor.
func (k *known) recall(c leat.Cursor) {
	for part := range strings.FieldsSeq(string(c)) {
		var m mark
		if n, err := hex.Decode(m[:], []byte(part[:min(len(part), 2*len(m))])); err == nil && n == len(m) {
			k.add(m)
		}
	}
}
