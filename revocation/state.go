package revocation

import (
	"crypto/sha256"
	"sync/atomic"
	"time"

	"authproxy/certs"
)

// state is a list in force with what is known about it. A new list is a new state; only marks change in an old one.
type state struct {
	snapshot *Snapshot
	signer   *certs.Signer
	sum      [sha256.Size]byte // of the signed content
	built    time.Time         // when the index was
	fromDisk bool

	// The list was offset old at since. Where that is not known (known is false) it never counts as fresh.
	since  time.Time
	offset time.Duration
	known  bool

	mark     atomic.Int64 // an age in nanoseconds that the list is known to have had
	disowned atomic.Bool  // its signer is not pinned any more
}

// begin says how old the list is. It is called once, before the state is in force.
func (st *state) begin(now time.Time, offset time.Duration, known bool) {
	st.since, st.offset, st.known = now, offset, known
	if known {
		st.snapshot.fetchedAt = now.Round(0).Add(-offset)
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

func (st *state) setDisowned(disowned bool) { st.disowned.Store(disowned) }

// Age is how long ago the fetch of the list in force began, restarts included. It is not known without a list, and for one
// from Dir whose fetch time was lost or lies in the future.
func (p *Poller) Age(now time.Time) (age time.Duration, known bool) {
	st := p.current.Load()
	if st == nil || !st.known {
		return 0, false
	}
	return st.age(now), true
}

// Fresh says whether there is a list that is at most MaxStale old and whose signer is still pinned. What to do without one
// is for a Policy to say. It never waits and does not allocate.
func (p *Poller) Fresh(now time.Time) bool {
	st := p.current.Load()
	return st != nil && st.known && st.age(now) <= p.maxStale() && !st.disowned.Load()
}
