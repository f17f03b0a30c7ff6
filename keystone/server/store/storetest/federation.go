package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/tokens"
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

func testFederatedTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	now := epoch.Add(30 * time.Minute)
	add := func(id, provider, protocol, project string, groups ...tokens.Group) tokens.Record {
		r := record(id)
		r.IdentityProviderID, r.ProtocolID, r.ProjectID, r.UserID = provider, protocol, project, "user-"+id
		must(t, s.AddToken(ctx, r))
		must(t, s.AddTokenGroups(ctx, id, groups))
		return r
	}
	g, h := tokens.Group{ID: "g", DomainID: "d1"}, tokens.Group{ID: "h", DomainID: "d2"}
	wantError(t, "groups of no token", s.AddTokenGroups(ctx, "none", []tokens.Group{g}), notFound("token", "none"))
	for _, test := range []struct {
		which tokens.Tokens
		ids   string
	}{
		{tokens.Tokens{IdentityProviderID: "acme"}, "abc"},
		{tokens.Tokens{IdentityProviderID: "acme", ProtocolID: "saml2"}, "ab"},
		{tokens.Tokens{IdentityProviderID: "none"}, ""},
		{tokens.Tokens{GroupID: "g"}, "abd"},
		{tokens.Tokens{GroupID: "h"}, "b"},
		{tokens.Tokens{GroupID: "g", ProjectID: "p"}, "b"},
		{tokens.Tokens{GroupDomainID: "d2"}, "b"},
		{tokens.Tokens{GroupDomainID: "d1"}, "abd"},
		{tokens.Tokens{MemberOf: "g"}, ""},
	} {
		want(t, "get", add("a", "acme", "saml2", "", g))(s.Token(ctx, "a"))
		add("b", "acme", "saml2", "p", g, h)
		add("c", "acme", "oidc", "")
		add("d", "other", "saml2", "", g)
		add("e", "", "", "")
		audit, scopes := []string{}, []assignment.Scope{}
		for _, id := range strings.Split(test.ids, "") {
			audit = append(audit, "audit-"+id)
			r, err := s.Token(ctx, id)
			must(t, err)
			scopes = append(scopes, assignment.Scope{UserID: r.UserID, ProjectID: r.ProjectID})
		}
		want(t, "audit ids", audit)(s.TokenAuditIDs(ctx, test.which, now))
		want(t, "scopes", scopes)(s.TokenScopes(ctx, test.which, now))
		want(t, "audit ids of those that have ended", []string{})(s.TokenAuditIDs(ctx, test.which, epoch.Add(time.Hour)))
		want(t, fmt.Sprintf("%+v", test.which), len(test.ids))(s.RevokeTokens(ctx, test.which, now, now))
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			r, err := s.Token(ctx, id)
			must(t, err)
			if strings.Contains(test.ids, id) == r.RevokedAt.IsZero() {
				t.Errorf("%+v: token %s was revoked at %s", test.which, id, r.RevokedAt)
			}
		}
		want(t, "audit ids afterwards", []string{})(s.TokenAuditIDs(ctx, test.which, now))
		if _, err := s.RemoveTokens(ctx, epoch.Add(time.Hour), 100); err != nil { // and their groups
			t.Fatal(err)
		}
	}
	if ids, err := s.TokenAuditIDs(ctx, tokens.Tokens{}, now); err == nil {
		t.Errorf("nothing in particular: %q", ids)
	}
}

// testGroupGrants: what groups have, whoever is in them.
func testGroupGrants(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	tree(t, s)
	for _, id := range []string{"g1", "g2", "g3"} {
		must(t, s.AddGroup(ctx, group(id, "d2", id)))
	}
	must(t, s.AddMember(ctx, "g3", "u1"))
	for _, g := range []assignment.Grant{
		{GroupID: "g1", ProjectID: "a", RoleID: "r1", Inherited: true},
		{GroupID: "g1", ProjectID: "p2", RoleID: "r1"},
		{GroupID: "g2", DomainID: "d2", RoleID: "r2"},
		{GroupID: "g2", ProjectID: "b", RoleID: "r2"},
		{GroupID: "g3", ProjectID: "f", RoleID: "r2"},
		{GroupID: "g3", DomainID: "d1", RoleID: "r2"},
		{UserID: "u1", ProjectID: "f", RoleID: "r1"},
		{UserID: "g1", ProjectID: "f", RoleID: "r1"}, // a user of that id is not the group
	} {
		must(t, s.AddGrant(ctx, g))
	}
	no := false
	for _, test := range []struct {
		q     assignment.Query
		texts string
	}{
		{assignment.Query{GroupIDs: []string{"g1", "g2"}, ProjectID: "b"}, "g1/a/r1+ g2/b/r2"},
		{assignment.Query{GroupIDs: []string{"g1", "g2"}, ProjectID: "b", Inherited: &no}, "g2/b/r2"},
		{assignment.Query{GroupIDs: []string{"g1"}, ProjectID: "f"}, ""},
		{assignment.Query{GroupIDs: []string{"g2", "g3", "none"}, DomainID: "d2"}, "g2/d2/r2"},
		{assignment.Query{GroupIDs: []string{}, ProjectID: "b"}, ""},
	} {
		test.q.Effective = true
		wantText(t, fmt.Sprintf("%+v", test.q), grantsOf(t, s, test.q), test.texts)
	}
	for _, test := range []struct {
		groups  []string
		inherit bool
		ids     string
		domains string
	}{
		{[]string{"g1", "g2"}, true, "bcep2", "d2"}, {[]string{"g1", "g2"}, false, "bp2", "d2"}, {[]string{"g3"}, true, "f", "d1"},
		{[]string{}, true, "", ""}, {nil, true, "", ""}, {[]string{"none"}, true, "", ""},
	} {
		list, err := s.ProjectsOfGroups(ctx, test.groups, test.inherit)
		wantText(t, fmt.Sprintf("projects of %q", test.groups), projectIDs(t, list, err), test.ids)
		domains, err := s.DomainsOfGroups(ctx, test.groups)
		must(t, err)
		wantText(t, fmt.Sprintf("domains of %q", test.groups), idsOf(domains, func(d assignment.Domain) string { return d.ID }), test.domains)
	}
}
