package events

import (
	"hash/maphash"
	"math"
	"slices"
	"time"

	"authproxy/keystone"
)

// Set is some events, ready to be asked about tokens. It never changes; a nil Set has none.
//
// Which attributes an event gives is its shape. There are few shapes, however many events there are, so that a token is looked
// up once for each shape by the values that it has for these attributes. Values are compared as they are, never by a
// shortened hash. Of two events about the same tokens only the later one matters.
type Set struct {
	// layers are searched one after the other: a base, and smaller ones on top of it that later events made.
	layers []*layer
	seeds  *[attributes]maphash.Seed // of all layers: nobody can choose values that are slow to look up
	n      int
	newest time.Time
}

// layer is a flat hash table without pointers for the garbage collector to follow.
type layer struct {
	shapes  []mask
	slots   []uint32 // 0: free; else the number of an entry, from 1. A power of two, at most half of them in use
	entries []entry
	text    []byte // values of all entries, each behind its length in one byte
}

type entry struct {
	hash    uint64
	before  int64 // microseconds since 1970
	expires int64
	at      uint32 // in text
	has     mask
}

// layerGrowth is how many times larger than the one on top of it a layer is at least.
const layerGrowth = 8

// NewSet makes a Set.
func NewSet(events []Event) *Set {
	s := &Set{seeds: new([attributes]maphash.Seed)}
	for i := range s.seeds {
		s.seeds[i] = maphash.MakeSeed()
	}
	return s.With(events)
}

// Len is the number of events, less those that others make needless.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return s.n
}

// Newest is the IssuedBefore of the latest event; the zero Time without any.
func (s *Set) Newest() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.newest
}

// With is s and further events. What it costs follows from their number, amortised, and not from that of s. Where s has them
// all, it is s.
func (s *Set) With(events []Event) *Set {
	top := newLayer(len(events))
	next := &Set{layers: s.layers, seeds: s.seeds, n: s.n, newest: s.newest}
	for i := range events {
		e := &events[i]
		if e.IssuedBefore.After(next.newest) {
			next.newest = e.IssuedBefore
		}
		h, before := s.hash(e), e.IssuedBefore.UnixMicro()
		if known, held := s.before(h, e); !held || known < before {
			if top.put(h, e, before) && !held {
				next.n++
			}
		}
	}
	if len(top.entries) == 0 && len(s.layers) > 0 {
		return s
	}
	next.layers = append(slices.Clip(s.layers), top)
	for n := len(next.layers); n > 1 && len(next.layers[n-2].entries) < layerGrowth*len(next.layers[n-1].entries); n = len(next.layers) {
		next.layers = append(slices.Clone(next.layers[:n-2]), merge(next.layers[n-2], next.layers[n-1]))
	}
	return next
}

// Each calls f with every event; one that a later one of the same kind has made needless may be among them.
func (s *Set) Each(f func(Event)) {
	if s == nil {
		return
	}
	for _, l := range s.layers {
		for i := range l.entries {
			f(l.event(&l.entries[i]))
		}
	}
}

func newLayer(most int) *layer {
	slots := 8
	for slots < 2*most {
		slots *= 2
	}
	return &layer{slots: make([]uint32, slots)}
}

// hash stands for the attributes of an event and their values; the order does not matter.
func (s *Set) hash(e *Event) (h uint64) {
	for a := range expiresAt {
		if e.has.has(a) {
			h ^= maphash.String(s.seeds[a], e.text[a])
		}
	}
	if e.has.has(expiresAt) {
		h ^= maphash.Comparable(s.seeds[expiresAt], e.expires)
	}
	return h
}

// find gives the entry about the tokens that e is about, or the slot that it would go to.
func (l *layer) find(h uint64, e *Event) (*entry, int) {
	last := len(l.slots) - 1
	for slot := int(h) & last; ; slot = (slot + 1) & last {
		n := l.slots[slot]
		if n == 0 {
			return nil, slot
		}
		if x := &l.entries[n-1]; x.hash == h && x.has == e.has && l.equal(x, e) {
			return x, slot
		}
	}
}

func (l *layer) equal(x *entry, e *Event) bool {
	if x.expires != e.expires && x.has.has(expiresAt) {
		return false
	}
	at := x.at
	for a := range expiresAt {
		if !x.has.has(a) {
			continue
		}
		n := uint32(l.text[at])
		if string(l.text[at+1:at+1+n]) != e.text[a] {
			return false
		}
		at += 1 + n
	}
	return true
}

// event is what an entry was made of.
func (l *layer) event(x *entry) Event {
	e := Event{has: x.has, expires: x.expires, IssuedBefore: time.UnixMicro(x.before).UTC()}
	at := x.at
	for a := range expiresAt {
		if x.has.has(a) {
			n := uint32(l.text[at])
			e.text[a] = string(l.text[at+1 : at+1+n])
			at += 1 + n
		}
	}
	return e
}

// before is the latest time of the events about the tokens that e is about.
func (s *Set) before(h uint64, e *Event) (at int64, held bool) {
	at = math.MinInt64
	for _, l := range s.layers {
		if x, _ := l.find(h, e); x != nil {
			at, held = max(at, x.before), true
		}
	}
	return at, held
}

// put adds an event, and says false if there was one about the same tokens. The layer must have room.
func (l *layer) put(h uint64, e *Event, before int64) bool {
	x, slot := l.find(h, e)
	if x != nil {
		x.before = max(x.before, before)
		return false
	}
	l.entries = append(l.entries, entry{hash: h, before: before, expires: e.expires, at: uint32(len(l.text)), has: e.has})
	l.slots[slot] = uint32(len(l.entries))
	for a := range expiresAt {
		if e.has.has(a) {
			l.text = append(append(l.text, byte(len(e.text[a]))), e.text[a]...)
		}
	}
	if !slices.Contains(l.shapes, e.has) {
		l.shapes = append(l.shapes, e.has)
	}
	return true
}

func merge(lower, upper *layer) *layer {
	one := newLayer(len(lower.entries) + len(upper.entries))
	one.entries = make([]entry, 0, len(lower.entries)+len(upper.entries))
	one.text = make([]byte, 0, len(lower.text)+len(upper.text))
	for _, l := range []*layer{lower, upper} {
		for i := range l.entries {
			x := &l.entries[i]
			e := l.event(x)
			one.put(x.hash, &e, x.before)
		}
	}
	return one
}

// Revoked says whether an event ends a token, by the rules of Keystone's own look-up: all attributes that the event gives
// must be the token's. user_id may be the token's user or, in a token by a trust, who gave or took it; domain_id may be the
// user's domain, the project's or the one that is the scope; domain_scope_id one of the latter two; role_id any of the roles;
// audit_id is the token's own, audit_chain_id that of the first in its chain; expires_at is compared in whole seconds. A
// token issued at the very time of the event is ended, and so is one that does not say when it was issued.
//
// It does not allocate.
func (s *Set) Revoked(t *keystone.Token) bool {
	if s == nil || s.n == 0 {
		return false
	}
	q := query{set: s, token: t, issued: math.MinInt64}
	q.gather(t)
	for _, q.layer = range s.layers {
		for _, shape := range q.layer.shapes {
			if q.asks(shape) {
				return true
			}
		}
	}
	return false
}

// query is what a token has for the attributes. Three of them can have several values, which are tried one after the other.
type query struct {
	set    *Set
	layer  *layer
	token  *keystone.Token
	issued int64

	event   Event // has: the attributes that the token has one value for, and the shape in turn
	single  mask
	hashes  [attributes]uint64
	users   candidates
	domains candidates
}

// candidates are the values that may stand for one attribute, each with its hash.
type candidates struct {
	text [3]string
	hash [3]uint64
	n    int
}

func (c *candidates) add(seed maphash.Seed, value string) {
	if value == "" || slices.Contains(c.text[:c.n], value) {
		return
	}
	c.text[c.n], c.hash[c.n] = value, maphash.String(seed, value)
	c.n++
}

// v2Domain is the domain that users and projects of v2.0 bodies are in.
const v2Domain = "default"

func (q *query) gather(t *keystone.Token) {
	if !t.IssuedAt.IsZero() {
		q.issued = t.IssuedAt.UnixMicro()
	}
	seeds := q.set.seeds
	set := func(a attribute, value string) {
		if value != "" {
			q.event.text[a], q.hashes[a] = value, maphash.String(seeds[a], value)
			q.single |= 1 << a
		}
	}
	q.users.add(seeds[userID], t.User.ID)
	if t.Trust != nil {
		set(trustID, t.Trust.ID)
		q.users.add(seeds[userID], t.Trust.TrustorUserID)
		q.users.add(seeds[userID], t.Trust.TrusteeUserID)
	}
	userDomain, scope := t.User.Domain.ID, ""
	if t.Project != nil {
		set(projectID, t.Project.ID)
		scope = t.Project.Domain.ID
	}
	if t.Domain != nil {
		scope = t.Domain.ID
	}
	if t.Version == 2 {
		userDomain, scope = v2Domain, v2Domain
	}
	q.domains.add(seeds[domainID], userDomain)
	q.domains.add(seeds[domainID], scope)
	set(domainScopeID, scope)
	if n := len(t.AuditIDs); n > 0 {
		set(auditID, t.AuditIDs[0])
		set(auditChainID, t.AuditIDs[n-1])
	}
	if t.OAuth1 != nil {
		set(consumerID, t.OAuth1.ConsumerID)
		set(accessTokenID, t.OAuth1.AccessTokenID)
	}
	q.event.expires = t.ExpiresAt.Unix()
	q.hashes[expiresAt] = maphash.Comparable(seeds[expiresAt], q.event.expires)
	q.single |= 1 << expiresAt
}

const several mask = 1<<userID | 1<<roleID | 1<<domainID

// asks looks for an event of that shape.
func (q *query) asks(shape mask) bool {
	if shape&^several&^q.single != 0 {
		return false // it has no value for one of them
	}
	var h uint64
	for a := range attributes {
		if (shape &^ several).has(a) {
			h ^= q.hashes[a]
		}
	}
	q.event.has = shape
	if !shape.has(userID) {
		return q.byDomain(h)
	}
	for i := range q.users.n {
		q.event.text[userID] = q.users.text[i]
		if q.byDomain(h ^ q.users.hash[i]) {
			return true
		}
	}
	return false
}

func (q *query) byDomain(h uint64) bool {
	if !q.event.has.has(domainID) {
		return q.byRole(h)
	}
	for i := range q.domains.n {
		q.event.text[domainID] = q.domains.text[i]
		if q.byRole(h ^ q.domains.hash[i]) {
			return true
		}
	}
	return false
}

func (q *query) byRole(h uint64) bool {
	if !q.event.has.has(roleID) {
		return q.found(h)
	}
	for i := range q.token.Roles {
		if q.withRole(h, q.token.Roles[i].ID) {
			return true
		}
	}
	for _, id := range q.token.V2RoleIDs {
		if q.withRole(h, id) {
			return true
		}
	}
	return false
}

func (q *query) withRole(h uint64, id string) bool {
	if id == "" {
		return false
	}
	q.event.text[roleID] = id
	return q.found(h ^ maphash.String(q.set.seeds[roleID], id))
}

func (q *query) found(h uint64) bool {
	x, _ := q.layer.find(h, &q.event)
	return x != nil && q.issued <= x.before
}
