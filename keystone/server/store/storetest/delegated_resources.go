package storetest

import (
	"testing"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/endpointfilter"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/policies"
	"authproxy/keystone/server/store"
)

func testCredentials(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	c := credential.Credential{ID: "c1", UserID: "u1", ProjectID: "p1", Type: "ec2", Blob: `{"a": "ü'\""}`, Extra: map[string]any{"k": "v"}}
	must(t, s.AddCredential(ctx, c))
	want(t, "get", c)(s.Credential(ctx, "c1"))
	wantError(t, "same id", s.AddCredential(ctx, c), fault.Conflict{Kind: "credential"})
	bare := credential.Credential{ID: "c2", UserID: "u2", Type: "cert", KeyHash: "h", Extra: map[string]any{}}
	must(t, s.AddCredential(ctx, bare))
	want(t, "without a project", bare)(s.Credential(ctx, "c2"))
	wrong := bare
	wrong.ID, wrong.ProjectID = "c3", "no"
	wantError(t, "unknown project", s.AddCredential(ctx, wrong), notFound("project", "no"))
	wrong.ID = "c2"
	wantError(t, "put with unknown project", s.PutCredential(ctx, wrong), notFound("project", "no"))
	must(t, s.AddCredential(ctx, credential.Credential{ID: "c0", UserID: "u2", ProjectID: "p1", Type: "ec2"}))
	for _, test := range []struct {
		where filter.List
		ids   string
	}{
		{nil, "c0c1c2"},
		{filter.List{{Attribute: "user_id", Value: "u2"}}, "c0c2"},
		{filter.List{{Attribute: "user_id", Value: "u2"}, {Attribute: "type", Value: "ec2"}}, "c0"},
		{filter.List{{Attribute: "project_id", Value: "p1"}}, "c0c1"},
	} {
		list, err := s.Credentials(ctx, test.where)
		must(t, err)
		if got := idsOf(list, func(c credential.Credential) string { return c.ID }); got != test.ids {
			t.Errorf("%v: %s, want %s", test.where, got, test.ids)
		}
	}
	c.UserID, c.ProjectID, c.Type, c.Blob, c.KeyHash = "u2", "", "cert", "new", "hash"
	must(t, s.PutCredential(ctx, c))
	want(t, "after put", c)(s.Credential(ctx, "c1"))
	c.ID = "none"
	wantError(t, "put", s.PutCredential(ctx, c), notFound("credential", "none"))
	left := func(what, ids string) {
		t.Helper()
		list, err := s.Credentials(ctx, nil)
		must(t, err)
		if got := idsOf(list, func(c credential.Credential) string { return c.ID }); got != ids {
			t.Errorf("%s: %s is left, want %s", what, got, ids)
		}
	}
	must(t, s.RemoveProject(ctx, "p1"))
	left("project removed", "c1c2")
	must(t, s.RemoveCredential(ctx, "c1"))
	wantError(t, "remove again", s.RemoveCredential(ctx, "c1"), notFound("credential", "c1"))
	must(t, s.AddCredential(ctx, credential.Credential{ID: "c4", UserID: "u1"}))
	must(t, s.RemoveUser(ctx, "u2"))
	left("user removed", "c4")
	must(t, s.RemoveDomain(ctx, "d1"))
	left("domain removed", "")
}

// endpoints puts two services with endpoints in two regions, one below the other, into the store.
func endpoints(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	must(t, s.AddRegion(ctx, catalog.Region{ID: "top"}))
	must(t, s.AddRegion(ctx, catalog.Region{ID: "low", ParentID: "top"}))
	for _, service := range []string{"s1", "s2"} {
		must(t, s.AddService(ctx, catalog.Service{ID: service, Type: service, Enabled: true}))
		must(t, s.AddEndpoint(ctx, catalog.Endpoint{ID: service + "e1", ServiceID: service, RegionID: "low", Interface: "public", URL: "u", Enabled: true}))
		must(t, s.AddEndpoint(ctx, catalog.Endpoint{ID: service + "e2", ServiceID: service, Interface: "admin", URL: "u", Enabled: true}))
	}
}

func testPolicies(t *testing.T, s store.Store) {
	ctx := t.Context()
	p := policies.Policy{ID: "p1", Type: "application/json", Blob: `{"a": "b"}`, Extra: map[string]any{"k": "v"}}
	must(t, s.AddPolicy(ctx, p))
	want(t, "get", p)(s.Policy(ctx, "p1"))
	wantError(t, "same id", s.AddPolicy(ctx, p), fault.Conflict{Kind: "policy"})
	other := policies.Policy{ID: "p2", Type: "text/plain", Extra: map[string]any{}}
	must(t, s.AddPolicy(ctx, other))
	want(t, "all", []policies.Policy{p, other})(s.Policies(ctx, nil))
	want(t, "filtered", []policies.Policy{other})(s.Policies(ctx, filter.List{{Attribute: "type", Value: "text/plain"}}))
	p.Type, p.Blob, p.Extra = "x", "", map[string]any{}
	must(t, s.PutPolicy(ctx, p))
	want(t, "after put", p)(s.Policy(ctx, "p1"))
	wantError(t, "put", s.PutPolicy(ctx, policies.Policy{ID: "none"}), notFound("policy", "none"))
	wantError(t, "remove", s.RemovePolicy(ctx, "none"), notFound("policy", "none"))

	endpoints(t, s)
	places := []policies.Place{{EndpointID: "s1e1"}, {ServiceID: "s1"}, {ServiceID: "s1", RegionID: "top"}, {ServiceID: "s1", RegionID: "low"}, {ServiceID: "s2"}}
	for _, place := range places {
		_, err := s.PolicyAt(ctx, place)
		wantError(t, "nothing there", err, notFound("policy association", place.EndpointID+place.ServiceID))
		must(t, s.SetAssociation(ctx, policies.Association{PolicyID: "p1", Place: place}))
		want(t, "policy at", "p1")(s.PolicyAt(ctx, place))
	}
	must(t, s.SetAssociation(ctx, policies.Association{PolicyID: "p2", Place: places[1]}))
	must(t, s.SetAssociation(ctx, policies.Association{PolicyID: "p2", Place: places[1]})) // again
	want(t, "instead", "p2")(s.PolicyAt(ctx, places[1]))
	want(t, "the other places", "p1")(s.PolicyAt(ctx, places[2]))
	wantError(t, "unknown policy", s.SetAssociation(ctx, policies.Association{PolicyID: "no", Place: places[0]}), notFound("policy", "no"))
	want(t, "after a failure", "p1")(s.PolicyAt(ctx, places[0]))
	wantError(t, "remove another's", s.RemoveAssociation(ctx, policies.Association{PolicyID: "p2", Place: places[0]}), notFound("policy association", "p2"))
	must(t, s.RemoveAssociation(ctx, policies.Association{PolicyID: "p2", Place: places[1]}))
	wantError(t, "remove again", s.RemoveAssociation(ctx, policies.Association{PolicyID: "p2", Place: places[1]}), notFound("policy association", "p2"))
	count := func(what string, n int) {
		t.Helper()
		got, err := s.Places(ctx, "p1")
		must(t, err)
		if len(got) != n {
			t.Errorf("%s: %v, want %d places", what, got, n)
		}
	}
	count("before", 4)
	must(t, s.RemoveEndpoint(ctx, "s1e1"))
	count("endpoint removed", 3)
	must(t, s.RemoveService(ctx, "s1"))
	count("service removed", 1)
	must(t, s.SetAssociation(ctx, policies.Association{PolicyID: "p1", Place: policies.Place{ServiceID: "s2", RegionID: "low"}}))
	must(t, s.RemoveEndpoint(ctx, "s2e1"))
	must(t, s.RemoveRegion(ctx, "top"))
	count("region removed", 1)
	must(t, s.RemovePolicy(ctx, "p1"))
	count("policy removed", 0)
}

func testEndpointFilter(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	endpoints(t, s)
	text := "words"
	g := endpointfilter.Group{ID: "g1", Name: "n", Description: &text, Filters: map[string]string{"interface": "public"}, Extra: map[string]any{"k": "v"}}
	must(t, s.AddEndpointGroup(ctx, g))
	want(t, "get", g)(s.EndpointGroup(ctx, "g1"))
	wantError(t, "same id", s.AddEndpointGroup(ctx, g), fault.Conflict{Kind: "endpoint group"})
	g.Name, g.Description, g.Filters, g.Extra = "m", nil, map[string]string{"service_id": "s1", "region_id": "low"}, map[string]any{}
	must(t, s.PutEndpointGroup(ctx, g))
	want(t, "all", []endpointfilter.Group{g})(s.EndpointGroups(ctx))
	wantError(t, "put", s.PutEndpointGroup(ctx, endpointfilter.Group{ID: "none"}), notFound("endpoint group", "none"))
	wantError(t, "remove", s.RemoveEndpointGroup(ctx, "none"), notFound("endpoint group", "none"))
	_, err := s.EndpointGroup(ctx, "none")
	wantError(t, "get", err, notFound("endpoint group", "none"))

	for range 2 { // the second time changes nothing
		for _, pair := range [][2]string{{"p1", "s1e1"}, {"p1", "s2e2"}, {"p2", "s1e1"}} {
			must(t, s.AddProjectEndpoint(ctx, pair[0], pair[1]))
		}
		must(t, s.AddProjectGroup(ctx, "p1", "g1"))
		must(t, s.AddProjectGroup(ctx, "p2", "g1"))
	}
	want(t, "endpoints", []string{"s1e1", "s2e2"})(s.EndpointsOfProject(ctx, "p1"))
	want(t, "projects", []string{"p1", "p2"})(s.ProjectsOfEndpoint(ctx, "s1e1"))
	want(t, "groups", []string{"g1"})(s.GroupsOfProject(ctx, "p1"))
	want(t, "projects of the group", []string{"p1", "p2"})(s.ProjectsOfGroup(ctx, "g1"))
	wantError(t, "unknown endpoint", s.AddProjectEndpoint(ctx, "p1", "no"), notFound("endpoint", "no"))
	wantError(t, "unknown group", s.AddProjectGroup(ctx, "p1", "no"), notFound("endpoint group", "no"))
	must(t, s.RemoveProjectEndpoint(ctx, "p1", "s2e2"))
	wantError(t, "remove again", s.RemoveProjectEndpoint(ctx, "p1", "s2e2"), notFound("project endpoint", "s2e2"))
	must(t, s.RemoveProjectGroup(ctx, "p2", "g1"))
	wantError(t, "remove again", s.RemoveProjectGroup(ctx, "p2", "g1"), notFound("project endpoint group", "g1"))

	must(t, s.RemoveProject(ctx, "p2"))
	want(t, "project removed", []string{"p1"})(s.ProjectsOfEndpoint(ctx, "s1e1"))
	must(t, s.RemoveEndpoint(ctx, "s1e1"))
	want(t, "endpoint removed", []string{})(s.EndpointsOfProject(ctx, "p1"))
	must(t, s.RemoveEndpointGroup(ctx, "g1"))
	want(t, "group removed", []string{})(s.GroupsOfProject(ctx, "p1"))
	must(t, s.AddProject(ctx, assignment.Project{ID: "p3", DomainID: "d2", Name: "p3"}))
	must(t, s.AddProjectEndpoint(ctx, "p3", "s2e1"))
	must(t, s.RemoveDomain(ctx, "d2"))
	want(t, "domain removed", []string{})(s.ProjectsOfEndpoint(ctx, "s2e1"))
}
