package server_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func TestProjectHierarchy(t *testing.T) {
	c := newCloud(t, "uuid", "[DEFAULT]", "max_project_tree_depth = 4", "admin_token = 0123456789abcdef", "[os_inherit]", "enabled = true")
	admin := c.adminToken()
	forbidden := func(what string) string {
		return "You are not authorized to perform the requested action: " + what
	}
	project := func(name string, more obj) obj {
		o := obj{"name": name}
		for k, v := range more {
			o[k] = v
		}
		return obj{"project": o}
	}
	var ids []string
	parent := any(nil)
	for i := range 4 {
		a := c.do("POST", "/v3/projects", admin, project(fmt.Sprint("p", i), obj{"parent_id": parent})).want(201)
		if a.at("project", "parent_id") != parent {
			t.Errorf("made %s, want the parent %v", a.text, parent)
		}
		ids = append(ids, a.str("project", "id"))
		parent = ids[i]
	}
	c.do("POST", "/v3/projects", admin, project("too low", obj{"parent_id": parent})).want(403,
		forbidden("create a project below project "+ids[3]+", which is at the lowest of 4 levels"))
	fork := c.post(admin, "project", obj{"name": "fork", "parent_id": ids[1]})
	domainID := c.post(admin, "domain", obj{"name": "d"})
	c.do("POST", "/v3/projects", admin, project("x", obj{"parent_id": ids[0], "domain_id": domainID})).want(403,
		forbidden("cannot create a project within a different domain than its parents."))
	c.do("POST", "/v3/projects", admin, project("p0", obj{"parent_id": ids[0]})).want(409) // names are the domain's
	c.do("GET", "/v3/projects?parent_id="+ids[1], admin, nil).want(200).wantIDs("projects", fork, ids[2])

	// parent_id stays.
	for _, other := range []any{nil, ids[0], "none", 1, []any{}} {
		c.do("PATCH", "/v3/projects/"+ids[2], admin, obj{"project": obj{"parent_id": other}}).want(403, forbidden("Update of `parent_id` is not allowed."))
	}
	c.do("PATCH", "/v3/projects/"+ids[2], admin, obj{"project": obj{"parent_id": ids[1], "description": "x"}}).want(200)
	c.do("PATCH", "/v3/projects/"+ids[0], admin, obj{"project": obj{"parent_id": nil}}).want(200)

	// A project is not disabled above one that is enabled, nor enabled below one that is disabled.
	enable := func(id string, on bool) *answer {
		return c.do("PATCH", "/v3/projects/"+id, admin, obj{"project": obj{"enabled": on}})
	}
	enable(ids[2], false).want(403, forbidden("cannot disable project "+ids[2]+" since its subtree contains enabled projects"))
	enable(ids[3], false).want(200)
	enable(ids[2], false).want(200)
	enable(ids[1], false).want(403)
	enable(fork, false).want(200)
	enable(ids[1], false).want(200)
	enable(ids[3], true).want(403, forbidden("enable project "+ids[3]+" while one above it is disabled"))
	enable(ids[3], false).want(200) // again
	c.do("POST", "/v3/projects", admin, project("x", obj{"parent_id": ids[2]})).want(403, forbidden("create a project below project "+ids[2]+", which is disabled"))
	for _, id := range ids[1:] {
		enable(id, true).want(200)
	}

	c.do("DELETE", "/v3/projects/"+ids[1], admin, nil).want(403, forbidden("cannot delete the project "+ids[1]+" since it is not a leaf in the hierarchy."))
	get := func(token, query string, member string) any {
		t.Helper()
		a := c.do("GET", "/v3/projects/"+ids[1]+query, token, nil).want(200)
		value, there := a.at("project").(obj)[member]
		if !there {
			t.Errorf("%s: no %s in %s", a.what, member, a.text)
		}
		return value
	}
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	same("subtree", get(admin, "?subtree_as_ids", "subtree"), obj{fork: nil, ids[2]: obj{ids[3]: nil}})
	same("parents", get(admin, "?parents_as_ids&subtree_as_ids", "parents"), obj{ids[0]: nil})
	same("parents of the lowest", c.do("GET", "/v3/projects/"+ids[3]+"?parents_as_ids", admin, nil).want(200).at("project", "parents"), obj{ids[2]: obj{ids[1]: obj{ids[0]: nil}}})
	if v, there := c.do("GET", "/v3/projects/"+ids[3]+"?subtree_as_ids", admin, nil).want(200).at("project").(obj)["subtree"]; !there || v != nil {
		t.Errorf("subtree of the lowest: %v, want null", v)
	}
	listed := func(token, member string) (names []string) {
		t.Helper()
		for _, v := range get(token, "?"+member+"_as_list", member).([]any) {
			p := v.(obj)["project"].(obj)
			names = append(names, p["name"].(string))
			if p["links"].(obj)["self"] != c.public.URL+"/v3/projects/"+p["id"].(string) {
				t.Errorf("links of %v", p)
			}
		}
		return names
	}
	same("subtree of nobody's", listed("0123456789abcdef", "subtree"), []string{"fork", "p2", "p3"})
	same("subtree that admin has no role on", listed(admin, "subtree"), []string(nil))
	me := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200)
	roleID := me.at("token", "roles").([]any)[0].(obj)["id"].(string)
	c.do("PUT", "/v3/OS-INHERIT/projects/"+ids[2]+"/users/"+me.str("token", "user", "id")+"/roles/"+roleID+"/inherited_to_projects", admin, nil).want(204)
	c.do("PUT", "/v3/projects/"+ids[0]+"/users/"+me.str("token", "user", "id")+"/roles/"+roleID, admin, nil).want(204)
	same("own subtree", listed(admin, "subtree"), []string{"p3"})
	same("own parents", listed(admin, "parents"), []string{"p0"})
	c.do("GET", "/v3/projects/"+ids[1]+"?subtree_as_list&subtree_as_ids", admin, nil).want(400)
	if _, there := c.do("GET", "/v3/projects/"+ids[1]+"?subtree_as_list=0", admin, nil).want(200).at("project").(obj)["subtree"]; there {
		t.Error("subtree_as_list=0 gives a subtree")
	}

	for _, id := range slices.Backward(append([]string{ids[0], ids[1], fork}, ids[2:]...)) {
		c.do("DELETE", "/v3/projects/"+id, admin, nil).want(204)
	}
}

// TestDomainTakesProjectsAlong deletes a domain with projects below one another.
func TestDomainTakesProjectsAlong(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	domainID := c.post(admin, "domain", obj{"name": "d", "enabled": false})
	top := c.post(admin, "project", obj{"name": "top", "domain_id": domainID})
	low := c.post(admin, "project", obj{"name": "low", "domain_id": domainID, "parent_id": top})
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(204)
	for _, id := range []string{top, low} {
		c.do("GET", "/v3/projects/"+id, admin, nil).want(404)
	}
}
