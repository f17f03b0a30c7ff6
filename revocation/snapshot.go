package revocation

import (
	"hash/maphash"
	"slices"
	"time"
)

// Snapshot is what one revocation list said, and the deltas that came after it. It never changes; a nil Snapshot knows nothing.
//
// Ids are compared exactly, never by a shortened hash, so a token is found in the list if and only if it is there. An id of
// hex digits that has the length of a hash is kept as the number that it spells, so upper and lower case are one: there Keystone
// writes lower case, and a list that does not must not let a token through. Every other id, and every audit id, counts byte
// for byte.
type Snapshot struct {
	// layers are searched one after the other: the base, which may be large, and smaller and smaller ones on top of it. A
	// Snapshot made of another one shares its layers, so a delta costs what it adds.
	layers    []*index
	seed      maphash.Seed // of all layers
	entries   int
	nameless  int // entries without an audit id
	fetchedAt time.Time
}

// NewSnapshot indexes all entries of a list that was fetched at the given time.
func NewSnapshot(entries []Entry, fetchedAt time.Time) *Snapshot {
	s := newSnapshot(entries, time.Time{})
	s.fetchedAt = fetchedAt
	return s
}

// newSnapshot indexes the entries of a list that did not expire before keepFrom.
func newSnapshot(entries []Entry, keepFrom time.Time) *Snapshot {
	seed := maphash.MakeSeed()
	return (&Snapshot{seed: seed}).of(newIndex(entries, keepFrom, seed, nil))
}

// ContainsID says whether the token with this id (the hash of its text in hex, or the text of a UUID token) is revoked.
func (s *Snapshot) ContainsID(id string) bool {
	if s == nil {
		return false
	}
	var key [maxHash]byte
	if kind := hashKey(id, &key); kind >= 0 {
		return s.containsHash(kind, key[:hashSizes[kind]])
	}
	if len(id) > maxID { // nothing that long is listed: do not hash what a stranger sent
		return false
	}
	for _, x := range s.layers {
		if _, found := x.otherIDs[id]; found {
			return true
		}
	}
	return false
}

// ContainsAuditID says whether tokens with this audit id are revoked.
func (s *Snapshot) ContainsAuditID(id string) bool {
	if s == nil {
		return false
	}
	var key [auditIDSize]byte
	if auditKey(id, &key) {
		return s.containsAudit(key[:])
	}
	if len(id) > maxID {
		return false
	}
	for _, x := range s.layers {
		if _, found := x.otherAuds[id]; found {
			return true
		}
	}
	return false
}

// HasEntriesWithoutAuditID says whether some revoked token can be told by the hash of its text only, and so not when it is
// spelled in another way.
func (s *Snapshot) HasEntriesWithoutAuditID() bool {
	return s != nil && s.nameless > 0
}

// Len is the number of revoked tokens in the list.
func (s *Snapshot) Len() int {
	if s == nil {
		return 0
	}
	return s.entries
}

// Empty says that nothing can be found here, whatever is asked for. It looks at what would be searched, not at a count of it.
func (s *Snapshot) Empty() bool {
	return s == nil || !slices.ContainsFunc(s.layers, func(x *index) bool { return x.size() > 0 })
}

// FetchedAt is when the fetch of the list began; the zero Time where that is not known.
func (s *Snapshot) FetchedAt() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.fetchedAt
}

// of is a Snapshot like s with other layers.
func (s *Snapshot) of(layers ...*index) *Snapshot {
	next := &Snapshot{layers: layers, seed: s.seed, fetchedAt: s.fetchedAt}
	for _, x := range layers {
		next.entries += x.entries
		next.nameless += x.withoutAuditID
	}
	return next
}

const (
	// layerGrowth is how many times larger than the one on top of it a layer is at least; the base is apart. So a hundred
	// thousand changes that came one by one lie in six layers, and each was copied some twenty times on the way there.
	layerGrowth = 8
	// foldShare and foldLeast say when the layers are worth folding into the base: when they have an eighth of its keys,
	// so that each costs the copying of eight.
	foldShare = 8
	foldLeast = 1 << 13
)

// with is s with the entries of a delta on top, less those that expired before keepFrom. The first fixed layers stay as they
// are, since they are being folded. Its cost follows from the delta, not from s.
func (s *Snapshot) with(added []Entry, keepFrom time.Time, fixed int) *Snapshot {
	top := newIndex(added, keepFrom, s.seed, s.layers)
	layers := slices.Clone(s.layers)
	if top.size() > 0 {
		layers = append(layers, top)
	}
	for n := len(layers); n > max(fixed, 1)+1 && layers[n-2].size() < layerGrowth*layers[n-1].size(); n = len(layers) {
		one := merge(layers[n-2:], time.Time{}, s.seed, func() bool { return true })
		one.entries = layers[n-2].entries + layers[n-1].entries
		layers = append(layers[:n-2], one)
	}
	return s.of(layers...)
}

// tall says that the layers above the base have grown to a good part of it.
func (s *Snapshot) tall() bool {
	above := 0
	for _, x := range s.layers[1:] {
		above += x.size()
	}
	return above > max(foldLeast, s.layers[0].size()/foldShare)
}

// expired says that some entries expired before keepFrom.
func (s *Snapshot) expired(keepFrom time.Time) bool {
	limit := newMark(keepFrom, false)
	return slices.ContainsFunc(s.layers, func(x *index) bool { return x.soonest < limit })
}

// fold is the first n layers as one base, without what expired before keepFrom. It gives up with nil if goOn says false.
func (s *Snapshot) fold(n int, keepFrom time.Time, goOn func() bool) *index {
	base := merge(s.layers[:n], keepFrom, s.seed, goOn)
	if base != nil {
		base.count()
	}
	return base
}

// missing counts the revoked tokens of s that expire after the given time and are not in other.
func (s *Snapshot) missing(other *Snapshot, after time.Time) int {
	limit := newMark(after, false)
	ids, audits := 0, 0
	for at, x := range s.layers {
		rest := &Snapshot{layers: s.layers[at+1:], seed: s.seed} // what is there too is counted there
		for kind := range x.hashes {
			x.hashes[kind].each(func(key []byte, m mark) bool {
				if m.expires() > limit && !other.containsHash(kind, key) && !rest.containsHash(kind, key) {
					ids++
				}
				return true
			})
		}
		x.audits.each(func(key []byte, m mark) bool {
			if m.expires() > limit && !other.containsAudit(key) && !rest.containsAudit(key) {
				audits++
			}
			return true
		})
		for id, m := range x.otherIDs {
			if m.expires() > limit && !other.ContainsID(id) && !rest.ContainsID(id) {
				ids++
			}
		}
		for id, m := range x.otherAuds {
			if m.expires() > limit && !other.ContainsAuditID(id) && !rest.ContainsAuditID(id) {
				audits++
			}
		}
	}
	return max(ids, audits) // most entries have both
}

func (s *Snapshot) containsHash(kind int, key []byte) bool {
	if len(s.layers) == 0 {
		return false
	}
	h := maphash.Bytes(s.seed, key)
	for _, x := range s.layers {
		if x.hashes[kind].contains(h, key) {
			return true
		}
	}
	return false
}

func (s *Snapshot) containsAudit(key []byte) bool {
	if len(s.layers) == 0 {
		return false
	}
	h := maphash.Bytes(s.seed, key)
	for _, x := range s.layers {
		if x.audits.contains(h, key) {
			return true
		}
	}
	return false
}
