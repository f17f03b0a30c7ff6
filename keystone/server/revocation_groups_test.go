package server_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/server/assignment"
)

// TestGroupAndHierarchyTriggers takes away what tokens stand on by a group or from above. There are alice, of domain d, and bob, of
// domain e, both in group g; carol, of d, is in none. Below project p of d is q; project s is of the default domain.
func TestGroupAndHierarchyTriggers(t *testing.T) {
	type names map[string]string
	grant := func(n names, path string) string {
		for _, name := range slices.Sorted(maps.Keys(n)) {
			path = strings.ReplaceAll(path, "{"+name+"}", n[name])
		}
		return "/v3" + path
	}
	grants := map[string]string{
		"to g on p":             "/projects/{p}/groups/{g}/roles/{on-p}",
		"to carol on p":         "/projects/{p}/users/{carol}/roles/{on-p}",
		"to g on d":             "/domains/{d}/groups/{g}/roles/{on-d}",
		"to alice below p":      "/OS-INHERIT/projects/{p}/users/{alice}/roles/{below-p}/inherited_to_projects",
		"to g below p":          "/OS-INHERIT/projects/{p}/groups/{g}/roles/{group-below-p}/inherited_to_projects",
		"to g on projects of d": "/OS-INHERIT/domains/{d}/groups/{g}/roles/{in-d}/inherited_to_projects",
		"to alice on s":         "/projects/{s}/users/{alice}/roles/{on-s}",
		"to bob on e":           "/domains/{e}/users/{bob}/roles/{on-s}",
	}
	scopes := map[string]func(n names) obj{
		"unscoped": func(names) obj { return obj{"unscoped": obj{}} },
		"p":        func(n names) obj { return projectScope(n["p"]) },
		"q":        func(n names) obj { return projectScope(n["q"]) },
		"s":        func(n names) obj { return projectScope(n["s"]) },
		"d":        func(n names) obj { return domainScope(n["d"]) },
		"e":        func(n names) obj { return domainScope(n["e"]) },
	}
	c := newCloud(t, "pki", "[os_inherit]", "enabled = true")
	admin := c.adminToken()
	everybody := strings.Fields("alice/unscoped alice/p alice/q alice/s alice/d bob/unscoped bob/p bob/q bob/d bob/e carol/unscoped carol/p")
	for _, test := range []struct {
		name         string
		method, path string
		body         any
		// ends are the tokens that end.
		ends string
		// back puts the thing back, where that can be done.
		back string
	}{
		{"user taken out of a group", "DELETE", "/groups/{g}/users/{alice}", nil, "alice/unscoped alice/p alice/q alice/s alice/d", "/groups/{g}/users/{alice}"},
		{"group deleted", "DELETE", "/groups/{g}", nil, "alice/unscoped alice/p alice/q alice/s alice/d bob/unscoped bob/p bob/q bob/d bob/e", ""},
		{"grant to a group on a project", "DELETE", grants["to g on p"], nil, "alice/p bob/p", grants["to g on p"]},
		{"grant to a group on a domain", "DELETE", grants["to g on d"], nil, "alice/d bob/d", grants["to g on d"]},
		{"inherited grant to a user on a project", "DELETE", grants["to alice below p"], nil, "alice/q", grants["to alice below p"]},
		{"inherited grant to a group on a project", "DELETE", grants["to g below p"], nil, "alice/q bob/q", grants["to g below p"]},
		{"inherited grant to a group on a domain", "DELETE", grants["to g on projects of d"], nil, "alice/p alice/q bob/p bob/q", grants["to g on projects of d"]},
		{"grant to a user, beside the group's", "DELETE", grants["to carol on p"], nil, "carol/p", grants["to carol on p"]},
		{"role of a group deleted", "DELETE", "/roles/{on-p}", nil, "alice/p bob/p carol/p", ""},
		{"inherited role deleted", "DELETE", "/roles/{below-p}", nil, "alice/q", ""},
		{"role inherited by a domain's projects deleted", "DELETE", "/roles/{in-d}", nil, "alice/p alice/q bob/p bob/q", ""},
		{"project below disabled", "PATCH", "/projects/{q}", obj{"project": obj{"enabled": false}}, "alice/q bob/q", ""},
		{"project below deleted", "DELETE", "/projects/{q}", nil, "alice/q bob/q", ""},
		{"group's domain disabled", "PATCH", "/domains/{e}", obj{"domain": obj{"enabled": false}}, "bob/unscoped bob/p bob/q bob/d bob/e", ""},
		{"member deleted", "DELETE", "/users/{bob}", nil, "bob/unscoped bob/p bob/q bob/d bob/e", ""},
		{"group renamed", "PATCH", "/groups/{g}", obj{"group": obj{"name": "other"}}, "", ""},
		{"user put into another group", "PUT", "/groups/{h}/users/{alice}", nil, "", ""},
		{"role granted once more", "PUT", grants["to g on p"], nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := *c // for this test's errors
			c.t = t
			named := func(name string) obj { return obj{"name": name + " of " + test.name} }
			n := names{"d": c.post(admin, "domain", named("d")), "e": c.post(admin, "domain", named("e"))}
			for name, domain := range map[string]string{"alice": "d", "bob": "e", "carol": "d"} {
				n[name] = c.post(admin, "user", obj{"name": name, "password": "pw", "domain_id": n[domain]})
			}
			for _, name := range []string{"on-p", "on-d", "below-p", "group-below-p", "in-d", "on-s"} {
				n[name] = c.post(admin, "role", named(name))
			}
			n["g"], n["h"] = c.post(admin, "group", obj{"name": "g", "domain_id": n["e"]}), c.post(admin, "group", named("h"))
			n["p"] = c.post(admin, "project", obj{"name": "p", "domain_id": n["d"]})
			n["q"] = c.post(admin, "project", obj{"name": "q", "domain_id": n["d"], "parent_id": n["p"]})
			n["s"] = c.post(admin, "project", named("s"))
			for _, name := range []string{"alice", "bob"} {
				c.do("PUT", "/v3/groups/"+n["g"]+"/users/"+n[name], admin, nil).want(204)
			}
			for _, path := range grants {
				c.do("PUT", grant(n, path), admin, nil).want(204)
			}
			login := func(what string) *answer {
				t.Helper()
				who, scope, _ := strings.Cut(what, "/")
				return c.loginAs(n[who], scopes[scope](n)).want(201)
			}
			valid := func(a *answer) bool {
				t.Helper()
				got := c.do("GET", "/v3/auth/tokens?nocatalog", admin, nil, "X-Subject-Token", a.token())
				if got.status != 404 {
					got.want(200)
				}
				return got.status == 200
			}
			held := map[string]*answer{}
			for _, what := range everybody {
				held[what] = login(what)
			}
			before := len(c.events(""))
			if a := c.do(test.method, grant(n, test.path), admin, test.body); a.status > 204 {
				a.want(204)
			}
			happened := c.events("")[before:]
			ends := strings.Fields(test.ends)
			list := c.revocationList()
			for _, what := range everybody {
				ended := slices.Contains(ends, what)
				if valid(held[what]) == ended {
					t.Errorf("token %s is valid: %v", what, !ended)
				}
				if _, listed := list[auditID(held[what])]; listed != ended {
					t.Errorf("token %s is on the list: %v", what, listed)
				}
				if told := slices.ContainsFunc(happened, func(e obj) bool { return concerns(e, held[what]) }); told != ended {
					t.Errorf("an event concerns the token %s: %v: %v", what, told, happened)
				}
			}
			if len(ends) == 0 && len(happened) > 0 {
				t.Errorf("events %v, want none", happened)
			}
			if test.back == "" {
				return
			}
			c.do("PUT", grant(n, test.back), admin, nil).want(204)
			var again []*answer
			for _, what := range ends {
				again = append(again, login(what)) // most likely in the same second
			}
			list, happened = c.revocationList(), c.events("")
			for i, what := range ends {
				if _, listed := list[auditID(again[i])]; listed || !valid(again[i]) {
					t.Errorf("token %s, got afterwards: on the list %v", what, listed)
				}
				if slices.ContainsFunc(happened, func(e obj) bool { return concerns(e, again[i]) }) {
					t.Errorf("an event concerns token %s, got afterwards: %s", what, again[i].text)
				}
				if valid(held[what]) {
					t.Errorf("putting it back brought token %s back", what)
				}
			}
		})
	}
}

// TestDomainOfGroupDeleted: users of other domains lose what a group of the domain gave them.
func TestDomainOfGroupDeleted(t *testing.T) {
	c := newCloud(t, "pki")
	userID, projectID, _ := c.newUser("alice", "pw")
	admin := c.adminToken()
	domainID := c.post(admin, "domain", obj{"name": "d"})
	groupID := c.post(admin, "group", obj{"name": "g", "domain_id": domainID})
	roleID := c.post(admin, "role", obj{"name": "r"})
	c.do("PUT", "/v3/groups/"+groupID+"/users/"+userID, admin, nil).want(204)
	c.do("PUT", "/v3/projects/"+projectID+"/groups/"+groupID+"/roles/"+roleID, admin, nil).want(204)
	held := c.loginAs(userID, projectScope(projectID)).want(201)
	if got := held.roleNames(); got != "member r" {
		t.Fatalf("roles %s", got)
	}
	c.do("PATCH", "/v3/domains/"+domainID, admin, obj{"domain": obj{"enabled": false}}).want(200)
	c.wantValid(held)
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(204)
	c.wantRevoked(held)
	again := c.loginAs(userID, projectScope(projectID)).want(201)
	c.wantValid(again)
	if got := again.roleNames(); got != "member" {
		t.Errorf("roles afterwards %s", got)
	}
}

// TestNoTokenByLostGroup takes the group away that a token's role comes from, while the token is made.
func TestNoTokenByLostGroup(t *testing.T) {
	for name, lose := range map[string]func(c *cloud, groupID, userID string, g assignment.Grant) error{
		"membership": func(c *cloud, groupID, userID string, _ assignment.Grant) error {
			return c.parts.Server.Identity.RemoveMember(context.Background(), groupID, userID)
		},
		"group": func(c *cloud, groupID, _ string, _ assignment.Grant) error {
			return c.parts.Server.Identity.DeleteGroup(context.Background(), groupID)
		},
		"grant": func(c *cloud, _, _ string, g assignment.Grant) error {
			return c.parts.Server.Assignment.Ungrant(context.Background(), g)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, "uuid", "[os_inherit]", "enabled = true")
			admin := c.adminToken()
			userID, groupID := c.post(admin, "user", obj{"name": "u", "password": "pw"}), c.post(admin, "group", obj{"name": "g"})
			top := c.post(admin, "project", obj{"name": "top"})
			low := c.post(admin, "project", obj{"name": "low", "parent_id": top})
			g := assignment.Grant{GroupID: groupID, ProjectID: top, RoleID: c.post(admin, "role", obj{"name": "r"}), Inherited: true}
			c.do("PUT", "/v3/groups/"+groupID+"/users/"+userID, admin, nil).want(204)
			if err := c.parts.Server.Assignment.Grant(t.Context(), g); err != nil {
				t.Fatal(err)
			}
			c.loginAs(userID, projectScope(low)).want(201)
			c.parts.Server.Tokens.Catalog = &meddler{Manager: c.parts.Server.Catalog, meddle: func(attempt int) {
				if attempt == 1 {
					if err := lose(c, groupID, userID, g); err != nil {
						t.Error(err)
					}
				}
			}}
			c.loginAs(userID, projectScope(low)).want(401)
		})
	}
}
