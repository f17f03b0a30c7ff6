package server_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/server"
)

// reach is a cloud with the rules of the v3 cloud sample and three domains, of which one is that of the cloud's administrators.
type reach struct {
	*ruled
	cloudAdmin string
	// domains have their ids by name, ids those of everything by the variables of paths that they could stand for.
	domains map[string]string
	ids     map[string][]string
	tokens  []string // of the administrator of domain one
	boss    string   // the administrator's id
}

func newReach(t *testing.T) *reach {
	c := &reach{ruled: newRuled(t), domains: map[string]string{}, ids: map[string][]string{}}
	made := func(one string, o obj) string {
		id := c.do("POST", "/v3/"+one+"s", c.admin, obj{one: o}).want(201).str(one, "id")
		c.ids[one+"_id"] = append(c.ids[one+"_id"], id)
		return id
	}
	for _, role := range c.do("GET", "/v3/roles", c.admin, nil).want(200).at("roles").([]any) {
		c.ids["role_id"] = append(c.ids["role_id"], role.(obj)["id"].(string))
	}
	role := func(name string) string {
		return c.do("GET", "/v3/roles?name="+name, c.admin, nil).at("roles").([]any)[0].(obj)["id"].(string)
	}
	admin, member := role("admin"), role("member")
	scopes := map[string][]obj{}
	for _, name := range []string{"cloud", "one", "two"} {
		domain := made("domain", obj{"name": name})
		c.domains[name] = domain
		project, group := made("project", obj{"name": "p", "domain_id": domain}), made("group", obj{"name": "g", "domain_id": domain})
		boss, user := made("user", obj{"name": "boss", "password": "pw", "domain_id": domain}), made("user", obj{"name": "user", "password": "pw", "domain_id": domain})
		if name == "one" {
			c.boss = boss
		}
		for _, path := range []string{"/v3/domains/" + domain + "/users/" + boss + "/roles/" + admin, "/v3/projects/" + project + "/users/" + boss + "/roles/" + admin,
			"/v3/projects/" + project + "/users/" + user + "/roles/" + member, "/v3/groups/" + group + "/users/" + user} {
			c.do("PUT", path, c.admin, nil).want(204)
		}
		scopes[name] = []obj{{"domain": obj{"id": domain}}, {"project": obj{"id": project}}, {"unscoped": obj{}}}
		token := c.loginIn(domain, "user", obj{"project": obj{"id": project}})
		trust := c.do("POST", trustsPath, token, obj{"trust": obj{"trustor_user_id": user, "trustee_user_id": boss, "impersonation": true,
			"project_id": project, "roles": []obj{{"id": member}}}}).want(201).str("trust", "id")
		c.ids["trust_id"] = append(c.ids["trust_id"], trust)
		key := c.do("POST", "/v3/users/"+user+"/credentials/OS-EC2", token, obj{"tenant_id": project}).want(201).str("credential", "access")
		c.ids["credential_id"] = append(c.ids["credential_id"], key)
	}
	c.ids["domain_id"] = append(c.ids["domain_id"], "default")
	c.rules(strings.ReplaceAll(readFile(t, cloudSample), "admin_domain_id", c.domains["cloud"]))
	c.cloudAdmin = c.loginIn(c.domains["cloud"], "boss", scopes["cloud"][0])
	for _, scope := range scopes["one"] {
		c.tokens = append(c.tokens, c.loginIn(c.domains["one"], "boss", scope))
	}
	return c
}

// elsewhere is all that is not of domain one, as the cloud's administrator sees it.
func (c *reach) elsewhere() map[string]string {
	c.t.Helper()
	seen := map[string]string{}
	look := func(path string) {
		seen[path] = c.do("GET", path, c.cloudAdmin, nil).want(200).text
	}
	for _, many := range []string{"domains", "roles", "services", "endpoints", "regions", "policies", "OS-OAUTH1/consumers", "OS-EP-FILTER/endpoint_groups"} {
		look("/v3/" + many)
	}
	for name, domain := range c.domains {
		if name == "one" {
			continue
		}
		for _, many := range []string{"users", "groups", "projects"} {
			look("/v3/" + many + "?domain_id=" + domain)
		}
		look("/v3/role_assignments?scope.domain.id=" + domain)
	}
	for i := range 3 {
		if i == 1 { // domain one
			continue
		}
		look("/v3/role_assignments?scope.project.id=" + c.ids["project_id"][i])
		look("/v3/groups/" + c.ids["group_id"][i] + "/users")
		look("/v3/credentials?user_id=" + c.ids["user_id"][2*i+1])
		trust := c.ids["trust_id"][i]
		seen["trust "+trust] = fmt.Sprint("there: ", strings.Contains(c.do("GET", trustsPath, c.cloudAdmin, nil).want(200).text, trust))
		body := byUserID(c.ids["user_id"][2*i+1], obj{"unscoped": obj{}}) // the password is what it was
		c.do("POST", "/v3/auth/tokens", "", body).want(201)
	}
	return seen
}

// TestReachOfDomainAdministrators has the administrator of a domain send anything to every route, about anything there is. Nothing
// outside of the domain changes, and nothing makes the server fail.
func TestReachOfDomainAdministrators(t *testing.T) {
	c := newReach(t)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.ids)) {
		all = append(all, c.ids[name]...)
	}
	variable := regexp.MustCompile(`([^/]*)/\{(\w+)\}`)
	fill := func(path string) string {
		return variable.ReplaceAllStringFunc(path, func(part string) string {
			m := variable.FindStringSubmatch(part)
			name := m[2]
			if name == "id" {
				name = strings.TrimSuffix(m[1], "s") + "_id"
			}
			from, ok := c.ids[name]
			if !ok || random.IntN(8) == 0 {
				from = all
			}
			return m[1] + "/" + pick(from)
		})
	}
	values := map[string]func() any{
		"domain_id": func() any {
			return []any{pick(c.ids["domain_id"]), nil, []string{c.domains["one"]}, obj{"id": c.domains["one"]}, c.domains["one"]}[random.IntN(5)]
		},
		"name":     func() any { return pick([]string{"x", "y", "admin"}) },
		"password": func() any { return "guessed" }, "enabled": func() any { return random.IntN(2) == 0 }, "description": func() any { return "x" },
		"parent_id": func() any { return pick(c.ids["project_id"]) }, "project_id": func() any { return pick(c.ids["project_id"]) },
		"default_project_id": func() any { return pick(c.ids["project_id"]) }, "user_id": func() any { return pick(c.ids["user_id"]) },
		"trustor_user_id": func() any { return pick(c.ids["user_id"]) }, "trustee_user_id": func() any { return pick(c.ids["user_id"]) },
		"impersonation": func() any { return true }, "roles": func() any { return []obj{{"id": pick(c.ids["role_id"])}} },
		"type": func() any { return pick([]string{"ec2", "cert"}) }, "blob": func() any { return `{"access": "a", "secret": "s"}` },
		"user.domain_id": func() any { return c.domains["one"] }, "id": func() any { return pick(all) },
	}
	names := slices.Sorted(maps.Keys(values))
	kinds := []string{"user", "group", "project", "domain", "role", "trust", "credential", "tenant", "service", "endpoint", "region", "policy", "consumer", "endpoint_group"}
	body := func(path string) obj {
		inner := obj{}
		for _, name := range names {
			if random.IntN(2) == 0 {
				inner[name] = values[name]()
			}
		}
		o := obj{"tenant_id": pick(c.ids["project_id"]), "roles": []obj{{"id": pick(c.ids["role_id"])}}}
		for _, kind := range kinds {
			if strings.Contains(path, kind) || random.IntN(4) == 0 {
				o[kind] = inner
			}
		}
		return o
	}
	queries := []string{"", "", "?domain_id=" + c.domains["one"], "?scope.domain.id=" + c.domains["one"], "?user_id=" + c.boss, "?domain_id=" + c.domains["two"] + "&domain_id=" + c.domains["one"]}

	before := c.elsewhere()
	routes := append(routesOf(t, c.parts.Server, server.Listener{}, "public"), routesOf(t, c.parts.Server, server.Listener{Admin: true}, "admin")...)
	worked := map[string]bool{}
	for range 10 {
		for _, r := range routes {
			if r.method == http.MethodGet || r.method == http.MethodHead {
				continue
			}
			times := 1
			if r.method == http.MethodPost { // few bodies are right
				times = 6
			}
			for range times {
				path := fill(r.path)
				if strings.Contains(path, c.boss) || r.path == "/v3/auth/tokens" { // who would be out of work
					continue
				}
				base := c.public.URL
				if r.port == "admin" {
					base = c.cloud.admin.URL
				}
				a := send(t, base, r.method, path+pick(queries), pick(c.tokens), body(r.path), "X-Subject-Token", "none")
				if a.status >= 500 && a.status != 501 {
					t.Errorf("%s: %d %s", a.what, a.status, a.text)
				}
				if a.status < 300 {
					worked[r.method+" "+r.path] = true
				}
			}
		}
	}
	after := c.elsewhere()
	for what, was := range before {
		if is := after[what]; is != was {
			t.Errorf("%s was\n%s\nand is\n%s", what, was, is)
		}
	}
	if len(worked) < 8 {
		t.Errorf("only %v worked at all", slices.Sorted(maps.Keys(worked)))
	}
}
