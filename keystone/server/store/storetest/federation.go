package storetest

import (
	"testing"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/store"
)

var enabledOnly = filter.List{{Attribute: "enabled", Value: "true"}}

func testIdentityProviders(t *testing.T, s store.Store) {
	ctx := t.Context()
	text := "words"
	conflict := fault.Conflict{Kind: federation.KindIdentityProvider}
	a := federation.IdentityProvider{ID: "a", Description: &text, Enabled: true, RemoteIDs: []string{"z", "https://idp/é", "y"}}
	b := federation.IdentityProvider{ID: "b/…", RemoteIDs: []string{}}
	must(t, s.AddIdentityProvider(ctx, b))
	must(t, s.AddIdentityProvider(ctx, a))
	want(t, "get", a)(s.IdentityProvider(ctx, "a"))
	want(t, "all", []federation.IdentityProvider{a, b})(s.IdentityProviders(ctx, nil))
	want(t, "enabled", []federation.IdentityProvider{a})(s.IdentityProviders(ctx, enabledOnly))
	want(t, "first", []federation.IdentityProvider{a})(s.IdentityProviders(ctx, filter.List{filter.AtMost(1)}))
	wantError(t, "same id", s.AddIdentityProvider(ctx, federation.IdentityProvider{ID: "a"}), conflict)
	wantError(t, "remote id of another", s.AddIdentityProvider(ctx, federation.IdentityProvider{ID: "c", RemoteIDs: []string{"x", "z"}}), conflict)
	_, err := s.IdentityProvider(ctx, "c")
	wantError(t, "not half made", err, federation.NoIdentityProvider("c"))
	b.RemoteIDs = []string{"x", "y"}
	wantError(t, "put with that of another", s.PutIdentityProvider(ctx, b), conflict)
	b.RemoteIDs = []string{"x", "x"}
	wantError(t, "the same twice", s.PutIdentityProvider(ctx, b), conflict)
	want(t, "unchanged", federation.IdentityProvider{ID: "b/…", RemoteIDs: []string{}})(s.IdentityProvider(ctx, "b/…"))
	a.Description, a.Enabled, a.RemoteIDs = nil, false, []string{"y"}
	must(t, s.PutIdentityProvider(ctx, a))
	want(t, "after put", a)(s.IdentityProvider(ctx, "a"))
	b.RemoteIDs = []string{"z"}
	must(t, s.PutIdentityProvider(ctx, b)) // a gave it up
	wantError(t, "put", s.PutIdentityProvider(ctx, federation.IdentityProvider{ID: "none"}), federation.NoIdentityProvider("none"))
	wantError(t, "remove", s.RemoveIdentityProvider(ctx, "none"), federation.NoIdentityProvider("none"))

	p := federation.Protocol{IdentityProviderID: "a", ID: "saml2", MappingID: "m"}
	same := federation.Protocol{IdentityProviderID: "b/…", ID: "saml2", MappingID: "n"}
	second := federation.Protocol{IdentityProviderID: "a", ID: "oidc", MappingID: "m"}
	for _, p := range []federation.Protocol{p, same, second} {
		must(t, s.AddProtocol(ctx, p))
	}
	want(t, "get", p)(s.Protocol(ctx, "a", "saml2"))
	want(t, "those of one", []federation.Protocol{second, p})(s.Protocols(ctx, "a", nil))
	want(t, "by id", []federation.Protocol{p})(s.Protocols(ctx, "a", filter.List{{Attribute: "id", Value: "saml2"}}))
	wantError(t, "same id", s.AddProtocol(ctx, p), fault.Conflict{Kind: federation.KindProtocol})
	wantError(t, "of nobody", s.AddProtocol(ctx, federation.Protocol{IdentityProviderID: "none", ID: "x"}), federation.NoIdentityProvider("none"))
	p.MappingID = "other"
	must(t, s.PutProtocol(ctx, p))
	want(t, "after put", p)(s.Protocol(ctx, "a", "saml2"))
	want(t, "the other's", same)(s.Protocol(ctx, "b/…", "saml2"))
	wantError(t, "put", s.PutProtocol(ctx, federation.Protocol{IdentityProviderID: "b/…", ID: "oidc"}), federation.NoProtocol("b/…", "oidc"))
	must(t, s.RemoveProtocol(ctx, "a", "oidc"))
	wantError(t, "remove again", s.RemoveProtocol(ctx, "a", "oidc"), federation.NoProtocol("a", "oidc"))
	must(t, s.RemoveIdentityProvider(ctx, "a"))
	_, err = s.Protocol(ctx, "a", "saml2")
	wantError(t, "protocol of one that is gone", err, federation.NoProtocol("a", "saml2"))
	must(t, s.AddIdentityProvider(ctx, federation.IdentityProvider{ID: "a", RemoteIDs: []string{"y"}})) // which nobody has any more
}

func testMappings(t *testing.T, s store.Store) {
	ctx := t.Context()
	m := federation.Mapping{ID: "m", Rules: []any{map[string]any{"local": []any{}, "remote": []any{map[string]any{"type": "é", "regex": true}}}}}
	must(t, s.AddMapping(ctx, m))
	want(t, "get", m)(s.Mapping(ctx, "m"))
	wantError(t, "same id", s.AddMapping(ctx, m), fault.Conflict{Kind: federation.KindMapping})
	m.Rules = []any{"x", "y"}
	must(t, s.PutMapping(ctx, m))
	must(t, s.AddMapping(ctx, federation.Mapping{ID: "a", Rules: []any{}}))
	want(t, "all", []federation.Mapping{{ID: "a", Rules: []any{}}, m})(s.Mappings(ctx, nil))
	wantError(t, "put", s.PutMapping(ctx, federation.Mapping{ID: "none"}), federation.NoMapping("none"))
	must(t, s.RemoveMapping(ctx, "m"))
	wantError(t, "remove again", s.RemoveMapping(ctx, "m"), federation.NoMapping("m"))
	_, err := s.Mapping(ctx, "m")
	wantError(t, "gone", err, federation.NoMapping("m"))
}

func testServiceProviders(t *testing.T, s store.Store) {
	ctx := t.Context()
	text := "words"
	a := federation.ServiceProvider{ID: "a", AuthURL: "http://a", SPURL: "http://b", Description: &text, Enabled: true, RelayStatePrefix: &text}
	b := federation.ServiceProvider{ID: "b", AuthURL: "http://c", SPURL: "http://d"}
	must(t, s.AddServiceProvider(ctx, b))
	must(t, s.AddServiceProvider(ctx, a))
	want(t, "get", a)(s.ServiceProvider(ctx, "a"))
	want(t, "all", []federation.ServiceProvider{a, b})(s.ServiceProviders(ctx, nil))
	want(t, "enabled", []federation.ServiceProvider{a})(s.ServiceProviders(ctx, enabledOnly))
	wantError(t, "same id", s.AddServiceProvider(ctx, a), fault.Conflict{Kind: federation.KindServiceProvider})
	a = federation.ServiceProvider{ID: "a", AuthURL: "http://e", SPURL: "http://f"}
	must(t, s.PutServiceProvider(ctx, a))
	want(t, "after put", a)(s.ServiceProvider(ctx, "a"))
	wantError(t, "put", s.PutServiceProvider(ctx, federation.ServiceProvider{ID: "none"}), federation.NoServiceProvider("none"))
	must(t, s.RemoveServiceProvider(ctx, "a"))
	wantError(t, "remove again", s.RemoveServiceProvider(ctx, "a"), federation.NoServiceProvider("a"))
}
