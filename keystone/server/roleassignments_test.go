package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestRoleAssignments asks for who has which role where, in all ways.
func TestRoleAssignments(t *testing.T) {
	c := newCloud(t, "uuid", "[os_inherit]", "enabled = true")
	admin := c.adminToken()
	d := c.post(admin, "domain", obj{"name": "d"})
	id := map[string]string{"d": d}
	for _, name := range []string{"ann", "bob"} {
		id[name] = c.post(admin, "user", obj{"name": name, "password": "pw", "domain_id": d})
	}
	id["g"] = c.post(admin, "group", obj{"name": "g", "domain_id": d})
	id["p"] = c.post(admin, "project", obj{"name": "p", "domain_id": d})
	id["q"] = c.post(admin, "project", obj{"name": "q", "domain_id": d, "parent_id": id["p"]})
	for _, name := range []string{"r1", "r2"} {
		id[name] = c.post(admin, "role", obj{"name": name})
	}
	for _, name := range []string{"ann", "bob"} {
		c.do("PUT", "/v3/groups/"+id["g"]+"/users/"+id[name], admin, nil).want(204)
	}
	// The spelling of a grant: who, where and the role, and + where it is inherited.
	name := map[string]string{}
	for k, v := range id {
		name[v] = k
	}
	path := map[string]string{
		"ann p r1":  "/v3/projects/" + id["p"] + "/users/" + id["ann"] + "/roles/" + id["r1"],
		"ann p r1+": "/v3/OS-INHERIT/projects/" + id["p"] + "/users/" + id["ann"] + "/roles/" + id["r1"] + "/inherited_to_projects",
		"g d r2":    "/v3/domains/" + id["d"] + "/groups/" + id["g"] + "/roles/" + id["r2"],
		"g d r2+":   "/v3/OS-INHERIT/domains/" + id["d"] + "/groups/" + id["g"] + "/roles/" + id["r2"] + "/inherited_to_projects",
	}
	for _, p := range path {
		c.do("PUT", p, admin, nil).want(204)
	}
	list := func(query string) []obj {
		t.Helper()
		a := c.do("GET", "/v3/role_assignments"+query, admin, nil).want(200)
		if got := a.str("links", "self"); got != c.public.URL+"/v3/role_assignments"+query {
			t.Errorf("self %s", got)
		}
		var all []obj
		for _, v := range a.at("role_assignments").([]any) {
			all = append(all, v.(obj))
		}
		return all
	}
	// spell is who has which role where, and by which grant.
	spell := func(a obj) string {
		t.Helper()
		at := func(o any, name string) string {
			m, _ := o.(obj)
			inner, _ := m[name].(obj)
			id, _ := inner["id"].(string)
			return id
		}
		scope := a["scope"].(obj)
		plus := ""
		if v, there := scope["OS-INHERIT:inherited_to"]; there {
			plus = fmt.Sprint("+", strings.TrimPrefix(v.(string), "projects"))
		}
		links := a["links"].(obj)
		by := ""
		for spelled, p := range path {
			if links["assignment"] == c.public.URL+p {
				by = spelled
			}
		}
		text := name[at(a, "user")+at(a, "group")] + " " + name[at(scope, "project")+at(scope, "domain")] + " " + name[at(a, "role")] + plus
		if by != text {
			text += " by " + by
		}
		if m, there := links["membership"]; there {
			text += " as member"
			if m != c.public.URL+"/v3/groups/"+id["g"]+"/users/"+at(a, "user") {
				t.Errorf("link to the membership: %v", m)
			}
		}
		return text
	}
	all := func(assignments []obj) string {
		var texts []string
		for _, a := range assignments {
			texts = append(texts, spell(a))
		}
		slices.Sort(texts)
		return strings.Join(texts, "; ")
	}
	const annOnQ, annInG, bobInG = "ann q r1+ by ann p r1+", "ann d r2 by g d r2 as member", "bob d r2 by g d r2 as member"
	inherited := func(who, where string) string { return who + " " + where + " r2+ by g d r2+ as member" }
	effective := func(texts ...string) string {
		slices.Sort(texts)
		return strings.Join(texts, "; ")
	}
	for _, test := range []struct{ query, want string }{
		{"?user.id=ann", "ann p r1; ann p r1+"},
		{"?group.id=g", "g d r2; g d r2+"},
		{"?role.id=r2", "g d r2; g d r2+"},
		{"?scope.project.id=p", "ann p r1; ann p r1+"},
		{"?scope.project.id=q", ""},
		{"?scope.domain.id=d", "g d r2; g d r2+"},
		{"?scope.OS-INHERIT:inherited_to=projects&scope.domain.id=d", "g d r2+"},
		{"?scope.OS-INHERIT:inherited_to=projects&user.id=ann", "ann p r1+"},
		{"?user.id=bob", ""},
		{"?user.id=none", ""},
		{"?user.id=ann&effective", effective("ann p r1", annOnQ, annInG, inherited("ann", "p"), inherited("ann", "q"))},
		{"?user.id=bob&effective=1", effective(bobInG, inherited("bob", "p"), inherited("bob", "q"))},
		{"?user.id=bob&effective=0", ""},
		{"?effective&scope.project.id=q", effective(annOnQ, inherited("ann", "q"), inherited("bob", "q"))},
		{"?effective&scope.project.id=q&user.id=bob", inherited("bob", "q")},
		{"?effective&scope.domain.id=d", effective(annInG, bobInG)},
		{"?effective&role.id=r1", effective("ann p r1", annOnQ)},
		{"?effective&role.id=r1&scope.OS-INHERIT:inherited_to=projects", annOnQ},
	} {
		query := test.query
		for _, n := range []string{"ann", "bob", "g", "p", "q", "d", "r1", "r2"} {
			query = strings.ReplaceAll(query+"&", "id="+n+"&", "id="+id[n]+"&")
			query = strings.TrimSuffix(query, "&")
		}
		if got := all(list(query)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.query, got, test.want)
		}
	}
	// Without a filter there are the others' too.
	if got := all(list("?scope.OS-INHERIT:inherited_to=projects")); got != "ann p r1+; g d r2+" {
		t.Errorf("inherited: %s", got)
	}
	if n, with := len(list("")), len(list("?effective")); n < 5 || with < n+4 {
		t.Errorf("%d grants, %d effective", n, with)
	}
	c.do("GET", "/v3/role_assignments?effective&group.id="+id["g"], admin, nil).want(400)
	c.do("GET", "/v3/role_assignments?effective&scope.OS-INHERIT:inherited_to=projects&scope.domain.id="+d, admin, nil).want(400)
	if a := c.do("HEAD", "/v3/role_assignments", admin, nil).want(200); a.text != "" {
		t.Error("HEAD has a body")
	}

	// Names beside the ids.
	named := list("?include_names&effective&scope.project.id=" + id["q"] + "&user.id=" + id["bob"])
	domain := obj{"id": d, "name": "d"}
	want := obj{"user": obj{"id": id["bob"], "name": "bob", "domain": domain}, "role": obj{"id": id["r2"], "name": "r2"},
		"scope": obj{"project": obj{"id": id["q"], "name": "q", "domain": domain}, "OS-INHERIT:inherited_to": "projects"}}
	if len(named) != 1 {
		t.Fatalf("named: %v", named)
	}
	delete(named[0], "links")
	if got := fmt.Sprint(named[0]); got != fmt.Sprint(want) {
		t.Errorf("named:\n got %s\nwant %s", got, fmt.Sprint(want))
	}
	named = list("?include_names=true&group.id=" + id["g"] + "&scope.OS-INHERIT:inherited_to=projects")
	if len(named) != 1 || named[0]["group"].(obj)["name"] != "g" || named[0]["scope"].(obj)["domain"].(obj)["name"] != "d" {
		t.Errorf("named group: %v", named)
	}

	// Where inheritance is off, what was granted before is seen, and counts for nothing.
	c.parts.Server.Assignment.Inherit = false
	if got := all(list("?user.id=" + id["ann"] + "&effective")); got != effective("ann p r1", annInG) {
		t.Errorf("without inheritance: %s", got)
	}
	if got := all(list("?effective&scope.OS-INHERIT:inherited_to=projects")); got != "" {
		t.Errorf("without inheritance, inherited: %s", got)
	}
	if got := all(list("?user.id=" + id["ann"])); got != "ann p r1; ann p r1+" {
		t.Errorf("without inheritance, granted: %s", got)
	}
}
