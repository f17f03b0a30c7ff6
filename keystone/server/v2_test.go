package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

func passwordV2(name, password string, more ...string) obj {
	auth := obj{"passwordCredentials": obj{"username": name, "password": password}}
	for i := 0; i+1 < len(more); i += 2 {
		auth[more[i]] = more[i+1]
	}
	return obj{"auth": auth}
}

// loginV2 gets a token by the API v2.0.
func (c *cloud) loginV2(name, password string, more ...string) *answer {
	c.t.Helper()
	return c.do("POST", "/v2.0/tokens", "", passwordV2(name, password, more...)).want(200)
}

// onAdmin sends a request to the admin port.
func (c *cloud) onAdmin(method, path, token string, body any) *answer {
	c.t.Helper()
	return send(c.t, c.admin.URL, method, path, token, body)
}

// TestTokensOfBothAPIs: a token of one API is valid by the other, and says the same.
func TestTokensOfBothAPIs(t *testing.T) {
	for _, provider := range []string{"pki", "pkiz", "uuid"} {
		t.Run(provider, func(t *testing.T) {
			c := newCloud(t, provider)
			admin := c.adminToken()
			v2 := c.loginV2("admin", adminPassword, "tenantName", "admin")
			text := v2.str("access", "token", "id")
			v3 := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", text).want(200)
			if v3.str("token", "user", "name") != "admin" || v3.str("token", "project", "name") != "admin" || v3.str("token", "user", "domain", "id") != "default" {
				t.Errorf("by v3: %s", v3.text)
			}
			if end := v3.str("token", "expires_at"); strings.Replace(end, ".000000Z", "Z", 1) != v2.str("access", "token", "expires") {
				t.Errorf("ends at %s by v3, at %s by v2.0", end, v2.str("access", "token", "expires"))
			}
			back := c.do("GET", "/v2.0/tokens/"+text, admin, nil).want(200)
			if back.text != v2.text {
				t.Errorf("validated:\n%s\nissued:\n%s", back.text, v2.text)
			}
			c.do("HEAD", "/v2.0/tokens/"+text, admin, nil).want(200)

			// v3 to v2.0
			other := c.do("GET", "/v2.0/tokens/"+admin, admin, nil).want(200)
			if other.str("access", "token", "id") != admin || other.str("access", "user", "username") != "admin" ||
				other.str("access", "token", "tenant", "name") != "admin" || len(other.at("access", "serviceCatalog").([]any)) != 1 {
				t.Errorf("by v2.0: %s", other.text)
			}
			rescoped := c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"token": obj{"id": admin}}}).want(200)
			if audit := rescoped.at("access", "token", "audit_ids").([]any); len(audit) != 2 || rescoped.at("access", "token", "tenant") != nil {
				t.Errorf("from a v3 token: %s", rescoped.text)
			}

			if provider == "uuid" {
				return
			}
			der := decodeText(t, text)
			message, err := cms.Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			carried, err := token.DecodePayload(message.Content)
			if err != nil || carried.Version != 2 || carried.User.Name != "admin" || carried.Project == nil || carried.Project.Name != "admin" {
				t.Errorf("carries %+v, %v\n%s", carried, err, message.Content)
			}
			var body obj
			if err := json.Unmarshal(message.Content, &body); err != nil || at(body, "access", "token", "id") != "placeholder" {
				t.Errorf("carries %s", message.Content)
			}
			hash, err := token.ID(text, "md5")
			if err != nil {
				t.Fatal(err)
			}
			c.do("GET", "/v2.0/tokens/"+hash, admin, nil).want(200)
			c.do("DELETE", "/v2.0/tokens/"+hash, admin, nil).want(204)
			if c.valid(text) {
				t.Error("valid after it was revoked by its hash")
			}
			if list := c.do("GET", "/v2.0/tokens/revoked", admin, nil).want(200).str("signed"); !strings.HasPrefix(list, "-----BEGIN CMS-----") {
				t.Errorf("list %s", list)
			}
		})
	}
}

func decodeText(t *testing.T, text string) []byte {
	t.Helper()
	der, err := token.Decode(text, token.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestRescopingKeepsTheEnd: no way through both APIs makes a token live longer.
func TestRescopingKeepsTheEnd(t *testing.T) {
	c := newCloud(t, "uuid")
	first := c.login("admin", adminPassword, nil)
	end, err := time.Parse(time.RFC3339Nano, first.str("token", "expires_at"))
	if err != nil {
		t.Fatal(err)
	}
	text := first.token()
	for range 3 {
		c.clock.advance(time.Minute)
		a := c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"token": obj{"id": text}, "tenantName": "admin"}}).want(200)
		got, err := time.Parse(time.RFC3339Nano, a.str("access", "token", "expires"))
		if err != nil || got.After(end) {
			t.Errorf("ends %s, the first %s (%v)", got, end, err)
		}
		v3 := c.do("POST", "/v3/auth/tokens", "", byToken(a.str("access", "token", "id"), onProject("admin"))).want(201)
		if got, err = time.Parse(time.RFC3339Nano, v3.str("token", "expires_at")); err != nil || got.After(end) {
			t.Errorf("ends %s, the first %s (%v)", got, end, err)
		}
		text = v3.token()
	}
}

// TestOnlyTheDefaultDomain: v2.0 shows and gives nothing of another domain, however it is named.
func TestOnlyTheDefaultDomain(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	domainID := c.do("POST", "/v3/domains", admin, obj{"domain": obj{"name": "other"}}).want(201).str("domain", "id")
	userID := c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "olga", "password": "secret", "domain_id": domainID}}).want(201).str("user", "id")
	projectID := c.do("POST", "/v3/projects", admin, obj{"project": obj{"name": "theirs", "domain_id": domainID}}).want(201).str("project", "id")
	me := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200)
	roleID := me.at("token", "roles").([]any)[0].(obj)["id"].(string)
	for _, user := range []string{userID, me.str("token", "user", "id")} {
		c.do("PUT", "/v3/projects/"+projectID+"/users/"+user+"/roles/"+roleID, admin, nil).want(204)
	}
	theirs := c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{
		"identity": obj{"methods": []string{"password"}, "password": obj{"user": obj{"id": userID, "password": "secret"}}},
		"scope":    obj{"project": obj{"id": projectID}}}}).want(201).token()

	byID := obj{"auth": obj{"passwordCredentials": obj{"userId": userID, "password": "secret"}}}
	c.do("POST", "/v2.0/tokens", "", byID).want(401)
	c.do("POST", "/v2.0/tokens", "", obj{"auth": obj{"token": obj{"id": theirs}}}).want(401)
	c.do("POST", "/v2.0/tokens", "", passwordV2("admin", adminPassword, "tenantId", projectID)).want(401)
	c.do("POST", "/v2.0/tokens", "", passwordV2("olga", "secret")).want(401)
	c.do("GET", "/v2.0/tokens/"+theirs, admin, nil).want(401)
	domainScoped := c.do("PUT", "/v3/domains/default/users/"+me.str("token", "user", "id")+"/roles/"+roleID, admin, nil)
	domainScoped.want(204)
	onDomain := c.login("admin", adminPassword, obj{"domain": obj{"id": "default"}}).token()
	c.do("GET", "/v2.0/tokens/"+onDomain, admin, nil).want(401)
	if list := c.do("GET", "/v2.0/tenants", admin, nil).want(200).text; strings.Contains(list, projectID) {
		t.Errorf("own tenants: %s", list)
	}
	for _, path := range []string{"/v2.0/users/" + userID, "/v2.0/tenants/" + projectID, "/v2.0/users?name=olga", "/v2.0/tenants?name=theirs",
		"/v2.0/tenants/" + projectID + "/users"} {
		c.onAdmin("GET", path, admin, nil).want(404)
	}
	c.onAdmin("PUT", "/v2.0/users/"+userID, admin, obj{"user": obj{"enabled": false}}).want(404)
	c.onAdmin("DELETE", "/v2.0/users/"+userID, admin, nil).want(404)
	c.onAdmin("DELETE", "/v2.0/tenants/"+projectID, admin, nil).want(404)
	for _, path := range []string{"/v2.0/users", "/v2.0/tenants"} {
		if list := c.onAdmin("GET", path, admin, nil).want(200).text; strings.Contains(list, userID) || strings.Contains(list, projectID) {
			t.Errorf("%s: %s", path, list)
		}
	}
}

// TestV2FollowsTheRulesOfV3: an administrator of one domain is none of the default domain's, though admin_required holds.
func TestV2FollowsTheRulesOfV3(t *testing.T) {
	r := newRuled(t)
	domainID := r.do("POST", "/v3/domains", r.admin, obj{"domain": obj{"name": "other"}}).want(201).str("domain", "id")
	userID := r.do("POST", "/v3/users", r.admin, obj{"user": obj{"name": "olga", "password": "secret", "domain_id": domainID}}).want(201).str("user", "id")
	me := r.do("GET", "/v3/auth/tokens", r.admin, nil, "X-Subject-Token", r.admin).want(200)
	roleID, adminID := me.at("token", "roles").([]any)[0].(obj)["id"].(string), me.str("token", "user", "id")
	r.do("PUT", "/v3/domains/"+domainID+"/users/"+userID+"/roles/"+roleID, r.admin, nil).want(204)
	olga := r.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{
		"identity": obj{"methods": []string{"password"}, "password": obj{"user": obj{"id": userID, "password": "secret"}}},
		"scope":    obj{"domain": obj{"id": domainID}}}}).want(201).token()
	r.rules(strings.ReplaceAll(readFile(t, cloudSample), "admin_domain_id", "none"))
	for _, try := range []struct{ method, path string }{
		{"GET", "/v2.0/users"}, {"POST", "/v2.0/users"}, {"GET", "/v2.0/users/" + adminID}, {"PUT", "/v2.0/users/" + adminID}, {"DELETE", "/v2.0/users/" + adminID},
		{"GET", "/v2.0/tenants"}, {"POST", "/v2.0/tenants"}, {"POST", "/v2.0/OS-KSADM/roles"}, {"POST", "/v2.0/OS-KSADM/services"}, {"POST", "/v2.0/endpoints"},
	} {
		a := r.onAdmin(try.method, try.path, olga, obj{"user": obj{"name": "x", "password": "x"}, "tenant": obj{"name": "x"}, "role": obj{"name": "x"}})
		if a.status != 403 {
			t.Errorf("%s: %d %s", a.what, a.status, a.text)
		}
	}
}

// TestV2Users goes through what the recording does not show of users and tenants.
func TestV2Users(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	tenant := func(name string) string {
		return c.onAdmin("POST", "/v2.0/tenants", admin, obj{"tenant": obj{"name": name, "colour": "red"}}).want(200).str("tenant", "id")
	}
	first, second := tenant("first"), tenant("second")
	u := c.onAdmin("POST", "/v2.0/users", admin, obj{"user": obj{"username": "vera", "password": "p1", "tenantId": first, "domain_id": "x"}}).want(200)
	id := u.str("user", "id")
	if u.at("user", "domain_id") != nil || u.at("user", "password") != nil || u.str("user", "name") != "vera" {
		t.Errorf("made %s", u.text)
	}
	roles := func(tenant string) string {
		text := ""
		for _, r := range c.onAdmin("GET", "/v2.0/tenants/"+tenant+"/users/"+id+"/roles", admin, nil).want(200).at("roles").([]any) {
			text += r.(obj)["name"].(string) + " "
		}
		return text
	}
	old := c.loginV2("vera", "p1", "tenantId", first).str("access", "token", "id")
	c.onAdmin("PUT", "/v2.0/users/"+id+"/OS-KSADM/tenant", admin, obj{"user": obj{"id": id, "tenantId": second}}).want(200)
	if roles(first) != "" || roles(second) != "_member_ " {
		t.Errorf("roles %q and %q", roles(first), roles(second))
	}
	if c.valid(old) {
		t.Error("a token for the tenant that the user left is valid")
	}
	if list := c.onAdmin("GET", "/v2.0/tenants/"+second+"/users", admin, nil).want(200).at("users").([]any); len(list) != 1 || list[0].(obj)["id"] != id {
		t.Errorf("users of the tenant: %v", list)
	}
	c.onAdmin("PUT", "/v2.0/users/"+id, admin, obj{"user": obj{"id": "other", "email": "e"}}).want(400, "Cannot change ID")
	c.onAdmin("PUT", "/v2.0/users/"+id, admin, obj{"user": obj{"enabled": "yes"}}).want(400, "Enabled field must be a boolean")
	c.onAdmin("PUT", "/v2.0/users/"+id, admin, obj{"user": obj{"tenantId": "none"}}).want(404, "Could not find project: none")
	c.onAdmin("POST", "/v2.0/users", admin, obj{"user": obj{"password": "x"}}).want(400, "Name field is required and cannot be empty")
	c.onAdmin("POST", "/v2.0/users", admin, obj{"user": obj{"name": "vera"}}).want(409)
	c.onAdmin("PUT", "/v2.0/users/"+id+"/password", admin, obj{"user": obj{"password": "p2"}}).want(200)
	vera := c.loginV2("vera", "p2", "tenantName", "second").str("access", "token", "id")
	c.onAdmin("GET", "/v2.0/users", vera, nil).want(403, "You are not authorized to perform the requested action: admin_required")
	adminID := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200).str("token", "user", "id")
	c.do("PATCH", "/v2.0/OS-KSCRUD/users/"+adminID, vera, obj{"user": obj{"password": "x", "original_password": adminPassword}}).want(403)
	c.onAdmin("PATCH", "/v2.0/OS-KSCRUD/users/"+id, vera, obj{"user": obj{"password": "x", "original_password": "p2"}}).want(404)
	c.do("GET", "/v2.0/tenants?marker=none", vera, nil).want(400)
	c.do("GET", "/v2.0/tenants?limit=-1", vera, nil).want(400)
	if list := c.onAdmin("GET", "/v2.0/tenants?limit=1&marker="+first, admin, nil).want(200).at("tenants").([]any); len(list) != 1 || list[0].(obj)["id"] != second {
		t.Errorf("after the first: %v", list)
	}
}

func TestV2LoginErrors(t *testing.T) {
	c := newCloud(t, "uuid")
	long := strings.Repeat("x", 65)
	for body, want := range map[string]struct {
		status  int
		message string
	}{
		`{"auth": null}`: {400, expecting("auth", "request body")},
		`{"auth": {"passwordCredentials": {"username": "admin"}}}`:                                                                                       {400, expecting("password", "passwordCredentials")},
		`{"auth": {"passwordCredentials": {"password": "x"}}}`:                                                                                           {400, expecting("username or userId", "passwordCredentials")},
		`{"auth": {"token": {}}}`:                                                                                                                        {400, expecting("id", "token")},
		`{"auth": {"token": {"id": "none"}}}`:                                                                                                            {401, denied},
		`{"auth": {"trust_id": "x", "token": {"id": "none"}}}`:                                                                                           {401, "The request you have made requires authentication."},
		`{"auth": {"trust_id": 1, "token": {"id": "none"}}}`:                                                                                             {400, "Invalid input for field 'trust_id'. The value is '1'."},
		fmt.Sprintf(`{"auth": {"tenantId": "%s", "token": {"id": "x"}}}`, long):                                                                          {400, tooLarge("tenantId", 64)},
		fmt.Sprintf(`{"auth": {"passwordCredentials": {"username": "%s", "password": "x"}}}`, long):                                                      {400, tooLarge("username", 64)},
		fmt.Sprintf(`{"auth": {"passwordCredentials": {"username": "x", "password": "%s"}}}`, strings.Repeat("x", 4097)):                                 {400, tooLarge("password", 4096)},
		fmt.Sprintf(`{"auth": {"passwordCredentials": {"username": "admin", "password": "%s"}, "tenantName": "no"}}`, adminPassword):                     {401, denied},
		fmt.Sprintf(`{"auth": {"passwordCredentials": {"username": "admin", "password": "%s"}, "tenantName": "admin", "tenantId": "x"}}`, adminPassword): {401, denied},
		fmt.Sprintf(`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "%s", "password": "x"}}}}}`, long):                      {400, expecting("passwordCredentials", "auth")},
	} {
		if a := c.do("POST", "/v2.0/tokens", "", body); a.status != want.status || a.at("error", "message") != want.message {
			t.Errorf("%.100s: %d %v, want %d %s", body, a.status, a.at("error", "message"), want.status, want.message)
		}
	}
	c.do("POST", "/v3/auth/tokens", "", byToken("x", obj{"project": obj{"id": long}})).want(400, tooLarge("project.id", 64))
}

func tooLarge(attribute string, most int) string {
	return fmt.Sprintf("Request attribute %s must be less than or equal to %d. The server could not comply with the request because the attribute size is invalid (too large). The client is assumed to be in error.", attribute, most)
}
