package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"authproxy/keystone/server/store"
	"authproxy/keystone/server/tokens"
)

func listState(t *testing.T, s store.Store) tokens.ListState {
	t.Helper()
	state, err := s.ListState(t.Context())
	must(t, err)
	return state
}

// all are the steps of the whole list.
func all(t *testing.T, s store.Store) tokens.Steps {
	t.Helper()
	return tokens.Steps{UpTo: listState(t, s).Sequence}
}

// idsIn are the ids of the tokens that these steps revoked, in the list's order.
func idsIn(t *testing.T, s store.Store, steps tokens.Steps) (ids string) {
	t.Helper()
	list, err := s.RevokedTokens(t.Context(), steps, epoch)
	must(t, err)
	for _, e := range list {
		ids += e.ID
	}
	return ids
}

// userTokens stores a token for each letter, of the user of that name.
func userTokens(t *testing.T, s store.Store, userID, letters string) {
	t.Helper()
	for _, id := range letters {
		r := record(string(id))
		r.UserID = userID
		must(t, s.AddToken(t.Context(), r))
	}
}

func testListSteps(t *testing.T, s store.Store) {
	ctx := t.Context()
	if state := listState(t, s); state.Sequence != 1 || !state.Issued.Equal(time.Unix(0, 0)) {
		t.Errorf("new list: %+v, want step 1, never issued", state)
	}
	userTokens(t, s, "u1", "zy")
	userTokens(t, s, "u2", "b")
	userTokens(t, s, "u3", "ca")
	revoke := func(ctx context.Context, userID string, at time.Time, n int) {
		t.Helper()
		want(t, "revoked of "+userID, n)(s.RevokeTokens(ctx, tokens.Tokens{UserID: userID}, at, epoch))
	}
	state := func(what string, sequence int64, issued time.Time) {
		t.Helper()
		want(t, what, tokens.ListState{Sequence: sequence, Issued: issued})(s.ListState(ctx))
	}
	second := epoch.Truncate(time.Second)
	revoke(ctx, "u1", epoch, 2)
	state("two tokens, one step", 2, second)
	revoke(ctx, "u1", epoch.Add(time.Minute), 0)
	revoke(ctx, "nobody", epoch.Add(time.Minute), 0)
	state("nothing revoked, no step", 2, second)

	must(t, s.Write(ctx, func(ctx context.Context) error {
		revoke(ctx, "u2", epoch.Add(-time.Minute), 1)
		revoke(ctx, "nobody", epoch, 0)
		revoke(ctx, "u3", epoch, 2)
		want(t, "inside", tokens.ListState{Sequence: 3, Issued: second})(s.ListState(ctx))
		return nil
	}))
	state("one transaction, one step, not issued before the last", 3, second)
	for _, test := range []struct {
		steps tokens.Steps
		ids   string
	}{
		{tokens.Steps{UpTo: 3}, "yzabc"},
		{tokens.Steps{UpTo: 2}, "yz"},
		{tokens.Steps{UpTo: 1}, ""},
		{tokens.Steps{After: 1, UpTo: 3}, "yzabc"},
		{tokens.Steps{After: 2, UpTo: 3}, "abc"},
		{tokens.Steps{After: 3, UpTo: 3}, ""},
		{tokens.Steps{After: 1, UpTo: 3, Most: 3}, "yza"},
		{tokens.Steps{After: 1, UpTo: 3, Most: 9}, "yzabc"},
	} {
		if got := idsIn(t, s, test.steps); got != test.ids {
			t.Errorf("steps %+v: got %q, want %q", test.steps, got, test.ids)
		}
	}

	userTokens(t, s, "u4", "d")
	if err := s.Write(ctx, func(ctx context.Context) error {
		revoke(ctx, "u4", epoch, 1)
		return errBoom
	}); !errors.Is(err, errBoom) {
		t.Error(err)
	}
	state("rolled back", 3, second)
	revoke(ctx, "u4", epoch.Add(time.Hour-time.Second), 1)
	state("after that", 4, second.Add(time.Hour-time.Second))
	if _, err := s.RemoveTokens(ctx, epoch.Add(time.Hour), 100); err != nil {
		t.Fatal(err)
	}
	state("entries gone, no step back", 4, second.Add(time.Hour-time.Second))
}

func testRenewList(t *testing.T, s store.Store) {
	ctx := t.Context()
	first := listState(t, s)
	next := tokens.ListState{Sequence: first.Sequence, Issued: epoch.Truncate(time.Second)}
	want(t, "renew", true)(s.RenewList(ctx, first, next))
	want(t, "renew from a state that is over", false)(s.RenewList(ctx, first, tokens.ListState{Sequence: 1, Issued: epoch}))
	want(t, "renewed", next)(s.ListState(ctx))
	userTokens(t, s, "u", "a")
	want(t, "revoke", 1)(s.RevokeTokens(ctx, tokens.Tokens{UserID: "u"}, epoch, epoch))
	want(t, "renew from the step before", false)(s.RenewList(ctx, next, tokens.ListState{Sequence: 1, Issued: epoch.Add(time.Hour)}))
}

func testAdvanceList(t *testing.T, s store.Store) {
	ctx := t.Context()
	userTokens(t, s, "u1", "a")
	userTokens(t, s, "u2", "b")
	userTokens(t, s, "u3", "c")
	for _, user := range []string{"u1", "u2"} {
		want(t, "revoke", 1)(s.RevokeTokens(ctx, tokens.Tokens{UserID: user}, epoch, epoch))
	}
	later := epoch.Truncate(time.Second).Add(time.Hour)
	advance := func(past, sequence int64, at time.Time, moves bool) {
		t.Helper()
		state, moved, err := s.AdvanceList(ctx, past, at)
		must(t, err)
		if state != listState(t, s) || state.Sequence != sequence || moved != moves || state.Sequence > 1000 && !state.Issued.Equal(later) {
			t.Errorf("past %d: at %+v, moved %t", past, state, moved)
		}
	}
	advance(2, 3, later, false) // there already
	advance(0, 3, later, false)
	advance(-1, 3, later, false)
	advance(1000, 1001, later, true)
	advance(1000, 1001, later.Add(time.Hour), false)
	advance(1001, 1002, later.Add(-time.Minute), true) // a clock that was set back: not issued before the last
	for steps, ids := range map[tokens.Steps]string{{UpTo: 1002}: "ab", {After: 2, UpTo: 1002}: "ab", {After: 500, UpTo: 1002}: "ab", {After: 1002, UpTo: 1002}: ""} {
		if got := idsIn(t, s, steps); got != ids {
			t.Errorf("steps %+v: got %q, want %q", steps, got, ids)
		}
	}
	want(t, "revoke", 1)(s.RevokeTokens(ctx, tokens.Tokens{UserID: "u3"}, later.Add(time.Minute), epoch))
	if got := idsIn(t, s, tokens.Steps{After: 1002, UpTo: 1003}); got != "c" || listState(t, s).Sequence != 1003 {
		t.Errorf("the next step: %q at %+v", got, listState(t, s))
	}
	if err := s.Write(ctx, func(ctx context.Context) error {
		if _, moved, err := s.AdvanceList(ctx, 5000, later); err != nil || !moved {
			t.Errorf("%t, %v", moved, err)
		}
		return errBoom
	}); !errors.Is(err, errBoom) || listState(t, s).Sequence != 1003 || idsIn(t, s, tokens.Steps{After: 1002, UpTo: 1003}) != "c" {
		t.Errorf("rolled back: %v, %+v", err, listState(t, s))
	}
}

// testConcurrentSteps has writers revoke while readers follow the list by its deltas: each must see every entry once, and never
// an entry of a step that it has passed.
func testConcurrentSteps(t *testing.T, s store.Store) {
	const writers, each = 4, 25
	ctx := t.Context()
	for w := range writers {
		for i := range each {
			r := record(fmt.Sprintf("%d-%d", w, i))
			r.UserID = r.ID
			must(t, s.AddToken(ctx, r))
		}
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			seen, at := map[string]bool{}, int64(1)
			for over := false; !over; {
				select {
				case <-done:
					over = true // one last look
				default:
				}
				state, err := s.ListState(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				list, err := s.RevokedTokens(ctx, tokens.Steps{After: at, UpTo: state.Sequence}, epoch)
				if err != nil {
					t.Error(err)
					return
				}
				if int64(len(list)) != state.Sequence-at {
					t.Errorf("steps %d to %d hold %d entries", at, state.Sequence, len(list))
				}
				for _, e := range list {
					if seen[e.ID] {
						t.Errorf("%s came twice", e.ID)
					}
					seen[e.ID] = true
				}
				at = state.Sequence
			}
			if len(seen) != writers*each {
				t.Errorf("saw %d of %d", len(seen), writers*each)
			}
		})
	}
	parallel(writers, func(w int) {
		for i := range each {
			n, err := s.RevokeTokens(ctx, tokens.Tokens{UserID: fmt.Sprintf("%d-%d", w, i)}, epoch, epoch)
			if err != nil || n != 1 {
				t.Errorf("writer %d: revoked %d, %v", w, n, err)
			}
		}
	})
	close(done)
	readers.Wait()
	if state := listState(t, s); state.Sequence != 1+writers*each {
		t.Errorf("at step %d after %d changes", state.Sequence, writers*each)
	}
}

func testAfterCommit(t *testing.T, s store.Store) {
	ctx := t.Context()
	var calls []string
	call := func(name string) func() { return func() { calls = append(calls, name) } }
	s.AfterCommit(ctx, call("outside"))
	must(t, s.Write(ctx, func(inside context.Context) error {
		s.AfterCommit(inside, func() {
			if _, err := s.Token(ctx, "t1"); err != nil {
				t.Errorf("called before the others see the change: %v", err)
			}
		})
		must(t, s.Write(inside, func(ctx context.Context) error {
			s.AfterCommit(ctx, call("inner"))
			return s.AddToken(ctx, record("t1"))
		}))
		s.AfterCommit(inside, call("outer"))
		if len(calls) != 1 {
			t.Errorf("called before the commit: %v", calls)
		}
		return nil
	}))
	if err := s.Write(ctx, func(ctx context.Context) error {
		s.AfterCommit(ctx, call("rolled back"))
		return errBoom
	}); !errors.Is(err, errBoom) {
		t.Error(err)
	}
	if got := fmt.Sprint(calls); got != "[outside inner outer]" {
		t.Errorf("called %s", got)
	}
}

func testEvents(t *testing.T, s store.Store) {
	ctx := t.Context()
	second := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	early := tokens.Event{DomainID: "d", IssuedBefore: second(0)} // before there is any token
	must(t, s.AddEvent(ctx, early))
	must(t, s.AddToken(ctx, record("t1"))) // ends after an hour
	all := tokens.Event{AuditID: "a", UserID: "u", RoleID: "r", ProjectID: "p", DomainID: "d", IssuedBefore: second(2)}
	one := tokens.Event{UserID: "u", IssuedBefore: second(1).Add(time.Microsecond)}
	must(t, s.AddEvent(ctx, all))
	must(t, s.AddEvent(ctx, one))
	later := record("t2")
	later.ExpiresAt = epoch.Add(2 * time.Hour)
	must(t, s.AddToken(ctx, later))
	last := tokens.Event{ProjectID: "p", IssuedBefore: second(3)}
	must(t, s.AddEvent(ctx, last))
	must(t, s.AddEvent(ctx, last)) // the same may happen again

	hour := epoch.Add(time.Hour)
	want(t, "all that matters", []tokens.Event{one, all, last, last})(s.Events(ctx, time.Time{}, epoch))
	want(t, "since", []tokens.Event{all, last, last})(s.Events(ctx, one.IssuedBefore, epoch))
	want(t, "since just before", []tokens.Event{one, all, last, last})(s.Events(ctx, one.IssuedBefore.Add(-time.Microsecond), epoch))
	want(t, "since the last", []tokens.Event{})(s.Events(ctx, last.IssuedBefore, epoch))
	want(t, "after the first token's end", []tokens.Event{last, last})(s.Events(ctx, time.Time{}, hour))
	want(t, "just before it", []tokens.Event{one, all, last, last})(s.Events(ctx, time.Time{}, hour.Add(-time.Microsecond)))

	want(t, "removed at most", 2)(s.RemoveEvents(ctx, hour, 2))
	want(t, "removed", 1)(s.RemoveEvents(ctx, hour, 2))
	want(t, "left", []tokens.Event{last, last})(s.Events(ctx, time.Time{}, epoch))

	if err := s.Write(ctx, func(ctx context.Context) error {
		must(t, s.AddEvent(ctx, all))
		return errBoom
	}); !errors.Is(err, errBoom) {
		t.Error(err)
	}
	want(t, "rolled back", []tokens.Event{last, last})(s.Events(ctx, time.Time{}, epoch))
}
