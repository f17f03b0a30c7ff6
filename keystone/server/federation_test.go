package server_test

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

const fed = "/v3/OS-FEDERATION/"

func TestIdentityProviders(t *testing.T) {
	c := newCloud(t, "uuid", "[DEFAULT]", "notification_format = cadf")
	admin := c.adminToken()
	path := fed + "identity_providers/"
	put := func(id string, idp obj) *answer { return c.do("PUT", path+id, admin, obj{"identity_provider": idp}) }
	a := put("acme", obj{"description": "x"}).want(201)
	self := c.public.URL + path + "acme"
	if got := a.at("identity_provider"); !reflect.DeepEqual(got, obj{"id": "acme", "description": "x", "enabled": false, "remote_ids": []any{},
		"links": obj{"self": self, "protocols": self + "/protocols"}}) {
		t.Errorf("made %v", got)
	}
	said := strings.ReplaceAll(c.log.String(), `\"`, `"`)
	if !strings.Contains(said, `"action":"created.identity_provider"`) || !strings.Contains(said, `"target":{"typeURI":"data/security/identity_provider","id":"acme"`) {
		t.Errorf("no audit event in %s", said)
	}
	put("acme", obj{}).want(409, "Conflict occurred attempting to store identity_provider - Duplicate Entry")
	put("bare", obj{"enabled": true, "remote_ids": []string{"one", "two"}}).want(201)
	put("third", obj{"remote_ids": []string{"two"}}).want(409)
	c.do("GET", path+"third", admin, nil).want(404, "Could not find Identity Provider: third")
	c.do("PATCH", path+"acme", admin, obj{"identity_provider": obj{"remote_ids": []string{"one"}}}).want(409)
	a = c.do("PATCH", path+"acme", admin, obj{"identity_provider": obj{"id": "acme", "remote_ids": []string{"three"}, "enabled": true, "description": nil}}).want(200)
	if a.at("identity_provider", "description") != nil || a.at("identity_provider", "enabled") != true || !reflect.DeepEqual(a.at("identity_provider", "remote_ids"), []any{"three"}) {
		t.Errorf("changed %s", a.text)
	}
	c.do("PATCH", path+"acme", admin, obj{"identity_provider": obj{"enabled": false}}).want(200)
	a = c.do("GET", path+"acme", admin, nil).want(200)
	if !reflect.DeepEqual(a.at("identity_provider", "remote_ids"), []any{"three"}) || a.at("identity_provider", "enabled") != false {
		t.Errorf("got %s", a.text)
	}
	list := c.do("GET", fed+"identity_providers", admin, nil).want(200)
	list.wantIDs("identity_providers", "acme", "bare")
	if list.str("links", "self") != c.public.URL+fed+"identity_providers" {
		t.Errorf("links %s", list.text)
	}
	c.do("GET", fed+"identity_providers?enabled=1", admin, nil).want(200).wantIDs("identity_providers", "bare")
	for what, body := range map[string]any{
		"no object": obj{}, "text": "x", "remote id": obj{"identity_provider": obj{"remote_ids": []any{1}}}, "empty remote id": obj{"identity_provider": obj{"remote_ids": []string{""}}},
		"remote ids": obj{"identity_provider": obj{"remote_ids": "one"}}, "enabled": obj{"identity_provider": obj{"enabled": "yes"}},
		"enabled null": obj{"identity_provider": obj{"enabled": nil}}, "long": obj{"identity_provider": obj{"remote_ids": []string{strings.Repeat("x", 256)}}},
		"description": obj{"identity_provider": obj{"description": 1}},
	} {
		if a := c.do("PUT", path+"wrong", admin, body); a.status != 400 {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
		if a := c.do("PATCH", path+"acme", admin, body); a.status != 400 {
			t.Errorf("PATCH, %s: %d %s", what, a.status, a.text)
		}
	}
	put("null", obj{"domain_id": nil}).want(201)
	put("domain", obj{"domain_id": "default"}).want(403)
	put("wrong", obj{"name": "x"}).want(403, "Could not change immutable attribute(s) 'name' in target identity_provider")
	c.do("PATCH", path+"acme", admin, obj{"identity_provider": obj{"id": "other"}}).want(400)
	c.do("PATCH", path+"none", admin, obj{"identity_provider": obj{}}).want(404)
	c.do("POST", fed+"identity_providers", admin, obj{"identity_provider": obj{"id": "x"}}).want(404)

	// Ids are the client's, but they can be written in a log.
	for id, want := range map[string]int{
		"é ü": 201, "a/b": 201, "..": 201, "a;b?c#d%": 201, strings.Repeat("ü", 64): 201,
		strings.Repeat("x", 65): 400, "a\nb": 400, "\x00": 400, "\xff": 400, "\u202e": 400,
	} {
		escaped := url.PathEscape(id)
		if a := put(escaped, obj{}); a.status != want {
			t.Errorf("id %q: %d, want %d", id, a.status, want)
		} else if want == 201 {
			if link := a.str("identity_provider", "links", "self"); link != c.public.URL+path+escaped || a.str("identity_provider", "id") != id {
				t.Errorf("id %q: %s", id, a.text)
			}
			c.do("GET", path+escaped, admin, nil).want(200)
			c.do("DELETE", path+escaped, admin, nil).want(204)
		}
	}
	c.do("HEAD", path+"acme", admin, nil).want(200)
	c.do("DELETE", path+"acme", admin, nil).want(204)
	c.do("DELETE", path+"acme", admin, nil).want(404)
}

func TestFederationProtocols(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	c.do("PUT", fed+"identity_providers/acme", admin, obj{"identity_provider": obj{}}).want(201)
	c.do("PUT", fed+"mappings/m", admin, obj{"mapping": obj{"rules": someRules}}).want(201)
	c.do("PUT", fed+"mappings/n", admin, obj{"mapping": obj{"rules": someRules}}).want(201)
	path := fed + "identity_providers/acme/protocols"
	protocol := func(m any) obj { return obj{"protocol": obj{"mapping_id": m}} }
	a := c.do("PUT", path+"/saml2", admin, protocol("m")).want(201)
	provider := c.public.URL + fed + "identity_providers/acme"
	if got := a.at("protocol"); !reflect.DeepEqual(got, obj{"id": "saml2", "mapping_id": "m", "links": obj{"self": provider + "/protocols/saml2", "identity_provider": provider}}) {
		t.Errorf("made %v", got)
	}
	c.do("PUT", path+"/saml2", admin, protocol("m")).want(409)
	c.do("PUT", path+"/other", admin, protocol("none")).want(400)
	c.do("PUT", path+"/other", admin, obj{"protocol": obj{}}).want(400, "'mapping_id' is a required property")
	c.do("PUT", path+"/other", admin, obj{"protocol": obj{"mapping_id": "m", "x": 1}}).want(403)
	c.do("PUT", path+"/other", admin, protocol(1)).want(400)
	c.do("PUT", path+"/other", admin, obj{}).want(400)
	c.do("PUT", fed+"identity_providers/none/protocols/saml2", admin, protocol("m")).want(404, "Could not find Identity Provider: none")
	c.do("PUT", path+"/oidc", admin, protocol("m")).want(201)
	c.do("GET", path, admin, nil).want(200).wantIDs("protocols", "oidc", "saml2")
	c.do("GET", fed+"identity_providers/none/protocols", admin, nil).want(404)
	if a := c.do("PATCH", path+"/saml2", admin, protocol("n")).want(200); a.str("protocol", "mapping_id") != "n" {
		t.Errorf("changed %s", a.text)
	}
	c.do("PATCH", path+"/saml2", admin, protocol("none")).want(400)
	c.do("PATCH", path+"/none", admin, protocol("m")).want(404, "Could not find: federated protocol none for Identity Provider acme")
	c.do("HEAD", path+"/saml2", admin, nil).want(200)
	if a := c.do("GET", path+"/saml2", admin, nil).want(200); a.str("protocol", "mapping_id") != "n" {
		t.Errorf("got %s", a.text)
	}
	c.do("DELETE", path+"/saml2", admin, nil).want(204)
	c.do("GET", path+"/saml2", admin, nil).want(404)
	c.do("DELETE", fed+"identity_providers/acme", admin, nil).want(204)
	c.do("GET", path+"/oidc", admin, nil).want(404)
}

var someRules = []any{obj{
	"local":  []any{obj{"user": obj{"name": "{0}"}}, obj{"group": obj{"id": "0cd5e9"}}},
	"remote": []any{obj{"type": "UserName"}, obj{"type": "orgPersonType", "not_any_of": []any{"Contractor", "Guest"}}},
}}

func TestMappings(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	path := fed + "mappings/"
	a := c.do("PUT", path+"m", admin, obj{"mapping": obj{"rules": someRules}}).want(201)
	want := obj{"id": "m", "rules": someRules, "links": obj{"self": c.public.URL + path + "m"}}
	if got := a.at("mapping"); !reflect.DeepEqual(got, want) {
		t.Errorf("made %v", got)
	}
	if got := c.do("GET", path+"m", admin, nil).want(200).at("mapping"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if list := c.do("GET", fed+"mappings", admin, nil).want(200).at("mappings").([]any); len(list) != 1 || !reflect.DeepEqual(list[0], want) {
		t.Errorf("list %v", list)
	}
	c.do("PUT", path+"m", admin, obj{"mapping": obj{"rules": someRules}}).want(409)
	deep := any("x")
	for range 40 {
		deep = []any{deep}
	}
	many := make([]any, 257)
	for i := range many {
		many[i] = someRules[0]
	}
	for what, mapping := range map[string]obj{
		"none": {}, "no list": {"rules": "x"}, "null": {"rules": nil}, "empty": {"rules": []any{}}, "a text": {"rules": []any{"x"}},
		"no remote": {"rules": []any{obj{"local": []any{}}}}, "deep": {"rules": deep}, "many": {"rules": many},
	} {
		if a := c.do("PUT", path+"wrong", admin, obj{"mapping": mapping}); a.status != 400 {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
		if a := c.do("PATCH", path+"m", admin, obj{"mapping": mapping}); a.status != 400 {
			t.Errorf("PATCH, %s: %d %s", what, a.status, a.text)
		}
	}
	c.do("PUT", path+"wrong", admin, obj{"mapping": obj{"rules": someRules, "x": 1}}).want(403)
	c.do("PATCH", path+"none", admin, obj{"mapping": obj{"rules": someRules}}).want(404, "Could not find mapping: none")
	c.do("PATCH", path+"m", admin, obj{"mapping": obj{"rules": []any{obj{"local": []any{}, "remote": []any{obj{"type": "x"}}}}}}).want(200)
	if list := c.do("GET", path+"m", admin, nil).want(200).at("mapping", "rules").([]any); !reflect.DeepEqual(list[0], obj{"local": []any{}, "remote": []any{obj{"type": "x"}}}) {
		t.Errorf("changed %v", list)
	}
	c.do("HEAD", path+"m", admin, nil).want(200)
	c.do("DELETE", path+"m", admin, nil).want(204)
	c.do("DELETE", path+"m", admin, nil).want(404)
}

func TestServiceProviders(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	path := fed + "service_providers/"
	put := func(id string, sp obj) *answer { return c.do("PUT", path+id, admin, obj{"service_provider": sp}) }
	urls := func(more obj) obj {
		o := obj{"auth_url": "https://sp/auth", "sp_url": "https://sp/ecp"}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	a := put("one", urls(nil)).want(201)
	if got := a.at("service_provider"); !reflect.DeepEqual(got, obj{"id": "one", "auth_url": "https://sp/auth", "sp_url": "https://sp/ecp", "description": nil,
		"enabled": false, "relay_state_prefix": "ss:mem:", "links": obj{"self": c.public.URL + path + "one"}}) {
		t.Errorf("made %v", got)
	}
	if c.login("admin", adminPassword, nil).at("token", "service_providers") != nil {
		t.Error("a token names a service provider that is disabled")
	}
	put("two", urls(obj{"enabled": true, "relay_state_prefix": nil, "description": "x"})).want(201)
	for what, scope := range map[string]any{"default": nil, "project": onProject("admin"), "unscoped": obj{"unscoped": obj{}}} {
		a := c.login("admin", adminPassword, scope)
		want := []any{obj{"id": "two", "auth_url": "https://sp/auth", "sp_url": "https://sp/ecp"}}
		if got := a.at("token", "service_providers"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: a token names %v", what, got)
		}
		again := c.do("GET", "/v3/auth/tokens?nocatalog", admin, nil, "X-Subject-Token", a.token()).want(200)
		if got := again.at("token", "service_providers"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: without the catalog it names %v", what, got)
		}
	}
	put("one", urls(nil)).want(409)
	for what, sp := range map[string]obj{
		"empty": {}, "no sp_url": {"auth_url": "https://sp"}, "no auth_url": {"sp_url": "https://sp"}, "no URL": urls(obj{"auth_url": "abc"}), "null": urls(obj{"sp_url": nil}),
		"long": urls(obj{"sp_url": "http://" + strings.Repeat("x", 225)}), "unknown": urls(obj{"name": "x"}), "id": urls(obj{"id": "wrong"}), "enabled": urls(obj{"enabled": 1}),
		"prefix": urls(obj{"relay_state_prefix": 1}), "lines": urls(obj{"auth_url": "http://x\nGET /"}),
	} {
		if a := put("wrong", sp); a.status != 400 {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
	}
	patch := func(sp obj) *answer { return c.do("PATCH", path+"one", admin, obj{"service_provider": sp}) }
	patch(obj{}).want(400)
	patch(obj{"name": "x"}).want(400, "Additional properties are not allowed ('name' was unexpected)")
	patch(obj{"auth_url": "abc"}).want(400)
	if a := patch(obj{"auth_url": "https://new", "enabled": true}).want(200); a.str("service_provider", "auth_url") != "https://new" || a.str("service_provider", "sp_url") != "https://sp/ecp" {
		t.Errorf("changed %s", a.text)
	}
	c.do("GET", fed+"service_providers", admin, nil).want(200).wantIDs("service_providers", "one", "two")
	c.do("HEAD", path+"one", admin, nil).want(200)
	c.do("DELETE", path+"one", admin, nil).want(204)
	c.do("GET", path+"one", admin, nil).want(404, "Could not find Service Provider: one")
}

// TestFederationIsTheAdministrators: nobody else reads or changes it.
func TestFederationIsTheAdministrators(t *testing.T) {
	c := newCloud(t, "uuid")
	c.newUser("alice", "pw")
	alice := c.login("alice", "pw", onProject("alice-project")).token()
	for _, kind := range []string{"identity_provider", "mapping", "service_provider", "protocol"} {
		many := fed + kind + "s"
		if kind == "protocol" {
			many = fed + "identity_providers/x/protocols"
		}
		for _, request := range []string{"GET " + many, "GET " + many + "/x", "HEAD " + many + "/x", "PUT " + many + "/x", "PATCH " + many + "/x", "DELETE " + many + "/x"} {
			method, path, _ := strings.Cut(request, " ")
			if a := c.do(method, path, alice, obj{kind: obj{}}); a.status != 403 {
				t.Errorf("%s by a user: %d", request, a.status)
			}
			if a := c.do(method, path, "", obj{kind: obj{}}); a.status != 401 {
				t.Errorf("%s by nobody: %d", request, a.status)
			}
		}
	}
}

// TestFederationListLimit: lists of federation are bounded as others are.
func TestFederationListLimit(t *testing.T) {
	c := newCloud(t, "uuid", "[federation]", "list_limit = 2")
	admin := c.adminToken()
	for i := range 3 {
		c.do("PUT", fmt.Sprint(fed, "identity_providers/p", i), admin, obj{"identity_provider": obj{}}).want(201)
	}
	if a := c.do("GET", fed+"identity_providers", admin, nil).want(200); len(a.at("identity_providers").([]any)) != 2 || a.at("truncated") != true {
		t.Errorf("got %s", a.text)
	}
}
