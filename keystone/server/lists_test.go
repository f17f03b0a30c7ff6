package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/identity"
)

func TestListLimits(t *testing.T) {
	c := newCloud(t, "uuid", "[DEFAULT]", "list_limit = 4", "[identity]", "list_limit = 2", "[assignment]", "list_limit = 3", "[catalog]", "list_limit = 0")
	admin := c.adminToken()
	groupID := c.post(admin, "group", obj{"name": "g"})
	var users []string
	for i := range 4 {
		users = append(users, c.post(admin, "user", obj{"name": fmt.Sprint("u", i), "enabled": i != 1}))
		c.do("PUT", "/v3/groups/"+groupID+"/users/"+users[i], admin, nil).want(204)
		c.post(admin, "role", obj{"name": fmt.Sprint("r", i)})
		c.post(admin, "project", obj{"name": fmt.Sprint("p", i)})
		c.do("POST", "/v3/regions", admin, obj{"region": obj{"id": fmt.Sprint("r", i)}}).want(201)
	}
	for path, test := range map[string]struct {
		n         int
		truncated bool
	}{
		"users":                                  {2, true},
		"users?name__startswith=u":               {2, true},
		"users?name=u1":                          {1, false},
		"users?name__icontains=U&enabled=0":      {1, false},
		"users?enabled=false":                    {1, false},
		"users?name__endswith=1":                 {1, false},
		"groups":                                 {1, false},
		"groups/" + groupID + "/users":           {2, true},
		"groups/" + groupID + "/users?enabled=0": {1, false},
		"roles":                                  {3, true},
		"roles?name__contains=r":                 {3, true},
		"roles?name__endswith=2":                 {1, false},
		"projects":                               {3, true},
		"domains":                                {1, false},
		"regions":                                {5, false}, // 0 is no limit
	} {
		a := c.do("GET", "/v3/"+path, admin, nil).want(200)
		many, _, _ := strings.Cut(path, "?")
		many = many[strings.LastIndex(many, "/")+1:]
		if got := len(a.idsIn(many)); got != test.n || (a.at("truncated") == true) != test.truncated {
			t.Errorf("%s: %d, truncated %v, want %+v", path, got, a.at("truncated"), test)
		}
		if _, there := a.body["truncated"]; there && !test.truncated {
			t.Errorf("%s: truncated is there", path)
		}
	}
	a := c.do("GET", "/v3/users?name__startswith=u", admin, nil).want(200)
	a.wantIDs("users", users[:2]...)

	// At the limit nothing is cut.
	c.do("DELETE", "/v3/users/"+users[3], admin, nil).want(204)
	c.do("DELETE", "/v3/users/"+users[2], admin, nil).want(204)
	if a := c.do("GET", "/v3/users?name__startswith=u", admin, nil).want(200); a.at("truncated") != nil || len(a.idsIn("users")) != 2 {
		t.Errorf("two of two: %s", a.text)
	}
}

// limitedBy are all collections of v3, and whose list_limit bounds them.
var limitedBy = map[string]string{
	"/auth/projects": "resource", "/auth/domains": "resource", "/domains": "resource", "/projects": "resource", "/users/{user_id}/projects": "resource",
	"/users": "identity", "/groups": "identity", "/users/{user_id}/groups": "identity", "/groups/{group_id}/users": "identity",
	"/roles": "role", "/role_assignments": "assignment",
	"/OS-FEDERATION/identity_providers": "federation", "/OS-FEDERATION/identity_providers/{idp_id}/protocols": "federation",
	"/OS-FEDERATION/mappings": "federation", "/OS-FEDERATION/service_providers": "federation",
	"/OS-FEDERATION/projects": "resource", "/OS-FEDERATION/domains": "resource",
	"/projects/{project_id}/users/{user_id}/roles": "role", "/projects/{project_id}/groups/{group_id}/roles": "role",
	"/domains/{domain_id}/users/{user_id}/roles": "role", "/domains/{domain_id}/groups/{group_id}/roles": "role",
	"/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/inherited_to_projects":   "role",
	"/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/inherited_to_projects": "role",
	"/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects":     "role",
	"/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects":   "role",

	"/regions": "catalog", "/services": "catalog", "/endpoints": "catalog",
	"/policies": "policy", "/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints": "catalog",
	"/credentials": "credential", "/users/{user_id}/credentials/OS-EC2": "credential",
	"/OS-TRUST/trusts": "trust", "/OS-TRUST/trusts/{trust_id}/roles": "role",
	"/OS-OAUTH1/consumers": "oauth1", "/users/{user_id}/OS-OAUTH1/access_tokens": "oauth1",
	"/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles": "role",

	"/OS-EP-FILTER/endpoint_groups":                               "endpoint_filter",
	"/OS-EP-FILTER/projects/{project_id}/endpoint_groups":         "endpoint_filter",
	"/OS-EP-FILTER/projects/{project_id}/endpoints":               "catalog",
	"/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints": "catalog",
	"/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects":  "resource",
	"/OS-EP-FILTER/endpoints/{endpoint_id}/projects":              "resource",
}

// fill makes two of all there is, and returns ids for the variables of paths.
func (c *granting) fill() map[string]string {
	c.t.Helper()
	admin := c.admin
	two := func(one string, o func(i int) obj) [2]string {
		c.t.Helper()
		return [2]string{c.post(admin, one, o(0)), c.post(admin, one, o(1))}
	}
	named := func(i int) obj { return obj{"name": fmt.Sprint("two-", i)} }
	domains, groups := two("domain", named), two("group", named)
	projects, roles := two("project", named), two("role", named)
	put := func(format string, ids ...any) {
		c.t.Helper()
		c.do("PUT", "/v3/"+fmt.Sprintf(format, ids...), admin, nil).want(204)
	}
	for _, groupID := range groups {
		put("groups/%s/users/%s", groupID, c.alice)
		put("groups/%s/users/%s", groupID, c.bob)
	}
	me := c.do("GET", tokensPath, admin, nil, "X-Subject-Token", admin).str("token", "user", "id")
	for i, roleID := range roles {
		put("projects/%s/users/%s/roles/%s", projects[i], me, roleID)
		put("domains/%s/users/%s/roles/%s", domains[i], me, roleID)
		put("projects/%s/users/%s/roles/%s", projects[i], c.alice, roleID)
		for _, prefix := range []string{"", "OS-INHERIT/"} {
			suffix := map[string]string{"": "", "OS-INHERIT/": "/inherited_to_projects"}[prefix]
			for _, who := range []string{"users/" + c.alice, "groups/" + groups[0]} {
				put("%sprojects/%s/%s/roles/%s%s", prefix, projects[0], who, roleID, suffix)
				put("%sdomains/%s/%s/roles/%s%s", prefix, domains[0], who, roleID, suffix)
			}
		}
	}
	for _, id := range []string{"north", "south"} {
		c.do("POST", "/v3/regions", admin, obj{"region": obj{"id": id}}).want(201)
	}
	services := two("service", func(i int) obj { return obj{"type": "compute"} })
	endpoints := two("endpoint", func(i int) obj {
		return obj{"service_id": services[0], "interface": []string{"public", "admin"}[i], "url": "http://h/"}
	})
	policies := [2]string{}
	endpointGroups := [2]string{}
	for i := range 2 {
		policies[i] = c.do("POST", "/v3/policies", admin, obj{"policy": obj{"type": "x", "blob": "x"}}).want(201).str("policy", "id")
		endpointGroups[i] = c.do("POST", filterPath+"endpoint_groups", admin, obj{"endpoint_group": obj{"name": fmt.Sprint(i), "filters": obj{"service_id": services[0]}}}).
			want(201).str("endpoint_group", "id")
		c.do("POST", "/v3/users/"+c.alice+"/credentials/OS-EC2", admin, obj{"tenant_id": c.project}).want(201)
		c.do("POST", oauth1Path+"consumers", admin, obj{"consumer": obj{}}).want(201)
	}
	put("policies/%s/OS-ENDPOINT-POLICY/services/%s", policies[0], services[0])
	for _, id := range []string{"one", "two"} {
		made := func(path, one string, o obj) { c.do("PUT", "/v3/OS-FEDERATION/"+path+id, admin, obj{one: o}).want(201) }
		made("mappings/", "mapping", obj{"rules": someRules})
		made("identity_providers/", "identity_provider", obj{})
		made("service_providers/", "service_provider", obj{"auth_url": "https://h/", "sp_url": "https://h/"})
		made("identity_providers/one/protocols/", "protocol", obj{"mapping_id": "one"})
	}
	for i := range 2 {
		put("OS-EP-FILTER/projects/%s/endpoints/%s", projects[0], endpoints[i])
		put("OS-EP-FILTER/projects/%s/endpoints/%s", projects[i], endpoints[0])
		put("OS-EP-FILTER/endpoint_groups/%s/projects/%s", endpointGroups[0], projects[i])
		put("OS-EP-FILTER/endpoint_groups/%s/projects/%s", endpointGroups[i], projects[0])
	}
	c.trust(nil)
	trustID := c.trust(obj{"roles": []obj{{"id": c.member}, {"id": c.extra}}})
	c.access()
	k := c.requestToken()
	k.token, k.tokenSecret = c.signedPost(k, oauth1Path+"access_token", nil, map[string]string{"oauth_verifier": c.authorize(k, c.member, c.extra)}).want(201).form()
	return map[string]string{"user_id": c.alice, "group_id": groups[0], "domain_id": domains[0], "project_id": projects[0], "role_id": roles[0],
		"policy_id": policies[0], "endpoint_id": endpoints[0], "endpoint_group_id": endpointGroups[0], "trust_id": trustID, "access_token_id": k.token,
		"idp_id": "one"}
}

// TestEveryListIsBounded finds all collections by the JSON home document, so that a new one cannot be forgotten.
func TestEveryListIsBounded(t *testing.T) {
	c := newGranting(t, "uuid", "[os_inherit]", "enabled = true")
	ids := c.fill()
	home := c.do("GET", "/v3", "", nil, "Accept", "application/json-home").want(200)
	count := func(path string) (n int, truncated, isList bool) {
		token := c.admin
		if strings.HasPrefix(path, "/OS-TRUST/trusts/") { // those of alice
			token = c.aliceToken
		}
		a := c.do("GET", "/v3"+path, token, nil)
		links, _ := a.at("links").(obj)
		if _, isList = links["next"]; a.status != 200 || !isList {
			return 0, false, false
		}
		for _, v := range a.body {
			if list, ok := v.([]any); ok {
				n = len(list)
			}
		}
		return n, a.at("truncated") == true, true
	}
	seen := map[string]bool{}
	for _, v := range home.at("resources").(obj) {
		template, _ := v.(obj)["href"].(string)
		if template == "" {
			template = v.(obj)["href-template"].(string)
		}
		path := template
		for name, id := range ids {
			path = strings.ReplaceAll(path, "{"+name+"}", id)
		}
		c.parts.Server.ListLimits = nil
		whole, truncated, isList := count(path)
		section, known := limitedBy[template]
		if !isList {
			if known {
				t.Errorf("%s: is no list", path)
			}
			continue
		}
		seen[template] = true
		if template == "/OS-REVOKE/events" { // what is left out there would pass
			c.parts.Server.ListLimits = map[string]int{"": 1}
			if n, truncated, _ := count(path); n != whole || truncated {
				t.Errorf("%d events with a limit, %d without", n, whole)
			}
			continue
		}
		if !known {
			t.Errorf("%s: whose list_limit bounds it?", template)
			continue
		}
		if whole < 2 || truncated {
			t.Errorf("%s: %d without a limit, truncated %v", template, whole, truncated)
		}
		for limit, want := range map[int]struct {
			n         int
			truncated bool
		}{1: {1, true}, whole: {whole, false}} {
			c.parts.Server.ListLimits = map[string]int{section: limit, "": 0}
			if n, truncated, _ := count(path); n != want.n || truncated != want.truncated {
				t.Errorf("%s: %d with a limit of %d, truncated %v", template, n, limit, truncated)
			}
		}
		c.parts.Server.ListLimits = map[string]int{section: 0, "": 1}
		if n, truncated, _ := count(path); n != whole || truncated {
			t.Errorf("%s: %d with a limit elsewhere, truncated %v", template, n, truncated)
		}
	}
	for template := range limitedBy {
		if !seen[template] {
			t.Errorf("%s is not there", template)
		}
	}

	// Filters count before the limit, in whichever way a list is made.
	c.parts.Server.ListLimits = map[string]int{"": 1}
	for path, want := range map[string]string{
		"/users?name=bob": "bob", "/groups/" + ids["group_id"] + "/users?name=bob": "bob", "/auth/projects?name=two-1": "two-1",
		"/auth/domains?name=two-1": "two-1", "/users/" + c.alice + "/groups?name=two-1": "two-1",
		"/projects/" + ids["project_id"] + "/users/" + c.alice + "/roles?name=two-1":      "two-1",
		"/OS-EP-FILTER/endpoints/" + ids["endpoint_id"] + "/projects?name__endswith=-1":   "two-1",
		"/OS-EP-FILTER/projects/" + ids["project_id"] + "/endpoints?interface=admin":      "admin",
		"/policies/" + ids["policy_id"] + "/OS-ENDPOINT-POLICY/endpoints?interface=admin": "admin",
		"/auth/projects?enabled=1&name__icontains=WO-1":                                   "two-1",
	} {
		a := c.do("GET", "/v3"+path, c.admin, nil).want(200)
		if a.at("truncated") != nil || strings.Count(a.text, `"id"`) != 1 || !strings.Contains(a.text, `"`+want+`"`) {
			t.Errorf("%s: %s", path, a.text)
		}
	}
}

// TestHeadWhereGetIs asks every route that answers GET for HEAD.
func TestHeadWhereGetIs(t *testing.T) {
	c := newCloud(t, "uuid", "[os_inherit]", "enabled = true")
	admin := c.adminToken()
	home := c.do("GET", "/v3", "", nil, "Accept", "application/json-home").want(200)
	var resources struct {
		Resources map[string]struct {
			Href         string `json:"href"`
			HrefTemplate string `json:"href-template"`
		}
	}
	if err := json.Unmarshal([]byte(home.text), &resources); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for rel, r := range resources.Resources {
		if strings.HasSuffix(rel, "/identity_provider_protocol_auth") {
			continue // a GET that logs in
		}
		path := "/v3" + r.Href
		for i, piece := range strings.Split(r.HrefTemplate, "/") {
			switch {
			case i == 0:
			case strings.HasPrefix(piece, "{"):
				path += "/none"
			default:
				path += "/" + piece
			}
		}
		get := c.do("GET", path, admin, nil, "X-Subject-Token", admin)
		head := c.do("HEAD", path, admin, nil, "X-Subject-Token", admin)
		if get.status != head.status || head.text != "" {
			t.Errorf("%s: GET %s %d, HEAD %d %q", rel, path, get.status, head.status, head.text)
		}
		if get.at("error", "message") != "The resource could not be found." {
			asked++
		}
	}
	if asked < 30 {
		t.Errorf("only %d routes answered GET", asked)
	}
}

func TestLaterAttributes(t *testing.T) {
	for _, later := range []bool{false, true} {
		lines := []string{}
		if later {
			lines = []string{"[DEFAULT]", "api_compat = later"}
		}
		c := newCloud(t, "uuid", lines...)
		admin := c.adminToken()
		for _, test := range []struct {
			kind, name string
			value      any
		}{
			{"domain", "description", ""}, {"role", "domain_id", nil}, {"role", "description", nil}, {"user", "password_expires_at", nil}, {"project", "is_domain", false},
		} {
			made := c.do("POST", "/v3/"+test.kind+"s", admin, obj{test.kind: obj{"name": "x-" + test.name}}).want(201)
			id := made.str(test.kind, "id")
			for _, a := range []*answer{made, c.do("GET", "/v3/"+test.kind+"s/"+id, admin, nil).want(200), c.do("PATCH", "/v3/"+test.kind+"s/"+id, admin, obj{test.kind: obj{}}).want(200)} {
				if v, there := a.at(test.kind).(obj)[test.name]; there != later || later && v != test.value {
					t.Errorf("api_compat later %v: %s: %s is %v (there: %v)", later, a.what, test.name, v, there)
				}
			}
		}
		if a := c.do("POST", "/v3/domains", admin, obj{"domain": obj{"name": "d", "description": "mine"}}).want(201); a.at("domain", "description") != "mine" {
			t.Errorf("description: %s", a.text)
		}
		status := 201
		if later {
			status = 400 // who knows the attribute must not believe to have got such a project
		}
		c.do("POST", "/v3/projects", admin, obj{"project": obj{"name": "y", "is_domain": true}}).want(status)
	}
}

// TestLaterParents: for later releases a project at the top is below its domain. What is allowed stays the same.
func TestLaterParents(t *testing.T) {
	for _, later := range []bool{false, true} {
		lines := []string{"[DEFAULT]", "max_project_tree_depth = 2"}
		if later {
			lines = append(lines, "api_compat = later")
		}
		c := newCloud(t, "uuid", lines...)
		admin := c.adminToken()
		domainID, otherID := c.post(admin, "domain", obj{"name": "d"}), c.post(admin, "domain", obj{"name": "e"})
		create := func(name string, o obj, status int) *answer {
			t.Helper()
			o["name"] = name
			return c.do("POST", "/v3/projects", admin, obj{"project": o}).want(status)
		}
		made := create("top", obj{"domain_id": domainID}, 201)
		top := made.str("project", "id")
		want := any(nil)
		if later {
			want = domainID
		}
		for _, a := range []*answer{made, c.do("GET", "/v3/projects/"+top, admin, nil).want(200), c.do("PATCH", "/v3/projects/"+top, admin, obj{"project": obj{"description": "x"}}).want(200),
			c.do("PATCH", "/v3/projects/"+top, admin, obj{"project": obj{"parent_id": nil}}).want(200)} {
			if got, there := a.at("project").(obj)["parent_id"]; !there || got != want {
				t.Errorf("later %v: %s: parent %v, want %v", later, a.what, got, want)
			}
		}
		low := create("low", obj{"domain_id": domainID, "parent_id": top}, 201)
		if low.str("project", "parent_id") != top {
			t.Errorf("below: %s", low.text)
		}
		create("lower", obj{"domain_id": domainID, "parent_id": low.str("project", "id")}, 403) // the domain is no level
		create("elsewhere", obj{"domain_id": domainID, "parent_id": otherID}, 404)
		parents := c.do("GET", "/v3/projects/"+low.str("project", "id")+"?parents_as_ids", admin, nil).want(200)
		if got := fmt.Sprint(parents.at("project", "parents", top)); got != map[bool]string{false: "<nil>", true: "map[" + domainID + ":<nil>]"}[later] {
			t.Errorf("later %v: parents %s", later, parents.text)
		}
		if !later {
			create("second", obj{"domain_id": domainID, "parent_id": domainID}, 404)
			c.do("PATCH", "/v3/projects/"+top, admin, obj{"project": obj{"parent_id": domainID}}).want(403)
			c.do("GET", "/v3/projects?parent_id="+domainID, admin, nil).want(200).wantIDs("projects")
			continue
		}
		second := create("second", obj{"domain_id": domainID, "parent_id": domainID}, 201).str("project", "id")
		inDefault := create("third", obj{"parent_id": "default"}, 201).str("project", "id")
		c.do("PATCH", "/v3/projects/"+top, admin, obj{"project": obj{"parent_id": domainID}}).want(200)
		c.do("PATCH", "/v3/projects/"+top, admin, obj{"project": obj{"parent_id": otherID}}).want(403)
		c.do("GET", "/v3/projects?parent_id="+domainID, admin, nil).want(200).wantIDs("projects", second, top)
		c.do("GET", "/v3/projects?domain_id="+otherID+"&parent_id="+domainID, admin, nil).want(200).wantIDs("projects")
		c.do("GET", "/v3/projects?name=third&parent_id=default", admin, nil).want(200).wantIDs("projects", inDefault)
		me := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200)
		for _, path := range []string{"/v3/users/" + me.str("token", "user", "id") + "/projects", "/v3/auth/projects"} {
			c.do("GET", path+"?parent_id=default", admin, nil).want(200).wantIDs("projects", me.str("token", "project", "id"))
			c.do("GET", path+"?parent_id="+otherID, admin, nil).want(200).wantIDs("projects")
		}
	}
}

// TestLaterRules: with api_compat = later users may read themselves, unless the operator's file says otherwise.
func TestLaterRules(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		own   int
	}{
		"kilo":        {nil, 403},
		"later":       {[]string{"[DEFAULT]", "api_compat = later"}, 200},
		"file, later": {[]string{"[DEFAULT]", "api_compat = later", "policy_file = policy/policy.json"}, 403},
		"dir, later":  {[]string{"[DEFAULT]", "api_compat = later", "policy_dirs = " + t.TempDir()}, 200},
	} {
		for i, line := range test.lines {
			if file, ok := strings.CutPrefix(line, "policy_file = "); ok {
				path, err := filepath.Abs(file)
				if err != nil {
					t.Fatal(err)
				}
				test.lines[i] = "policy_file = " + path
			}
		}
		c := newCloud(t, "uuid", test.lines...)
		userID, _, _ := c.newUser("alice", "pw")
		otherID, _, _ := c.newUser("bob", "pw")
		domainID := c.post(c.adminToken(), "domain", obj{"name": "d"})
		alice := c.login("alice", "pw", onProject("alice-project")).token()
		for _, path := range []string{"/v3/users/" + userID, "/v3/domains/default", "/v3/auth/tokens"} {
			for _, method := range []string{"GET", "HEAD"} {
				if a := c.do(method, path, alice, nil, "X-Subject-Token", alice); a.status != test.own {
					t.Errorf("%s: %s: %d, want %d", name, a.what, a.status, test.own)
				}
			}
		}
		for _, path := range []string{"/v3/users/" + otherID, "/v3/domains/" + domainID, "/v3/users", "/v3/domains"} {
			c.do("GET", path, alice, nil).want(403)
		}
		c.do("GET", "/v3/auth/tokens", alice, nil, "X-Subject-Token", c.adminToken()).want(403)
	}
}

// BenchmarkListUsers lists users, of whom there are 100,000, with a limit of 100 and filters. Memory is that of the answer. Time
// is too, where the order of the list leads to enough users that fit; else it is that of looking at each name once.
func BenchmarkListUsers(b *testing.B) {
	const users, domains = 100_000, 10
	w := newBench(b, 0)
	w.server.ListLimits = map[string]int{"identity": 100}
	if err := w.db.Write(b.Context(), func(ctx context.Context) error {
		for i := range domains {
			id := fmt.Sprint("domain-", i)
			if err := w.db.AddDomain(ctx, assignment.Domain{ID: id, Name: id, Enabled: true}); err != nil {
				return err
			}
		}
		for i := range users {
			if err := w.db.AddUser(ctx, identity.User{ID: fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15), DomainID: fmt.Sprint("domain-", i%domains),
				Name: fmt.Sprintf("user-%06d", i), Enabled: i%50 != 0, Extra: map[string]any{"email": fmt.Sprintf("user-%06d@example.com", i)}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct {
		query string
		fit   int
	}{
		{"", 100}, {"?domain_id=domain-3", 100}, {"?enabled=0", 100}, {"?name=user-077777", 1}, {"?domain_id=domain-3&name__contains=99", 100},
		{"?name__startswith=user-0999", 100}, {"?name__iendswith=R-099999", 1}, {"?name__contains=nobody", 0},
	} {
		b.Run("users"+test.query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), "GET", "/v3/users"+test.query, nil)
				r.Header.Set("X-Auth-Token", w.server.AdminToken)
				rec := httptest.NewRecorder()
				w.handler.ServeHTTP(rec, r)
				if n := strings.Count(rec.Body.String(), `"domain_id"`); rec.Code != 200 || n != test.fit {
					b.Fatalf("%d, %d users", rec.Code, n)
				}
			}
		})
	}
}
