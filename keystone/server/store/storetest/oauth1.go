package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/oauth1"
	"authproxy/keystone/server/store"
)

func testOAuth1(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	text := "words"
	c := oauth1.Consumer{ID: "c1", Description: &text, Secret: "s", Extra: map[string]any{"k": "v"}}
	must(t, s.AddConsumer(ctx, c))
	want(t, "get", c)(s.Consumer(ctx, "c1"))
	wantError(t, "same id", s.AddConsumer(ctx, c), fault.Conflict{Kind: "consumer"})
	bare := oauth1.Consumer{ID: "c2", Secret: "t", Extra: map[string]any{}}
	must(t, s.AddConsumer(ctx, bare))
	c.Description, c.Extra = nil, map[string]any{}
	must(t, s.PutConsumer(ctx, c))
	want(t, "all", []oauth1.Consumer{c, bare})(s.Consumers(ctx))
	wantError(t, "put", s.PutConsumer(ctx, oauth1.Consumer{ID: "none"}), notFound("consumer", "none"))
	wantError(t, "remove", s.RemoveConsumer(ctx, "none"), notFound("consumer", "none"))

	r := oauth1.RequestToken{ID: "r1", Secret: "s", ConsumerID: "c1", ProjectID: "p1", RoleIDs: []string{}, ExpiresAt: epoch}
	must(t, s.AddRequestToken(ctx, r))
	want(t, "get", r)(s.RequestToken(ctx, "r1"))
	r.UserID, r.Verifier, r.RoleIDs = "u1", "v", []string{"r1", "r2"}
	must(t, s.PutRequestToken(ctx, r))
	want(t, "after put", r)(s.RequestToken(ctx, "r1"))
	wantError(t, "put", s.PutRequestToken(ctx, oauth1.RequestToken{ID: "none"}), notFound("request token", "none"))
	wantError(t, "same id", s.AddRequestToken(ctx, r), fault.Conflict{Kind: "request token"})
	wrong := r
	wrong.ID, wrong.ConsumerID = "r2", "no"
	wantError(t, "unknown consumer", s.AddRequestToken(ctx, wrong), notFound("consumer", "no"))
	must(t, s.RemoveRequestToken(ctx, "r1"))
	wantError(t, "remove again", s.RemoveRequestToken(ctx, "r1"), notFound("request token", "r1"))

	access := func(id, consumer, project, user string) oauth1.AccessToken {
		v := oauth1.AccessToken{ID: id, Secret: "s", ConsumerID: consumer, ProjectID: project, UserID: user, RoleIDs: []string{"r1"}}
		must(t, s.AddAccessToken(ctx, v))
		return v
	}
	a := access("a1", "c1", "p1", "u1")
	b := access("a2", "c2", "p2", "u1")
	want(t, "get", a)(s.AccessToken(ctx, "a1"))
	want(t, "of the user", []oauth1.AccessToken{a, b})(s.AccessTokens(ctx, "u1"))
	want(t, "of another", []oauth1.AccessToken{})(s.AccessTokens(ctx, "u2"))
	wantError(t, "same id", s.AddAccessToken(ctx, a), fault.Conflict{Kind: "access token"})
	must(t, s.RemoveAccessToken(ctx, "a1"))
	wantError(t, "remove again", s.RemoveAccessToken(ctx, "a1"), notFound("access token", "a1"))
	gone := func(what, id string) {
		t.Helper()
		_, err := s.AccessToken(ctx, id)
		wantError(t, what, err, notFound("access token", id))
	}
	must(t, s.RemoveConsumer(ctx, "c2"))
	gone("consumer removed", "a2")
	access("a3", "c1", "p1", "u2")
	must(t, s.RemoveProject(ctx, "p1"))
	gone("project removed", "a3")
	access("a4", "c1", "p2", "u1")
	must(t, s.RemoveUser(ctx, "u1"))
	gone("user removed", "a4")
	r = oauth1.RequestToken{ID: "r3", ConsumerID: "c1", ProjectID: "p2", UserID: "u2"}
	must(t, s.AddRequestToken(ctx, r))
	late := oauth1.AccessToken{ID: "a5", ConsumerID: "c1", ProjectID: "p2", UserID: "u3", RoleIDs: []string{}, ExpiresAt: epoch}
	must(t, s.AddAccessToken(ctx, late))
	must(t, s.RemoveOAuth1Tokens(ctx, epoch.Add(-time.Microsecond)))
	want(t, "not yet expired", late)(s.AccessToken(ctx, "a5"))
	must(t, s.RemoveOAuth1Tokens(ctx, epoch))
	gone("expired", "a5")
	if _, err := s.RequestToken(ctx, "r3"); err != nil {
		t.Errorf("one without an end: %v", err)
	}
	access("a6", "c1", "p2", "u3")
	must(t, s.RemoveDomain(ctx, "d2"))
	_, err := s.RequestToken(ctx, "r3")
	wantError(t, "domain removed", err, notFound("request token", "r3"))
	gone("domain removed", "a6")
}

func testNonces(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.AddConsumer(ctx, oauth1.Consumer{ID: "c1"}))
	must(t, s.AddConsumer(ctx, oauth1.Consumer{ID: "c2"}))
	n := oauth1.Nonce{ConsumerID: "c1", Token: "t", Nonce: "n", SaidAt: 100}
	want(t, "new", true)(s.AddNonce(ctx, n))
	want(t, "again", false)(s.AddNonce(ctx, n))
	for _, other := range []oauth1.Nonce{
		{ConsumerID: "c2", Token: "t", Nonce: "n", SaidAt: 100}, {ConsumerID: "c1", Nonce: "n", SaidAt: 100},
		{ConsumerID: "c1", Token: "t", Nonce: "N", SaidAt: 100}, {ConsumerID: "c1", Token: "t", Nonce: "n", SaidAt: 101},
	} {
		want(t, "another", true)(s.AddNonce(ctx, other))
	}
	must(t, s.RemoveNonces(ctx, 101))
	want(t, "forgotten", true)(s.AddNonce(ctx, n))
	want(t, "not forgotten", false)(s.AddNonce(ctx, oauth1.Nonce{ConsumerID: "c1", Token: "t", Nonce: "n", SaidAt: 101}))
	_, err := s.AddNonce(ctx, oauth1.Nonce{ConsumerID: "none"})
	wantError(t, "unknown consumer", err, notFound("consumer", "none"))
	var first atomic.Int32
	parallel(8, func(int) {
		fresh, err := s.AddNonce(ctx, oauth1.Nonce{ConsumerID: "c1", Nonce: "race", SaidAt: 100})
		if err != nil {
			t.Error(err)
		}
		if fresh {
			first.Add(1)
		}
	})
	if first.Load() != 1 {
		t.Errorf("%d were the first, want 1", first.Load())
	}
}
