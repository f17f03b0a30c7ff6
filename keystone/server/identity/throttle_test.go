package identity

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/keystone/server/fault"
)

// memory is a FailureStore, and a Store of one user.
type memory struct {
	Store
	mu   sync.Mutex
	of   map[Attempt]Failures
	user User
}

func (m *memory) User(_ context.Context, id string) (User, error) {
	if id != m.user.ID {
		return User{}, fault.NotFound{Kind: "user", ID: id}
	}
	return m.user, nil
}

func (m *memory) UserByName(ctx context.Context, domainID, name string) (User, error) {
	if domainID != m.user.DomainID || name != m.user.Name {
		return User{}, fault.NotFound{Kind: "user", ID: name}
	}
	return m.user, nil
}

func (m *memory) Failures(_ context.Context, of Attempt) (Failures, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[of], nil
}

func (m *memory) AddFailure(_ context.Context, of Attempt, at, forget time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.of[of]
	if !f.Last.After(forget) {
		f.Count = 0
	}
	m.of[of] = Failures{f.Count + 1, at}
	return nil
}

func (m *memory) ForgetFailures(_ context.Context, of Attempt) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, of)
	return nil
}

// guarded is a Manager of one user, alice in domain d, and how often a hash was made.
func guarded(t *testing.T, throttle Throttle) (m *Manager, hashes *int) {
	t.Helper()
	hasher := NewHasher(cheap)
	stored, err := hasher.Hash(t.Context(), "right")
	if err != nil {
		t.Fatal(err)
	}
	s := &memory{of: map[Attempt]Failures{}, user: User{ID: "u1", DomainID: "d", Name: "alice", Enabled: true, PasswordHash: stored}}
	hashes = new(int)
	var mu sync.Mutex
	hasher.check = func(stored, password string) (bool, error) {
		mu.Lock()
		*hashes++
		mu.Unlock()
		return verify(stored, password)
	}
	return &Manager{Store: s, Hasher: hasher, Failures: s, Throttle: throttle}, hashes
}

func by(name, password, address string) Login {
	return Login{User: Ref{Name: name, DomainID: "d"}, Password: password, Address: address}
}

// try says how a login ends: "in", "wrong" or "throttled".
func try(t *testing.T, m *Manager, l Login) string {
	t.Helper()
	_, err := m.Authenticate(t.Context(), l)
	e, refused := errors.AsType[fault.Unauthorized](err)
	switch {
	case err == nil:
		return "in"
	case !refused:
		t.Fatal(err)
	case e.Throttled:
		return "throttled"
	}
	return "wrong"
}

// TestSlowedDown: after five failures each further attempt has to wait longer, up to a bound; those who come too soon are refused
// without a hash, with the right password too, and for names that no user has just as well.
func TestSlowedDown(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		synctest.Test(t, func(t *testing.T) {
			m, hashes := guarded(t, Throttle{MaxDelay: 10 * time.Second})
			const here, elsewhere = "192.0.2.1", "192.0.2.2"
			for range freeFailures {
				if got := try(t, m, by(name, "wrong", here)); got != "wrong" {
					t.Fatalf("%s: %s", name, got)
				}
			}
			for _, wait := range []time.Duration{1, 2, 4, 8, 10, 10} {
				before := *hashes
				if got := try(t, m, by(name, "right", here)); got != "throttled" || *hashes != before {
					t.Errorf("%s: %s at once, %d hashes", name, got, *hashes-before)
				}
				time.Sleep(wait*time.Second - time.Nanosecond)
				if got := try(t, m, by(name, "right", here)); got != "throttled" {
					t.Errorf("%s: %s just before %ds", name, got, wait)
				}
				time.Sleep(time.Nanosecond)
				if got := try(t, m, by(name, "wrong", here)); got != "wrong" {
					t.Errorf("%s: %s after %ds", name, got, wait)
				}
			}
			want := "in"
			if name == "nobody" {
				want = "wrong"
			}
			if got := try(t, m, by(name, "right", elsewhere)); got != want {
				t.Errorf("%s from elsewhere: %s", name, got)
			}
			time.Sleep(forgetAfter)
			if got := try(t, m, by(name, "right", here)); got != want {
				t.Errorf("%s: %s when all is forgotten", name, got)
			}
		})
	}
}

func TestRightPasswordForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := guarded(t, Throttle{MaxDelay: time.Minute})
		for range 3 {
			for range freeFailures - 1 {
				try(t, m, by("alice", "wrong", "a"))
			}
			if got := try(t, m, by("alice", "right", "a")); got != "in" {
				t.Errorf("%s", got)
			}
		}
	})
}

func TestLockout(t *testing.T) {
	const here, elsewhere = "2001:db8::1", "2001:db8:0:1::1"
	for name, tt := range map[string]struct {
		throttle        Throttle
		fail            Login
		here, elsewhere string // what alice gets after three failures
	}{
		"user and address":      {Throttle{LockAfter: 3, LockFor: time.Hour}, by("alice", "wrong", here), "throttled", "in"},
		"neighbour":             {Throttle{LockAfter: 3, LockFor: time.Hour}, by("alice", "wrong", "2001:db8::ffff"), "throttled", "in"},
		"another user":          {Throttle{LockAfter: 3, LockFor: time.Hour}, by("bob", "wrong", here), "in", "in"},
		"user, from everywhere": {Throttle{LockAfter: 3, LockFor: time.Hour, AnyAddress: true}, by("alice", "wrong", here), "throttled", "throttled"},
		"address":               {Throttle{AddressLockAfter: 3, LockFor: time.Hour}, by("bob", "wrong", here), "throttled", "in"},
		"off":                   {Throttle{}, by("alice", "wrong", here), "in", "in"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := guarded(t, tt.throttle)
				for range 3 {
					if got := try(t, m, tt.fail); got != "wrong" {
						t.Fatalf("%s", got)
					}
				}
				got := []string{try(t, m, by("alice", "right", here)), try(t, m, by("alice", "right", elsewhere))}
				if !slices.Equal(got, []string{tt.here, tt.elsewhere}) {
					t.Errorf("%s, want %s and %s", got, tt.here, tt.elsewhere)
				}
				time.Sleep(time.Hour)
				if got := try(t, m, by("alice", "right", here)); got != "in" {
					t.Errorf("%s after an hour", got)
				}
			})
		})
	}
}

// TestManyAtOnce: whoever asks many times at once gets no more tries.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, hashes := guarded(t, Throttle{MaxDelay: time.Minute})
		m.Hasher.turns.most = 1
		var group sync.WaitGroup
		for range maxWaitingFrom - 1 {
			group.Go(func() { try(t, m, by("alice", "wrong", "a")) })
		}
		group.Wait()
		if *hashes != freeFailures {
			t.Errorf("%d tries, want %d", *hashes, freeFailures)
		}
	})
}

// TestQueueIsShared: a flood from one address does not take the places of others, and there are so many places and no more.
func TestQueueIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(cheap)
		for range h.turns.most {
			if _, err := h.turns.take(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		wait := func(address string) {
			group.Go(func() {
				if _, err := h.turns.take(ctx, address); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", address, err)
				}
			})
		}
		for range maxWaitingFrom {
			wait("flood")
		}
		synctest.Wait()
		if _, err := h.turns.take(t.Context(), "flood"); !errors.Is(err, fault.ErrBusy) {
			t.Errorf("one more from there: %v", err)
		}
		for range maxWaiting - maxWaitingFrom {
			wait("")
		}
		synctest.Wait()
		if _, err := h.turns.take(t.Context(), "another"); !errors.Is(err, fault.ErrBusy) {
			t.Errorf("one more: %v", err)
		}
		if n, refused := h.Waiting(); n != maxWaiting || refused != 2 {
			t.Errorf("%d wait, %d refused", n, refused)
		}
		cancel()
		group.Wait()
		if n, _ := h.Waiting(); n != 0 || len(h.turns.lines) != 0 {
			t.Errorf("%d wait, %v", n, h.turns.lines)
		}
	})
}
