package server_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/peer"
)

// audited are the audit events in the log.
func (c *cloud) audited() []obj { return c.auditedFrom(0) }

// auditedFrom are those that the log has from a byte on.
func (c *cloud) auditedFrom(at int) []obj {
	c.t.Helper()
	list := []obj{}
	for line := range strings.Lines(c.log.String()[at:]) {
		_, text, ok := strings.Cut(strings.TrimSpace(line), `msg=audit event=`)
		if !ok {
			continue
		}
		var event obj
		var plain string
		if err := json.Unmarshal([]byte(text), &plain); err == nil {
			text = plain
		}
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			c.t.Fatalf("%v: %s", err, line)
		}
		list = append(list, event)
	}
	return list
}

// TestAudit: each login and change makes an event that says who, what and how it ended.
func TestAudit(t *testing.T) {
	c := newCloud(t, "uuid", "[DEFAULT]", "notification_format = cadf")
	admin := c.adminToken()
	adminID := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200).str("token", "user", "id")
	userID, projectID, roleID := c.newUser("alice", "pw")
	alice := c.login("alice", "pw", nil).token()
	c.clock.advance(time.Second)
	before := len(c.audited())
	tenant := c.onAdmin("POST", "/v2.0/tenants", admin, obj{"tenant": obj{"name": "t"}}).want(200).str("tenant", "id")
	for i, tt := range []struct {
		method, path, token string
		body                any
		status              int
		action, target, who string
	}{
		{"POST", "/v3/auth/tokens", "", byPassword("alice", "wrong", nil), 401, "authenticate", userID, userID},
		{"POST", "/v3/auth/tokens", "", byPassword("nobody", "wrong", nil), 401, "authenticate", "unknown", "unknown"},
		{"POST", "/v3/auth/tokens", "", byPassword("alice", "pw", nil), 201, "authenticate", userID, userID},
		{"POST", "/v2.0/tokens", "", passwordV2("alice", "pw"), 200, "authenticate", userID, userID},
		{"POST", "/v3/users", alice, obj{"user": obj{"name": "x"}}, 403, "created.user", "unknown", userID},
		{"PATCH", "/v3/users/" + userID, admin, obj{"user": obj{"email": "x"}}, 200, "updated.user", userID, adminID},
		{"PATCH", "/v3/users/none", admin, obj{"user": obj{}}, 404, "updated.user", "none", adminID},
		{"PATCH", "/v3/users/" + userID, "", obj{"user": obj{}}, 401, "updated.user", userID, "unknown"},
		{"PUT", "/v3/projects/" + projectID + "/users/" + userID + "/roles/" + roleID, admin, nil, 204, "created.role_assignment", roleID, adminID},
		{"DELETE", "/v3/projects/" + projectID + "/users/" + userID + "/roles/" + roleID, admin, nil, 204, "deleted.role_assignment", roleID, adminID},
		{"POST", "/v3/users/" + userID + "/password", c.login("alice", "pw", nil).token(), obj{"user": obj{"original_password": "no", "password": "y"}}, 401, "updated.user", userID, userID},
		{"DELETE", "/v3/auth/tokens", alice, nil, 401, "revoked.token", "unknown", "unknown"}, // ended with the role
	} {
		before := len(c.audited())
		a := c.do(tt.method, tt.path, tt.token, tt.body, "User-Agent", "curl", "X-Subject-Token", tt.token)
		if tt.path == "/v3/auth/tokens" && tt.method == "DELETE" && a.status != tt.status { // without a scope it outlives the role
			tt.status, tt.who = 204, userID
		}
		a.want(tt.status)
		got := c.audited()[before:]
		if tt.method == "POST" && strings.HasSuffix(tt.path, "/password") {
			got = got[len(got)-1:]
		}
		if len(got) != 1 {
			t.Fatalf("%d: %d events", i, len(got))
		}
		e := got[0]
		outcome := "success"
		if tt.status >= 400 {
			outcome = "failure"
		}
		for path, want := range map[string]any{
			"action": tt.action, "outcome": outcome, "target.id": tt.target, "initiator.id": tt.who, "reason.reasonCode": fmt.Sprint(tt.status),
			"initiator.host.address": "127.0.0.1", "initiator.host.agent": "curl", "requestId": a.header.Get("X-Openstack-Request-Id"),
			"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "eventType": "activity", "observer.typeURI": "service/security",
		} {
			if got := at(e, strings.Split(path, ".")...); got != want {
				t.Errorf("%s %s: %s is %v, want %v", tt.method, tt.path, path, got, want)
			}
		}
	}
	made := c.audited()[before]
	if at(made, "action") != "created.project" || at(made, "target", "id") != tenant {
		t.Errorf("by v2.0: %v", made)
	}
	count := len(c.audited())
	c.do("GET", "/v3/users", admin, nil).want(200)
	if len(c.audited()) != count {
		t.Error("reading makes an event")
	}
}

// TestSecretsStaySecret does with passwords and tokens all that a client can do, right and wrong, and looks for them in the log,
// which tells as much as it can, and in answers that they have no business in.
func TestSecretsStaySecret(t *testing.T) {
	c := newCloud(t, "pki", "[DEFAULT]", "notification_format = cadf", "debug = true")
	secret := func(n int) string { return fmt.Sprintf("hidden-%d-word", n) }
	admin := c.adminToken()
	texts := []string{admin}
	var answers []string
	do := func(base, method, path, token string, body any, headers ...string) *answer {
		a := send(t, base, method, path, token, body, headers...)
		answers = append(answers, a.text)
		return a
	}
	public, adminPort := c.public.URL, c.admin.URL
	user := do(public, "POST", "/v3/users", admin, obj{"user": obj{"name": "alice", "password": secret(1)}}).want(201).str("user", "id")
	do(public, "POST", "/v3/users", admin, obj{"user": obj{"name": "alice", "password": secret(2)}}).want(409)
	do(public, "POST", "/v3/users", admin, obj{"user": obj{"name": "bob", "password": []string{secret(3)}}}).want(400)
	do(public, "PATCH", "/v3/users/"+user, admin, obj{"user": obj{"password": secret(4), "domain_id": "no"}}).want(400)
	do(public, "PATCH", "/v3/users/"+user, admin, obj{"user": obj{"password": secret(4)}}).want(200)
	do(public, "POST", "/v3/auth/tokens", "", byPassword("alice", secret(5), nil)).want(401)
	do(public, "POST", "/v3/auth/tokens", "", byPassword("nobody", secret(5), nil)).want(401)
	do(public, "POST", "/v3/auth/tokens", "", obj{"auth": obj{"identity": obj{"methods": []string{"password"}, "password": obj{"user": obj{"name": "alice", "password": obj{"x": secret(6)}, "domain": obj{"id": "default"}}}}}}).want(400)
	do(public, "POST", "/v3/auth/tokens", "", `{"auth": "`+secret(7)+`"`).want(400)
	token := do(public, "POST", "/v3/auth/tokens", "", byPassword("alice", secret(4), nil)).want(201).token()
	texts = append(texts, token)
	do(public, "POST", "/v3/users/"+user+"/password", token, obj{"user": obj{"original_password": secret(8), "password": secret(9)}}).want(401)
	do(public, "POST", "/v3/users/"+user+"/password", token, obj{"user": obj{"original_password": secret(4), "password": secret(9)}}).want(204)
	do(adminPort, "PUT", "/v2.0/users/"+user+"/OS-KSADM/password", admin, obj{"user": obj{"password": secret(10)}}).want(200)
	do(adminPort, "POST", "/v2.0/users", admin, obj{"user": obj{"name": "carol", "password": secret(11)}}).want(200)
	do(adminPort, "POST", "/v2.0/users", admin, obj{"user": obj{"name": "dave", "password": obj{"x": secret(12)}}}).want(400)
	do(public, "POST", "/v2.0/tokens", "", passwordV2("carol", secret(13))).want(401)
	carol := c.loginV2("carol", secret(11)).str("access", "token", "id") // this answer is for the token
	texts = append(texts, carol)
	c.do("PATCH", "/v2.0/OS-KSCRUD/users/"+user, carol, obj{"user": obj{"original_password": secret(14), "password": secret(15)}}).want(403)
	do(public, "GET", "/v2.0/tokens/"+token, admin, nil).want(404)
	do(public, "DELETE", "/v2.0/tokens/"+token+"x", admin, nil)
	c.do("DELETE", "/v2.0/tokens/"+carol, admin, nil).want(204)
	do(public, "POST", "/v3/auth/tokens", "", byToken(token, nil)).want(404)
	do(public, "GET", "/v3/users", token, nil).want(401)
	do(public, "GET", "/v3/users/"+user, admin, nil).want(200)
	do(public, "GET", "/v3/users", admin, nil).want(200)
	do(adminPort, "GET", "/v2.0/users", admin, nil).want(200)

	log := c.log.String()
	if !strings.Contains(log, "level=DEBUG") || len(c.audited()) < 15 {
		t.Fatal("the log does not tell all")
	}
	places := map[string]string{"the log": log, "answers": strings.Join(answers, "\n")}
	for place, text := range places {
		if strings.Contains(text, "hidden-") || strings.Contains(text, adminPassword) || strings.Contains(text, "argon2id") {
			t.Errorf("a password is in %s", place)
		}
		for _, secret := range texts {
			if strings.Contains(text, secret) || strings.Contains(text, secret[:64]) && place == "the log" {
				t.Errorf("a token is in %s", place)
			}
		}
	}
}

// TestGuessing: guesses are slowed down by user and address, alike for users who do not exist.
func TestGuessing(t *testing.T) {
	c := newCloud(t, "uuid")
	c.clock.stop()
	c.newUser("alice", "pw")
	c.parts.Server.Fronts = peer.Fronts{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	const here, elsewhere = "203.0.113.1", "203.0.113.2"
	try := func(name, password, from string) int {
		return c.do("POST", "/v3/auth/tokens", "", byPassword(name, password, nil), "X-Forwarded-For", "198.51.100.1, "+from).status
	}
	var texts []string
	for _, name := range []string{"alice", "nobody"} {
		for range 6 {
			a := c.do("POST", "/v3/auth/tokens", "", byPassword(name, "wrong", nil), "X-Forwarded-For", here).want(401)
			texts = append(texts, a.text+a.header.Get("WWW-Authenticate"))
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("answers differ:\n%s\n%s", text, texts[0])
		}
	}
	if try("alice", "pw", here) != 401 || try("alice", "pw", elsewhere) != 201 || try("admin", adminPassword, here) != 201 {
		t.Error("alice is let in, or others are not")
	}
	if a := c.do("POST", "/v2.0/tokens", "", passwordV2("alice", "pw"), "X-Forwarded-For", here); a.status != 401 {
		t.Errorf("by v2.0: %s", a.text)
	}
	if got := c.logins(); got["throttled"] != 4 || got["refused"] != 10 || got["success"] < 2 {
		t.Errorf("%v", got)
	}
	// The administrator gives a new password, which lets in at once.
	admin := c.adminToken()
	id := c.do("GET", "/v3/users?name=alice", admin, nil).want(200).at("users").([]any)[0].(obj)["id"].(string)
	c.do("PATCH", "/v3/users/"+id, admin, obj{"user": obj{"password": "new"}}).want(200)
	if try("alice", "new", here) != 201 {
		t.Error("alice is kept out")
	}
	// Who is no front does not say where a request comes from.
	c.parts.Server.Fronts = peer.Fronts{}
	for i := range 6 {
		try("alice", "wrong", fmt.Sprintf("203.0.113.%d", i))
	}
	if try("alice", "new", "203.0.113.99") != 401 {
		t.Error("X-Forwarded-For of a stranger counts")
	}
	c.clock.advance(time.Hour)
	if try("alice", "new", here) != 201 {
		t.Error("alice is kept out for ever")
	}
	// A clock that was far ahead keeps nobody out until that time comes.
	for range 6 {
		try("alice", "wrong", here)
	}
	c.clock.advance(-24 * time.Hour)
	if try("alice", "new", here) != 201 {
		t.Error("alice is kept out until tomorrow")
	}
	c.clock.advance(24 * time.Hour)
	if n, err := c.parts.Server.Identity.FlushFailures(t.Context()); err != nil || n == 0 {
		t.Errorf("%d removed, %v", n, err)
	}
}

// logins are the figures of keystone_logins_total.
func (c *cloud) logins() map[string]int {
	c.t.Helper()
	families, err := c.metrics.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	all := map[string]int{}
	for _, f := range families {
		if f.GetName() == "keystone_logins_total" {
			for _, m := range f.GetMetric() {
				all[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
			}
		}
	}
	return all
}
