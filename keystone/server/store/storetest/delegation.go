package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/server/trust"
)

func bareTrust(id, trustor, trustee string) trust.Trust {
	return trust.Trust{ID: id, TrustorUserID: trustor, TrusteeUserID: trustee, RoleIDs: []string{}, Extra: map[string]any{}}
}

func trustIDs(t *testing.T, s store.Store, trustor, trustee string) string {
	t.Helper()
	list, err := s.Trusts(t.Context(), trustor, trustee)
	must(t, err)
	return idsOf(list, func(v trust.Trust) string { return v.ID })
}

func testTrusts(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	uses := int64(3)
	full := trust.Trust{ID: "t1", TrustorUserID: "u1", TrusteeUserID: "u2", ProjectID: "p1", Impersonation: true, RoleIDs: []string{"r1", "r2"},
		ExpiresAt: epoch, RemainingUses: &uses, RedelegationCount: 2, Extra: map[string]any{"k": "v"}}
	must(t, s.AddTrust(ctx, full))
	uses = 99 // mine, not the store's
	got, err := s.Trust(ctx, "t1")
	must(t, err)
	if *got.RemainingUses != 3 {
		t.Errorf("%d uses are stored, want 3", *got.RemainingUses)
	}
	uses = 3
	want(t, "get", full)(s.Trust(ctx, "t1"))
	bare := bareTrust("t2", "u2", "u1")
	must(t, s.AddTrust(ctx, bare))
	want(t, "without all that can be left out", bare)(s.Trust(ctx, "t2"))
	wantError(t, "same id", s.AddTrust(ctx, bare), fault.Conflict{Kind: "trust"})
	other := bareTrust("t3", "u1", "u2")
	other.ProjectID = "no"
	wantError(t, "unknown project", s.AddTrust(ctx, other), notFound("project", "no"))
	other.ProjectID, other.RedelegatedTrustID = "", "no"
	wantError(t, "unknown trust", s.AddTrust(ctx, other), notFound("trust", "no"))
	_, err = s.Trust(ctx, "t3")
	wantError(t, "what failed", err, notFound("trust", "t3"))
	wantError(t, "remove", s.RemoveTrust(ctx, "none"), notFound("trust", "none"))
	for _, test := range []struct {
		expired time.Time
		removed int
	}{{full.ExpiresAt.Add(-time.Microsecond), 0}, {full.ExpiresAt, 1}, {full.ExpiresAt.Add(time.Hour), 0}} {
		n, err := s.RemoveTrusts(ctx, test.expired, 10)
		if err != nil || n != test.removed {
			t.Errorf("trusts that ended by %s: removed %d, %v; want %d", test.expired, n, err, test.removed)
		}
	}
	must(t, s.AddTrust(ctx, full))

	for id, from := range map[string]string{"t4": "t1", "t6": "t1"} {
		v := bareTrust(id, "u2", "u1")
		v.RedelegatedTrustID = from
		must(t, s.AddTrust(ctx, v))
	}
	v := bareTrust("t5", "u1", "u3")
	v.RedelegatedTrustID = "t4"
	must(t, s.AddTrust(ctx, v))
	want(t, "below", []string{"t4", "t5", "t6"})(s.RedelegatedTrusts(ctx, "t1"))
	want(t, "below one without any", []string{})(s.RedelegatedTrusts(ctx, "t5"))
	for _, test := range []struct{ trustor, trustee, ids string }{
		{"", "", "t1t2t4t5t6"}, {"u1", "", "t1t5"}, {"", "u1", "t2t4t6"}, {"u1", "u3", "t5"}, {"u3", "u1", ""},
	} {
		if got := trustIDs(t, s, test.trustor, test.trustee); got != test.ids {
			t.Errorf("trusts from %q to %q: %s, want %s", test.trustor, test.trustee, got, test.ids)
		}
	}

	must(t, s.RemoveRole(ctx, "r1"))
	want(t, "with a role that is gone", full)(s.Trust(ctx, "t1"))
	must(t, s.RemoveTrust(ctx, "t4"))
	if got := trustIDs(t, s, "", ""); got != "t1t2t6" {
		t.Errorf("after removing one in a chain: %s, want t1t2t6", got)
	}
	must(t, s.RemoveProject(ctx, "p1"))
	if got := trustIDs(t, s, "", ""); got != "t2" {
		t.Errorf("after removing the project: %s, want t2", got)
	}
	must(t, s.AddTrust(ctx, bareTrust("t7", "u3", "u4")))
	must(t, s.AddTrust(ctx, bareTrust("t8", "u3", "u1")))
	must(t, s.RemoveUser(ctx, "u1"))
	if got := trustIDs(t, s, "", ""); got != "t7" {
		t.Errorf("after removing a user: %s, want t7", got)
	}
	must(t, s.AddTrust(ctx, bareTrust("t9", "u2", "u4")))
	must(t, s.RemoveDomain(ctx, "d2"))
	if got := trustIDs(t, s, "", ""); got != "t7" {
		t.Errorf("after removing a domain with a trustor: %s, want t7", got)
	}
}

func testUseTrust(t *testing.T, s store.Store) {
	ctx := t.Context()
	const uses, users = 20, 8
	limited, n := bareTrust("limited", "a", "b"), int64(uses)
	limited.RemainingUses = &n
	must(t, s.AddTrust(ctx, limited))
	must(t, s.AddTrust(ctx, bareTrust("free", "a", "b")))
	var mu sync.Mutex
	used := 0
	parallel(users, func(int) {
		for range uses {
			left, err := s.UseTrust(ctx, "limited")
			if err != nil {
				t.Error(err)
			}
			if left {
				mu.Lock()
				used++
				mu.Unlock()
			}
		}
	})
	if used != uses {
		t.Errorf("used %d times, want %d", used, uses)
	}
	want(t, "used up", false)(s.UseTrust(ctx, "limited"))
	for range 3 {
		want(t, "without a limit", true)(s.UseTrust(ctx, "free"))
	}
	_, err := s.UseTrust(ctx, "none")
	wantError(t, "use", err, notFound("trust", "none"))
}

func testDelegatedTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	add := func(change func(r *tokens.Record), id string, parties ...tokens.Party) {
		t.Helper()
		r := record(id)
		r.UserID, r.UserDomainID = "trustor", "d1"
		change(&r)
		must(t, s.AddToken(ctx, r))
		must(t, s.AddParties(ctx, id, parties))
		want(t, id, r)(s.Token(ctx, id))
	}
	fill := func() {
		t.Helper()
		trustee := tokens.Party{UserID: "trustee", DomainID: "d2"}
		add(func(r *tokens.Record) { r.TrustID, r.ProjectID = "trust1", "p1" }, "a", trustee)
		add(func(r *tokens.Record) { r.TrustID, r.ProjectID = "trust2", "p2" }, "b", trustee, tokens.Party{UserID: "first", DomainID: "d3"})
		add(func(r *tokens.Record) { r.ConsumerID, r.AccessTokenID = "c1", "at1" }, "c")
		add(func(r *tokens.Record) { r.ConsumerID, r.AccessTokenID = "c1", "at2" }, "d")
		add(func(r *tokens.Record) { r.UserID, r.UserDomainID, r.ProjectID = "trustee", "d2", "p1" }, "e")
		add(func(r *tokens.Record) { r.UserID = "other" }, "f")
	}
	fixture(t, s)
	must(t, s.AddUser(ctx, user("first", "d1", "first")))
	must(t, s.AddGroup(ctx, identity.Group{ID: "group", DomainID: "d1", Name: "group"}))
	must(t, s.AddMember(ctx, "group", "first"))
	scopes := func(which tokens.Tokens, expected ...assignment.Scope) {
		t.Helper()
		want(t, fmt.Sprintf("scopes of %+v", which), expected)(s.TokenScopes(ctx, which, epoch))
	}
	fill()
	scopes(tokens.Tokens{MemberOf: "group"}, assignment.Scope{UserID: "first", ProjectID: "p2"})
	scopes(tokens.Tokens{UserID: "trustee"}, assignment.Scope{UserID: "trustee", ProjectID: "p1"}, assignment.Scope{UserID: "trustee", ProjectID: "p2"})
	if _, err := s.RemoveTokens(ctx, epoch.Add(time.Hour), 100); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		which tokens.Tokens
		ids   string
	}{
		{tokens.Tokens{MemberOf: "group"}, "b"},
		{tokens.Tokens{MemberOf: "group", ProjectID: "p1"}, ""},
		{tokens.Tokens{TrustID: "trust1"}, "a"},
		{tokens.Tokens{ConsumerID: "c1"}, "cd"},
		{tokens.Tokens{AccessTokenID: "at2"}, "d"},
		{tokens.Tokens{UserID: "trustor"}, "abcd"},
		{tokens.Tokens{UserID: "trustee"}, "abe"},
		{tokens.Tokens{UserID: "first"}, "b"},
		{tokens.Tokens{UserID: "trustee", ProjectID: "p1"}, "ae"},
		{tokens.Tokens{UserID: "first", ProjectID: "p1"}, ""},
		{tokens.Tokens{InDomain: "d2"}, "abe"},
		{tokens.Tokens{InDomain: "d3"}, "b"},
		{tokens.Tokens{UserID: "nobody"}, ""},
	} {
		fill()
		n, err := s.RevokeTokens(ctx, test.which, epoch, epoch)
		got := idsIn(t, s, all(t, s))
		if err != nil || n != len(test.ids) || got != test.ids {
			t.Errorf("%+v: revoked %d %q, %v; want %q", test.which, n, got, err, test.ids)
		}
		if _, err := s.RemoveTokens(ctx, epoch.Add(time.Hour), 100); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, "parties of no token", s.AddParties(ctx, "none", []tokens.Party{{UserID: "u"}}), notFound("token", "none"))

	for i, e := range []tokens.Event{{TrustID: "trust1"}, {ConsumerID: "c"}, {AccessTokenID: "at"}} {
		add(func(*tokens.Record) {}, fmt.Sprint("g", i))
		e.IssuedBefore = epoch.Add(time.Duration(i+1) * time.Second)
		must(t, s.AddEvent(ctx, e))
		want(t, "events", []tokens.Event{e})(s.Events(ctx, e.IssuedBefore.Add(-time.Second), epoch))
	}
}
