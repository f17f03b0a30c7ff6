package storetest

import (
	"sync"
	"testing"
	"time"

	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/store"
)

func testFailures(t *testing.T, s store.Store) {
	ctx := t.Context()
	home, work, other := identity.Attempt{Who: "u1", Address: "192.0.2.1"}, identity.Attempt{Who: "u1", Address: "192.0.2.2"}, identity.Attempt{Who: "u2", Address: "192.0.2.1"}
	of := func(a identity.Attempt, n int, last time.Time) {
		t.Helper()
		f, err := s.Failures(ctx, a)
		if err != nil || f.Count != n || n > 0 && !f.Last.Equal(last) {
			t.Errorf("%v: %+v, %v; want %d at %s", a, f, err, n, last)
		}
	}
	of(home, 0, time.Time{})
	later := epoch.Add(time.Second)
	for _, a := range []identity.Attempt{home, work, other} {
		must(t, s.AddFailure(ctx, a, epoch, epoch.Add(-time.Hour)))
	}
	must(t, s.AddFailure(ctx, home, later, epoch.Add(-time.Hour)))
	of(home, 2, later)
	of(work, 1, epoch)
	must(t, s.AddFailure(ctx, home, later.Add(time.Hour), later))
	of(home, 1, later.Add(time.Hour)) // the earlier ones are forgotten
	must(t, s.AddFailure(ctx, home, later.Add(59*time.Minute), later))
	of(home, 2, later.Add(59*time.Minute)) // clocks of servers differ a little
	must(t, s.AddFailure(ctx, home, later, later.Add(-30*time.Minute)))
	of(home, 1, later) // the clock was wrong
	must(t, s.ForgetFailures(ctx, home))
	of(home, 0, time.Time{})
	of(work, 1, epoch)
	must(t, s.AddFailure(ctx, home, later, epoch))
	must(t, s.ForgetUserFailures(ctx, "u1"))
	of(home, 0, time.Time{})
	of(work, 0, time.Time{})
	of(other, 1, epoch)

	must(t, s.AddFailure(ctx, home, later, epoch))
	must(t, s.AddFailure(ctx, work, later, epoch))
	want(t, "none that old", 0)(s.RemoveFailures(ctx, epoch.Add(-1), 10))
	want(t, "the oldest", 1)(s.RemoveFailures(ctx, epoch, 10))
	want(t, "at most one", 1)(s.RemoveFailures(ctx, later, 1))
	want(t, "the rest", 1)(s.RemoveFailures(ctx, later, 10))

	// None is lost where several servers count at once.
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				if err := s.AddFailure(ctx, home, later, epoch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	of(home, 40, later)
}
