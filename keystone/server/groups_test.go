package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// idsIn are the ids of the objects in a list, in its order.
func (a *answer) idsIn(many string) (ids []string) {
	a.t.Helper()
	list, ok := a.at(many).([]any)
	if !ok {
		a.t.Fatalf("%s: no list %s in %s", a.what, many, a.text)
	}
	for _, v := range list {
		ids = append(ids, v.(obj)["id"].(string))
	}
	return ids
}

func (a *answer) wantIDs(many string, want ...string) {
	a.t.Helper()
	if got := a.idsIn(many); !slices.Equal(got, want) {
		a.t.Errorf("%s: got %q, want %q", a.what, got, want)
	}
}

// post makes an object and returns its id.
func (c *cloud) post(token, kind string, attributes obj) string {
	c.t.Helper()
	many := kind + "s"
	if kind == "policy" {
		many = "policies"
	}
	return c.do("POST", "/v3/"+many, token, obj{kind: attributes}).want(201).str(kind, "id")
}

// loginAs gets a token of a user by id, whose password is pw.
func (c *cloud) loginAs(userID string, scope obj) *answer {
	c.t.Helper()
	return c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{"scope": scope, "identity": obj{
		"methods": []string{"password"}, "password": obj{"user": obj{"id": userID, "password": "pw"}}}}})
}

func projectScope(id string) obj { return obj{"project": obj{"id": id}} }
func domainScope(id string) obj  { return obj{"domain": obj{"id": id}} }

// roleNames are the names of the roles in a token.
func (a *answer) roleNames() string {
	var names []string
	roles, _ := a.at("token", "roles").([]any)
	for _, r := range roles {
		names = append(names, r.(obj)["name"].(string))
	}
	return strings.Join(names, " ")
}

func TestGroups(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	domainID := c.post(admin, "domain", obj{"name": "d"})
	a := c.do("POST", "/v3/groups", admin, obj{"group": obj{"name": "staff", "domain_id": domainID, "color": "red"}}).want(201)
	id := a.str("group", "id")
	if want := `"links":{"self":"` + c.public.URL + "/v3/groups/" + id + `"}`; !strings.Contains(a.text, want) || a.at("group", "description") != "" ||
		a.at("group", "color") != "red" || a.at("group", "domain_id") != domainID {
		t.Errorf("made: %s", a.text)
	}
	c.do("POST", "/v3/groups", admin, obj{"group": obj{"name": "staff", "domain_id": domainID}}).want(409, "Conflict occurred attempting to store group - Duplicate Entry")
	other := c.post(admin, "group", obj{"name": "staff"}) // in the default domain
	c.do("GET", "/v3/groups?name=staff", admin, nil).want(200)
	c.do("GET", "/v3/groups?domain_id="+domainID, admin, nil).want(200).wantIDs("groups", id)
	c.do("GET", "/v3/groups?name__startswith=st&domain_id=default", admin, nil).want(200).wantIDs("groups", other)
	a = c.do("PATCH", "/v3/groups/"+id, admin, obj{"group": obj{"description": "x", "size": 1}}).want(200)
	if a.at("group", "extra", "color") != "red" || a.at("group", "size") != 1.0 || a.at("group", "description") != "x" {
		t.Errorf("changed: %s", a.text)
	}
	c.do("PATCH", "/v3/groups/"+id, admin, obj{"group": obj{"domain_id": "default"}}).want(400, "Cannot change Domain ID")
	c.do("PATCH", "/v3/groups/"+id, admin, obj{"group": obj{"id": "x"}}).want(400, "Cannot change ID")
	c.do("PATCH", "/v3/groups/"+id, admin, obj{"group": obj{"name": ""}}).want(400)
	c.do("HEAD", "/v3/groups/"+id, admin, nil).want(200)
	c.do("DELETE", "/v3/groups/"+id, admin, nil).want(204)
	c.do("GET", "/v3/groups/"+id, admin, nil).want(404, "Could not find group: "+id)
	c.do("DELETE", "/v3/groups/"+id, admin, nil).want(404)
}

func TestMembership(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	groupID := c.post(admin, "group", obj{"name": "staff"})
	var users []string
	for _, name := range []string{"ann", "bob", "cid"} {
		users = append(users, c.post(admin, "user", obj{"name": name, "password": "pw", "enabled": name != "cid"}))
	}
	at := func(userID string) string { return "/v3/groups/" + groupID + "/users/" + userID }
	for _, id := range users {
		c.do("HEAD", at(id), admin, nil).want(404)
		c.do("PUT", at(id), admin, nil).want(204)
		c.do("PUT", at(id), admin, nil).want(204) // again
		c.do("HEAD", at(id), admin, nil).want(204)
		c.do("GET", at(id), admin, nil).want(204)
		c.do("GET", "/v3/users/"+id+"/groups", admin, nil).want(200).wantIDs("groups", groupID)
	}
	members := "/v3/groups/" + groupID + "/users"
	a := c.do("GET", members, admin, nil).want(200)
	a.wantIDs("users", users...)
	if a.str("links", "self") != c.public.URL+members || strings.Contains(a.text, "password") {
		t.Errorf("members: %s", a.text)
	}
	c.do("GET", members+"?enabled=0", admin, nil).want(200).wantIDs("users", users[2])
	c.do("GET", members+"?name__contains=b", admin, nil).want(200).wantIDs("users", users[1])
	c.do("PUT", at("none"), admin, nil).want(404, "Could not find user: none")

	ann := c.loginAs(users[0], obj{"unscoped": obj{}}).want(201).token()
	c.do("GET", "/v3/users/"+users[0]+"/groups", ann, nil).want(200).wantIDs("groups", groupID)
	c.do("GET", "/v3/users/"+users[1]+"/groups", ann, nil).want(403)
	c.do("GET", members, ann, nil).want(403)
	c.do("PUT", at(users[0]), ann, nil).want(403)

	c.do("DELETE", at(users[1]), admin, nil).want(204)
	c.do("DELETE", at(users[1]), admin, nil).want(404, "Could not find user: "+users[1])
	c.do("DELETE", "/v3/users/"+users[2], admin, nil).want(204)
	c.do("GET", members, admin, nil).want(200).wantIDs("users", users[0])
	c.do("DELETE", "/v3/groups/"+groupID, admin, nil).want(204)
	c.do("GET", "/v3/users/"+users[0]+"/groups", admin, nil).want(200).wantIDs("groups")
}

// TestRolesAtLogin: what a token says comes from grants to the user, to groups, and from above; see also the store's suite.
func TestRolesAtLogin(t *testing.T) {
	for _, inherit := range []bool{true, false} {
		t.Run(fmt.Sprint("os_inherit ", inherit), func(t *testing.T) {
			c := newCloud(t, "uuid", "[os_inherit]", fmt.Sprint("enabled = ", inherit))
			admin := c.adminToken()
			domainID := c.post(admin, "domain", obj{"name": "d"})
			role := map[string]string{}
			for _, name := range []string{"r-direct", "r-group", "r-below", "r-domain", "r-group-below"} {
				role[name] = c.post(admin, "role", obj{"name": name})
			}
			userID := c.post(admin, "user", obj{"name": "u", "password": "pw", "domain_id": domainID})
			groupID := c.post(admin, "group", obj{"name": "g", "domain_id": domainID})
			c.do("PUT", "/v3/groups/"+groupID+"/users/"+userID, admin, nil).want(204)
			top := c.post(admin, "project", obj{"name": "top", "domain_id": domainID})
			mid := c.post(admin, "project", obj{"name": "mid", "domain_id": domainID, "parent_id": top})
			low := c.post(admin, "project", obj{"name": "low", "domain_id": domainID, "parent_id": mid})
			beside := c.post(admin, "project", obj{"name": "beside", "domain_id": domainID})
			inherited := 204
			if !inherit {
				inherited = 404 // there are no such routes
			}
			for _, g := range []struct {
				path string
				want int
			}{
				{"/v3/projects/" + mid + "/users/" + userID + "/roles/" + role["r-direct"], 204},
				{"/v3/projects/" + mid + "/groups/" + groupID + "/roles/" + role["r-group"], 204},
				{"/v3/domains/" + domainID + "/groups/" + groupID + "/roles/" + role["r-group"], 204},
				{"/v3/OS-INHERIT/projects/" + top + "/users/" + userID + "/roles/" + role["r-below"] + "/inherited_to_projects", inherited},
				{"/v3/OS-INHERIT/projects/" + mid + "/groups/" + groupID + "/roles/" + role["r-group-below"] + "/inherited_to_projects", inherited},
				{"/v3/OS-INHERIT/domains/" + domainID + "/groups/" + groupID + "/roles/" + role["r-domain"] + "/inherited_to_projects", inherited},
			} {
				all := g.path[:strings.Index(g.path, "/roles/")+len("/roles")]
				if strings.Contains(g.path, "OS-INHERIT") {
					all += "/inherited_to_projects"
				}
				c.do("PUT", g.path, admin, nil).want(g.want)
				c.do("HEAD", g.path, admin, nil).want(g.want)
				if a := c.do("GET", all, admin, nil); g.want == 204 && len(a.want(200).idsIn("roles")) != 1 {
					t.Errorf("roles at %s: %s", all, a.text)
				}
			}
			for _, test := range []struct {
				scope   obj
				on, off string
			}{
				{projectScope(top), "r-domain", ""},
				{projectScope(mid), "r-below r-direct r-domain r-group", "r-direct r-group"},
				{projectScope(low), "r-below r-domain r-group-below", ""},
				{projectScope(beside), "r-domain", ""},
				{domainScope(domainID), "r-group", "r-group"},
			} {
				want := test.on
				if !inherit {
					want = test.off
				}
				a := c.loginAs(userID, test.scope)
				if want == "" {
					a.want(401)
				} else if got := a.want(201).roleNames(); got != want {
					t.Errorf("%v: roles %q, want %q", test.scope, got, want)
				}
			}
			projects := []string{beside, low, mid, top}
			if !inherit {
				projects = []string{mid}
			}
			c.do("GET", "/v3/users/"+userID+"/projects", admin, nil).want(200).wantIDs("projects", projects...)
			own := c.loginAs(userID, obj{"unscoped": obj{}}).want(201).token()
			c.do("GET", "/v3/auth/projects", own, nil).want(200).wantIDs("projects", projects...)
			c.do("GET", "/v3/auth/domains", own, nil).want(200).wantIDs("domains", domainID)
		})
	}
}
