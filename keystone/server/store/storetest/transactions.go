package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/tokens"
)

var errBoom = errors.New("boom")

func testWriteIsAtomic(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	half := func(ctx context.Context) error {
		if err := s.AddUser(ctx, user("u1", "d1", "n")); err != nil {
			return err
		}
		if _, err := s.User(ctx, "u1"); err != nil {
			t.Errorf("a transaction does not see what it wrote: %v", err)
		}
		// A Write inside is part of the outer one.
		if err := s.Write(ctx, func(ctx context.Context) error { return s.AddToken(ctx, record("t1")) }); err != nil {
			return err
		}
		return errBoom
	}
	if err := s.Write(ctx, half); !errors.Is(err, errBoom) {
		t.Errorf("got %v, want the error of the function", err)
	}
	nothing := func(when string) {
		t.Helper()
		_, err := s.User(ctx, "u1")
		wantError(t, when, err, notFound("user", "u1"))
		_, err = s.Token(ctx, "t1")
		wantError(t, when, err, notFound("token", "t1"))
	}
	nothing("after an error")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		s.Write(ctx, func(ctx context.Context) error {
			if err := half(ctx); !errors.Is(err, errBoom) {
				t.Error(err)
			}
			panic("in a transaction")
		})
	}()
	nothing("after a panic")

	must(t, s.Write(ctx, func(ctx context.Context) error {
		if err := s.AddUser(ctx, user("u1", "d1", "n")); err != nil {
			return err
		}
		return s.AddToken(ctx, record("t1"))
	}))
	if _, err := s.User(ctx, "u1"); err != nil {
		t.Errorf("after a commit: %v", err)
	}
}

func testWriteIsolation(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	must(t, s.Write(ctx, func(inside context.Context) error {
		if err := s.AddUser(inside, user("u1", "d1", "n")); err != nil {
			return err
		}
		// Readers outside go on meanwhile and see none of it.
		_, err := s.User(ctx, "u1")
		wantError(t, "before the commit", err, notFound("user", "u1"))
		return nil
	}))
	if _, err := s.User(ctx, "u1"); err != nil {
		t.Errorf("after the commit: %v", err)
	}
}

// testWriteGoesOn: a refused change leaves its transaction as it was, and usable.
func testWriteGoesOn(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	must(t, s.Write(ctx, func(ctx context.Context) error {
		if err := s.AddUser(ctx, user("u1", "d1", "n")); err != nil {
			return err
		}
		wantError(t, "same name", s.AddUser(ctx, user("u2", "d1", "n")), fault.Conflict{Kind: "user"})
		wantError(t, "no such domain", s.AddUser(ctx, user("u2", "none", "m")), notFound("domain", "none"))
		wantError(t, "no such service", s.AddEndpoint(ctx, catalog.Endpoint{ID: "e", ServiceID: "none", Interface: "public"}), notFound("service", "none"))
		if _, err := s.User(ctx, "u1"); err != nil {
			t.Errorf("what was written before is gone: %v", err)
		}
		return s.AddUser(ctx, user("u3", "d1", "m"))
	}))
	for _, id := range []string{"u1", "u3"} {
		if _, err := s.User(ctx, id); err != nil {
			t.Error(err)
		}
	}
}

// testWriteSkew: two transactions that each look at what the other changes come to what one after the other would have come to.
func testWriteSkew(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	for i := range 10 {
		a, b := user(fmt.Sprint("a", i), "d1", fmt.Sprint("a", i)), user(fmt.Sprint("b", i), "d1", fmt.Sprint("b", i))
		must(t, s.AddUser(ctx, a))
		must(t, s.AddUser(ctx, b))
		// Each is disabled only while the other is enabled: one must stay enabled.
		parallel(2, func(n int) {
			mine, other := a, b
			if n == 1 {
				mine, other = b, a
			}
			if err := s.Write(ctx, func(ctx context.Context) error {
				u, err := s.User(ctx, other.ID)
				if err != nil || !u.Enabled {
					return err
				}
				mine.Enabled = false
				return s.PutUser(ctx, mine)
			}); err != nil {
				t.Error(err)
			}
		})
		enabled := 0
		for _, id := range []string{a.ID, b.ID} {
			u, err := s.User(ctx, id)
			must(t, err)
			if u.Enabled {
				enabled++
			}
		}
		if enabled != 1 {
			t.Errorf("%d are enabled, want 1", enabled)
		}
	}
}

// testNotText: what is no text for one of the databases is refused by all, and nothing goes by such a name.
func testNotText(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	for _, text := range []string{"a\x00b", "a\xffb", "\xed\xa0\x80"} {
		if _, ok := errors.AsType[fault.Invalid](s.AddUser(ctx, user("u1", "d1", text))); !ok {
			t.Errorf("a user of the name %q was not refused as invalid", text)
		}
		_, err := s.User(ctx, text)
		wantError(t, "by id", err, notFound("user", text))
		_, err = s.UserByName(ctx, "d1", text)
		wantError(t, "by name", err, notFound("user", text))
		if _, err := s.Users(ctx, filter.List{{Attribute: "name", Value: text}}); err != nil {
			if _, ok := errors.AsType[fault.Invalid](err); !ok {
				t.Errorf("filter by %q: %v", text, err)
			}
		}
	}
	u := user("u1", "d1", "ü €🙂")
	u.Extra = map[string]any{"k": "a\x00b"}
	must(t, s.AddUser(ctx, u))
	want(t, "within JSON", u)(s.User(ctx, "u1"))
}

func testCancelledContext(t *testing.T, s store.Store) {
	fixture(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Write(ctx, func(ctx context.Context) error {
		if err := s.AddUser(ctx, user("u1", "d1", "n")); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if err == nil {
		t.Error("a transaction was committed though its context had ended")
	}
	if err := s.AddUser(ctx, user("u2", "d1", "m")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	users, err := s.Users(t.Context(), nil)
	if err != nil || len(users) != 0 {
		t.Errorf("got %v, %v, want no users", users, err)
	}
	must(t, s.AddUser(t.Context(), user("u1", "d1", "n")))
}

// parallel runs f n times at once.
func parallel(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func testConcurrentWriters(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	const writers, each = 8, 25
	parallel(writers, func(w int) {
		for i := range each {
			id := fmt.Sprintf("%d-%d", w, i)
			r := record(id)
			r.UserID = fmt.Sprint("user-", w)
			if err := s.Write(ctx, func(ctx context.Context) error {
				if err := s.AddUser(ctx, user(id, "d1", id)); err != nil {
					return err
				}
				return s.AddToken(ctx, r)
			}); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
			if _, err := s.Token(ctx, id); err != nil {
				t.Errorf("writer %d does not find what it wrote: %v", w, err)
			}
		}
		if w%2 == 0 {
			n, err := s.RevokeTokens(ctx, tokens.Tokens{UserID: fmt.Sprint("user-", w)}, epoch, epoch)
			if err != nil || n != each {
				t.Errorf("writer %d revoked %d, %v", w, n, err)
			}
		}
	})
	users, err := s.Users(ctx, nil)
	must(t, err)
	revoked, err := s.RevokedTokens(ctx, all(t, s), epoch)
	must(t, err)
	if len(users) != writers*each || len(revoked) != writers/2*each {
		t.Errorf("%d users and %d revoked tokens, want %d and %d", len(users), len(revoked), writers*each, writers/2*each)
	}
}

func testConcurrentDuplicates(t *testing.T, s store.Store) {
	fixture(t, s)
	const writers = 8
	var mu sync.Mutex
	stored, conflicts := 0, 0
	parallel(writers, func(i int) {
		err := s.AddUser(t.Context(), user(fmt.Sprint("u", i), "d1", "the one name"))
		mu.Lock()
		defer mu.Unlock()
		if _, ok := errors.AsType[fault.Conflict](err); ok {
			conflicts++
		} else if err == nil {
			stored++
		} else {
			t.Errorf("writer %d: %v", i, err)
		}
	})
	if stored != 1 || conflicts != writers-1 {
		t.Errorf("%d stored and %d conflicts, want 1 and %d", stored, conflicts, writers-1)
	}
}

func testNoLostUpdate(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	u := user("u1", "d1", "n")
	u.Extra = map[string]any{"n": 0}
	must(t, s.AddUser(ctx, u))
	const writers, each = 4, 25
	parallel(writers, func(int) {
		for range each {
			if err := s.Write(ctx, func(ctx context.Context) error {
				u, err := s.User(ctx, "u1")
				if err != nil {
					return err
				}
				n, err := u.Extra["n"].(json.Number).Int64()
				if err != nil {
					return err
				}
				u.Extra["n"] = n + 1
				return s.PutUser(ctx, u)
			}); err != nil {
				t.Error(err)
			}
		}
	})
	got, err := s.User(ctx, "u1")
	must(t, err)
	if got.Extra["n"] != json.Number("100") {
		t.Errorf("counted to %v, want %d", got.Extra["n"], writers*each)
	}
}
