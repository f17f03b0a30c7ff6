package revocation

import (
	"context"
	"runtime"
	"slices"
	"time"
)

// This file changes what is in force. Rounds do so one after the other; beside them a fold may put a new arrangement of the
// same entries in force, and both take p.swap for the moment of the exchange. Lookups never do.

// keepFrom is the time before which expired tokens are of no use any more, not even along with a service token. Where the
// signer says what time it is, that counts, if it is the earlier one: then our clock, if it runs ahead, lets no entry go early.
func (p *Poller) keepFrom(now, issued time.Time) time.Time {
	if !issued.IsZero() && issued.Before(now) {
		now = issued
	}
	return now.Add(-or(p.AllowExpiredWindow, DefaultAllowExpiredWindow))
}

// accept puts next in force and returns how many entries are gone that should still be there.
func (p *Poller) accept(u *update, now time.Time) (vanished int) {
	if old := p.current.Load(); u.kind == wholeList && old != nil && old.sum != u.next.sum {
		// The signer's clock may be ahead of ours: what is about to expire may be gone already.
		vanished = old.snapshot.missing(u.next.snapshot, now.Add(5*time.Minute))
	}
	p.swap.Lock()
	defer p.swap.Unlock()
	if old := p.current.Load(); old != nil && u.kind != wholeList {
		// It may have been folded since the round read it.
		u.next.snapshot, u.next.built = old.snapshot, old.built
		if u.kind == aDelta {
			u.next.snapshot = old.snapshot.with(u.added, p.keepFrom(now, u.next.issued), p.fixed)
		}
	}
	u.next.begin(now, 0, true)
	p.current.Store(u.next)
	return vanished
}

// foldLater folds the layers of the list in force into one, in the background, if that is worth it. At most one fold is under
// way. It ends with ctx.
func (p *Poller) foldLater(ctx context.Context) {
	now := p.now()
	p.swap.Lock()
	st := p.current.Load()
	keepFrom := p.keepFrom(now, st.issued)
	due := st.snapshot.tall() || now.Sub(st.built) >= rebuildAfter && st.snapshot.expired(keepFrom)
	if p.fixed > 0 || !due {
		p.swap.Unlock()
		return
	}
	layers := st.snapshot.layers
	p.fixed = len(layers)
	p.swap.Unlock()
	p.folds.Go(func() {
		base := st.snapshot.fold(len(layers), keepFrom, func() bool {
			runtime.Gosched() // where there is one processor, a lookup must not wait until all is done
			return ctx.Err() == nil
		})
		p.putBase(layers, base, now)
	})
}

// putBase puts base in the place of the layers that it was folded from, if they are still in force.
func (p *Poller) putBase(layers []*index, base *index, now time.Time) {
	p.swap.Lock()
	defer p.swap.Unlock()
	p.fixed = 0
	st := p.current.Load()
	s := st.snapshot
	if base == nil || len(s.layers) < len(layers) || !slices.Equal(s.layers[:len(layers)], layers) {
		return // a whole list has come since
	}
	all := append([]*index{base}, s.layers[len(layers):]...)
	p.current.Store(st.folded(s.of(all...), now))
	p.log().Debug("revocation list folded", "entries", s.Len(), "layers", len(layers), "took", p.now().Sub(now).Round(time.Millisecond))
}
