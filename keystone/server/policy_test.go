package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/server/policy"
)

const cloudSample = "../../examples/policy.v3cloudsample.json"

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryActionHasARule looks the actions up in the source, so that a new route cannot be forgotten in the two files.
func TestEveryActionHasARule(t *testing.T) {
	var actions []string
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text := readFile(t, path)
		for _, m := range regexp.MustCompile(`"identity:(\w+[a-z])"`).FindAllStringSubmatch(text, -1) {
			actions = append(actions, m[1])
		}
		for _, m := range regexp.MustCompile(`can\("(\w+_token)"\)`).FindAllStringSubmatch(text, -1) {
			actions = append(actions, m[1])
		}
		for _, m := range regexp.MustCompile(`one: "(\w+)", many: "(\w+)"`).FindAllStringSubmatch(text, -1) {
			actions = append(actions, "list_"+m[2], "create_"+m[1], "get_"+m[1], "update_"+m[1], "delete_"+m[1])
		}
	}
	if len(actions) < 45 {
		t.Fatalf("only %d actions found: %s", len(actions), actions)
	}
	slices.Sort(actions)
	actions = slices.Compact(actions)
	for _, path := range []string{"policy/policy.json", cloudSample} {
		text := readFile(t, path)
		for line := range strings.Lines(readFile(t, "testdata/routes.txt")) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] != "#" && fields[2] != "-" {
				for rule := range strings.SplitSeq(fields[2], ",") {
					if !strings.Contains(text, `"`+rule+`":`) {
						t.Errorf("%s has no rule %s", path, rule)
					}
				}
			}
		}
		for _, action := range actions {
			if !strings.Contains(text, `"identity:`+action+`":`) {
				t.Errorf("%s has no rule for identity:%s", path, action)
			}
		}
		for _, m := range regexp.MustCompile(`"identity:(\w+)":`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(actions, m[1]) {
				t.Errorf("%s has a rule for identity:%s, which no route asks for", path, m[1])
			}
		}
	}
	rules, err := policy.Compile([]policy.File{{Name: cloudSample, Text: []byte(readFile(t, cloudSample))}}, policy.Options{})
	if err != nil || len(rules.Warnings()) > 0 {
		t.Errorf("the sample: %v %q", err, rules.Warnings())
	}
}

// ruled is a cloud whose policy file tests rewrite.
type ruled struct {
	*cloud
	admin string // a token of the administrator, under the rules of before
}

func newRuled(t *testing.T) *ruled {
	path := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(path, []byte(readFile(t, "policy/policy.json")), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCloud(t, "uuid", "[DEFAULT]", "policy_file = "+path, "[os_inherit]", "enabled = true")
	return &ruled{c, c.adminToken()}
}

func (r *ruled) rules(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.parts.Policy.File, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := r.parts.Policy.Load(); err != nil {
		r.t.Fatal(err)
	}
}

// loginIn gets a token of a user of some domain; scope may be nil.
func (c *cloud) loginIn(domainID, name string, scope any) string {
	c.t.Helper()
	body := byPassword(name, "pw", scope)
	body["auth"].(obj)["identity"].(obj)["password"].(obj)["user"].(obj)["domain"] = obj{"id": domainID}
	return c.do("POST", "/v3/auth/tokens", "", body).want(201).token()
}

// TestDomainAdministrators is the multi-domain scenario of the configuration guide: the cloud begins with the standard rules,
// its administrator makes an admin domain, puts the id into the sample file, and from then on each domain has its own.
func TestDomainAdministrators(t *testing.T) {
	c := newRuled(t)
	roleID := func(name string) string {
		return c.do("GET", "/v3/roles?name="+name, c.admin, nil).want(200).at("roles").([]any)[0].(obj)["id"].(string)
	}
	adminRole, memberRole, serviceRole := roleID("admin"), roleID("member"), roleID("service")
	type place struct{ domain, user, other, group, project, admin string }
	build := func(name string) place {
		p := place{domain: c.do("POST", "/v3/domains", c.admin, obj{"domain": obj{"name": name}}).want(201).str("domain", "id")}
		p.user = c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "user", "password": "pw", "domain_id": p.domain}}).want(201).str("user", "id")
		p.project = c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "project", "domain_id": p.domain}}).want(201).str("project", "id")
		p.other = c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "other", "domain_id": p.domain}}).want(201).str("user", "id")
		p.group = c.do("POST", "/v3/groups", c.admin, obj{"group": obj{"name": "group", "domain_id": p.domain}}).want(201).str("group", "id")
		boss := c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "boss", "password": "pw", "domain_id": p.domain}}).want(201).str("user", "id")
		c.do("PUT", "/v3/domains/"+p.domain+"/users/"+boss+"/roles/"+adminRole, c.admin, nil).want(204)
		c.do("PUT", "/v3/projects/"+p.project+"/users/"+p.user+"/roles/"+memberRole, c.admin, nil).want(204)
		c.do("PUT", "/v3/projects/"+p.project+"/users/"+boss+"/roles/"+adminRole, c.admin, nil).want(204)
		p.admin = c.loginIn(p.domain, "boss", obj{"domain": obj{"id": p.domain}})
		return p
	}
	cloud, one, two := build("admin_domain"), build("one"), build("two")
	c.do("GET", "/v3/users", one.admin, nil).want(200) // the standard rules do not tell domains apart
	c.rules(strings.ReplaceAll(readFile(t, cloudSample), "admin_domain_id", cloud.domain))

	memberToken := c.loginIn(one.domain, "user", obj{"project": obj{"id": one.project}})
	onProject := c.loginIn(one.domain, "boss", obj{"project": obj{"id": one.project}})
	type request struct {
		method, path string
		body         any
	}
	newUser := func(domain any) obj { return obj{"user": obj{"name": "n", "domain_id": domain, "password": "pw"}} }
	newProject := func(domain any) obj { return obj{"project": obj{"name": "n", "domain_id": domain}} }
	grant := func(p place, role string) string {
		return "/v3/projects/" + p.project + "/users/" + one.user + "/roles/" + role
	}
	onDomain := func(p place, role string) string {
		return "/v3/domains/" + p.domain + "/users/" + one.user + "/roles/" + role
	}
	inherited := func(p place, role string) string {
		return "/v3/OS-INHERIT/domains/" + p.domain + "/groups/" + one.group + "/roles/" + role + "/inherited_to_projects"
	}
	newGroup := func(domain any) obj { return obj{"group": obj{"name": "n", "domain_id": domain}} }
	member := func(groupID, userID string) string { return "/v3/groups/" + groupID + "/users/" + userID }
	for who, test := range map[string]struct {
		token        string
		may, mustNot []request
	}{
		"domain administrator": {one.admin, []request{
			{"GET", "/v3/users/" + one.user, nil}, {"HEAD", "/v3/users/" + one.user, nil}, {"PATCH", "/v3/users/" + one.user, obj{"user": obj{"description": "x"}}},
			{"GET", "/v3/users?domain_id=" + one.domain, nil}, {"GET", "/v3/users/" + one.user + "/projects", nil},
			{"POST", "/v3/users", newUser(one.domain)},
			{"GET", "/v3/projects/" + one.project, nil}, {"PATCH", "/v3/projects/" + one.project, obj{"project": obj{"description": "x"}}},
			{"GET", "/v3/projects?domain_id=" + one.domain + "&name=project", nil}, {"POST", "/v3/projects", newProject(one.domain)},
			{"GET", "/v3/domains/" + one.domain, nil}, {"GET", "/v3/roles", nil}, {"GET", "/v3/services", nil},
			{"PUT", grant(one, memberRole), nil}, {"HEAD", grant(one, memberRole), nil}, {"PUT", onDomain(one, memberRole), nil}, {"DELETE", onDomain(one, memberRole), nil},
			{"GET", "/v3/domains/" + one.domain + "/users/" + one.user + "/roles", nil},
			{"GET", "/v3/groups/" + one.group, nil}, {"GET", "/v3/groups?domain_id=" + one.domain, nil}, {"POST", "/v3/groups", newGroup(one.domain)},
			{"PUT", member(one.group, one.other), nil}, {"HEAD", member(one.group, one.other), nil}, {"GET", "/v3/groups/" + one.group + "/users", nil},
			{"GET", "/v3/users/" + one.user + "/groups", nil}, {"DELETE", member(one.group, one.other), nil},
			{"PUT", "/v3/projects/" + one.project + "/groups/" + one.group + "/roles/" + memberRole, nil}, {"PUT", inherited(one, memberRole), nil}, {"DELETE", inherited(one, memberRole), nil},
			{"GET", "/v3/role_assignments?scope.domain.id=" + one.domain, nil},
		}, []request{
			{"GET", "/v3/groups/" + two.group, nil}, {"GET", "/v3/groups", nil}, {"GET", "/v3/groups?domain_id=" + two.domain, nil}, {"POST", "/v3/groups", newGroup(two.domain)},
			{"PUT", member(one.group, two.user), nil}, {"PUT", member(two.group, one.user), nil}, {"DELETE", member(two.group, two.user), nil}, {"DELETE", "/v3/groups/" + two.group, nil},
			{"GET", "/v3/groups/" + two.group + "/users?domain_id=" + one.domain, nil}, {"GET", "/v3/users/" + two.user + "/groups?domain_id=" + one.domain, nil},
			{"PUT", "/v3/projects/" + two.project + "/groups/" + one.group + "/roles/" + memberRole, nil}, {"PUT", inherited(two, memberRole), nil}, {"PUT", inherited(one, serviceRole), nil},
			{"GET", "/v3/role_assignments", nil}, {"GET", "/v3/role_assignments?scope.domain.id=" + two.domain, nil}, {"GET", "/v3/role_assignments?scope.domain.id=", nil},
			{"GET", "/v3/role_assignments?scope.domain.id=" + two.domain + "&scope.domain.id=" + one.domain, nil}, {"GET", "/v3/role_assignments?user.id=" + one.user, nil},
			{"GET", "/v3/users/" + two.user, nil}, {"PATCH", "/v3/users/" + two.user, obj{"user": obj{"description": "x"}}}, {"DELETE", "/v3/users/" + two.user, nil},
			{"GET", "/v3/users", nil}, {"GET", "/v3/users?domain_id=" + two.domain, nil}, {"GET", "/v3/users?domain_id=" + two.domain + "&domain_id=" + one.domain, nil},
			{"GET", "/v3/users?domain_id__contains=" + one.domain, nil}, {"GET", "/v3/users?Domain_id=" + one.domain, nil}, {"GET", "/v3/users?domain_id=", nil},
			{"POST", "/v3/users", newUser(two.domain)}, {"POST", "/v3/users", newUser(nil)}, {"POST", "/v3/users", newUser([]string{one.domain})},
			{"POST", "/v3/users", obj{"user": obj{"name": "n"}}}, {"POST", "/v3/users", nil}, {"POST", "/v3/users", "not JSON"},
			{"GET", "/v3/users/" + two.user + "/projects", nil}, {"GET", "/v3/users/" + two.user + "/projects?domain_id=" + one.domain, nil},
			{"GET", "/v3/projects/" + two.project, nil}, {"DELETE", "/v3/projects/" + two.project, nil}, {"POST", "/v3/projects", newProject(two.domain)}, {"GET", "/v3/projects", nil},
			{"GET", "/v3/domains/" + two.domain, nil}, {"GET", "/v3/domains", nil}, {"PATCH", "/v3/domains/" + one.domain, obj{"domain": obj{"name": "x"}}},
			{"POST", "/v3/roles", obj{"role": obj{"name": "x"}}}, {"POST", "/v3/services", obj{"service": obj{"type": "x"}}}, {"DELETE", "/v3/regions/RegionOne", nil},
			{"PUT", grant(two, memberRole), nil}, {"PUT", onDomain(two, memberRole), nil}, {"PUT", onDomain(cloud, adminRole), nil}, {"PUT", grant(one, serviceRole), nil},
			{"GET", "/v3/domains/" + two.domain + "/users/" + one.user + "/roles", nil}, {"GET", "/v3/auth/tokens/OS-PKI/revoked", nil},
			// What is not there is answered as what is another domain's.
			{"GET", "/v3/users/none", nil}, {"GET", "/v3/projects/none", nil}, {"GET", "/v3/domains/none", nil}, {"PUT", "/v3/projects/none/users/" + one.user + "/roles/" + memberRole, nil},
		}},
		"administrator of a project": {onProject, []request{{"GET", "/v3/projects/" + one.project, nil}, {"GET", "/v3/roles", nil}}, []request{
			{"GET", "/v3/users/" + one.user, nil}, {"GET", "/v3/users?domain_id=" + one.domain, nil}, {"PUT", grant(one, memberRole), nil}, {"GET", "/v3/domains/" + one.domain, nil},
		}},
		"member": {memberToken, []request{
			{"GET", "/v3/users/" + one.user, nil}, {"GET", "/v3/users/" + one.user + "/projects", nil}, {"GET", "/v3/projects/" + one.project, nil}, {"GET", "/v3/regions", nil},
		}, []request{
			{"GET", "/v3/users?domain_id=" + one.domain, nil}, {"PATCH", "/v3/users/" + one.user, obj{"user": obj{"description": "x"}}}, {"GET", "/v3/projects/" + two.project, nil},
			{"GET", "/v3/roles", nil}, {"POST", "/v3/users", newUser(one.domain)}, {"POST", "/v3/users/" + two.user + "/password", obj{"user": obj{"original_password": "pw", "password": "x"}}},
		}},
		"cloud administrator": {cloud.admin, []request{
			{"GET", "/v3/users", nil}, {"GET", "/v3/users/" + two.user, nil}, {"GET", "/v3/domains", nil}, {"PUT", grant(two, serviceRole), nil}, {"DELETE", grant(two, serviceRole), nil},
			{"PATCH", "/v3/domains/" + two.domain, obj{"domain": obj{"description": "x"}}},
		}, nil},
	} {
		for _, r := range test.may {
			if a := c.do(r.method, r.path, test.token, r.body); a.status >= 300 {
				t.Errorf("%s: %s: %d %s", who, a.what, a.status, a.text)
			}
		}
		for _, r := range test.mustNot {
			if a := c.do(r.method, r.path, test.token, r.body); a.status != 403 {
				t.Errorf("%s: %s %v: %d, want 403 %s", who, a.what, r.body, a.status, a.text)
			}
		}
	}
	for _, path := range []string{"/v3/users/none", "/v3/projects/none", "/v3/domains/none", "/v3/projects/none/users/" + one.user + "/roles"} {
		c.do("GET", path, cloud.admin, nil).want(404)
	}
	c.do("PUT", grant(one, "none"), one.admin, nil).want(404, "Could not find role: none")
	if got := c.do("GET", "/v3/users?domain_id="+one.domain, one.admin, nil).want(200); strings.Contains(got.text, two.user) || !strings.Contains(got.text, one.user) {
		t.Errorf("users of one: %s", got.text)
	}

	// Trusts: their users, and the administrator of the trustor's domain.
	trustOf := func(p place) string {
		token := c.loginIn(p.domain, "user", obj{"project": obj{"id": p.project}})
		return c.do("POST", trustsPath, token, obj{"trust": obj{"trustor_user_id": p.user, "trustee_user_id": cloud.user, "impersonation": false,
			"project_id": p.project, "roles": []obj{{"id": memberRole}}}}).want(201).str("trust", "id")
	}
	ofOne, ofTwo := trustOf(one), trustOf(two)
	for token, want := range map[string][2]bool{one.admin: {true, false}, two.admin: {false, true}, cloud.admin: {true, true}, onProject: {}} {
		a := c.do("GET", trustsPath, token, nil).want(200)
		if got := [2]bool{strings.Contains(a.text, ofOne), strings.Contains(a.text, ofTwo)}; got != want {
			t.Errorf("of the trusts one and two %v are listed, want %v", got, want)
		}
	}
	c.do("GET", trustsPath, memberToken, nil).want(403)
	for _, token := range []string{one.admin, onProject, memberToken} {
		c.do("DELETE", trustsPath+"/"+ofTwo, token, nil).want(403)
	}
	c.do("DELETE", trustsPath+"/"+ofOne, onProject, nil).want(403)
	c.do("DELETE", trustsPath+"/"+ofOne, one.admin, nil).want(204)
	c.do("DELETE", trustsPath+"/"+ofTwo, cloud.admin, nil).want(204)

	// Services exchange signed requests of EC2 for tokens.
	service := c.do("POST", "/v3/users", cloud.admin, obj{"user": obj{"name": "service", "password": "pw", "domain_id": cloud.domain}}).want(201).str("user", "id")
	c.do("PUT", "/v3/projects/"+cloud.project+"/users/"+service+"/roles/"+serviceRole, cloud.admin, nil).want(204)
	serviceToken := c.loginIn(cloud.domain, "service", obj{"project": obj{"id": cloud.project}})
	key := c.do("POST", "/v3/users/"+one.user+"/credentials/OS-EC2", memberToken, obj{"tenant_id": one.project}).want(201)
	signed := signEC2(key.str("credential", "access"), key.str("credential", "secret"), c.clock.Now())
	c.do("POST", "/v3/ec2tokens", one.admin, signed).want(403)
	c.do("POST", "/v3/ec2tokens", serviceToken, signed).want(200)

	// Tokens: the subject and the administrator of the subject's domain.
	subject := func(method, token, of string) int {
		return c.do(method, "/v3/auth/tokens", token, nil, "X-Subject-Token", of).status
	}
	for _, method := range []string{"GET", "HEAD"} {
		for token, want := range map[string]int{memberToken: 200, one.admin: 200, cloud.admin: 200, two.admin: 403, onProject: 403} {
			if got := subject(method, token, memberToken); got != want {
				t.Errorf("%s of a member's token: %d, want %d", method, got, want)
			}
		}
	}
	if got := subject("GET", two.admin, "gone"); got != 404 {
		t.Errorf("a token that is not valid: %d", got)
	}
	if got := subject("DELETE", two.admin, memberToken); got != 403 {
		t.Errorf("another domain's administrator revokes: %d", got)
	}
	if got := subject("DELETE", one.admin, memberToken); got != 204 || subject("GET", cloud.admin, memberToken) != 404 {
		t.Errorf("the domain's administrator revokes: %d", got)
	}
	c.do("DELETE", "/v3/users/"+one.user, one.admin, nil).want(204)
}

// TestTargets has the rules ask a server, which is told the whole target, and compares that.
func TestTargets(t *testing.T) {
	c := newRuled(t)
	domainID := c.do("POST", "/v3/domains", c.admin, obj{"domain": obj{"name": "D"}}).want(201).str("domain", "id")
	projectID := c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "P", "domain_id": domainID, "description": "of P", "other": "x"}}).want(201).str("project", "id")
	userID := c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "U", "domain_id": domainID, "default_project_id": projectID, "description": "of U",
		"other": "x", "password": "pw", "o": obj{"k": 1}}}).want(201).str("user", "id")
	groupID := c.do("POST", "/v3/groups", c.admin, obj{"group": obj{"name": "G", "domain_id": domainID, "description": "of G", "other": "x"}}).want(201).str("group", "id")
	roleID := c.do("POST", "/v3/roles", c.admin, obj{"role": obj{"name": "R", "other": "x"}}).want(201).str("role", "id")
	c.do("PUT", fmt.Sprintf("/v3/projects/%s/users/%s/roles/%s", projectID, userID, roleID), c.admin, nil).want(204)
	userToken := c.loginIn(domainID, "U", nil)

	var action, target string
	judge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action, target = r.FormValue("rule"), r.FormValue("target")
		if text := r.Form.Encode(); strings.Contains(text, userToken) || strings.Contains(text, c.admin) || strings.Contains(text, "secret") {
			t.Errorf("the server is told a token or a password: %s", text)
		}
		fmt.Fprint(w, "False") // so that nothing happens to the objects
	}))
	t.Cleanup(judge.Close)
	c.parts.Policy.Options.Remote = policy.Remote{InsecureHTTP: true}
	c.rules(`{"default": "http://127.0.0.1:1/"}`)
	c.do("GET", "/v3/users", c.admin, nil).want(403, "You are not authorized to perform the requested action: identity:list_users")
	if !regexp.MustCompile(`level=WARN msg="request failed".*127\.0\.0\.1:1`).MatchString(c.log.String()) {
		t.Error("the log does not say that the server cannot be asked")
	}
	c.rules(`{"default": "` + judge.URL + `/"}`)

	body := obj{"user": obj{"name": "n", "domain_id": domainID, "enabled": false, "nothing": nil, "n": 12, "o": obj{"k": "v", "password": "secret"}, "list": []string{"a"},
		"password": "secret", "original_password": "secret", "a.b": "c"}, "other": obj{"k": "v"}, "top": "x"}
	type attributes = map[string]string
	user := attributes{"target.user.id": userID, "target.user.name": "U", "target.user.domain_id": domainID, "target.user.enabled": "True",
		"target.user.default_project_id": projectID, "target.user.description": "of U"}
	project := attributes{"target.project.id": projectID, "target.project.name": "P", "target.project.domain_id": domainID, "target.project.enabled": "True",
		"target.project.description": "of P"}
	group := attributes{"target.group.id": groupID, "target.group.name": "G", "target.group.domain_id": domainID, "target.group.description": "of G"}
	domain := attributes{"target.domain.id": domainID, "target.domain.name": "D", "target.domain.enabled": "True"}
	role := attributes{"target.role.id": roleID, "target.role.name": "R"}
	token := attributes{"target.token.user_id": userID, "target.token.user.domain.id": domainID}
	inBody := attributes{"user.name": "n", "user.domain_id": domainID, "user.enabled": "False", "user.nothing": "None", "user.n": "12", "user.o.k": "v"}
	ids := func(pairs ...string) attributes {
		a := attributes{}
		for i := 0; i < len(pairs); i += 2 {
			a[pairs[i]] = pairs[i+1]
		}
		return a
	}
	grants := fmt.Sprintf("/v3/projects/%s/users/%s/roles", projectID, userID)
	for _, test := range []struct {
		action, method, path string
		body                 any
		want                 []attributes
	}{
		{"get_user", "GET", "/v3/users/" + userID, nil, []attributes{ids("user_id", userID), user}},
		{"update_user", "PATCH", "/v3/users/" + userID, body, []attributes{ids("user_id", userID), user, inBody}},
		{"delete_user", "DELETE", "/v3/users/" + userID, body, []attributes{ids("user_id", userID), user}},
		{"create_user", "POST", "/v3/users", body, []attributes{inBody}},
		{"list_users", "GET", "/v3/users?domain_id=x&domain_id=y&name=&enabled=0&other=z&name__contains=q&user_id=u", nil, []attributes{ids("domain_id", "x", "name", "", "enabled", "0")}},
		{"change_password", "POST", "/v3/users/" + userID + "/password", body, []attributes{ids("user_id", userID), user, inBody}},
		{"list_user_projects", "GET", "/v3/users/" + userID + "/projects?name=P&domain_id=x&user_id=y", nil, []attributes{ids("user_id", userID, "name", "P", "domain_id", "x"), user}},
		{"get_group", "GET", "/v3/groups/" + groupID, nil, []attributes{ids("group_id", groupID), group}},
		{"create_group", "POST", "/v3/groups", obj{"group": obj{"domain_id": "d"}}, []attributes{ids("group.domain_id", "d")}},
		{"list_groups", "GET", "/v3/groups?domain_id=x&other=z", nil, []attributes{ids("domain_id", "x")}},
		{"list_groups_for_user", "GET", "/v3/users/" + userID + "/groups?name=P", nil, []attributes{ids("user_id", userID, "name", "P"), user}},
		{"list_users_in_group", "GET", "/v3/groups/" + groupID + "/users?name=P&group_id=x", nil, []attributes{ids("group_id", groupID, "name", "P"), group}},
		{"add_user_to_group", "PUT", "/v3/groups/" + groupID + "/users/" + userID, nil, []attributes{ids("group_id", groupID, "user_id", userID), group, user}},
		{"check_user_in_group", "HEAD", "/v3/groups/" + groupID + "/users/" + userID, nil, []attributes{ids("group_id", groupID, "user_id", userID), group, user}},
		{"remove_user_from_group", "DELETE", "/v3/groups/" + groupID + "/users/" + userID, nil, []attributes{ids("group_id", groupID, "user_id", userID), group, user}},
		{"create_grant", "PUT", "/v3/projects/" + projectID + "/groups/" + groupID + "/roles/" + roleID, nil,
			[]attributes{ids("group_id", groupID, "project_id", projectID, "role_id", roleID), group, project, role}},
		{"create_grant", "PUT", "/v3/OS-INHERIT/domains/" + domainID + "/groups/" + groupID + "/roles/" + roleID + "/inherited_to_projects", nil,
			[]attributes{ids("group_id", groupID, "domain_id", domainID, "role_id", roleID), group, domain, role}},
		{"list_role_assignments", "GET", "/v3/role_assignments?scope.domain.id=d&user.id=u&effective&other=x", nil, []attributes{ids("scope.domain.id", "d", "user.id", "u")}},
		{"get_project", "GET", "/v3/projects/" + projectID, nil, []attributes{ids("project_id", projectID), project}},
		{"list_projects", "GET", "/v3/projects?enabled", nil, []attributes{ids("enabled", "")}},
		{"get_domain", "GET", "/v3/domains/" + domainID, nil, []attributes{ids("domain_id", domainID), domain}},
		{"get_role", "GET", "/v3/roles/" + roleID, nil, []attributes{ids("role_id", roleID), role}},
		{"get_region", "GET", "/v3/regions/RegionOne", nil, []attributes{ids("region_id", "RegionOne", "target.region.id", "RegionOne",
			"target.region.parent_region_id", "None", "target.region.description", "")}},
		{"create_region", "PUT", "/v3/regions/a%2Fb", obj{"region": obj{"description": "d"}}, []attributes{ids("region_id", "a/b", "region.description", "d")}},
		{"list_grants", "GET", grants, nil, []attributes{ids("user_id", userID, "project_id", projectID), user, project}},
		{"check_grant", "HEAD", grants + "/" + roleID, nil, []attributes{ids("user_id", userID, "project_id", projectID, "role_id", roleID), user, project, role}},
		{"create_grant", "PUT", "/v3/domains/" + domainID + "/users/" + userID + "/roles/" + roleID, nil,
			[]attributes{ids("user_id", userID, "domain_id", domainID, "role_id", roleID), user, domain, role}},
		{"revoke_grant", "DELETE", grants + "/" + roleID, nil, []attributes{ids("user_id", userID, "project_id", projectID, "role_id", roleID), user, project, role}},
		{"revoke_grant", "DELETE", strings.Replace(grants, userID, "gone", 1) + "/" + roleID, nil, []attributes{ids("user_id", "gone", "project_id", projectID, "role_id", roleID), project, role}},
		{"validate_token", "GET", "/v3/auth/tokens", nil, []attributes{token}},
		{"check_token", "HEAD", "/v3/auth/tokens", nil, []attributes{token}},
		{"revoke_token", "DELETE", "/v3/auth/tokens", nil, []attributes{token}},
		{"get_auth_projects", "GET", "/v3/auth/projects?name=x", nil, []attributes{}},
	} {
		action, target = "", ""
		a := c.do(test.method, test.path, c.admin, test.body, "X-Subject-Token", userToken)
		got, want := attributes{}, attributes{}
		for _, part := range test.want {
			maps.Copy(want, part)
		}
		if err := json.Unmarshal([]byte(target), &got); err != nil || a.status != 403 || action != "identity:"+test.action || !maps.Equal(got, want) {
			t.Errorf("%s: %d %s %v\n got %v\nwant %v", a.what, a.status, action, err, got, want)
		}
	}
}

// TestTargetsCannotBeForged: a request that carries members and parameters by the names of a target's attributes changes nothing
// about the decision (CVE-2026-42999).
func TestTargetsCannotBeForged(t *testing.T) {
	c := newRuled(t)
	userID, projectID, roleID := c.newUser("alice", "pw")
	otherID := c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "bob", "password": "pw"}}).want(201).str("user", "id")
	alice := c.login("alice", "pw", onProject("alice-project")).token()
	c.rules(`{
		"default": "user_id:%(target.user.id)s or user_id:%(target.user.name)s or user_id:%(target.user.description)s or user_id:%(target.project.name)s",
		"identity:change_password": "user_id:%(user_id)s",
		"identity:list_user_projects": "user_id:%(user_id)s",
		"identity:list_users": "user_id:%(user_id)s or user_id:%(target.user.id)s or user_id:%(name)s",
		"identity:revoke_token": "user_id:%(target.token.user_id)s"
	}`)
	c.do("GET", "/v3/users/"+userID, alice, nil).want(200) // the rule does open
	c.do("GET", "/v3/users?name="+userID, alice, nil).want(200)
	query := "?user_id=" + userID + "&target.user.id=" + userID + "&target.user.name=" + userID + "&target[user][id]=" + userID + "&id=" + userID
	forged := obj{"id": userID, "name": userID, "description": userID, "user_id": userID, "target": obj{"user": obj{"id": userID, "name": userID}}, "target.user.id": userID}
	body := obj{"user": forged, "project": forged, "target": obj{"user": forged, "project": forged, "token": obj{"user_id": userID}}, "user_id": userID,
		"target.user.id": userID, "target.user.name": userID, "target.token.user_id": userID, "id": userID}
	for _, r := range []struct{ method, path string }{
		{"GET", "/v3/users/" + otherID}, {"PATCH", "/v3/users/" + otherID}, {"DELETE", "/v3/users/" + otherID}, {"POST", "/v3/users"}, {"POST", "/v3/projects"},
		{"POST", "/v3/users/" + otherID + "/password"}, {"GET", "/v3/users/" + otherID + "/projects"}, {"GET", "/v3/users"}, {"PATCH", "/v3/projects/" + projectID},
		{"PUT", "/v3/projects/" + projectID + "/users/" + otherID + "/roles/" + roleID}, {"DELETE", "/v3/auth/tokens"},
	} {
		a := c.do(r.method, r.path+query, alice, body, "X-Subject-Token", c.admin, "X-User-Id", userID)
		if a.status != 403 {
			t.Errorf("%s: %d, want 403 %s", a.what, a.status, a.text)
		}
	}
	// Attributes that clients add are no attributes of the target, and one that a client could set twice counts as it is stored.
	c.do("GET", "/v3/users/"+otherID, alice, nil).want(403)
	c.rules(`{"default": "@"}`)
	c.do("PATCH", "/v3/users/"+otherID, c.admin, obj{"user": obj{"boss": userID, "target.user.name": userID}}).want(200)
	c.rules(`{"default": "user_id:%(target.user.boss)s or user_id:%(target.user.target.user.name)s"}`)
	c.do("GET", "/v3/users/"+otherID, alice, nil).want(403)
}

// TestMissingObjects: who is not let at an object does not learn whether there is one; the rest get 404.
func TestMissingObjects(t *testing.T) {
	c := newRuled(t)
	userID, _, roleID := c.newUser("alice", "pw")
	alice := c.login("alice", "pw", onProject("alice-project")).token()
	c.rules(`{"default": "role:admin or user_id:%(target.user.id)s"}`)
	for _, path := range []string{"/v3/users/none", "/v3/roles/none", "/v3/regions/none", "/v3/projects/none/users/" + c.do("GET", "/v3/users?name=admin", c.admin, nil).at("users").([]any)[0].(obj)["id"].(string) + "/roles/none"} {
		c.do("GET", path, alice, nil).want(403)
		c.do("GET", path, c.admin, nil).want(404)
	}
	c.do("GET", "/v3/users/"+userID, alice, nil).want(200)
	c.do("GET", "/v3/projects/none/users/"+userID+"/roles", alice, nil).want(404, "Could not find project: none")
	// What was missing when the rule was asked is not acted on, were it there a moment later.
	c.do("DELETE", "/v3/projects/none/users/"+userID+"/roles/"+roleID, alice, nil).want(404, "Could not find project: none")
}
