package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"authproxy/keystone/server"
)

func TestUnknownAttributesAreKept(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	a := c.do("POST", "/v3/users", admin, `{"user": {"name": "u", "password": "pw", "n": 12345678901234567890, "o": {"a": [1.50, null]}, "id": "mine", "links": 1}}`).want(201)
	if !strings.Contains(a.text, "12345678901234567890") || !strings.Contains(a.text, `{"a":[1.50,null]}`) {
		t.Errorf("numbers changed: %s", a.text)
	}
	if strings.Contains(a.text, "pw") || strings.Contains(a.text, "password") || a.str("user", "id") == "mine" {
		t.Errorf("answer %s", a.text)
	}
	id := a.str("user", "id")
	a = c.do("PATCH", "/v3/users/"+id, admin, obj{"user": obj{"id": id, "domain_id": "default", "n": nil, "new": "x", "password": "other"}}).want(200)
	extra := a.at("user", "extra").(obj)
	if v, there := extra["n"]; !there || v != nil || extra["new"] != "x" || extra["o"] == nil || extra["password"] != nil {
		t.Errorf("extra %v", extra)
	}
	if got := c.do("GET", "/v3/users/"+id, admin, nil).want(200); got.str("user", "new") != "x" || got.at("user", "extra") != nil {
		t.Errorf("read again: %s", got.text)
	}
}

func expecting(what, where string) string {
	return "Expecting to find " + what + " in " + where + " - the server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error."
}

func TestWrongRequests(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	userID, projectID, _ := c.newUser("alice", "pw")
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	notJSON := expecting("valid JSON", "request body")
	for _, test := range []struct {
		method, path string
		body         any
		status       int
		message      string
	}{
		{"POST", "/v3/users", deep, 400, notJSON},
		{"POST", "/v3/users", `{"user": {"name": "a\u0000b"}}`, 400, notJSON},
		{"POST", "/v3/users", "{\"user\": {\"name\": \"\xff\"}}", 400, notJSON},
		{"POST", "/v3/users", `{"user": {"name": "a"}} {}`, 400, notJSON},
		{"POST", "/v3/users", `{"user": "a"}`, 400, expecting("user", "request body")},
		{"POST", "/v3/users", ``, 400, expecting("user", "request body")},
		{"POST", "/v3/users", `{"user": {"name": 1}}`, 400, "Invalid input for field 'name'. The value is '1'."},
		{"POST", "/v3/users", `{"user": {"name": ""}}`, 400, "name field is required and cannot be empty"},
		{"POST", "/v3/users", obj{"user": obj{"name": strings.Repeat("ü", 256)}}, 400, "name should not be greater than 255 characters."},
		{"POST", "/v3/users", `{"user": {"name": "x", "enabled": null}}`, 400, "Invalid input for field 'enabled'. The value is '<nil>'."},
		{"POST", "/v3/users", `{"user": {"name": "x", "password": ""}}`, 400, "password field must not be empty"},
		{"POST", "/v3/users", obj{"user": obj{"name": "x", "password": strings.Repeat("x", 4097)}}, 400, "password field should not be greater than 4096 bytes"},
		{"POST", "/v3/users", `{"user": {"name": "x", "domain_id": "none"}}`, 404, "Could not find domain: none"},
		{"POST", "/v3/users/" + userID + "/password", `{"user": {"password": "x"}}`, 400, expecting("original_password", "user")},
		{"POST", "/v3/users/" + userID + "/password", `{"user": {"original_password": "x"}}`, 400, expecting("password", "user")},
		{"POST", "/v3/users/" + userID + "/password", `{"user": {"original_password": "no", "password": "x"}}`, 401, denied},
		{"POST", "/v3/users/none/password", `{"user": {"original_password": "no", "password": "x"}}`, 401, denied},
		{"PATCH", "/v3/users/none", `{"user": {}}`, 404, "Could not find user: none"},
		{"POST", "/v3/projects", `{"project": {"name": "x", "parent_id": "y"}}`, 404, "Could not find project: y"},
		{"POST", "/v3/projects", `{"project": {"name": "x", "parent_id": 1}}`, 400, "Invalid input for field 'parent_id'. The value is '1'."},
		{"PATCH", "/v3/projects/" + projectID, `{"project": {"parent_id": {}}}`, 403, "You are not authorized to perform the requested action: Update of `parent_id` is not allowed."},
		{"PATCH", "/v3/projects/" + projectID, `{"project": {"name": "admin"}}`, 409, "Conflict occurred attempting to store project - Duplicate Entry"},
		{"POST", "/v3/domains", `{"domain": {"name": ""}}`, 400, "Invalid input for field 'name'. The value is ''."},
		{"POST", "/v3/roles", `{"role": {}}`, 400, "'name' is a required property"},
		{"PATCH", "/v3/regions/RegionOne", `{"region": {"parent_region_id": "RegionOne"}}`, 400, "Circular region parent: RegionOne would be below itself"},
		{"DELETE", "/v3/regions/RegionOne", nil, 403, "You are not authorized to perform the requested action: delete region RegionOne while it or a region below it has endpoints"},
		{"POST", "/v3/regions", `{"region": {"parent_region_id": "none"}}`, 404, "Could not find region: none"},
		{"POST", "/v3/endpoints", `{"endpoint": {"interface": "public", "service_id": "x"}}`, 400, "'url' is a required property"},
		{"PUT", "/v3/projects/none/users/" + userID + "/roles/x", nil, 404, "Could not find project: none"},
		{"PUT", "/v3/projects/" + projectID + "/users/none/roles/x", nil, 404, "Could not find user: none"},
		{"GET", "/v3/domains/none/users/" + userID + "/roles", nil, 404, "Could not find domain: none"},
		{"PUT", "/v3/users", nil, 404, "The resource could not be found."},
		{"GET", "/v3//users", nil, 404, "The resource could not be found."},
		{"GET", "/v3/../v3/users", nil, 404, "The resource could not be found."},
		{"POST", "/v3/groups", `{}`, 400, expecting("group", "request body")},
		{"POST", "/v3/groups", `{"group": {}}`, 400, "name field is required and cannot be empty"},
		{"POST", "/v3/groups", obj{"group": obj{"name": strings.Repeat("ü", 65)}}, 400, "name should not be greater than 64 characters."},
		{"POST", "/v3/groups", `{"group": {"name": "x", "domain_id": "none"}}`, 404, "Could not find domain: none"},
		{"PATCH", "/v3/groups/none", `{"group": {}}`, 404, "Could not find group: none"},
		{"PUT", "/v3/groups/none/users/" + userID, nil, 404, "Could not find group: none"},
		{"GET", "/v3/groups/none/users", nil, 404, "Could not find group: none"},
		{"GET", "/v3/users/none/groups", nil, 404, "Could not find user: none"},
		{"PUT", "/v3/projects/" + projectID + "/groups/none/roles/x", nil, 404, "Could not find group: none"},
		{"PUT", "/v3/OS-INHERIT/projects/" + projectID + "/users/" + userID + "/roles/x/inherited_to_projects", nil, 404, "The resource could not be found."},
		{"POST", "/v3/role_assignments", `{}`, 404, "The resource could not be found."},
		{"GET", "/v3/role_assignments?user.id=x&group.id=y", nil, 400, "Specify a user or group, not both"},
		{"GET", "/v3/role_assignments?user.id=", nil, 400, "Invalid input for field 'user.id'. The value is ''."},
		{"GET", "/v3/role_assignments?scope.OS-INHERIT:inherited_to=x", nil, 400, "Invalid input for field 'scope.OS-INHERIT:inherited_to'. The value is 'x'."},
		{"GET", "/v2.0/users", nil, 404, "The resource could not be found."}, // for the admin port
	} {
		a := c.do(test.method, test.path, admin, test.body)
		if a.status != test.status || a.at("error", "message") != test.message {
			t.Errorf("%s %s %.60v:\n got %d %v\nwant %d %s", test.method, test.path, test.body, a.status, a.at("error", "message"), test.status, test.message)
		}
		if a.at("error", "title") != http.StatusText(test.status) || a.at("error", "code") != float64(test.status) {
			t.Errorf("%s: error %s", a.what, a.text)
		}
	}
	c.do("POST", "/v3/users", admin, `{}`, "Content-Type", "application/json; charset=utf-8").want(400, expecting("user", "request body"))
	c.do("POST", "/v3/users", admin, `{}`, "Content-Type", "text/plain").want(400, expecting("application/json", "Content-Type header"))
}

func TestBodyLimit(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	fits := `{"user": {"name": "u", "filler": "`
	fits += strings.Repeat("x", server.DefaultMaxBody-len(fits)-3) + `"}}`
	if len(fits) != server.DefaultMaxBody {
		t.Fatal(len(fits))
	}
	c.do("POST", "/v3/users", admin, fits).want(201)
	const text = "413 Request Entity Too Large\n\nRequest is too large. Larger than max_request_body_size (114688).\n\n   "
	if a := c.do("POST", "/v3/users", admin, fits+" ").want(413); a.text != text || a.header.Get("Content-Type") != "text/plain; charset=UTF-8" {
		t.Errorf("answer %q %v", a.text, a.header)
	}
	// Without a length, as a chunked body is sent.
	r, err := http.NewRequestWithContext(t.Context(), "POST", c.public.URL+"/v3/users", struct{ *strings.Reader }{strings.NewReader(fits + " ")})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", admin)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 413 {
		t.Errorf("chunked: %s", response.Status)
	}
}

func TestLinks(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	a := c.do("GET", "/v3/users/?name=admin&zzz=%20", admin, nil).want(200)
	if got, want := a.str("links", "self"), c.public.URL+"/v3/users?name=admin&zzz=%20"; got != want {
		t.Errorf("self %s, want %s", got, want)
	}
	first := a.at("users").([]any)[0].(obj)
	if got, want := first["links"].(obj)["self"], c.public.URL+"/v3/users/"+first["id"].(string); got != want {
		t.Errorf("self of the user %s, want %s", got, want)
	}
	if got := send(t, c.admin.URL, "GET", "/v3/users", "", nil).header.Get("WWW-Authenticate"); got != `Keystone uri="`+c.public.URL+`/"` {
		t.Errorf("WWW-Authenticate of the admin port: %s", got)
	}
	fixed := c.parts.Server.Handler(server.Listener{Endpoint: "https://keystone.example.com:5000/"})
	c.public.Config.Handler = fixed
	if got := c.do("GET", "/", "", nil).want(300).text; !strings.Contains(got, `"href":"https://keystone.example.com:5000/v3/"`) || !strings.Contains(got, `"href":"https://keystone.example.com:5000/v2.0/"`) {
		t.Errorf("versions: %s", got)
	}
	if got := c.do("GET", "/v3/users", "", nil).want(401).header.Get("WWW-Authenticate"); got != `Keystone uri="https://keystone.example.com:5000/"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}

func TestOddIDs(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	for _, id := range []string{"with/slash", "with/slash/", "with", "with/", "with space", "ünïcode", "a%2Fb", "..", "q?x=y#z"} {
		made := c.do("POST", "/v3/regions", admin, obj{"region": obj{"id": id}}).want(201)
		path := "/v3/regions/" + url.PathEscape(id)
		if got := made.str("region", "links", "self"); got != c.public.URL+path {
			t.Errorf("self %s, want %s", got, c.public.URL+path)
		}
		if got := c.do("GET", path, admin, nil).want(200).str("region", "id"); got != id {
			t.Errorf("got %q, want %q", got, id)
		}
		c.do("DELETE", path, admin, nil).want(204)
	}
}

func TestCatalogURLs(t *testing.T) {
	c := newCloud(t, "uuid", "[DEFAULT]", "public_port = 5999")
	admin := c.adminToken()
	serviceID := c.do("POST", "/v3/services", admin, obj{"service": obj{"type": "compute"}}).want(201).str("service", "id")
	for _, u := range []string{"http://a/$(tenant_id)s/%(user_id)s", "http://b:$(public_port)s/100%%", "http://c/$(admin_token)s", "http://d/%s", "http://e/$(tenant_id)"} {
		c.do("POST", "/v3/endpoints", admin, obj{"endpoint": obj{"service_id": serviceID, "interface": "public", "url": u}}).want(201)
	}
	off := c.do("POST", "/v3/endpoints", admin, obj{"endpoint": obj{"service_id": serviceID, "interface": "admin", "url": "http://off", "enabled": false}}).want(201).str("endpoint", "id")
	a := c.login("admin", adminPassword, onProject("admin"))
	urls := func(a *answer) (list []string) {
		for _, s := range a.at("token", "catalog").([]any) {
			if s.(obj)["type"] == "compute" {
				if s.(obj)["name"] != "" {
					t.Errorf("a service without a name: %v", s)
				}
				for _, e := range s.(obj)["endpoints"].([]any) {
					list = append(list, e.(obj)["url"].(string))
				}
			}
		}
		return list
	}
	got := strings.Join(urls(a), " ")
	for _, want := range []string{"http://a/" + a.str("token", "project", "id") + "/" + a.str("token", "user", "id"), "http://b:5999/100%"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if len(urls(a)) != 2 {
		t.Errorf("catalog has %s", got)
	}
	c.do("PATCH", "/v3/endpoints/"+off, admin, obj{"endpoint": obj{"enabled": true}}).want(200)
	if len(urls(c.login("admin", adminPassword, onProject("admin")))) != 3 {
		t.Error("an endpoint that was enabled is not there")
	}
	c.do("PATCH", "/v3/services/"+serviceID, admin, obj{"service": obj{"enabled": false}}).want(200)
	if got := urls(c.login("admin", adminPassword, onProject("admin"))); got != nil {
		t.Errorf("a disabled service has %v", got)
	}
}

func TestUpdates(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	userID, projectID, roleID := c.newUser("alice", "pw")
	serviceID := c.do("POST", "/v3/services", admin, obj{"service": obj{"type": "x", "name": "y"}}).want(201).str("service", "id")
	endpointID := c.do("POST", "/v3/endpoints", admin, obj{"endpoint": obj{"service_id": serviceID, "interface": "public", "url": "u", "region": "Made"}}).want(201).str("endpoint", "id")
	c.do("GET", "/v3/regions/Made", admin, nil).want(200)
	for _, test := range []struct {
		path, kind string
		change     obj
	}{
		{"users/" + userID, "user", obj{"name": "bob", "default_project_id": projectID}},
		{"projects/" + projectID, "project", obj{"name": "q", "description": "d"}},
		{"roles/" + roleID, "role", obj{"name": "r"}},
		{"domains/default", "domain", obj{"name": "D", "description": "d"}},
		{"regions/Made", "region", obj{"description": "d", "parent_region_id": "RegionOne"}},
		{"services/" + serviceID, "service", obj{"type": "z", "name": "n"}},
		{"endpoints/" + endpointID, "endpoint", obj{"interface": "admin", "url": "v", "region_id": nil, "enabled": false}},
	} {
		c.do("PATCH", "/v3/"+test.path, admin, obj{test.kind: test.change}).want(200)
		got := c.do("GET", "/v3/"+test.path, admin, nil).want(200)
		for name, want := range test.change {
			if got.at(test.kind, name) != want {
				t.Errorf("%s: %s is %v, want %v", test.path, name, got.at(test.kind, name), want)
			}
		}
		if got := c.do("HEAD", "/v3/"+test.path, admin, nil).want(200); got.text != "" {
			t.Errorf("HEAD %s has a body", test.path)
		}
	}
	c.do("PATCH", "/v3/users/"+userID, admin, obj{"user": obj{"default_project_id": nil}}).want(200)
	if got := c.do("GET", "/v3/users/"+userID, admin, nil); got.at("user", "default_project_id") != nil {
		t.Errorf("default project was not taken away: %s", got.text)
	}
	for _, path := range []string{"users/" + userID, "projects/" + projectID, "roles/" + roleID, "endpoints/" + endpointID, "services/" + serviceID} {
		c.do("DELETE", "/v3/"+path, admin, nil).want(204)
		c.do("DELETE", "/v3/"+path, admin, nil).want(404)
	}
}

func TestMetricsHaveClosedLabels(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	series := func() (n int) {
		families, err := c.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "keystone_http_requests_total" {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	before := series()
	for _, path := range []string{"/v3/users/a", "/v3/users/b", "/v3/users/c", "/x/a", "/x/b"} {
		c.do("GET", path, admin, nil).want(404)
	}
	c.do("BREW", "/v3/users/a", admin, nil).want(404)
	c.do("STEEP", "/v3/users/a", admin, nil).want(404)
	if got := series() - before; got != 3 {
		t.Errorf("%d new series, want 3: one user, unknown paths, unknown methods", got)
	}
}
