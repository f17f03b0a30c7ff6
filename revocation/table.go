package revocation

import (
	"bytes"
	"math/bits"
)

// table is a set of keys of one width, each with a mark. It is filled once and then only read.
//
// It is a flat open-addressed hash table: width+5 bytes a slot, three of four slots in use, no pointers for the garbage
// collector to follow. Hashes are made with a random and secret seed, so nobody who sends tokens can choose ids that are slow
// to look up. Where a key goes grows with its hash, so the keys of a table lie about in the order of their hashes, and tables
// of one seed are put together from front to back.
type table struct {
	width int
	n     int
	tags  []byte // 0: free; else 0x80 and seven bits of the key's hash, so that a miss seldom looks at a key
	keys  []byte
	marks []mark
}

// newTable makes a table with room for capacity keys.
func newTable(width, capacity int) table {
	if capacity == 0 {
		return table{width: width}
	}
	slots := capacity + capacity/3 + 1
	return table{
		width: width,
		tags:  make([]byte, slots),
		keys:  make([]byte, slots*width),
		marks: make([]mark, slots),
	}
}

// find gives the slot that holds key, whose hash is h, or the free one that it would go to. The table has at least one slot.
func (t *table) find(h uint64, key []byte) (slot int, found bool) {
	tag := byte(h) | 0x80
	high, _ := bits.Mul64(h, uint64(len(t.tags)))
	for i := int(high); ; i++ {
		if i == len(t.tags) {
			i = 0
		}
		switch t.tags[i] {
		case 0:
			return i, false
		case tag:
			if bytes.Equal(t.key(i), key) {
				return i, true
			}
		}
	}
}

func (t *table) key(slot int) []byte { return t.keys[slot*t.width : (slot+1)*t.width] }

func (t *table) contains(h uint64, key []byte) bool {
	if t.n == 0 {
		return false
	}
	_, found := t.find(h, key)
	return found
}

// get returns the mark of key, 0 if it is not in the table.
func (t *table) get(h uint64, key []byte) mark {
	if t.n == 0 {
		return 0
	}
	slot, found := t.find(h, key)
	if !found {
		return 0
	}
	return t.marks[slot]
}

// put adds key, or joins the marks if it is there, and returns the mark that it had, 0 for none. The table must have room.
func (t *table) put(h uint64, key []byte, m mark) (old mark) {
	slot, found := t.find(h, key)
	if found {
		old = t.marks[slot]
	} else {
		t.tags[slot] = byte(h) | 0x80
		copy(t.key(slot), key)
		t.n++
	}
	t.marks[slot] = old.join(m)
	return old
}

// each calls f for every key, in the order of the slots, until f says false.
func (t *table) each(f func(key []byte, m mark) bool) bool {
	for i, tag := range t.tags {
		if tag != 0 && !f(t.key(i), t.marks[i]) {
			return false
		}
	}
	return true
}
