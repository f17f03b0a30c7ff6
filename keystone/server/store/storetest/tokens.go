package storetest

import (
	"fmt"
	"testing"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/token"
)

// epoch is when tokens of the suite are issued.
var epoch = time.Date(2030, 1, 2, 3, 4, 5, 678901000, time.UTC)

func record(id string) tokens.Record {
	return tokens.Record{ID: id, Form: token.PKI, AuditID: "audit-" + id, ChainID: "audit-" + id, UserID: "u", UserDomainID: "ud",
		IssuedAt: epoch, ExpiresAt: epoch.Add(time.Hour), Body: []byte(`{"token":{}}`)}
}

func testTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	r := record("t1")
	r.Form, r.ChainID, r.ProjectID, r.ProjectDomainID, r.Body = token.PKIZ, "root", "p", "pd", []byte(`{"token":{"user":"ü'\""}}`)
	must(t, s.AddToken(ctx, r))
	want(t, "get", r)(s.Token(ctx, "t1"))
	wantError(t, "same id", s.AddToken(ctx, r), fault.Conflict{Kind: "token"})
	_, err := s.Token(ctx, "none")
	wantError(t, "get", err, notFound("token", "none"))
	for _, form := range []token.Form{token.PKI, token.UUID} {
		r := record(form.String())
		r.Form, r.DomainID = form, "d"
		must(t, s.AddToken(ctx, r))
		want(t, form.String(), r)(s.Token(ctx, r.ID))
	}
}

func testRevokeTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	now := epoch.Add(30 * time.Minute)
	add := func(id, userID, userDomain, project, projectDomain, domain string) {
		r := record(id)
		r.UserID, r.UserDomainID, r.ProjectID, r.ProjectDomainID, r.DomainID = userID, userDomain, project, projectDomain, domain
		must(t, s.AddToken(ctx, r))
	}
	revoked := func() string {
		t.Helper()
		list, err := s.RevokedTokens(ctx, all(t, s), now)
		must(t, err)
		ids := ""
		for _, e := range list {
			ids += e.ID
			if e.AuditID != "audit-"+e.ID || !e.Expires.Equal(epoch.Add(time.Hour)) {
				t.Errorf("entry %+v", e)
			}
		}
		return ids
	}
	for _, test := range []struct {
		which tokens.Tokens
		ids   string
	}{
		{tokens.Tokens{ID: "a"}, "a"},
		{tokens.Tokens{UserID: "u2"}, "bcd"},
		{tokens.Tokens{ProjectID: "p1"}, "ab"},
		{tokens.Tokens{DomainID: "d2"}, "d"},
		{tokens.Tokens{UserID: "u2", ProjectID: "p2"}, "c"},
		{tokens.Tokens{UserID: "u2", DomainID: "d2"}, "d"},
		{tokens.Tokens{UserID: "u1", DomainID: "d2"}, ""},
		{tokens.Tokens{InDomain: "d2"}, "bcd"},
		{tokens.Tokens{InDomain: "d1"}, "abe"},
	} {
		add("a", "u1", "d1", "p1", "d1", "")
		add("b", "u2", "d2", "p1", "d1", "")
		add("c", "u2", "d2", "p2", "d2", "")
		add("d", "u2", "d2", "", "", "d2")
		add("e", "u1", "d1", "", "", "")
		n, err := s.RevokeTokens(ctx, test.which, now, now)
		if got := revoked(); err != nil || n != len(test.ids) || got != test.ids {
			t.Errorf("%+v: revoked %d %q, %v; want %q", test.which, n, got, err, test.ids)
		}
		want(t, "again", 0)(s.RevokeTokens(ctx, test.which, now.Add(time.Minute), now))
		if test.ids != "" {
			r, err := s.Token(ctx, test.ids[:1])
			if err != nil || !r.RevokedAt.Equal(now) {
				t.Errorf("revoked at %v, %v; want %v", r.RevokedAt, err, now)
			}
		}
		if _, err := s.RemoveTokens(ctx, epoch.Add(time.Hour), 100); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.RevokeTokens(ctx, tokens.Tokens{}, now, now); err == nil {
		t.Errorf("revoking nothing in particular ended %d tokens", n)
	}
	// One that is over before "alive" is neither revoked nor listed, one that ends after it is both.
	add("a", "u1", "d1", "", "", "")
	want(t, "after its end", 0)(s.RevokeTokens(ctx, tokens.Tokens{UserID: "u1"}, now, epoch.Add(time.Hour)))
	want(t, "just before its end", 1)(s.RevokeTokens(ctx, tokens.Tokens{UserID: "u1"}, now, epoch.Add(time.Hour-time.Microsecond)))
	list, err := s.RevokedTokens(ctx, all(t, s), epoch.Add(time.Hour))
	if err != nil || len(list) != 0 {
		t.Errorf("listed after the end: %v, %v", list, err)
	}
}

func testRemoveTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	for i := range 5 {
		r := record(fmt.Sprint("t", i))
		r.ExpiresAt = epoch.Add(time.Duration(i) * time.Hour)
		must(t, s.AddToken(ctx, r))
	}
	want(t, "limited", 2)(s.RemoveTokens(ctx, epoch.Add(2*time.Hour), 2))
	want(t, "the rest", 1)(s.RemoveTokens(ctx, epoch.Add(2*time.Hour), 2))
	want(t, "none left", 0)(s.RemoveTokens(ctx, epoch.Add(2*time.Hour), 2))
	if _, err := s.Token(ctx, "t3"); err != nil {
		t.Errorf("a token that was to stay: %v", err)
	}
}
