package revocation

import (
	"math"
	"strings"
	"time"
)

// Snapshot is what one revocation list said. It never changes; a nil Snapshot knows nothing.
//
// Ids are compared exactly, never by a shortened hash, so a token is found in the list if and only if it is there. An id of
// hex digits that has the length of a hash is kept as the number that it spells, so upper and lower case are one: there Keystone
// writes lower case, and a list that does not must not let a token through. Every other id, and every audit id, counts byte
// for byte.
type Snapshot struct {
	index     *index
	fetchedAt time.Time
}

// NewSnapshot indexes all entries of a list that was fetched at the given time.
func NewSnapshot(entries []Entry, fetchedAt time.Time) *Snapshot {
	return &Snapshot{index: newIndex(entries, time.Time{}), fetchedAt: fetchedAt}
}

// ContainsID says whether the token with this id (the hash of its text in hex, or the text of a UUID token) is revoked.
func (s *Snapshot) ContainsID(id string) bool {
	return s != nil && s.index.containsID(id)
}

// ContainsAuditID says whether tokens with this audit id are revoked.
func (s *Snapshot) ContainsAuditID(id string) bool {
	return s != nil && s.index.containsAuditID(id)
}

// HasEntriesWithoutAuditID says whether some revoked token can be told by the hash of its text only, and so not when it is
// spelled in another way.
func (s *Snapshot) HasEntriesWithoutAuditID() bool {
	return s != nil && s.index.withoutAuditID > 0
}

// Len is the number of revoked tokens in the list.
func (s *Snapshot) Len() int {
	if s == nil {
		return 0
	}
	return s.index.entries
}

// FetchedAt is when the fetch of the list began; the zero Time where that is not known.
func (s *Snapshot) FetchedAt() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.fetchedAt
}

// hashSizes are the sizes in bytes of the hashes that Keystone makes ids with: MD5, SHA-1, SHA-224, SHA-256, SHA-384 and
// SHA-512.
var hashSizes = [...]int{16, 20, 28, 32, 48, 64}

const (
	maxHash = 64
	// auditIDSize is the size of an audit id: 16 random bytes, written as 22 characters of base64url.
	auditIDSize = 16
	// never is the expiry of an entry that has none, or one that does not fit.
	never = math.MaxUint32
)

// index finds entries by id and by audit id. Ids in the usual forms go to tables, the rest to maps.
type index struct {
	entries        int
	withoutAuditID int

	hashes    [len(hashSizes)]table
	otherIDs  map[string]uint32
	audits    table
	otherAuds map[string]uint32
}

// newIndex indexes the entries, without those that expired before keepFrom; the zero time keeps all.
func newIndex(entries []Entry, keepFrom time.Time) *index {
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
		expires := unixSeconds(e.Expires)
		newAudit := false
		switch {
		case e.AuditID == "":
			x.withoutAuditID++
		case auditKey(e.AuditID, &audit):
			newAudit = x.audits.add(audit[:], expires)
		default:
			newAudit = addOther(&x.otherAuds, e.AuditID, expires)
		}
		isNew := newAudit
		if e.ID != "" {
			if kind := hashKey(e.ID, &id); kind >= 0 {
				isNew = x.hashes[kind].add(id[:hashSizes[kind]], expires)
			} else {
				isNew = addOther(&x.otherIDs, e.ID, expires)
			}
		}
		if isNew {
			x.entries++
		}
	}
	return x
}

func addOther(m *map[string]uint32, id string, expires uint32) bool {
	if *m == nil {
		*m = map[string]uint32{}
	}
	old, found := (*m)[id]
	(*m)[strings.Clone(id)] = max(old, expires) // the list's strings hold on to the whole list
	return !found
}

func (x *index) containsID(id string) bool {
	var key [maxHash]byte
	if kind := hashKey(id, &key); kind >= 0 {
		return x.hashes[kind].contains(key[:hashSizes[kind]])
	}
	return containsOther(x.otherIDs, id)
}

func (x *index) containsAuditID(id string) bool {
	var key [auditIDSize]byte
	if auditKey(id, &key) {
		return x.audits.contains(key[:])
	}
	return containsOther(x.otherAuds, id)
}

func containsOther(m map[string]uint32, id string) bool {
	if len(id) > maxID { // nothing that long is listed: do not hash what a stranger sent
		return false
	}
	_, found := m[id]
	return found
}

// missing counts the revoked tokens of x that expire later than after and are not in other.
func (x *index) missing(other *index, after time.Time) int {
	limit := unixSeconds(after)
	ids := missingOther(x.otherIDs, other.otherIDs, limit)
	for kind := range x.hashes {
		ids += x.hashes[kind].missing(&other.hashes[kind], limit)
	}
	audits := missingOther(x.otherAuds, other.otherAuds, limit) + x.audits.missing(&other.audits, limit)
	return max(ids, audits) // most entries have both
}

func missingOther(x, other map[string]uint32, after uint32) (n int) {
	for id, expires := range x {
		if _, found := other[id]; !found && expires > after {
			n++
		}
	}
	return n
}

// hashKey puts the bytes that id spells in hex into key and gives the index into hashSizes, or -1 if id is no hash in hex.
func hashKey(id string, key *[maxHash]byte) int {
	kind := -1
	for i, size := range hashSizes {
		if len(id) == 2*size {
			kind = i
		}
	}
	if kind < 0 {
		return -1
	}
	var bad byte
	for i := range len(id) / 2 {
		high, low := hexValues[id[2*i]], hexValues[id[2*i+1]]
		bad |= high | low
		key[i] = high<<4 | low
	}
	if bad > 0x0f {
		return -1
	}
	return kind
}

// auditKey puts the bytes of an audit id in its usual form into key. What it takes is the only spelling of those bytes.
func auditKey(id string, key *[auditIDSize]byte) bool {
	if len(id) != 22 {
		return false
	}
	var bad, in byte
	var bits uint
	out := 0
	acc := uint32(0)
	for i := range 22 {
		in = base64Values[id[i]]
		bad |= in
		acc = acc<<6 | uint32(in)
		if bits += 6; bits >= 8 {
			bits -= 8
			key[out] = byte(acc >> bits)
			out++
		}
	}
	return bad <= 0x3f && acc&0x0f == 0 // 22 characters hold 4 bits more than 16 bytes
}

// Digits by character; invalid for all others.
var (
	hexValues    = digits("0123456789abcdef", "0123456789ABCDEF")
	base64Values = digits("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
)

const invalid = 0xff

func digits(alphabets ...string) (values [256]byte) {
	for c := range values {
		values[c] = invalid
	}
	for _, alphabet := range alphabets {
		for v, c := range []byte(alphabet) {
			values[c] = byte(v)
		}
	}
	return values
}

// unixSeconds is t as the tables keep it: at least 1, at most never.
func unixSeconds(t time.Time) uint32 {
	if t.IsZero() {
		return never
	}
	return uint32(min(max(t.Unix(), 1), never))
}
