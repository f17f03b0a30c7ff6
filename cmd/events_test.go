package cmd

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"authproxy/examples/cloud"
	"authproxy/keystone/token"
)

// TestEventsWithoutList: where the identity backend keeps no list of revoked tokens, the proxy learns by events alone what ended a
// token, whichever spelling it comes in, over restarts, and while the backend is down.
func TestEventsWithoutList(t *testing.T) {
	c := newCloud(t, func(c *cloud.Cloud) { c.TokenExtra = "revoke_by_id = false" })
	must(t, c.StartProxy(t.Context()))
	a := administrator(t, c)
	member := a.id("roles", "/v3/roles?name=member")

	type person struct{ user, project, domain, token string }
	newMember := func(name string) person {
		t.Helper()
		m := person{domain: a.create("domain", "/v3/domains", `{"domain":{"name":"d-`+name+`"}}`)}
		m.project = a.create("project", "/v3/projects", `{"project":{"name":"p-`+name+`","domain_id":"default"}}`)
		m.user = a.create("user", "/v3/users", `{"user":{"name":"u-`+name+`","domain_id":"`+m.domain+`","password":"pw"}}`)
		a.ask("PUT", "/v3/projects/"+m.project+"/users/"+m.user+"/roles/"+member, "", 204)
		res, text, err := cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/auth/tokens", nil, fmt.Sprintf(
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":%q,"password":"pw"}}},"scope":{"project":{"id":%q}}}}`, m.user, m.project))
		must(t, err)
		if res.StatusCode != http.StatusCreated {
			t.Fatal(res.Status, text)
		}
		m.token = res.Header.Get("X-Subject-Token")
		wantStatus(t, c, m.token, http.StatusOK) // so that it is in the cache, too
		return m
	}
	bystander := newMember("bystander")
	var ended []string
	for name, end := range map[string]func(person){
		"user disabled":    func(m person) { a.ask("PATCH", "/v3/users/"+m.user, `{"user":{"enabled":false}}`, 200) },
		"user deleted":     func(m person) { a.ask("DELETE", "/v3/users/"+m.user, "", 204) },
		"password changed": func(m person) { a.ask("PATCH", "/v3/users/"+m.user, `{"user":{"password":"another"}}`, 200) },
		"role removed":     func(m person) { a.ask("DELETE", "/v3/projects/"+m.project+"/users/"+m.user+"/roles/"+member, "", 204) },
		"project disabled": func(m person) { a.ask("PATCH", "/v3/projects/"+m.project, `{"project":{"enabled":false}}`, 200) },
		"domain disabled":  func(m person) { a.ask("PATCH", "/v3/domains/"+m.domain, `{"domain":{"enabled":false}}`, 200) },
		"token revoked":    func(m person) { must(t, c.Revoke(t.Context(), m.token)) },
	} {
		m := newMember(strings.ReplaceAll(name, " ", "-"))
		end(m)
		t.Logf("%s: refused after %s", name, becomes(t, c, m.token, http.StatusUnauthorized, 5*time.Second))
		ended = append(ended, m.token)
	}
	refused := func() {
		t.Helper()
		for _, text := range ended {
			der, err := token.Decode(text, token.Limits{})
			must(t, err)
			other, err := token.EncodePKIZ(der)
			must(t, err)
			wantStatus(t, c, text, http.StatusUnauthorized)
			wantStatus(t, c, other, http.StatusUnauthorized)
		}
		wantStatus(t, c, bystander.token, http.StatusOK)
	}
	refused()
	if n := metric(t, c, `authproxy_revoked_tokens_total{kind="event"}`); n < float64(2*len(ended)) {
		t.Errorf("%g hits by events", n)
	}
	if n := metric(t, c, "authproxy_online_validations_total"); n != 0 {
		t.Errorf("%g tokens were put to the backend", n)
	}

	restart := func() {
		t.Helper()
		must(t, c.Kill(cloud.Authproxy))
		must(t, c.StartProxy(t.Context()))
	}
	restart()
	refused()
	// A password change ends the tokens of before, and none of those after it.
	alice := tokenOf(t, c)
	wantStatus(t, c, alice, http.StatusOK)

	must(t, c.Kill(cloud.KeystoneAll))
	refused()
}

// TestEventsForOpaqueTokens: opaque tokens in the cache end by events before their time in the cache is over.
func TestEventsForOpaqueTokens(t *testing.T) {
	c := newCloud(t, func(c *cloud.Cloud) {
		c.Provider = "uuid"
		c.AuthtokenExtra = "token_cache_time = 3600"
	})
	must(t, c.StartProxy(t.Context()))
	text := tokenOf(t, c)
	wantStatus(t, c, text, http.StatusOK)
	must(t, c.Revoke(t.Context(), text))
	t.Logf("refused after %s", becomes(t, c, text, http.StatusUnauthorized, 5*time.Second))
	if n := metric(t, c, `authproxy_revoked_tokens_total{kind="event"}`); n == 0 {
		t.Error("it was not an event that ended it")
	}
}
