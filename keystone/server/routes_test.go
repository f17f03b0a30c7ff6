package server_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/mux"

	"authproxy/keystone/server"
	"authproxy/keystone/server/policy"
)

// withoutRule are the routes that ask no rule of the policy who may use them, and why not. One with * at its end is for all that begin
// so.
var withoutRule = map[string]string{
	"GET /v3/OS-FEDERATION/identity_providers/{identity_provider}/protocols/{protocol}/auth":  "logs in",
	"POST /v3/OS-FEDERATION/identity_providers/{identity_provider}/protocols/{protocol}/auth": "logs in",
	"GET /":                            "versions, which clients look at before they log in",
	"GET /v3":                          "the version",
	"GET /v2.0":                        "the version",
	"GET /v2.0/extensions*":            "part of the version",
	"POST /v3/auth/tokens":             "logging in",
	"POST /v2.0/tokens":                "logging in",
	"GET /v3/OS-SIMPLE-CERT/*":         "certificates are no secret, and are fetched before there are tokens",
	"GET /v2.0/certificates/*":         "certificates are no secret, and are fetched before there are tokens",
	"POST /v3/OS-OAUTH1/request_token": "consumers sign their requests",
	"POST /v3/OS-OAUTH1/access_token":  "consumers sign their requests",
	"PATCH /v2.0/OS-KSCRUD/users/*":    "the user with that token, who knows the present password",
	"GET /v2.0/tenants":                "the projects of who asks, on the public port",
}

// asked remembers which rules a request asked.
type asked struct {
	server.Policy
	// open are rules that let everybody in, so that those behind them are asked too.
	open  map[string]policy.Rule
	mu    sync.Mutex
	rules []string
}

func (a *asked) Rule(action string) policy.Rule {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.rules, action) {
		a.rules = append(a.rules, action)
	}
	if rule, ok := a.open[action]; ok {
		return rule
	}
	return a.Policy.Rule(action)
}

func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	rules := a.rules
	a.rules = nil
	return rules
}

// route is one method at one path of one listener.
type route struct{ method, path, port string }

// routesOf are those of a listener, in the order of their paths.
func routesOf(t *testing.T, s *server.Server, l server.Listener, port string) (list []route) {
	t.Helper()
	err := s.Router(l).Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		for _, m := range methods {
			list = append(list, route{m, path, port})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// furnished is a cloud that has one of everything.
type furnished struct {
	*granting
	rules *asked
	// ids are what the variables of paths stand for.
	ids map[string]string
}

func newFurnished(t *testing.T) *furnished {
	c := &furnished{granting: newGranting(t, "pki", "[DEFAULT]", "notification_format = cadf", "[os_inherit]", "enabled = true"), rules: &asked{}}
	make := func(path string, one string, o obj) string {
		return c.do("POST", path, c.aliceToken, obj{one: o}).want(201).str(one, "id")
	}
	group := make("/v3/groups", "group", obj{"name": "g", "domain_id": c.bobDomain})
	service := make("/v3/services", "service", obj{"type": "compute"})
	region := make("/v3/regions", "region", obj{"id": "r"})
	endpoint := make("/v3/endpoints", "endpoint", obj{"service_id": service, "interface": "public", "url": "http://x", "region_id": region})
	access := c.access()
	key, _ := c.ec2Key()
	c.ids = map[string]string{
		"user_id": c.alice, "group_id": group, "project_id": c.project, "domain_id": c.bobDomain, "role_id": c.member,
		"service_id": service, "region_id": region, "endpoint_id": endpoint, "policy_id": make("/v3/policies", "policy", obj{"blob": "{}", "type": "x"}),
		"credential_id": make("/v3/credentials", "credential", obj{"user_id": c.alice, "type": "x", "blob": "y"}), "access": key,
		"trust_id":    c.do("POST", trustsPath, c.aliceToken, c.wish(nil)).want(201).str("trust", "id"),
		"consumer_id": c.k.consumer, "access_token_id": access.token, "request_token_id": c.requestToken().token,
		"endpoint_group_id": make("/v3/OS-EP-FILTER/endpoint_groups", "endpoint_group", obj{"name": "e", "filters": obj{"interface": "public"}}),
		"tenant_id":         c.do("GET", "/v3/projects?name=admin", c.admin, nil).at("projects").([]any)[0].(obj)["id"].(string),
		"alias":             "OS-EC2",
		"mapping_id":        "m", "identity_provider_id": "idp", "identity_provider": "idp", "idp_id": "idp", "protocol_id": "mapped", "protocol": "mapped",
		"service_provider_id": "sp", "group": "ldap", "option": "url",
	}
	made := func(path, one string, o obj) { c.do("PUT", path, c.aliceToken, obj{one: o}).want(201) }
	made("/v3/OS-FEDERATION/mappings/m", "mapping", obj{"rules": someRules})
	made("/v3/OS-FEDERATION/identity_providers/idp", "identity_provider", obj{})
	made("/v3/OS-FEDERATION/identity_providers/idp/protocols/mapped", "protocol", obj{"mapping_id": "m"})
	made("/v3/OS-FEDERATION/service_providers/sp", "service_provider", obj{"auth_url": "https://h/", "sp_url": "https://h/"})
	made("/v3/domains/"+c.bobDomain+"/config", "config", obj{"ldap": obj{"url": "ldap://h", "suffix": "x"}})
	put := func(path string) { c.do("PUT", c.fill(path), c.aliceToken, nil).want(204) }
	for _, on := range []string{"projects/{project_id}", "domains/{domain_id}"} {
		for _, to := range []string{"users/{user_id}", "groups/{group_id}"} {
			put("/v3/" + on + "/" + to + "/roles/{role_id}")
			put("/v3/OS-INHERIT/" + on + "/" + to + "/roles/{role_id}/inherited_to_projects")
		}
	}
	put("/v3/groups/{group_id}/users/{user_id}")
	put("/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}")
	put("/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}")
	put("/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}")
	put("/v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}")
	put("/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}")
	c.aliceToken = c.loginID(c.alice, obj{"project": obj{"id": c.project}}).want(201).token() // groups end tokens
	c.rules.Policy, c.parts.Server.Policy = c.parts.Server.Policy, c.rules
	return c
}

// fill puts ids in the place of a path's variables.
func (c *furnished) fill(path string) string {
	pieces := strings.Split(path, "/")
	for i, piece := range pieces {
		if name, isVar := strings.CutPrefix(piece, "{"); isVar {
			pieces[i] = c.id(path, strings.TrimSuffix(name, "}"), i)
		}
	}
	return strings.Join(pieces, "/")
}

func (c *furnished) id(path, name string, at int) string {
	if name == "id" {
		before := strings.Split(path, "/")[at-1]
		name = strings.TrimSuffix(strings.Replace(before, "policies", "policys", 1), "s") + "_id"
	}
	switch {
	case name == "token_id":
		return c.admin
	case name == "project_id" && strings.HasPrefix(path, "/v2.0/"):
		name = "tenant_id"
	case name == "credential_id" && strings.Contains(path, "OS-EC2"):
		name = "access"
	}
	id, ok := c.ids[name]
	if !ok {
		c.t.Fatalf("%s: newFurnished makes nothing that {%s} could stand for", path, name)
	}
	return id
}

func (c *furnished) send(r route, method, token string, body any) *answer {
	c.t.Helper()
	base := c.public.URL
	if r.port == "admin" {
		base = c.cloud.admin.URL
	}
	return send(c.t, base, method, c.fill(r.path), token, body, "X-Subject-Token", c.aliceToken)
}

// TestRoutes goes through all routes of both ports. testdata/routes.txt has a line for each: the rules of the policy that it asks, and
// the audit event that it makes. What GET answers, HEAD does.
func TestRoutes(t *testing.T) {
	c := newFurnished(t)
	for _, e := range c.auditedFrom(0) {
		if action := at(e, "action").(string); at(e, "outcome") != "success" || strings.HasPrefix(action, "created.") && at(e, "target", "id") == "unknown" {
			t.Errorf("an event says nothing of what was made: %v", e)
		}
	}
	nobody := c.loginID(c.bob, nil).want(201).token()
	everybody, err := policy.Compile([]policy.File{{Name: "test", Text: []byte(`{"admin_required": "@"}`)}}, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := append(routesOf(t, c.parts.Server, server.Listener{}, "public"), routesOf(t, c.parts.Server, server.Listener{Admin: true}, "admin")...)
	lines := map[string]string{} // and the ports that have it
	for _, r := range all {
		change := r.method != http.MethodGet && r.method != http.MethodHead || strings.HasSuffix(r.path, "/protocols/{protocol}/auth") // a browser logs in by GET
		token := c.aliceToken
		var body any
		if change { // it comes to nothing, so that the next one finds all in its place
			token, body = nobody, obj{}
		}
		c.rules.open = nil
		if change && strings.HasPrefix(r.path, "/v2.0/") {
			c.rules.open = map[string]policy.Rule{"admin_required": everybody.Rule("admin_required")}
		}
		from := len(c.log.String())
		c.rules.take()
		a := c.send(r, r.method, token, body)
		rules := c.rules.take()
		if len(rules) == 0 {
			if reason := whyNoRule(r); reason == "" {
				t.Errorf("%s %s (%s port) asks no rule, and nothing says why", r.method, r.path, r.port)
			}
			rules = []string{"-"}
		}
		line := r.method + " " + r.path + " " + strings.Join(rules, ",")
		events := c.auditedFrom(from)
		switch {
		case !change && len(events) > 0:
			t.Errorf("%s %s makes an audit event", r.method, r.path)
		case change && len(events) != 1:
			t.Errorf("%s %s makes %d audit events", r.method, r.path, len(events))
		case change:
			line += c.audited1(r, a, events[0])
		}
		if r.method == http.MethodGet && !change {
			c.compareHead(r, a)
		}
		lines[line] += r.port + " "
	}

	text, err := os.ReadFile(filepath.Join("testdata", "routes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if _, there := lines[line]; !there && line != "" && !strings.HasPrefix(line, "#") {
			t.Errorf("routes.txt has a line too many: %s", line)
		}
		delete(lines, line)
	}
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		t.Errorf("routes.txt lacks the line: %s", line)
	}
}

func whyNoRule(r route) string {
	what := strings.Replace(r.method, http.MethodHead, http.MethodGet, 1) + " " + r.path
	for key, reason := range withoutRule {
		if begin, open := strings.CutSuffix(key, "*"); key == what || open && strings.HasPrefix(what, begin) {
			return reason
		}
	}
	return ""
}

// audited1 checks the audit event of a change that was refused, and says what it was about.
func (c *furnished) audited1(r route, a *answer, e obj) string {
	c.t.Helper()
	if a.status < 400 || at(e, "outcome") != "failure" || at(e, "requestId") != a.header.Get("X-Openstack-Request-Id") {
		c.t.Errorf("%s %s: %d with event %v", r.method, r.path, a.status, e)
	}
	wantID := "unknown"
	pieces, filled := strings.Split(r.path, "/"), strings.Split(c.fill(r.path), "/")
	for i, piece := range pieces {
		if strings.HasPrefix(piece, "{") && piece != "{token_id}" {
			wantID = filled[i]
		}
	}
	action, _ := at(e, "action").(string)
	kind, _ := at(e, "target", "typeURI").(string)
	if id := at(e, "target", "id"); id != wantID && action != "authenticate" {
		c.t.Errorf("%s %s: the event is about %v, want %s", r.method, r.path, id, wantID)
	}
	return " " + action + " " + kind
}

// compareHead sends HEAD after GET.
func (c *furnished) compareHead(r route, get *answer) {
	c.t.Helper()
	head := c.send(r, http.MethodHead, c.aliceToken, nil)
	if head.text != "" {
		c.t.Errorf("HEAD %s has a body", r.path)
	}
	if get.status != head.status {
		c.t.Errorf("%s: GET %d, HEAD %d", r.path, get.status, head.status)
	}
	if get.status >= 300 && !strings.HasSuffix(r.path, "/roles") && r.path != "/" { // v2.0 has no roles without a project
		c.t.Errorf("GET %s: %d %s", r.path, get.status, get.text)
	}
	for _, h := range []http.Header{get.header, head.header} {
		h.Del("X-Openstack-Request-Id")
		h.Del("Date")
	}
	if !reflect.DeepEqual(get.header, head.header) {
		c.t.Errorf("%s: GET and HEAD differ in headers:\n%v\n%v", r.path, get.header, head.header)
	}
}

// TestEveryRouteIsInHome: no two routes of v3 have the name of one relation.
func TestEveryRouteIsInHome(t *testing.T) {
	c := newCloud(t, "pki", "[os_inherit]", "enabled = true")
	places := map[string]bool{}
	for rel, resource := range c.home("/v3", "application/json-home") {
		place, ok := at(resource, "href").(string)
		if !ok {
			place, _ = at(resource, "href-template").(string)
			for name := range at(resource, "href-vars").(obj) {
				place = strings.Replace(place, "{"+name+"}", "{}", 1)
			}
		}
		if place == "" || places[place] {
			t.Errorf("%s is at %q, as another one", rel, place)
		}
		places[place] = true
	}
	for _, r := range routesOf(t, c.parts.Server, server.Listener{}, "public") {
		place, ok := strings.CutPrefix(r.path, "/v3/")
		if !ok {
			continue
		}
		pieces := strings.Split(place, "/")
		for i := range pieces {
			if strings.HasPrefix(pieces[i], "{") {
				pieces[i] = "{}"
			}
		}
		if place = "/" + strings.Join(pieces, "/"); !places[place] {
			t.Errorf("%s is not in the document", r.path)
		}
	}
}
