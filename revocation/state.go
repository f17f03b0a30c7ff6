package revocation

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"authproxy/certs"
)

// state is a list in force with what is known about it. A new list is a new state; only marks change in an old one.
type state struct {
	snapshot *Snapshot
	signers  []*certs.Signer // of the list and of the deltas since, each once; the last one signed last
	// sum is the SHA-256 of the list's signed content; with each delta that changes something it becomes the SHA-256 of what
	// it was and of the delta's SHA-256.
	sum      [sha256.Size]byte
	built    time.Time // when what had expired was last left out
	fromDisk bool

	// What the signer said last. All zero for the list of a Keystone that does not number them.
	sequence   uint64
	issued     time.Time
	nextUpdate time.Time
	renewed    bool   // by an empty delta, so issued is not that of the list whose sum this is
	etag       string // of the source's last answer

	// The list was offset old at since. Where that is not known (known is false) it never counts as fresh.
	since  time.Time
	offset time.Duration
	known  bool
	limit  time.Duration // the age at which the next one is overdue, by the signer's own word

	mark     atomic.Int64 // an age in nanoseconds that the list is known to have had
	disowned atomic.Bool  // a signer is not pinned any more
}

// next is a state that begins as a copy of st; begin has to be called.
func (st *state) next() *state {
	return &state{snapshot: st.snapshot, signers: st.signers, sum: st.sum, built: st.built, fromDisk: st.fromDisk,
		sequence: st.sequence, issued: st.issued, nextUpdate: st.nextUpdate, renewed: st.renewed, etag: st.etag}
}

// folded is st with another arrangement of the same entries.
func (st *state) folded(s *Snapshot, built time.Time) *state {
	next := st.next()
	next.snapshot, next.built = s, built
	next.since, next.offset, next.known, next.limit = st.since, st.offset, st.known, st.limit
	next.mark.Store(st.mark.Load())
	next.disowned.Store(st.disowned.Load())
	return next
}

// signedBy notes who signed last.
func (st *state) signedBy(s *certs.Signer) {
	others := slices.DeleteFunc(slices.Clone(st.signers), func(o *certs.Signer) bool { return o.Fingerprint() == s.Fingerprint() })
	st.signers = append(others, s)
}

// signer is who signed last.
func (st *state) signer() *certs.Signer { return st.signers[len(st.signers)-1] }

// owned says whether all who signed are pinned.
func (st *state) owned(b *certs.Bundle) bool {
	return !slices.ContainsFunc(st.signers, func(s *certs.Signer) bool { return !b.Contains(s) })
}

// validAt says whether all signatures would still be good at t.
func (st *state) validAt(t time.Time) bool {
	return !slices.ContainsFunc(st.signers, func(s *certs.Signer) bool { return !s.ValidAt(t) })
}

// begin says how old the list is. It is called once, before the state is in force.
func (st *state) begin(now time.Time, offset time.Duration, known bool) {
	st.since, st.offset, st.known = now, offset, known
	at := time.Time{}
	if known {
		at = now.Round(0).Add(-offset)
	}
	if s := *st.snapshot; s.fetchedAt != at {
		s.fetchedAt = at
		st.snapshot = &s
	}
	st.limit = 1<<63 - 1
	if !st.nextUpdate.IsZero() {
		st.limit = offset + st.nextUpdate.Sub(now.Round(0))
	}
}

// age tells how old the list is. It counts on whichever clock went further since then, the monotonic one (the wall clock may
// have been set back) or the wall clock (the machine may have slept). A wall clock that is set forward by mistake makes the
// list stale until the next fetch. One that is set back makes no list younger than it was when somebody last asked, to 10 ms.
func (st *state) age(now time.Time) time.Duration {
	age := st.offset + max(now.Sub(st.since), now.Round(0).Sub(st.since.Round(0)), 0)
	mark := st.mark.Load()
	if int64(age) <= mark {
		return time.Duration(mark)
	}
	if int64(age)-mark > int64(10*time.Millisecond) { // else each request would write to memory that all share
		st.mark.CompareAndSwap(mark, int64(age))
	}
	return age
}

// overdue says that next_update has passed. It goes by the age, so a clock that is set back does not undo it.
func (st *state) overdue(now time.Time) bool { return st.known && st.age(now) > st.limit }

// Age is how long ago the fetch of the list in force began, restarts included. It is not known without a list, and for one
// from Dir whose fetch time was lost or lies in the future.
func (p *Poller) Age(now time.Time) (age time.Duration, known bool) {
	st := p.current.Load()
	if st == nil || !st.known {
		return 0, false
	}
	return st.age(now), true
}

// Fresh says whether there is a list that is at most MaxStale old, which its signer has not promised to replace before now, and
// whose signers are still pinned. What to do without one is for a Policy to say. It never waits and does not allocate.
func (p *Poller) Fresh(now time.Time) bool {
	st := p.current.Load()
	return st != nil && st.known && st.age(now) <= min(p.maxStale(), st.limit) && !st.disowned.Load()
}
