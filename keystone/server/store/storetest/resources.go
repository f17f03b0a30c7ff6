package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/tokens"
)

func group(id, domainID, name string) identity.Group {
	return identity.Group{ID: id, DomainID: domainID, Name: name, Extra: map[string]any{}}
}

func groupIDs(t *testing.T, list []identity.Group, err error) string {
	t.Helper()
	must(t, err)
	return idsOf(list, func(g identity.Group) string { return g.ID })
}

func userIDs(t *testing.T, list []identity.User, err error) string {
	t.Helper()
	must(t, err)
	return idsOf(list, func(u identity.User) string { return u.ID })
}

func projectIDs(t *testing.T, list []assignment.Project, err error) string {
	t.Helper()
	must(t, err)
	return idsOf(list, func(p assignment.Project) string { return p.ID })
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func testGroups(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	g := identity.Group{ID: "g1", DomainID: "d1", Name: "staff", Description: "x", Extra: map[string]any{"k": []any{"v"}}}
	must(t, s.AddGroup(ctx, g))
	want(t, "by id", g)(s.Group(ctx, "g1"))
	wantError(t, "same id", s.AddGroup(ctx, group("g1", "d2", "other")), fault.Conflict{Kind: "group"})
	wantError(t, "same name", s.AddGroup(ctx, group("g2", "d1", "staff")), fault.Conflict{Kind: "group"})
	wantError(t, "unknown domain", s.AddGroup(ctx, group("g2", "no", "x")), notFound("domain", "no"))
	must(t, s.AddGroup(ctx, group("g2", "d2", "staff")))
	must(t, s.AddGroup(ctx, group("g3", "d2", "admins")))
	_, err := s.Group(ctx, "none")
	wantError(t, "get", err, notFound("group", "none"))
	wantError(t, "put", s.PutGroup(ctx, group("none", "d1", "x")), notFound("group", "none"))
	wantError(t, "remove", s.RemoveGroup(ctx, "none"), notFound("group", "none"))
	wantError(t, "rename to a taken name", s.PutGroup(ctx, group("g3", "d2", "staff")), fault.Conflict{Kind: "group"})
	g.Name, g.Description, g.Extra = "people", "", map[string]any{}
	must(t, s.PutGroup(ctx, g))
	want(t, "after put", g)(s.Group(ctx, "g1"))
	for _, test := range []struct {
		where filter.List
		ids   string
	}{
		{nil, "g3g1g2"},
		{filter.List{{Attribute: "domain_id", Value: "d2"}}, "g3g2"},
		{filter.List{{Attribute: "name", Value: "staff"}}, "g2"},
		{filter.List{{Attribute: "name", Op: filter.Contains, Value: "a"}, {Attribute: "domain_id", Value: "d1"}}, ""},
	} {
		list, err := s.Groups(ctx, test.where)
		wantText(t, fmt.Sprint(test.where), groupIDs(t, list, err), test.ids)
	}
	must(t, s.RemoveGroup(ctx, "g1"))
	_, err = s.Group(ctx, "g1")
	wantError(t, "after remove", err, notFound("group", "g1"))
}

func testMembers(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	must(t, s.AddUser(ctx, user("u3", "d1", "u3")))
	must(t, s.AddGroup(ctx, group("g1", "d1", "one")))
	must(t, s.AddGroup(ctx, group("g2", "d2", "two")))
	for _, m := range [][2]string{{"g1", "u2"}, {"g1", "u1"}, {"g2", "u1"}, {"g1", "u3"}} {
		must(t, s.AddMember(ctx, m[0], m[1]))
		must(t, s.AddMember(ctx, m[0], m[1])) // again
		want(t, "is member", true)(s.IsMember(ctx, m[0], m[1]))
	}
	want(t, "is no member", false)(s.IsMember(ctx, "g2", "u2"))
	wantError(t, "unknown group", s.AddMember(ctx, "no", "u1"), notFound("group", "no"))
	wantError(t, "unknown user", s.AddMember(ctx, "g1", "no"), notFound("user", "no"))

	members, err := s.Members(ctx, "g1", nil)
	wantText(t, "members", userIDs(t, members, err), "u1u2u3")
	members, err = s.Members(ctx, "g1", filter.List{{Attribute: "domain_id", Value: "d1"}, filter.AtMost(1)})
	wantText(t, "members, filtered", userIDs(t, members, err), "u1")
	groups, err := s.GroupsOfUser(ctx, "u1", nil)
	wantText(t, "groups", groupIDs(t, groups, err), "g1g2")
	groups, err = s.GroupsOfUser(ctx, "u1", filter.List{{Attribute: "name", Value: "two"}})
	wantText(t, "groups, filtered", groupIDs(t, groups, err), "g2")
	want(t, "other domains' users in groups of d1", []string{"u2"})(s.OutsideMembers(ctx, "d1"))
	want(t, "in groups of d2", []string{"u1"})(s.OutsideMembers(ctx, "d2"))

	must(t, s.RemoveMember(ctx, "g1", "u3"))
	wantError(t, "remove again", s.RemoveMember(ctx, "g1", "u3"), notFound("user", "u3"))
	must(t, s.RemoveUser(ctx, "u2"))
	members, err = s.Members(ctx, "g1", nil)
	wantText(t, "members left", userIDs(t, members, err), "u1")
	must(t, s.RemoveGroup(ctx, "g1"))
	groups, err = s.GroupsOfUser(ctx, "u1", nil)
	wantText(t, "groups left", groupIDs(t, groups, err), "g2")
}

// tree puts projects into d1: a over b over c and e, and f beside a.
func tree(t *testing.T, s store.Store) {
	t.Helper()
	for _, p := range [][2]string{{"a", ""}, {"b", "a"}, {"c", "b"}, {"e", "b"}, {"f", ""}} {
		must(t, s.AddProject(t.Context(), assignment.Project{ID: p[0], DomainID: "d1", Name: p[0], ParentID: p[1], Enabled: true, Extra: map[string]any{}}))
	}
}

func testHierarchy(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	tree(t, s)
	want(t, "child", assignment.Project{ID: "b", DomainID: "d1", Name: "b", ParentID: "a", Enabled: true, Extra: map[string]any{}})(s.Project(ctx, "b"))
	wantError(t, "unknown parent", s.AddProject(ctx, assignment.Project{ID: "x", DomainID: "d1", Name: "x", ParentID: "no"}), notFound("project", "no"))
	for id, want := range map[string][2]string{"a": {"", "bce"}, "b": {"a", "ce"}, "c": {"ba", ""}, "f": {"", ""}, "none": {"", ""}} {
		up, err := s.ProjectsAbove(ctx, id)
		wantText(t, "above "+id, projectIDs(t, up, err), want[0])
		down, err := s.ProjectsBelow(ctx, id)
		wantText(t, "below "+id, projectIDs(t, down, err), want[1])
	}
	list, err := s.Projects(ctx, filter.List{{Attribute: "parent_id", Value: "b"}})
	wantText(t, "children", projectIDs(t, list, err), "ce")
	for domainID, ids := range map[string]string{"d1": "af", "d2": ""} {
		list, err := s.Projects(ctx, filter.List{{Attribute: "parent_id", Op: filter.Absent}, {Attribute: "domain_id", Value: domainID}})
		wantText(t, "at the top of "+domainID, projectIDs(t, list, err), ids)
	}
	if _, ok := errors.AsType[fault.Forbidden](s.RemoveProject(ctx, "b")); !ok {
		t.Error("a project was removed from above others")
	}
	must(t, s.RemoveProject(ctx, "c"))
	must(t, s.RemoveDomain(ctx, "d1"))
	list, err = s.Projects(ctx, nil)
	wantText(t, "left of the domain", projectIDs(t, list, err), "")
}

func grantsOf(t *testing.T, s store.Store, q assignment.Query) string {
	t.Helper()
	list, err := s.Grants(t.Context(), q)
	must(t, err)
	var texts []string
	for _, g := range list {
		text := g.UserID + g.GroupID + "/" + g.ProjectID + g.DomainID + "/" + g.RoleID
		if g.Inherited {
			text += "+"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

func testGrants(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	must(t, s.AddGroup(ctx, group("g1", "d1", "one")))
	onProject := assignment.Grant{UserID: "u1", ProjectID: "p1", RoleID: "r1"}
	onDomain := assignment.Grant{UserID: "u1", DomainID: "d1", RoleID: "r1"}
	inherited := assignment.Grant{UserID: "u1", ProjectID: "p1", RoleID: "r1", Inherited: true}
	ofGroup := assignment.Grant{GroupID: "g1", ProjectID: "p1", RoleID: "r1"}
	for _, g := range []assignment.Grant{onProject, onDomain, inherited, ofGroup,
		{UserID: "u1", ProjectID: "p1", RoleID: "r2"}, {UserID: "u2", ProjectID: "p2", RoleID: "r1"}} {
		want(t, "has not yet", false)(s.HasGrant(ctx, g))
		must(t, s.AddGrant(ctx, g))
		must(t, s.AddGrant(ctx, g)) // again
		want(t, "has", true)(s.HasGrant(ctx, g))
	}
	want(t, "has not", false)(s.HasGrant(ctx, assignment.Grant{UserID: "u2", ProjectID: "p1", RoleID: "r1"}))
	want(t, "has not", false)(s.HasGrant(ctx, assignment.Grant{UserID: "u1", DomainID: "d1", RoleID: "r1", Inherited: true}))
	wantError(t, "unknown role", s.AddGrant(ctx, assignment.Grant{UserID: "u1", ProjectID: "p1", RoleID: "no"}), notFound("role", "no"))
	yes, no := true, false
	for _, test := range []struct {
		q     assignment.Query
		texts string
	}{
		{assignment.Query{}, "g1/p1/r1 u1/d1/r1 u1/p1/r1 u1/p1/r1+ u1/p1/r2 u2/p2/r1"},
		{assignment.Query{UserID: "u1"}, "u1/d1/r1 u1/p1/r1 u1/p1/r1+ u1/p1/r2"},
		{assignment.Query{GroupID: "g1"}, "g1/p1/r1"},
		{assignment.Query{ProjectID: "p1", Inherited: &no}, "g1/p1/r1 u1/p1/r1 u1/p1/r2"},
		{assignment.Query{ProjectID: "p1", Inherited: &yes}, "u1/p1/r1+"},
		{assignment.Query{DomainID: "d1"}, "u1/d1/r1"},
		{assignment.Query{RoleID: "r2"}, "u1/p1/r2"},
		{assignment.Query{UserID: "u1", ProjectID: "p1", RoleID: "r1"}, "u1/p1/r1 u1/p1/r1+"},
		{assignment.Query{UserID: "u1", ProjectID: "d1"}, ""},
	} {
		wantText(t, fmt.Sprintf("%+v", test.q), grantsOf(t, s, test.q), test.texts)
	}
	want(t, "roles, each once and by name", []assignment.Role{{ID: "r2", Name: "a", Extra: map[string]any{}}, {ID: "r1", Name: "b", Extra: map[string]any{}}})(
		s.RolesOf(ctx, assignment.Query{UserID: "u1"}))
	must(t, s.RemoveGrant(ctx, onProject))
	wantError(t, "remove again", s.RemoveGrant(ctx, onProject), notFound("role", "r1"))
	want(t, "the inherited one stays", true)(s.HasGrant(ctx, inherited))

	must(t, s.RemoveGroup(ctx, "g1"))
	want(t, "grants of a removed group", false)(s.HasGrant(ctx, ofGroup))
	must(t, s.RemoveRole(ctx, "r1"))
	want(t, "grants of a removed role", false)(s.HasGrant(ctx, onDomain))
	must(t, s.RemoveProject(ctx, "p1"))
	wantText(t, "grants on a removed project", grantsOf(t, s, assignment.Query{}), "")
	must(t, s.AddGrant(ctx, assignment.Grant{UserID: "u2", DomainID: "d2", RoleID: "r2"}))
	must(t, s.RemoveUser(ctx, "u2"))
	wantText(t, "grants of a removed user", grantsOf(t, s, assignment.Query{}), "")
}

func testEffectiveGrants(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	tree(t, s)
	must(t, s.AddGroup(ctx, group("g1", "d2", "one")))
	must(t, s.AddMember(ctx, "g1", "u1"))
	for _, g := range []assignment.Grant{
		{UserID: "u1", ProjectID: "a", RoleID: "r1", Inherited: true},
		{UserID: "u1", ProjectID: "p2", RoleID: "r1"},
		{UserID: "u1", DomainID: "d2", RoleID: "r1"},
		{UserID: "u2", DomainID: "d1", RoleID: "r1", Inherited: true},
		{GroupID: "g1", ProjectID: "b", RoleID: "r2"},
		{GroupID: "g1", DomainID: "d1", RoleID: "r2"},
	} {
		must(t, s.AddGrant(ctx, g))
	}
	no := false
	for _, test := range []struct {
		q     assignment.Query
		texts string
	}{
		{assignment.Query{UserID: "u1"}, "g1/d1/r2 g1/b/r2 u1/d2/r1 u1/a/r1+ u1/p2/r1"},
		{assignment.Query{UserID: "u1", ProjectID: "a"}, ""},
		{assignment.Query{UserID: "u1", ProjectID: "b"}, "g1/b/r2 u1/a/r1+"},
		{assignment.Query{UserID: "u1", ProjectID: "c"}, "u1/a/r1+"},
		{assignment.Query{UserID: "u1", ProjectID: "c", Inherited: &no}, ""},
		{assignment.Query{UserID: "u1", ProjectID: "f"}, ""},
		{assignment.Query{UserID: "u1", DomainID: "d1"}, "g1/d1/r2"},
		{assignment.Query{UserID: "u2", ProjectID: "f"}, "u2/d1/r1+"},
		{assignment.Query{UserID: "u2", ProjectID: "p2"}, ""},
		{assignment.Query{UserID: "u2", DomainID: "d1"}, ""},
		{assignment.Query{ProjectID: "b", RoleID: "r1"}, "u1/a/r1+ u2/d1/r1+"},
		{assignment.Query{GroupID: "g1", ProjectID: "b"}, "g1/b/r2"},
		{assignment.Query{ProjectID: "none"}, ""},
	} {
		test.q.Effective = true
		wantText(t, fmt.Sprintf("%+v", test.q), grantsOf(t, s, test.q), test.texts)
	}
	for _, test := range []struct {
		userID  string
		inherit bool
		where   filter.List
		ids     string
	}{
		{"u1", true, nil, "bcep2"},
		{"u1", false, nil, "bp2"},
		{"u2", true, nil, "abcefp1"},
		{"u2", false, nil, ""},
		{"u1", true, filter.List{{Attribute: "domain_id", Value: "d1"}, filter.AtMost(2)}, "bc"},
		{"none", true, nil, ""},
	} {
		list, err := s.ProjectsOfUser(ctx, test.userID, test.inherit, test.where)
		wantText(t, fmt.Sprintf("projects of %+v", test), projectIDs(t, list, err), test.ids)
	}
	domains, err := s.DomainsOfUser(ctx, "u1")
	must(t, err)
	wantText(t, "domains", idsOf(domains, func(d assignment.Domain) string { return d.ID }), "d1d2")
	domains, err = s.DomainsOfUser(ctx, "u2")
	must(t, err)
	wantText(t, "a domain whose projects inherit", idsOf(domains, func(d assignment.Domain) string { return d.ID }), "")
}

func testDomainTakesAllAlong(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	must(t, s.AddGroup(ctx, group("g1", "d1", "one")))
	must(t, s.AddGroup(ctx, group("g2", "d2", "two")))
	must(t, s.AddMember(ctx, "g1", "u2"))
	must(t, s.AddMember(ctx, "g2", "u1"))
	for _, g := range []assignment.Grant{
		{UserID: "u1", ProjectID: "p2", RoleID: "r1"},                 // a user of the domain elsewhere
		{UserID: "u2", ProjectID: "p1", RoleID: "r1"},                 // somebody else on its project
		{UserID: "u2", DomainID: "d1", RoleID: "r1", Inherited: true}, // and on itself
		{GroupID: "g1", ProjectID: "p2", RoleID: "r1"},                // a group of the domain elsewhere
		{UserID: "u2", DomainID: "d2", RoleID: "r1"},                  // has nothing to do with it
		{GroupID: "g2", DomainID: "d2", RoleID: "r1"},
	} {
		must(t, s.AddGrant(ctx, g))
	}
	must(t, s.RemoveDomain(ctx, "d1"))
	_, err := s.User(ctx, "u1")
	wantError(t, "its user", err, notFound("user", "u1"))
	_, err = s.Project(ctx, "p1")
	wantError(t, "its project", err, notFound("project", "p1"))
	_, err = s.Group(ctx, "g1")
	wantError(t, "its group", err, notFound("group", "g1"))
	groups, err := s.GroupsOfUser(ctx, "u2", nil)
	wantText(t, "groups left", groupIDs(t, groups, err), "")
	members, err := s.Members(ctx, "g2", nil)
	wantText(t, "members left", userIDs(t, members, err), "")
	wantText(t, "grants left", grantsOf(t, s, assignment.Query{}), "g2/d2/r1 u2/d2/r1")
}

// testMost: a list is cut in its order, after the filters.
func testMost(t *testing.T, s store.Store) {
	ctx := t.Context()
	fixture(t, s)
	must(t, s.Write(ctx, func(ctx context.Context) error {
		for i := range 30 {
			if err := s.AddUser(ctx, user(fmt.Sprintf("%02d,", i), fmt.Sprint("d", 1+i%2), fmt.Sprintf("n%02d", i))); err != nil {
				return err
			}
		}
		return nil
	}))
	ofD2 := filter.Filter{Attribute: "domain_id", Value: "d2"}
	for _, test := range []struct {
		where filter.List
		ids   string
	}{
		{filter.List{filter.AtMost(3)}, "00,01,02,"},
		{filter.List{filter.AtMost(3), ofD2}, "01,03,05,"},
		{filter.List{ofD2, {Attribute: "name", Op: filter.StartsWith, Value: "n2"}, filter.AtMost(100)}, "21,23,25,27,29,"},
		{filter.List{{Attribute: "name", Op: filter.EndsWithFold, Value: "9"}, filter.AtMost(2)}, "09,19,"},
	} {
		list, err := s.Users(ctx, test.where)
		wantText(t, fmt.Sprint(test.where), userIDs(t, list, err), test.ids)
	}
	domains, err := s.Domains(ctx, filter.List{filter.AtMost(1)})
	if err != nil || len(domains) != 1 {
		t.Errorf("domains: %v, %v, want one", domains, err)
	}
}

// testTokensOnGrants finds the tokens that stand on a group's grant or an inherited one.
func testTokensOnGrants(t *testing.T, s store.Store) {
	ctx := t.Context()
	people(t, s)
	tree(t, s)
	must(t, s.AddGroup(ctx, group("g1", "d1", "one")))
	must(t, s.AddMember(ctx, "g1", "u1"))
	must(t, s.AddMember(ctx, "g1", "u2"))
	add := func(id, userID, projectID, projectDomain, domainID string) {
		r := record(id)
		r.UserID, r.ProjectID, r.ProjectDomainID, r.DomainID = userID, projectID, projectDomain, domainID
		must(t, s.AddToken(ctx, r))
	}
	for _, test := range []struct {
		which  tokens.Tokens
		ids    string
		scopes []assignment.Scope
	}{
		{tokens.Tokens{MemberOf: "g1"}, "123456", []assignment.Scope{{UserID: "u1"}, {UserID: "u1", DomainID: "d1"}, {UserID: "u1", ProjectID: "a"},
			{UserID: "u1", ProjectID: "c"}, {UserID: "u2", ProjectID: "c"}}},
		{tokens.Tokens{MemberOf: "g1", ProjectID: "c"}, "256", []assignment.Scope{{UserID: "u1", ProjectID: "c"}, {UserID: "u2", ProjectID: "c"}}},
		{tokens.Tokens{MemberOf: "g1", DomainID: "d1"}, "3", []assignment.Scope{{UserID: "u1", DomainID: "d1"}}},
		{tokens.Tokens{MemberOf: "none"}, "", []assignment.Scope{}},
		{tokens.Tokens{UserID: "u1", Below: "a"}, "2", []assignment.Scope{{UserID: "u1", ProjectID: "c"}}},
		{tokens.Tokens{MemberOf: "g1", Below: "c"}, "", []assignment.Scope{}},
		{tokens.Tokens{UserID: "u1", ProjectDomainID: "d1"}, "12", []assignment.Scope{{UserID: "u1", ProjectID: "a"}, {UserID: "u1", ProjectID: "c"}}},
		{tokens.Tokens{UserID: "u3", Below: "a"}, "7", []assignment.Scope{{UserID: "u3", ProjectID: "b"}}},
	} {
		add("1", "u1", "a", "d1", "")
		add("2", "u1", "c", "d1", "")
		add("3", "u1", "", "", "d1")
		add("4", "u1", "", "", "")
		add("5", "u2", "c", "d1", "")
		add("6", "u2", "c", "d1", "")
		add("7", "u3", "b", "d1", "")
		want(t, fmt.Sprintf("scopes of %+v", test.which), test.scopes)(s.TokenScopes(ctx, test.which, epoch))
		want(t, fmt.Sprintf("revoked by %+v", test.which), len(test.ids))(s.RevokeTokens(ctx, test.which, epoch, epoch))
		wantText(t, fmt.Sprintf("ids of %+v", test.which), idsIn(t, s, all(t, s)), test.ids)
		want(t, "scopes afterwards", []assignment.Scope{})(s.TokenScopes(ctx, test.which, epoch))
		if _, err := s.RemoveTokens(ctx, epoch.Add(2*time.Hour), 100); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.TokenScopes(ctx, tokens.Tokens{}, epoch); err == nil {
		t.Error("scopes of no tokens in particular")
	}
	add("1", "u1", "a", "d1", "")
	want(t, "of what is over", []assignment.Scope{})(s.TokenScopes(ctx, tokens.Tokens{UserID: "u1"}, epoch.Add(time.Hour)))
}
