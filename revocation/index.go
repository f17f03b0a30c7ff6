package revocation

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"strings"
	"time"
)

// hashSizes are the sizes in bytes of the hashes that Keystone makes ids with: MD5, SHA-1, SHA-224, SHA-256, SHA-384 and
// SHA-512.
var hashSizes = [...]int{16, 20, 28, 32, 48, 64}

const (
	maxHash = 64
	// auditIDSize is the size of an audit id: 16 random bytes, written as 22 characters of base64url.
	auditIDSize = 16
)

// mark is what is kept with a key: the time when the token behind it expires, in seconds since 1970 rounded up to an even
// number, and in the lowest bit whether the entry is a lone one. For an id that is one without an audit id, for an audit id one
// that has an id too. The rounding makes a revocation last a second longer at most. No key has the mark 0.
type mark uint32

const (
	flag mark = 1
	// never is the expiry of an entry that has none, or one that does not fit.
	never mark = math.MaxUint32 &^ flag
)

func newMark(expires time.Time, flagged bool) mark {
	m := never
	if !expires.IsZero() {
		m = mark(min(max(expires.Unix()+1, 2), int64(never))) &^ flag
	}
	if flagged {
		m |= flag
	}
	return m
}

func (m mark) expires() mark { return m &^ flag }

// join is the mark of a key that is listed twice: the later time counts, and either flag.
func (m mark) join(other mark) mark { return max(m.expires(), other.expires()) | (m|other)&flag }

// index finds entries by id and by audit id. Ids in the usual forms go to tables, the rest to maps. It is filled once and then
// only read.
type index struct {
	hashes    [len(hashSizes)]table
	otherIDs  map[string]mark
	audits    table
	otherAuds map[string]mark

	entries        int  // how many there are beside those of the layers below
	withoutAuditID int  // ids that stand alone, here
	soonest        mark // the first expiry; never if there is none
}

// size is the number of keys.
func (x *index) size() int {
	n := len(x.otherIDs) + len(x.otherAuds) + x.audits.n
	for kind := range x.hashes {
		n += x.hashes[kind].n
	}
	return n
}

// newIndex indexes the entries, without those that expired before keepFrom (the zero time keeps all) and without what the
// layers below say already.
func newIndex(entries []Entry, keepFrom time.Time, seed maphash.Seed, below []*index) *index {
	x := &index{}
	var (
		id         [maxHash]byte
		audit      [auditIDSize]byte
		hashes     [len(hashSizes)]int
		auditCount int
	)
	keep := func(e *Entry) bool { return e.Expires.IsZero() || !e.Expires.Before(keepFrom) }
	for i := range entries {
		if e := &entries[i]; keep(e) {
			if kind := hashKey(e.ID, &id); kind >= 0 {
				hashes[kind]++
			}
			if auditKey(e.AuditID, &audit) {
				auditCount++
			}
		}
	}
	for kind, n := range hashes {
		x.hashes[kind] = newTable(hashSizes[kind], n)
	}
	x.audits = newTable(auditIDSize, auditCount)

	for i := range entries {
		e := &entries[i]
		if !keep(e) {
			continue
		}
		if e.ID != "" {
			m, old := newMark(e.Expires, e.AuditID == ""), mark(0)
			if kind := hashKey(e.ID, &id); kind >= 0 {
				key := id[:hashSizes[kind]]
				h := maphash.Bytes(seed, key)
				for _, b := range below {
					old = old.join(b.hashes[kind].get(h, key))
				}
				if m = old.join(m); m != old {
					old = old.join(x.hashes[kind].put(h, key, m))
				}
			} else {
				for _, b := range below {
					old = old.join(b.otherIDs[e.ID])
				}
				if m = old.join(m); m != old {
					old = old.join(putOther(&x.otherIDs, e.ID, m))
				}
			}
			if old == 0 {
				x.entries++
			}
		}
		if e.AuditID != "" {
			m, old := newMark(e.Expires, e.ID != ""), mark(0)
			if auditKey(e.AuditID, &audit) {
				key := audit[:]
				h := maphash.Bytes(seed, key)
				for _, b := range below {
					old = old.join(b.audits.get(h, key))
				}
				if m = old.join(m); m != old {
					old = old.join(x.audits.put(h, key, m))
				}
			} else {
				for _, b := range below {
					old = old.join(b.otherAuds[e.AuditID])
				}
				if m = old.join(m); m != old {
					old = old.join(putOther(&x.otherAuds, e.AuditID, m))
				}
			}
			x.entries += lone(m.join(old)) - lone(old)
		}
	}
	x.tally()
	return x
}

// lone is 1 for an audit id that makes an entry of its own, since it has no id, and 0 for others and none.
func lone(audit mark) int {
	if audit == 0 || audit&flag != 0 {
		return 0
	}
	return 1
}

// tally looks at all marks.
func (x *index) tally() {
	x.soonest, x.withoutAuditID = never, 0
	id := func(m mark) {
		x.withoutAuditID += int(m & flag)
		x.soonest = min(x.soonest, m.expires())
	}
	for kind := range x.hashes {
		x.hashes[kind].each(func(_ []byte, m mark) bool { id(m); return true })
	}
	for _, m := range x.otherIDs {
		id(m)
	}
	x.audits.each(func(_ []byte, m mark) bool { x.soonest = min(x.soonest, m.expires()); return true })
	for _, m := range x.otherAuds {
		x.soonest = min(x.soonest, m.expires())
	}
}

func putOther(m *map[string]mark, id string, value mark) (old mark) {
	if *m == nil {
		*m = map[string]mark{}
	}
	old = (*m)[id]
	(*m)[strings.Clone(id)] = old.join(value) // the list's strings hold on to the whole list
	return old
}

// merge makes one index of several that lie on top of each other, the lowest first, without what expired before keepFrom. Now
// and then it asks goOn, and gives up with nil if that says false.
func merge(layers []*index, keepFrom time.Time, seed maphash.Seed, goOn func() bool) *index {
	x := &index{}
	m := &merger{seed: seed, goOn: goOn}
	if !keepFrom.IsZero() {
		m.limit = newMark(keepFrom, false)
	}
	for kind := range x.hashes {
		if !m.tables(&x.hashes[kind], hashSizes[kind], layers, func(x *index) *table { return &x.hashes[kind] }) {
			return nil
		}
	}
	if !m.tables(&x.audits, auditIDSize, layers, func(x *index) *table { return &x.audits }) {
		return nil
	}
	x.otherIDs = m.maps(layers, func(x *index) map[string]mark { return x.otherIDs })
	x.otherAuds = m.maps(layers, func(x *index) map[string]mark { return x.otherAuds })
	x.tally()
	return x
}

// count counts the entries of an index that has none below it.
func (x *index) count() {
	x.entries = len(x.otherIDs)
	for kind := range x.hashes {
		x.entries += x.hashes[kind].n
	}
	x.audits.each(func(_ []byte, m mark) bool { x.entries += lone(m); return true })
	for _, m := range x.otherAuds {
		x.entries += lone(m)
	}
}

type merger struct {
	limit mark
	seed  maphash.Seed
	goOn  func() bool
	steps int
}

// mergeStep is how many keys are looked at between two questions to goOn: some milliseconds' worth at most.
const mergeStep = 1 << 13

func (m *merger) tables(into *table, width int, layers []*index, of func(*index) *table) bool {
	capacity := 0
	for _, x := range layers {
		for i, tag := range of(x).tags {
			if tag != 0 && of(x).marks[i].expires() >= m.limit {
				capacity++
			}
		}
	}
	*into = newTable(width, capacity)
	for _, x := range layers {
		finished := of(x).each(func(key []byte, value mark) bool {
			if m.steps++; m.steps%mergeStep == 0 && !m.goOn() {
				return false
			}
			if value.expires() >= m.limit {
				into.put(maphash.Bytes(m.seed, key), key, value)
			}
			return true
		})
		if !finished {
			return false
		}
	}
	return true
}

func (m *merger) maps(layers []*index, of func(*index) map[string]mark) (all map[string]mark) {
	for _, x := range layers {
		for id, value := range of(x) {
			if value.expires() < m.limit {
				continue
			}
			if all == nil {
				all = map[string]mark{}
			}
			if old, found := all[id]; found {
				value = old.join(value)
			}
			all[id] = value
		}
	}
	return all
}

// hashKey puts the bytes that id spells in hex into key and gives the index into hashSizes, or -1 if id is no hash in hex.
func hashKey(id string, key *[maxHash]byte) int {
	kind := 0
	switch len(id) {
	case 2 * 16:
	case 2 * 20:
		kind = 1
	case 2 * 28:
		kind = 2
	case 2 * 32:
		kind = 3
	case 2 * 48:
		kind = 4
	case 2 * 64:
		kind = 5
	default:
		return -1
	}
	if !unhex(key, id) {
		return -1
	}
	return kind
}

// unhex puts the bytes that s spells in hex digits of either case into key and says whether it does. s has a multiple of eight
// digits, and they are read eight at once, each in one byte of a word, the first in the lowest: a lookup is short, and most of
// its time went into looking up digit by digit.
func unhex(key *[maxHash]byte, s string) bool {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	var wrong uint64
	for out := key[:]; len(s) >= 8 && len(out) >= 4; s, out = s[8:], out[4:] {
		x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		low := x &^ high // so that no sum below reaches into the next byte
		lower := low | 0x20*ones
		number := (low + (0x80-'0')*ones) &^ (low + (0x7f-'9')*ones)
		letter := (lower + (0x80-'a')*ones) &^ (lower + (0x7f-'f')*ones)
		wrong |= ^(number | letter) | x

		x = low&(0x0f*ones) + 9*(low>>6&ones)
		x = (x<<4 | x>>8) & 0x00ff00ff00ff00ff
		x = (x | x>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(out, uint32(x|x>>16))
	}
	return wrong&high == 0
}

// auditKey puts the bytes of an audit id in its usual form into key. What it takes is the only spelling of those bytes.
func auditKey(id string, key *[auditIDSize]byte) bool {
	if len(id) != 22 {
		return false
	}
	var bad, acc uint32
	for i, out := 0, 0; i < 20; i, out = i+4, out+3 {
		a, b, c, d := base64Values[id[i]], base64Values[id[i+1]], base64Values[id[i+2]], base64Values[id[i+3]]
		bad |= uint32(a | b | c | d)
		acc = uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(d)
		key[out], key[out+1], key[out+2] = byte(acc>>16), byte(acc>>8), byte(acc)
	}
	a, b := base64Values[id[20]], base64Values[id[21]]
	key[15] = a<<2 | b>>4
	return (bad|uint32(a|b)) <= 0x3f && b&0x0f == 0 // 22 characters hold 4 bits more than 16 bytes
}

// base64Values are the digits of base64url by character; invalid for all others.
var base64Values = func() (values [256]byte) {
	for c := range values {
		values[c] = invalid
	}
	for v, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		values[c] = byte(v)
	}
	return values
}()

const invalid = 0xff
