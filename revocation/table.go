package revocation

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// table is a set of keys of one width, each with the time when the token behind it expires, in unix seconds. It is filled
// once and then only read.
//
// It is a flat open-addressed hash table: width+5 bytes a slot, three of four slots in use, no pointers for the garbage
// collector to follow. The seed is random and secret, so nobody who sends tokens can choose ids that are slow to look up.
type table struct {
	width   int
	n       int
	seed    maphash.Seed
	tags    []byte // 0: free; else 0x80 and seven bits of the key's hash, so that a miss seldom looks at a key
	keys    []byte
	expires []uint32
}

// newTable makes a table with room for capacity keys.
func newTable(width, capacity int) table {
	if capacity == 0 {
		return table{width: width}
	}
	slots := capacity + capacity/3 + 1
	return table{
		width:   width,
		seed:    maphash.MakeSeed(),
		tags:    make([]byte, slots),
		keys:    make([]byte, slots*width),
		expires: make([]uint32, slots),
	}
}

// find gives the slot that holds key, or the free one that it would go to. The table has at least one slot.
func (t *table) find(key []byte) (slot int, found bool) {
	h := maphash.Bytes(t.seed, key)
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

func (t *table) contains(key []byte) bool {
	if t.n == 0 {
		return false
	}
	_, found := t.find(key)
	return found
}

// add puts key in and says whether it is new. Of two times for one key the later stays.
func (t *table) add(key []byte, expires uint32) bool {
	slot, found := t.find(key)
	if found {
		t.expires[slot] = max(t.expires[slot], expires)
		return false
	}
	h := maphash.Bytes(t.seed, key)
	t.tags[slot] = byte(h) | 0x80
	copy(t.key(slot), key)
	t.expires[slot] = expires
	t.n++
	return true
}

// missing counts the keys of t that expire later than after and are not in other.
func (t *table) missing(other *table, after uint32) (n int) {
	for i, tag := range t.tags {
		if tag != 0 && t.expires[i] > after && !other.contains(t.key(i)) {
			n++
		}
	}
	return n
}
