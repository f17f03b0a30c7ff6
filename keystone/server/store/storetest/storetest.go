// Package storetest holds the tests that every implementation of store.Store passes.
package storetest

import (
	"errors"
	"reflect"
	"testing"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/store"
)

// Run runs the suite. open returns a store with an up-to-date schema and nothing in it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"Users", testUsers},
		{"UserFilters", testUserFilters},
		{"Domains", testDomains},
		{"Projects", testProjects},
		{"Roles", testRoles},
		{"Groups", testGroups},
		{"Members", testMembers},
		{"Hierarchy", testHierarchy},
		{"Grants", testGrants},
		{"EffectiveGrants", testEffectiveGrants},
		{"Most", testMost},
		{"DomainTakesAllAlong", testDomainTakesAllAlong},
		{"Regions", testRegions},
		{"Services", testServices},
		{"Endpoints", testEndpoints},
		{"Tokens", testTokens},
		{"Failures", testFailures},
		{"RevokeTokens", testRevokeTokens},
		{"TokensOnGrants", testTokensOnGrants},
		{"RemoveTokens", testRemoveTokens},
		{"ListSteps", testListSteps},
		{"RenewList", testRenewList},
		{"AdvanceList", testAdvanceList},
		{"ConcurrentSteps", testConcurrentSteps},
		{"AfterCommit", testAfterCommit},
		{"Events", testEvents},
		{"Trusts", testTrusts},
		{"UseTrust", testUseTrust},
		{"DelegatedTokens", testDelegatedTokens},
		{"Credentials", testCredentials},
		{"Policies", testPolicies},
		{"EndpointFilter", testEndpointFilter},
		{"OAuth1", testOAuth1},
		{"Nonces", testNonces},
		{"IdentityProviders", testIdentityProviders},
		{"Mappings", testMappings},
		{"ServiceProviders", testServiceProviders},
		{"FederatedTokens", testFederatedTokens},
		{"GroupGrants", testGroupGrants},
		{"DomainSettings", testDomainSettings},
		{"Copies", testCopies},
		{"WriteIsAtomic", testWriteIsAtomic},
		{"WriteIsolation", testWriteIsolation},
		{"WriteGoesOn", testWriteGoesOn},
		{"WriteSkew", testWriteSkew},
		{"NotText", testNotText},
		{"CancelledContext", testCancelledContext},
		{"ConcurrentWriters", testConcurrentWriters},
		{"ConcurrentDuplicates", testConcurrentDuplicates},
		{"NoLostUpdate", testNoLostUpdate},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// fixture is a domain to put things in.
func fixture(t *testing.T, s store.Store) {
	t.Helper()
	must(t, s.AddDomain(t.Context(), assignment.Domain{ID: "d1", Name: "one", Enabled: true}))
	must(t, s.AddDomain(t.Context(), assignment.Domain{ID: "d2", Name: "two", Enabled: true}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want checks the result of a call that should succeed.
func want[T any](t *testing.T, what string, expected T) func(got T, err error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", what, got, err, expected)
		}
	}
}

// wantError checks that an error is that fault, with all its fields.
func wantError[T interface {
	error
	comparable
}](t *testing.T, what string, err error, expected T) {
	t.Helper()
	if got, ok := errors.AsType[T](err); !ok || got != expected {
		t.Errorf("%s: got %v, want %v", what, err, expected)
	}
}

func notFound(kind, id string) fault.NotFound { return fault.NotFound{Kind: kind, ID: id} }

func user(id, domainID, name string) identity.User {
	return identity.User{ID: id, DomainID: domainID, Name: name, Enabled: true, Extra: map[string]any{}}
}

func testUsers(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	u := identity.User{ID: "u1", DomainID: "d1", Name: "Ünïcode ' \" ; -- %", Enabled: true, DefaultProjectID: "p", PasswordHash: "$x$",
		Extra: map[string]any{"email": "a@b", "list": []any{"x", nil, true}, "nested": map[string]any{"k": "v"}}}
	must(t, s.AddUser(ctx, u))
	want(t, "by id", u)(s.User(ctx, "u1"))
	want(t, "by name", u)(s.UserByName(ctx, "d1", u.Name))

	wantError(t, "same id", s.AddUser(ctx, user("u1", "d2", "other")), fault.Conflict{Kind: "user"})
	wantError(t, "same name", s.AddUser(ctx, user("u2", "d1", u.Name)), fault.Conflict{Kind: "user"})
	must(t, s.AddUser(ctx, user("u2", "d2", u.Name)))
	wantError(t, "unknown domain", s.AddUser(ctx, user("u3", "nowhere", "x")), notFound("domain", "nowhere"))

	_, err := s.User(ctx, "none")
	wantError(t, "get", err, notFound("user", "none"))
	_, err = s.UserByName(ctx, "d1", "none")
	wantError(t, "get by name", err, notFound("user", "none"))
	_, err = s.UserByName(ctx, "nowhere", u.Name)
	wantError(t, "get by name in no domain", err, notFound("user", u.Name))
	wantError(t, "put", s.PutUser(ctx, user("none", "d1", "x")), notFound("user", "none"))
	wantError(t, "remove", s.RemoveUser(ctx, "none"), notFound("user", "none"))

	u.Name, u.Enabled, u.PasswordHash, u.DefaultProjectID, u.Extra = "renamed", false, "", "", map[string]any{}
	must(t, s.PutUser(ctx, u))
	want(t, "after put", u)(s.User(ctx, "u1"))
	must(t, s.AddUser(ctx, user("u4", "d1", "taken")))
	u.Name = "taken"
	wantError(t, "rename to a taken name", s.PutUser(ctx, u), fault.Conflict{Kind: "user"})

	must(t, s.RemoveUser(ctx, "u1"))
	_, err = s.User(ctx, "u1")
	wantError(t, "after remove", err, notFound("user", "u1"))
}

func testUserFilters(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	for id, name := range map[string]string{"1": "alice", "2": "Alina", "3": "bob", "4": "100%_a", "5": "ali"} {
		u := user(id, "d1", name)
		u.Enabled = id != "3"
		must(t, s.AddUser(ctx, u))
	}
	must(t, s.AddUser(ctx, user("6", "d2", "alice")))
	for _, test := range []struct {
		where filter.List
		ids   string
	}{
		{nil, "425163"},
		{filter.List{{Attribute: "name", Value: "alice"}}, "16"},
		{filter.List{{Attribute: "name", Value: "ALICE"}}, ""},
		{filter.List{{Attribute: "name", Value: "alice"}, {Attribute: "domain_id", Value: "d2"}}, "6"},
		{filter.List{{Attribute: "enabled", Value: "false"}}, "3"},
		{filter.List{{Attribute: "enabled", Value: "true"}, {Attribute: "domain_id", Value: "d1"}}, "4251"},
		{filter.List{{Attribute: "name", Op: filter.StartsWith, Value: "ali"}}, "516"},
		{filter.List{{Attribute: "name", Op: filter.StartsWithFold, Value: "ALI"}}, "2516"},
		{filter.List{{Attribute: "name", Op: filter.EndsWith, Value: "a"}}, "42"},
		{filter.List{{Attribute: "name", Op: filter.EndsWith, Value: "much longer than it"}}, ""},
		{filter.List{{Attribute: "name", Op: filter.EndsWithFold, Value: "INA"}}, "2"},
		{filter.List{{Attribute: "name", Op: filter.Contains, Value: "li"}}, "2516"},
		{filter.List{{Attribute: "name", Op: filter.Contains, Value: "al"}}, "516"},
		{filter.List{{Attribute: "name", Op: filter.ContainsFold, Value: "aL"}}, "2516"},
		{filter.List{{Attribute: "name", Op: filter.Contains, Value: "%_"}}, "4"},
		{filter.List{{Attribute: "name", Op: filter.Contains, Value: "_l"}}, ""},
		{filter.List{{Attribute: "name", Op: filter.Contains, Value: ""}}, "425163"},
		{filter.List{{Attribute: "password_hash", Value: "x"}}, "425163"},
	} {
		got, err := s.Users(ctx, test.where)
		must(t, err)
		// Databases order upper and lower case differently; what counts is which users there are, and that those of one name
		// are in order of id.
		if ids := idsOf(got, func(u identity.User) string { return u.ID }); !sameLetters(ids, test.ids) {
			t.Errorf("%+v: got %q, want %q", test.where, ids, test.ids)
		}
	}
}

func testDomains(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	d := assignment.Domain{ID: "d3", Name: "three", Enabled: false, Extra: map[string]any{"description": "x"}}
	must(t, s.AddDomain(ctx, d))
	want(t, "by id", d)(s.Domain(ctx, "d3"))
	want(t, "by name", d)(s.DomainByName(ctx, "three"))
	wantError(t, "same name", s.AddDomain(ctx, assignment.Domain{ID: "d4", Name: "three"}), fault.Conflict{Kind: "domain"})
	d.Name, d.Enabled = "drei", true
	must(t, s.PutDomain(ctx, d))
	want(t, "filtered", []assignment.Domain{d})(s.Domains(ctx, filter.List{{Attribute: "name", Value: "drei"}, {Attribute: "enabled", Value: "true"}}))
	_, err := s.Domain(ctx, "none")
	wantError(t, "get", err, notFound("domain", "none"))
	_, err = s.DomainByName(ctx, "three")
	wantError(t, "get by old name", err, notFound("domain", "three"))
	wantError(t, "put", s.PutDomain(ctx, assignment.Domain{ID: "none"}), notFound("domain", "none"))
	wantError(t, "remove", s.RemoveDomain(ctx, "none"), notFound("domain", "none"))
}

func testProjects(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	p := assignment.Project{ID: "p1", DomainID: "d1", Name: "p", Description: "x", Enabled: true, Extra: map[string]any{"k": "v"}}
	must(t, s.AddProject(ctx, p))
	want(t, "by id", p)(s.Project(ctx, "p1"))
	want(t, "by name", p)(s.ProjectByName(ctx, "d1", "p"))
	wantError(t, "same name", s.AddProject(ctx, assignment.Project{ID: "p2", DomainID: "d1", Name: "p"}), fault.Conflict{Kind: "project"})
	wantError(t, "unknown domain", s.AddProject(ctx, assignment.Project{ID: "p2", DomainID: "no", Name: "q"}), notFound("domain", "no"))
	must(t, s.AddProject(ctx, assignment.Project{ID: "p2", DomainID: "d2", Name: "p", Enabled: true}))
	p.Name, p.Description, p.Enabled = "q", "", false
	must(t, s.PutProject(ctx, p))
	want(t, "filtered", []assignment.Project{p})(s.Projects(ctx, filter.List{{Attribute: "domain_id", Value: "d1"}}))
	_, err := s.ProjectByName(ctx, "d1", "p")
	wantError(t, "get by old name", err, notFound("project", "p"))
	must(t, s.RemoveProject(ctx, "p1"))
	_, err = s.Project(ctx, "p1")
	wantError(t, "after remove", err, notFound("project", "p1"))
	wantError(t, "remove again", s.RemoveProject(ctx, "p1"), notFound("project", "p1"))
	wantError(t, "put", s.PutProject(ctx, p), notFound("project", "p1"))
}

func testRoles(t *testing.T, s store.Store) {
	ctx := t.Context()
	r := assignment.Role{ID: "r1", Name: "admin", Extra: map[string]any{}}
	must(t, s.AddRole(ctx, r))
	want(t, "by id", r)(s.Role(ctx, "r1"))
	want(t, "by name", r)(s.RoleByName(ctx, "admin"))
	wantError(t, "same name", s.AddRole(ctx, assignment.Role{ID: "r2", Name: "admin"}), fault.Conflict{Kind: "role"})
	must(t, s.AddRole(ctx, assignment.Role{ID: "r2", Name: "member"}))
	r.Name = "root"
	must(t, s.PutRole(ctx, r))
	want(t, "filtered", []assignment.Role{r})(s.Roles(ctx, filter.List{{Attribute: "name", Value: "root"}}))
	_, err := s.Role(ctx, "none")
	wantError(t, "get", err, notFound("role", "none"))
	must(t, s.RemoveRole(ctx, "r1"))
	wantError(t, "remove again", s.RemoveRole(ctx, "r1"), notFound("role", "r1"))
	wantError(t, "put", s.PutRole(ctx, r), notFound("role", "r1"))
}

// people puts two users, two projects and two roles into the fixture.
func people(t *testing.T, s store.Store) {
	t.Helper()
	fixture(t, s)
	ctx := t.Context()
	must(t, s.AddUser(ctx, user("u1", "d1", "u1")))
	must(t, s.AddUser(ctx, user("u2", "d2", "u2")))
	must(t, s.AddProject(ctx, assignment.Project{ID: "p1", DomainID: "d1", Name: "p1", Extra: map[string]any{}}))
	must(t, s.AddProject(ctx, assignment.Project{ID: "p2", DomainID: "d2", Name: "p2", Extra: map[string]any{}}))
	must(t, s.AddRole(ctx, assignment.Role{ID: "r1", Name: "b"}))
	must(t, s.AddRole(ctx, assignment.Role{ID: "r2", Name: "a"}))
}

func testRegions(t *testing.T, s store.Store) {
	ctx := t.Context()
	top := catalog.Region{ID: "top", Description: "x", Extra: map[string]any{}}
	must(t, s.AddRegion(ctx, top))
	must(t, s.AddRegion(ctx, catalog.Region{ID: "mid", ParentID: "top"}))
	must(t, s.AddRegion(ctx, catalog.Region{ID: "low/with slash", ParentID: "mid"}))
	want(t, "get", top)(s.Region(ctx, "top"))
	wantError(t, "same id", s.AddRegion(ctx, top), fault.Conflict{Kind: "region", Detail: "Duplicate ID, top."})
	wantError(t, "unknown parent", s.AddRegion(ctx, catalog.Region{ID: "x", ParentID: "no"}), notFound("region", "no"))
	wantError(t, "put with unknown parent", s.PutRegion(ctx, catalog.Region{ID: "mid", ParentID: "no"}), notFound("region", "no"))
	below, err := s.Regions(ctx, filter.List{{Attribute: "parent_region_id", Value: "top"}})
	must(t, err)
	if len(below) != 1 || below[0].ID != "mid" {
		t.Errorf("below top: %v", below)
	}
	must(t, s.AddService(ctx, catalog.Service{ID: "s1", Type: "t"}))
	must(t, s.AddEndpoint(ctx, catalog.Endpoint{ID: "e1", ServiceID: "s1", RegionID: "low/with slash", Interface: "public", URL: "u"}))
	if _, ok := errors.AsType[fault.Forbidden](s.RemoveRegion(ctx, "top")); !ok {
		t.Error("a region was removed from under an endpoint")
	}
	must(t, s.RemoveEndpoint(ctx, "e1"))
	must(t, s.RemoveRegion(ctx, "top"))
	want(t, "all gone", []catalog.Region{})(s.Regions(ctx, nil))
	wantError(t, "remove again", s.RemoveRegion(ctx, "top"), notFound("region", "top"))
	wantError(t, "put", s.PutRegion(ctx, top), notFound("region", "top"))
}

func testServices(t *testing.T, s store.Store) {
	ctx := t.Context()
	v := catalog.Service{ID: "s1", Type: "compute", Enabled: true, Extra: map[string]any{"name": "nova"}}
	must(t, s.AddService(ctx, v))
	must(t, s.AddService(ctx, catalog.Service{ID: "s2", Type: "compute"}))
	want(t, "get", v)(s.Service(ctx, "s1"))
	want(t, "filtered", []catalog.Service{v})(s.Services(ctx, filter.List{{Attribute: "type", Value: "compute"}, {Attribute: "name", Value: "nova"}}))
	v.Type, v.Enabled, v.Extra = "x", false, map[string]any{"name": "new"}
	must(t, s.PutService(ctx, v))
	want(t, "filtered by the new name", []catalog.Service{v})(s.Services(ctx, filter.List{{Attribute: "name", Value: "new"}}))
	wantError(t, "put", s.PutService(ctx, catalog.Service{ID: "none"}), notFound("service", "none"))
	must(t, s.AddEndpoint(ctx, catalog.Endpoint{ID: "e1", ServiceID: "s1", Interface: "public", URL: "u"}))
	must(t, s.RemoveService(ctx, "s1"))
	want(t, "its endpoints", []catalog.Endpoint{})(s.Endpoints(ctx, nil))
	wantError(t, "remove again", s.RemoveService(ctx, "s1"), notFound("service", "s1"))
}

func testEndpoints(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.AddService(ctx, catalog.Service{ID: "s1", Type: "compute"}))
	must(t, s.AddRegion(ctx, catalog.Region{ID: "R"}))
	e := catalog.Endpoint{ID: "e1", ServiceID: "s1", RegionID: "R", Interface: "public", URL: "http://h/$(tenant_id)s", Enabled: true, LegacyID: "l1", Extra: map[string]any{"name": "n"}}
	must(t, s.AddEndpoint(ctx, e))
	want(t, "get", e)(s.Endpoint(ctx, "e1"))
	bare := catalog.Endpoint{ID: "e2", ServiceID: "s1", Interface: "admin", URL: "u", Extra: map[string]any{}}
	must(t, s.AddEndpoint(ctx, bare))
	want(t, "without region", bare)(s.Endpoint(ctx, "e2"))
	want(t, "filtered", []catalog.Endpoint{e})(s.Endpoints(ctx, filter.List{{Attribute: "interface", Value: "public"}, {Attribute: "service_id", Value: "s1"}}))
	want(t, "of the API v2.0", []catalog.Endpoint{e})(s.Endpoints(ctx, filter.List{{Attribute: "legacy_id", Value: "l1"}}))
	wantError(t, "unknown service", s.AddEndpoint(ctx, catalog.Endpoint{ID: "e3", ServiceID: "no", Interface: "public"}), notFound("service", "no"))
	wantError(t, "unknown region", s.AddEndpoint(ctx, catalog.Endpoint{ID: "e3", ServiceID: "s1", RegionID: "no"}), notFound("region", "no"))
	e.RegionID, e.Enabled = "", false
	must(t, s.PutEndpoint(ctx, e))
	want(t, "after put", e)(s.Endpoint(ctx, "e1"))
	must(t, s.RemoveEndpoint(ctx, "e1"))
	wantError(t, "remove again", s.RemoveEndpoint(ctx, "e1"), notFound("endpoint", "e1"))
	wantError(t, "put", s.PutEndpoint(ctx, e), notFound("endpoint", "e1"))
}

func testCopies(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	u := user("u1", "d1", "n")
	u.Extra = map[string]any{"k": "v", "list": []any{"x"}}
	must(t, s.AddUser(ctx, u))
	u.Extra["k"] = "changed after it was stored"
	u.Extra["list"].([]any)[0] = "changed"
	got, err := s.User(ctx, "u1")
	must(t, err)
	got.Extra["k"], got.Extra["list"].([]any)[0] = "changed", "changed"
	want(t, "untouched", identity.User{ID: "u1", DomainID: "d1", Name: "n", Enabled: true,
		Extra: map[string]any{"k": "v", "list": []any{"x"}}})(s.User(ctx, "u1"))

	r := record("t1")
	must(t, s.AddToken(ctx, r))
	r.Body[0] = 'X'
	stored, err := s.Token(ctx, "t1")
	must(t, err)
	stored.Body[1] = 'X'
	want(t, "untouched", record("t1"))(s.Token(ctx, "t1"))
}

func idsOf[T any](list []T, id func(T) string) (ids string) {
	for _, v := range list {
		ids += id(v)
	}
	return ids
}

func sameLetters(a, b string) bool {
	count := map[rune]int{}
	for _, r := range a {
		count[r]++
	}
	for _, r := range b {
		count[r]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
