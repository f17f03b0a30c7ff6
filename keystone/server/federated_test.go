package server_test

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/peer"
	"authproxy/keystone/server/federation"
)

// federated is a cloud with a front end on this machine that says what identity provider acme asserts. Its users are in group staff of
// domain d; staff has role worker on project p, lead on domain d, and inherited below p.
type federated struct {
	*cloud
	admin                                        string
	domain, project, below, other, staff         string
	worker, lead, inherited, outside, otherGroup string
}

const acme = "https://idp.example.org"

// asserted is what the front end says of alice; pairs replace headers or add to them, an empty text is one that is not there.
func asserted(pairs ...string) []string {
	all := []string{"Shib-Identity-Provider", acme, "Shib-Eppn", "alice", "Shib-Groups", "staff;guests"}
	for i := 0; i < len(pairs); i += 2 {
		if at := slices.Index(all, pairs[i]); at >= 0 {
			all[at+1] = pairs[i+1]
		} else {
			all = append(all, pairs[i], pairs[i+1])
		}
	}
	var given []string
	for i := 0; i < len(all); i += 2 {
		if all[i+1] != "" {
			given = append(given, all[i], all[i+1])
		}
	}
	return given
}

func newFederated(t *testing.T, provider string, lines ...string) *federated {
	t.Helper()
	c := &federated{cloud: newCloud(t, provider, append([]string{"[auth]", "methods = password,token,saml2,mapped,external", "trusted_peers = 127.0.0.1",
		"[federation]", "assertion_prefix = Shib-", "remote_id_attribute = Shib-Identity-Provider", "[os_inherit]", "enabled = true"}, lines...)...)}
	c.trust("127.0.0.1/32")
	c.admin = c.adminToken()
	c.domain = c.post(c.admin, "domain", obj{"name": "d"})
	c.project = c.post(c.admin, "project", obj{"name": "p", "domain_id": c.domain})
	c.below = c.post(c.admin, "project", obj{"name": "q", "domain_id": c.domain, "parent_id": c.project})
	c.other = c.post(c.admin, "project", obj{"name": "other"})
	c.staff, c.otherGroup = c.post(c.admin, "group", obj{"name": "staff", "domain_id": c.domain}), c.post(c.admin, "group", obj{"name": "other"})
	c.worker, c.inherited, c.outside = c.post(c.admin, "role", obj{"name": "worker"}), c.post(c.admin, "role", obj{"name": "inherited"}), c.post(c.admin, "role", obj{"name": "outside"})
	c.lead = c.post(c.admin, "role", obj{"name": "lead"})
	for _, path := range []string{
		"/v3/projects/" + c.project + "/groups/" + c.staff + "/roles/" + c.worker,
		"/v3/domains/" + c.domain + "/groups/" + c.staff + "/roles/" + c.lead,
		"/v3/OS-INHERIT/projects/" + c.project + "/groups/" + c.staff + "/roles/" + c.inherited + "/inherited_to_projects",
		"/v3/projects/" + c.other + "/groups/" + c.otherGroup + "/roles/" + c.outside,
	} {
		c.do("PUT", path, c.admin, nil).want(204)
	}
	c.do("PUT", fed+"identity_providers/acme", c.admin, obj{"identity_provider": obj{"enabled": true, "remote_ids": []string{acme}}}).want(201)
	c.mapTo(obj{"user": obj{"name": "{0}"}}, obj{"groups": "{1}", "domain": obj{"name": "d"}})
	c.do("PUT", fed+"identity_providers/acme/protocols/saml2", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	return c
}

// trust makes the server believe what comes from a network.
func (c *federated) trust(network string) {
	c.parts.Server.Peers = &peer.Identifier{Fronts: peer.Fronts{Networks: []netip.Prefix{netip.MustParsePrefix(network)}},
		UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type", AttributePrefix: "Shib-"}
}

// mapTo sets the local side of the mapping, where {0} is Shib-Eppn and {1} Shib-Groups.
func (c *federated) mapTo(local ...any) {
	c.t.Helper()
	mapping := obj{"mapping": obj{"rules": []any{obj{"local": local, "remote": []any{obj{"type": "Shib-Eppn"}, obj{"type": "HTTP_SHIB_GROUPS"}}}}}}
	if a := c.do("PATCH", fed+"mappings/people", c.admin, mapping); a.status == 404 {
		c.do("PUT", fed+"mappings/people", c.admin, mapping).want(201)
	} else {
		a.want(200)
	}
}

const acmeAuth = fed + "identity_providers/acme/protocols/saml2/auth"

func (c *federated) enter(headers ...string) *answer {
	c.t.Helper()
	return c.do("GET", acmeAuth, "", nil, headers...)
}

// rescope exchanges a token.
func (c *federated) rescope(from *answer, scope any) *answer {
	c.t.Helper()
	return c.do("POST", "/v3/auth/tokens", "", byToken(from.token(), scope))
}

func TestFederatedLogin(t *testing.T) {
	for _, provider := range []string{"pki", "uuid"} {
		t.Run(provider, func(t *testing.T) {
			c := newFederated(t, provider, "[DEFAULT]", "notification_format = cadf")
			a := c.enter(asserted()...).want(201)
			userID := federation.UserID("acme", "saml2", "alice")
			if got, want := a.at("token", "user"), (obj{"id": userID, "name": "alice", "domain": obj{"id": "Federated", "name": "Federated"},
				"OS-FEDERATION": obj{"groups": []any{obj{"id": c.staff}}, "identity_provider": obj{"id": "acme"}, "protocol": obj{"id": "saml2"}}}); !reflect.DeepEqual(got, want) {
				t.Errorf("user %v\nwant %v", got, want)
			}
			if methodsOf(a) != "saml2" || a.at("token", "project") != nil || a.at("token", "roles") != nil || a.at("token", "catalog") != nil {
				t.Errorf("unscoped: %s", a.text)
			}
			if a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", a.header)
			}
			said := strings.ReplaceAll(c.log.String(), `\"`, `"`)
			if event := `"action":"authenticate","outcome":"success"`; !strings.Contains(said, event) || !strings.Contains(said, userID) {
				t.Errorf("no audit event for %s", userID)
			}
			for what, again := range map[string]*answer{
				"POST":                 c.do("POST", acmeAuth, "", nil, asserted()...),
				"with a slash":         c.do("GET", acmeAuth+"/", "", nil, asserted()...),
				"with a body":          c.do("POST", acmeAuth, "", byPassword("admin", adminPassword, onProject("admin")), asserted()...),
				"the name of a method": c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{"identity": obj{"methods": []string{"saml2"}, "saml2": obj{"id": a.token()}}}}),
				// external is on, and bob is no user here.
				"a user beside": c.enter(asserted("X-Remote-User", "bob")...),
			} {
				if got := again.want(201).str("token", "user", "id"); got != userID {
					t.Errorf("by %s: user %s", what, got)
				}
			}

			for what, path := range map[string]string{"projects": "/v3/auth/projects", "OS-FEDERATION/projects": fed + "projects"} {
				if got := c.do("GET", path, a.token(), nil).want(200); !strings.Contains(got.text, c.project) || strings.Contains(got.text, c.other) {
					t.Errorf("%s: %s", what, got.text)
				} else {
					got.wantIDs("projects", c.project, c.below)
				}
			}
			c.do("GET", "/v3/auth/domains", a.token(), nil).want(200).wantIDs("domains", c.domain)
			c.do("GET", fed+"domains", a.token(), nil).want(200).wantIDs("domains", c.domain)
			c.do("GET", fed+"projects", c.admin, nil).want(200)

			onProject := c.rescope(a, projectScope(c.project)).want(201)
			if onProject.roleNames() != "worker" || methodsOf(onProject) != "saml2 token" || onProject.str("token", "project", "id") != c.project ||
				!reflect.DeepEqual(onProject.at("token", "user"), a.at("token", "user")) || onProject.at("token", "catalog") == nil {
				t.Errorf("on the project: %s", onProject.text)
			}
			if onProject.str("token", "expires_at") != a.str("token", "expires_at") {
				t.Errorf("rescoping made the token live longer: %s", onProject.text)
			}
			if got := c.rescope(a, projectScope(c.below)).want(201); got.roleNames() != "inherited" {
				t.Errorf("below the project: %s", got.text)
			}
			onDomain := c.rescope(onProject, domainScope(c.domain)).want(201)
			if onDomain.roleNames() != "lead" {
				t.Errorf("on the domain: %s", onDomain.text)
			}
			c.rescope(a, projectScope(c.other)).want(401, denied)
			c.rescope(a, domainScope("default")).want(401, denied)
			c.rescope(a, obj{"OS-TRUST:trust": obj{"id": "x"}}).want(403)
			c.rescope(a, nil).want(201)
			validated := c.do("GET", "/v3/auth/tokens", c.admin, nil, "X-Subject-Token", onProject.token()).want(200)
			if !reflect.DeepEqual(validated.at("token"), onProject.at("token")) {
				t.Errorf("validated %s\nissued %s", validated.text, onProject.text)
			}
			if !c.valid(onDomain.token()) {
				t.Error("the token on the domain is not valid")
			}
			c.do("DELETE", "/v3/auth/tokens", onDomain.token(), nil, "X-Subject-Token", onDomain.token()).want(204)
			if c.valid(onDomain.token()) {
				t.Error("the revoked token is valid")
			}
			// The API v2.0 knows the default domain alone.
			send(t, c.cloud.admin.URL, "GET", "/v2.0/tokens/"+a.token(), c.admin, nil).want(401)
			c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"token": obj{"id": a.token()}}}).want(401)
		})
	}
}

func (c *federated) by(method, provider, protocol string) obj {
	return obj{"auth": obj{"identity": obj{"methods": []string{method}, method: obj{"identity_provider": provider, "protocol": protocol}}}}
}

// TestFederatedRefusals: nobody gets in by an assertion that is not one, or not the right one.
func TestFederatedRefusals(t *testing.T) {
	c := newFederated(t, "uuid")
	c.do("PUT", fed+"identity_providers/evil", c.admin, obj{"identity_provider": obj{"enabled": true, "remote_ids": []string{"https://evil"}}}).want(201)
	c.do("PUT", fed+"identity_providers/evil/protocols/saml2", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	c.do("PUT", fed+"identity_providers/bare", c.admin, obj{"identity_provider": obj{"enabled": true}}).want(201)
	c.do("PUT", fed+"identity_providers/bare/protocols/saml2", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	c.do("PUT", fed+"identity_providers/acme/protocols/oidc", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	c.do("PUT", fed+"identity_providers/acme/protocols/password", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	c.enter(asserted()...).want(201)
	for what, headers := range map[string][]string{
		"nothing":                    nil,
		"nobody says who asserts":    asserted("Shib-Identity-Provider", ""),
		"another asserts":            asserted("Shib-Identity-Provider", "https://evil"),
		"two assert":                 asserted("Shib-Identity-Provider", acme+";https://evil"),
		"a beginning":                asserted("Shib-Identity-Provider", acme[:10]),
		"other case":                 asserted("Shib-Identity-Provider", strings.ToUpper(acme)),
		"no user":                    asserted("Shib-Eppn", ""),
		"two users":                  asserted("Shib-Eppn", "alice;bob"),
		"Apache's none":              asserted("Shib-Eppn", "(null)"),
		"no groups":                  asserted("Shib-Groups", ""),
		"groups that are not there":  asserted("Shib-Groups", "guests"),
		"a look-alike":               asserted("Shib_Groups", "staff"),
		"a look-alike of a variable": asserted("Http-Shib-Groups", "staff"),
		"long":                       asserted("Shib-Eppn", strings.Repeat("a", 256)),
		"too much":                   asserted("Shib-Other", strings.Repeat("a", 70000)),
		"not UTF-8":                  asserted("Shib-Eppn", "\xe9"),
		"direction":                  asserted("Shib-Eppn", "a\u202eb"),
	} {
		a := c.enter(headers...)
		if a.status != 401 || a.at("error", "message") != denied {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
	}
	for path, status := range map[string]int{
		"identity_providers/evil/protocols/saml2/auth":    401,
		"identity_providers/bare/protocols/saml2/auth":    401,
		"identity_providers/none/protocols/saml2/auth":    401,
		"identity_providers/acme/protocols/none/auth":     401,
		"identity_providers/acme/protocols/oidc/auth":     201, // by method mapped
		"identity_providers/acme/protocols/password/auth": 201, // a protocol of that name, by method mapped
		"identity_providers/%00/protocols/%ff/auth":       401,
		"identity_providers/a%2fb/protocols/..%2f/auth":   401,
	} {
		if a := c.do("GET", fed+path, "", nil, asserted()...); a.status != status {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	// What fronts say counts in that place alone.
	for what, body := range map[string]obj{
		"elsewhere": c.by("saml2", "acme", "saml2"), "by another method": c.by("mapped", "acme", "saml2"), "without a provider": c.by("saml2", "", ""),
		"with a bad token": {"auth": obj{"identity": obj{"methods": []string{"saml2"}, "saml2": obj{"id": 1}}}},
		"with two tokens":  {"auth": obj{"identity": obj{"methods": []string{"saml2", "token"}, "saml2": obj{"id": c.admin}, "token": obj{"id": c.admin}}}},
		"with a password": {"auth": obj{"identity": obj{"methods": []string{"saml2", "password"}, "saml2": obj{"identity_provider": "acme", "protocol": "saml2"},
			"password": byPassword("admin", adminPassword, nil)["auth"].(obj)["identity"].(obj)["password"]}}},
		"with a token": {"auth": obj{"identity": obj{"methods": []string{"saml2", "token"}, "saml2": obj{"identity_provider": "acme", "protocol": "saml2"}, "token": obj{"id": c.admin}}}},
		"twice": {"auth": obj{"identity": obj{"methods": []string{"saml2", "mapped"}, "saml2": obj{"identity_provider": "acme", "protocol": "saml2"},
			"mapped": obj{"identity_provider": "acme", "protocol": "saml2"}}}},
		"with a user of the front": {"auth": obj{"identity": obj{"methods": []string{"saml2", "external"}, "saml2": obj{"identity_provider": "acme", "protocol": "saml2"}, "external": obj{}}}},
	} {
		if a := c.do("POST", "/v3/auth/tokens", "", body, asserted("X-Remote-User", "admin")...); a.status != 401 {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
	}
	c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{"identity": obj{"methods": []string{"saml2"}, "saml2": obj{"id": "none"}}}}).want(404)
	c.do("POST", "/v3/auth/tokens", "", c.by("oidc", "acme", "oidc"), asserted()...).want(401, "Attempted to authenticate with an unsupported method.")

	disable := func(on bool) {
		c.do("PATCH", fed+"identity_providers/acme", c.admin, obj{"identity_provider": obj{"enabled": on}}).want(200)
	}
	disable(false)
	c.enter(asserted()...).want(401, denied)
	disable(true)
	c.enter(asserted()...).want(201)

	for what, local := range map[string][]any{
		"no user":                    {obj{"group": obj{"id": c.staff}}},
		"no group":                   {obj{"user": obj{"name": "{0}"}}},
		"a group that is not there":  {obj{"user": obj{"name": "{0}"}}, obj{"group": obj{"id": c.staff}}, obj{"group": obj{"id": "none"}}},
		"a name that is not there":   {obj{"user": obj{"name": "{0}"}}, obj{"group": obj{"id": c.staff}}, obj{"group": obj{"name": "none", "domain": obj{"name": "d"}}}},
		"of another domain":          {obj{"user": obj{"name": "{0}"}}, obj{"group": obj{"name": "staff", "domain": obj{"id": "default"}}}},
		"a domain that is not there": {obj{"user": obj{"name": "{0}"}}, obj{"groups": "{1}", "domain": obj{"name": "none"}}},
		"several names":              {obj{"user": obj{"name": "{1}"}}, obj{"group": obj{"id": c.staff}}},
		"lines":                      {obj{"user": obj{"name": "a\nb"}}, obj{"group": obj{"id": c.staff}}},
		"a local user that is not":   {obj{"user": obj{"name": "{0}", "type": "local", "domain": obj{"id": "default"}}}},
		"an id that is not":          {obj{"user": obj{"id": "{0}", "type": "local"}}},
	} {
		c.mapTo(local...)
		if a := c.enter(asserted()...); a.status != 401 {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
	}
	c.mapTo(obj{"group": obj{"id": c.staff}}) // the front names the user
	if a := c.enter(asserted("X-Remote-User", "bob")...).want(201); a.str("token", "user", "name") != "bob" {
		t.Errorf("%s", a.text)
	}
	c.do("DELETE", fed+"mappings/people", c.admin, nil).want(204)
	c.enter(asserted()...).want(401, denied)
}

// TestForgedAssertion: from anybody but the front end the headers are nothing.
func TestForgedAssertion(t *testing.T) {
	c := newFederated(t, "uuid")
	c.trust("192.0.2.0/24")
	c.enter(asserted()...).want(401, denied)
	c.enter(asserted("X-Forwarded-For", "192.0.2.1", "X-Remote-User", "alice", "Forwarded", "for=192.0.2.1")...).want(401, denied)
	c.do("POST", "/v3/auth/tokens", "", c.by("mapped", "acme", "saml2"), asserted()...).want(401, denied)
	c.trust("127.0.0.1/32")
	c.enter(asserted()...).want(201)
	c.parts.Server.Peers = nil
	c.enter(asserted()...).want(401, denied)
	c.trust("127.0.0.1/32")
	c.parts.Server.Tokens.Methods = []string{"password", "token"}
	c.enter(asserted()...).want(401, "Attempted to authenticate with an unsupported method.")
}

// TestFederatedUserIsNobodyElse: what an identity provider calls a user makes nobody of that id or name here.
func TestFederatedUserIsNobodyElse(t *testing.T) {
	c := newFederated(t, "uuid")
	adminID := c.login("admin", adminPassword, nil).str("token", "user", "id")
	c.mapTo(obj{"user": obj{"id": adminID, "name": "admin", "domain": obj{"id": "default"}}}, obj{"group": obj{"id": c.staff}})
	a := c.enter(asserted()...).want(201)
	id := a.str("token", "user", "id")
	if id == adminID || a.str("token", "user", "domain", "id") != "Federated" {
		t.Fatalf("user %s", a.text)
	}
	scoped := c.rescope(a, projectScope(c.project)).want(201)
	for _, token := range []string{a.token(), scoped.token()} {
		for request, status := range map[string]int{
			"GET /v3/users/" + adminID: 403, "GET /v3/users/" + adminID + "/projects": 403, "GET /v3/users": 403,
			"GET /v3/users/" + id + "/projects":                404, // its own, which is not stored
			"GET /v3/users/" + adminID + "/credentials/OS-EC2": 403,
			"GET " + fed + "identity_providers":                403,
			"GET /v3/projects/" + c.project:                    403,
		} {
			method, path, _ := strings.Cut(request, " ")
			if got := c.do(method, path, token, nil); got.status != status {
				t.Errorf("%s: %d %s", request, got.status, got.text)
			}
		}
		for path, body := range map[string]obj{
			"/v3/users/" + id + "/credentials/OS-EC2": {"tenant_id": c.project},
			"/v3/users/" + id + "/password":           {"user": obj{"original_password": "x", "password": "y"}},
			"/v3/OS-TRUST/trusts": {"trust": obj{"trustor_user_id": id, "trustee_user_id": adminID, "impersonation": true, "project_id": c.project,
				"roles": []any{obj{"id": c.worker}}}},
			"/v3/auth/tokens": byToken(token, projectScope(c.other)),
			"/v3/groups":      {"group": obj{"name": "x"}},
		} {
			if got := c.do("POST", path, token, body); got.status < 400 || got.status >= 500 {
				t.Errorf("%s: %d %s", path, got.status, got.text)
			}
		}
	}
	// The same name by another provider or protocol is somebody else.
	others := []string{id}
	c.do("PUT", fed+"identity_providers/acme/protocols/oidc", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	c.do("PUT", fed+"identity_providers/two", c.admin, obj{"identity_provider": obj{"enabled": true, "remote_ids": []string{"https://two"}}}).want(201)
	c.do("PUT", fed+"identity_providers/two/protocols/saml2", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
	others = append(others, c.do("GET", fed+"identity_providers/acme/protocols/oidc/auth", "", nil, asserted()...).want(201).str("token", "user", "id"),
		c.do("GET", fed+"identity_providers/two/protocols/saml2/auth", "", nil, asserted("Shib-Identity-Provider", "https://two")...).want(201).str("token", "user", "id"))
	slices.Sort(others)
	if len(slices.Compact(others)) != 3 {
		t.Errorf("users %q", others)
	}
	for _, name := range []string{"Federated", "federated"} {
		c.do("POST", "/v3/domains", c.admin, obj{"domain": obj{"name": name}}).want(400)
		c.do("PATCH", "/v3/domains/"+c.domain, c.admin, obj{"domain": obj{"name": name}}).want(400)
	}
}

// TestFederatedLocalUser: a mapping can name a user who is stored here, whose roles are then what counts.
func TestFederatedLocalUser(t *testing.T) {
	c := newFederated(t, "pki")
	userID, projectID, _ := c.newUser("alice", "pw")
	c.mapTo(obj{"user": obj{"name": "{0}", "type": "local", "domain": obj{"id": "default"}}}, obj{"group": obj{"id": c.staff}})
	a := c.enter(asserted()...).want(201)
	if a.str("token", "user", "id") != userID || a.at("token", "user", "OS-FEDERATION") != nil || a.str("token", "user", "domain", "id") != "default" {
		t.Errorf("%s", a.text)
	}
	scoped := c.rescope(a, projectScope(projectID)).want(201)
	if scoped.roleNames() != "member" {
		t.Errorf("%s", scoped.text)
	}
	c.rescope(a, projectScope(c.project)).want(401) // staff is not hers
	byPassword := c.login("alice", "pw", projectScope(projectID))
	// Both stand on the identity provider's word.
	c.do("PATCH", fed+"identity_providers/acme", c.admin, obj{"identity_provider": obj{"enabled": false}}).want(200)
	c.wantRevoked(a)
	c.wantRevoked(scoped)
	c.wantValid(byPassword)
	c.do("PATCH", fed+"identity_providers/acme", c.admin, obj{"identity_provider": obj{"enabled": true}}).want(200)
	c.do("PATCH", "/v3/users/"+userID, c.admin, obj{"user": obj{"enabled": false}}).want(200)
	c.enter(asserted()...).want(401, denied)
}

// TestFederatedTriggers takes away what tokens of a federated user stand on.
func TestFederatedTriggers(t *testing.T) {
	c := newFederated(t, "pki")
	scopes := map[string]func() any{
		"unscoped": func() any { return obj{"unscoped": obj{}} }, "p": func() any { return projectScope(c.project) },
		"q": func() any { return projectScope(c.below) }, "d": func() any { return domainScope(c.domain) },
	}
	grant := func(path, role string) string { return "/v3" + path + "/groups/" + c.staff + "/roles/" + role }
	for _, test := range []struct {
		name, method string
		path         func() string
		body         any
		ends         string
		back         func() // puts it back
	}{
		{"nothing", "PATCH", func() string { return fed + "identity_providers/acme" }, obj{"identity_provider": obj{"description": "x"}}, "", nil},
		{"a group renamed", "PATCH", func() string { return "/v3/groups/" + c.staff }, obj{"group": obj{"description": "x"}}, "", nil},
		{"another group's grant", "DELETE", func() string { return "/v3/projects/" + c.other + "/groups/" + c.otherGroup + "/roles/" + c.outside }, nil, "", nil},
		{"another group", "DELETE", func() string { return "/v3/groups/" + c.otherGroup }, nil, "", nil},
		{"provider disabled", "PATCH", func() string { return fed + "identity_providers/acme" }, obj{"identity_provider": obj{"enabled": false}}, "unscoped p q d",
			func() {
				c.do("PATCH", fed+"identity_providers/acme", c.admin, obj{"identity_provider": obj{"enabled": true}}).want(200)
			}},
		{"grant on the project", "DELETE", func() string { return grant("/projects/"+c.project, c.worker) }, nil, "p",
			func() { c.do("PUT", grant("/projects/"+c.project, c.worker), c.admin, nil).want(204) }},
		{"grant on the domain", "DELETE", func() string { return grant("/domains/"+c.domain, c.lead) }, nil, "d",
			func() { c.do("PUT", grant("/domains/"+c.domain, c.lead), c.admin, nil).want(204) }},
		{"inherited role", "DELETE", func() string { return "/v3/roles/" + c.inherited }, nil, "q",
			func() {
				c.inherited = c.post(c.admin, "role", obj{"name": "inherited"})
				c.do("PUT", "/v3/OS-INHERIT/projects/"+c.project+"/groups/"+c.staff+"/roles/"+c.inherited+"/inherited_to_projects", c.admin, nil).want(204)
			}},
		{"project disabled", "PATCH", func() string { return "/v3/projects/" + c.below }, obj{"project": obj{"enabled": false}}, "q",
			func() {
				c.do("PATCH", "/v3/projects/"+c.below, c.admin, obj{"project": obj{"enabled": true}}).want(200)
			}},
		{"protocol deleted", "DELETE", func() string { return fed + "identity_providers/acme/protocols/saml2" }, nil, "unscoped p q d",
			func() {
				c.do("PUT", fed+"identity_providers/acme/protocols/saml2", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
			}},
		{"provider deleted", "DELETE", func() string { return fed + "identity_providers/acme" }, nil, "unscoped p q d",
			func() {
				c.do("PUT", fed+"identity_providers/acme", c.admin, obj{"identity_provider": obj{"enabled": true, "remote_ids": []string{acme}}}).want(201)
				c.do("PUT", fed+"identity_providers/acme/protocols/saml2", c.admin, obj{"protocol": obj{"mapping_id": "people"}}).want(201)
			}},
		{"domain disabled", "PATCH", func() string { return "/v3/domains/" + c.domain }, obj{"domain": obj{"enabled": false}}, "unscoped p q d",
			func() { c.do("PATCH", "/v3/domains/"+c.domain, c.admin, obj{"domain": obj{"enabled": true}}).want(200) }},
		{"group deleted", "DELETE", func() string { return "/v3/groups/" + c.staff }, nil, "unscoped p q d", nil},
	} {
		enter := func() map[string]*answer {
			t.Helper()
			held := map[string]*answer{"unscoped": c.enter(asserted()...).want(201)}
			for _, name := range []string{"p", "q", "d"} {
				held[name] = c.rescope(held["unscoped"], scopes[name]()).want(201)
			}
			return held
		}
		held := enter()
		before := len(c.events(""))
		if a := c.do(test.method, test.path(), c.admin, test.body); a.status > 204 {
			t.Fatalf("%s: %d %s", test.name, a.status, a.text)
		}
		happened, list := c.events("")[before:], c.revocationList()
		ends := strings.Fields(test.ends)
		for name, a := range held {
			ended := slices.Contains(ends, name)
			if c.valid(a.token()) == ended {
				t.Errorf("%s: the token for %s is valid: %v", test.name, name, !ended)
			}
			if _, listed := list[auditID(a)]; listed != ended {
				t.Errorf("%s: the token for %s is on the list: %v", test.name, name, listed)
			}
			if told := slices.ContainsFunc(happened, func(e obj) bool { return concerns(e, a) }); told != ended {
				t.Errorf("%s: an event concerns the token for %s: %v: %v", test.name, name, told, happened)
			}
			if ended {
				if a := c.rescope(a, obj{"unscoped": obj{}}); a.status < 400 {
					t.Errorf("%s: the token for %s can be exchanged: %s", test.name, name, a.text)
				}
			}
		}
		if slices.Contains(ends, "unscoped") {
			if a := c.enter(asserted()...); a.status != 401 {
				t.Errorf("%s: %d %s", test.name, a.status, a.text)
			}
		}
		if test.back != nil {
			test.back()
			for name, a := range enter() {
				if !c.valid(a.token()) || slices.ContainsFunc(c.events(""), func(e obj) bool { return concerns(e, a) }) {
					t.Errorf("%s: a new token for %s is not valid", test.name, name)
				}
			}
			for _, name := range ends {
				if c.valid(held[name].token()) {
					t.Errorf("%s: the old token for %s came back", test.name, name)
				}
			}
		}
	}
	c.enter(asserted()...).want(401, denied) // the group is gone
}

// TestNoFederatedTokenSlipsThrough takes away what a token stands on while the token is made.
func TestNoFederatedTokenSlipsThrough(t *testing.T) {
	for name, lose := range map[string]func(c *federated) error{
		"provider": func(c *federated) error {
			_, err := c.parts.Server.Federation.UpdateIdentityProvider(context.Background(), "acme", func(p *federation.IdentityProvider) { p.Enabled = false })
			return err
		},
		"protocol": func(c *federated) error {
			return c.parts.Server.Federation.DeleteProtocol(context.Background(), "acme", "saml2")
		},
		"group": func(c *federated) error {
			return c.parts.Server.Identity.DeleteGroup(context.Background(), c.staff)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFederated(t, "uuid")
			a := c.enter(asserted()...).want(201)
			c.parts.Server.Tokens.Catalog = &meddler{Manager: c.parts.Server.Catalog, meddle: func(attempt int) {
				if attempt == 1 {
					if err := lose(c); err != nil {
						t.Error(err)
					}
				}
			}}
			if got := c.rescope(a, projectScope(c.project)); got.status < 400 || got.status >= 500 {
				t.Errorf("%d %s", got.status, got.text)
			}
		})
		t.Run(name+" at the login", func(t *testing.T) {
			c := newFederated(t, "uuid")
			c.parts.Server.Tokens.Federation = &federationMeddler{c.parts.Server.Federation, func() {
				if err := lose(c); err != nil {
					t.Error(err)
				}
			}}
			c.enter(asserted()...).want(401, denied)
		})
	}
}

// federationMeddler changes something while a token is being made.
type federationMeddler struct {
	*federation.Manager
	meddle func()
}

func (m *federationMeddler) EnabledServiceProviders(ctx context.Context) ([]federation.ServiceProvider, error) {
	m.meddle()
	return m.Manager.EnabledServiceProviders(ctx)
}

// TestFederatedManyGroups: a token does not get larger than can be.
func TestFederatedManyGroups(t *testing.T) {
	c := newFederated(t, "uuid")
	names := []string{"staff"}
	for i := range 256 {
		names = append(names, fmt.Sprint("g", i))
	}
	c.enter(asserted("Shib-Groups", strings.Join(names[:256], ";"))...).want(201)
	c.enter(asserted("Shib-Groups", strings.Join(names, ";"))...).want(401)
}
