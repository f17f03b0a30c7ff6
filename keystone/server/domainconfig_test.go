package server_test

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"authproxy/keystone/server/domainconfig"
	"authproxy/keystone/server/fault"
)

// newDomain makes a domain and returns the path of its configuration.
func (c *cloud) newDomain(token, name string) (id, config string) {
	c.t.Helper()
	id = c.do("POST", "/v3/domains", token, obj{"domain": obj{"name": name}}).want(201).str("domain", "id")
	return id, "/v3/domains/" + id + "/config"
}

// wantConfig checks what an answer says of a configuration.
func (a *answer) wantConfig(status int, config obj) {
	a.t.Helper()
	a.want(status)
	if got := a.at("config"); !reflect.DeepEqual(got, any(config)) {
		a.t.Errorf("%s: got %v, want %v", a.what, got, config)
	}
}

func TestDomainConfig(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "uuid", "[DEFAULT]", "notification_format = cadf")
	admin := c.adminToken()
	domainID, path := c.newDomain(admin, "one")
	_, other := c.newDomain(admin, "two")
	body := func(config any) obj { return obj{"config": config} }

	c.do("GET", path, admin, nil).want(404)
	c.do("DELETE", path, admin, nil).want(204)
	first := obj{"identity": obj{"driver": "ldap"}, "ldap": obj{"url": "ldap://h", "user": "cn=%(password)s", "password": "very-secret", "page_size": 10}}
	shown := obj{"identity": obj{"driver": "ldap"}, "ldap": obj{"url": "ldap://h", "user": "cn=%(password)s", "page_size": 10.0}}
	c.do("PUT", path, admin, body(first)).wantConfig(201, shown)
	c.do("GET", path, admin, nil).wantConfig(200, shown)
	c.do("HEAD", path, admin, nil).want(200)
	err := c.parts.Server.DomainConfig.Create(t.Context(), domainID, domainconfig.Config{"ldap": {"suffix": "x"}})
	if _, conflict := errors.AsType[fault.Conflict](err); !conflict {
		t.Errorf("created over what is there: %v", err)
	}
	c.do("GET", path, admin, nil).wantConfig(200, shown)
	c.do("GET", path+"/ldap", admin, nil).wantConfig(200, obj{"ldap": shown["ldap"]})
	c.do("GET", path+"/ldap/url", admin, nil).wantConfig(200, obj{"url": "ldap://h"})
	c.do("GET", path+"/ldap/password", admin, nil).want(404)
	c.do("GET", path+"/ldap/suffix", admin, nil).want(404)
	c.do("GET", other, admin, nil).want(404)

	c.do("PATCH", path, admin, body(obj{"ldap": obj{"suffix": "dc=x", "page_size": nil}})).
		wantConfig(200, obj{"identity": shown["identity"], "ldap": obj{"url": "ldap://h", "user": "cn=%(password)s", "suffix": "dc=x", "page_size": nil}})
	c.do("PATCH", path+"/identity", admin, body(obj{"identity": obj{"list_limit": 5}})).want(200)
	c.do("PATCH", path+"/identity/driver", admin, body(obj{"driver": "sql"})).want(200)
	c.do("GET", path+"/identity", admin, nil).wantConfig(200, obj{"identity": obj{"driver": "sql", "list_limit": 5.0}})
	c.do("PATCH", path+"/ldap/password", admin, body(obj{"password": "another-secret"})).want(200)

	c.do("DELETE", path+"/identity/driver", admin, nil).want(204)
	c.do("DELETE", path+"/identity/driver", admin, nil).want(404)
	c.do("DELETE", path+"/identity", admin, nil).want(204)
	c.do("DELETE", path+"/identity", admin, nil).want(404)
	c.do("PATCH", path+"/identity", admin, body(obj{"identity": obj{"driver": "x"}})).want(404)
	c.do("PATCH", path+"/ldap/tls_cacertfile", admin, body(obj{"tls_cacertfile": "x"})).want(404)
	c.do("PUT", path, admin, body(obj{"ldap": obj{"password": "third-secret"}})).wantConfig(200, obj{})
	c.do("GET", path, admin, nil).want(404)
	c.do("DELETE", path+"/ldap/password", admin, nil).want(204)
	c.do("DELETE", path+"/ldap/password", admin, nil).want(404)

	for name, test := range map[string]struct {
		method, path string
		body         any
		status       int
	}{
		"no config":                 {"PUT", path, obj{}, 400},
		"config is text":            {"PUT", path, body("x"), 400},
		"not JSON":                  {"PUT", path, "{", 400},
		"no groups":                 {"PUT", path, body(obj{}), 403},
		"a group is text":           {"PUT", path, body(obj{"ldap": "x"}), 403},
		"an empty group":            {"PUT", path, body(obj{"ldap": obj{}}), 403},
		"another group":             {"PUT", path, body(obj{"token": obj{"driver": "x"}}), 403},
		"another option":            {"PUT", path, body(obj{"ldap": obj{"url": "x", "debug": true}}), 403},
		"option of another group":   {"PATCH", path, body(obj{"identity": obj{"url": "x"}}), 403},
		"two groups for one":        {"PATCH", path + "/ldap", body(obj{"ldap": obj{"url": "x"}, "identity": obj{"driver": "x"}}), 403},
		"group in the place of one": {"PATCH", path + "/ldap", body(obj{"identity": obj{"driver": "x"}}), 403},
		"two options for one":       {"PATCH", path + "/ldap/url", body(obj{"url": "x", "user": "y"}), 403},
		"option in the place":       {"PATCH", path + "/ldap/url", body(obj{"user": "y"}), 403},
		"get another group":         {"GET", path + "/token", nil, 403},
		"get another option":        {"GET", path + "/ldap/x", nil, 403},
		"delete another group":      {"DELETE", path + "/token", nil, 403},
		"no such domain":            {"PUT", "/v3/domains/none/config", body(first), 404},
		"get, no such domain":       {"GET", "/v3/domains/none/config/ldap", nil, 404},
		"delete, no such domain":    {"DELETE", "/v3/domains/none/config", nil, 404},
		"create a group":            {"PUT", path + "/ldap", body(first), 404},
		"what counts without any":   {"GET", "/v3/domains/config/default", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, c.public.URL, test.method, test.path, admin, test.body).want(test.status)
			if strings.Contains(a.text, "secret") {
				t.Errorf("a secret is shown: %s", a.text)
			}
		})
	}
	c.newUser("plain", "secretsecret")
	plain := c.login("plain", "secretsecret", onProject("plain-project")).token()
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		c.do(method, path, plain, body(first)).want(403)
	}
	c.do("GET", path, "", nil).want(401)

	c.do("PUT", path, admin, body(first)).want(201)
	c.do("PATCH", "/v3/domains/"+domainID, admin, obj{"domain": obj{"enabled": false}}).want(200)
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(204)
	log := c.log.String()
	for _, said := range []string{"no driver reads it", `\"action\":\"created.domain_config\"`, `\"action\":\"updated.domain_config\"`, `\"action\":\"deleted.domain_config\"`} {
		if !strings.Contains(log, said) && !strings.Contains(log, strings.ReplaceAll(said, `\`, "")) {
			t.Errorf("the log does not say %s", said)
		}
	}
	for _, secret := range []string{"very-secret", "another-secret", "third-secret"} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// TestDomainConfigWriters: the settings are those of one of several that write at a time, never a mixture.
func TestDomainConfigWriters(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	_, path := c.newDomain(admin, "one")
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			send(t, c.public.URL, "PUT", path, admin, obj{"config": obj{"ldap": obj{"url": name, "user": name, "suffix": name}}})
		})
	}
	all.Wait()
	ldap := c.do("GET", path, admin, nil).want(200).at("config", "ldap").(obj)
	if len(ldap) != 3 || ldap["url"] != ldap["user"] || ldap["url"] != ldap["suffix"] {
		t.Errorf("a mixture: %v", ldap)
	}
}

func TestDomainConfigStandard(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "uuid", "[DEFAULT]", "api_compat = later")
	admin := c.adminToken()
	all := c.do("GET", "/v3/domains/config/default", admin, nil).want(200)
	for _, group := range []string{"identity", "ldap"} {
		options := all.at("config", group).(obj)
		c.do("GET", "/v3/domains/config/"+group+"/default", admin, nil).wantConfig(200, obj{group: options})
		for name, value := range options {
			c.do("GET", "/v3/domains/config/"+group+"/"+name+"/default", admin, nil).wantConfig(200, obj{name: value})
		}
	}
	if all.at("config", "ldap", "url") != "ldap://localhost" || all.at("config", "ldap", "password") != nil {
		t.Error(all.text)
	}
	c.do("GET", "/v3/domains/config/ldap/password/default", admin, nil).want(403)
	c.do("GET", "/v3/domains/config/ldap/x/default", admin, nil).want(403)
	c.do("GET", "/v3/domains/config/x/default", admin, nil).want(403)
	c.do("GET", "/v3/domains/config/default", c.login("authproxy", servicePassword, onProject("service")).token(), nil).want(403)
}
