package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signEC2 is a request signed by version 2, as it is handed to ec2tokens.
func signEC2(access, secret string, at time.Time) obj {
	stamp := at.UTC().Format("2006-01-02T15:04:05Z")
	params := obj{"Action": "X", "SignatureVersion": "2", "SignatureMethod": "HmacSHA256", "Timestamp": stamp}
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("GET\nnova:8773\n/\nAction=X&SignatureMethod=HmacSHA256&SignatureVersion=2&Timestamp=" + url.QueryEscape(stamp)))
	return obj{"credentials": obj{"access": access, "signature": base64.StdEncoding.EncodeToString(h.Sum(nil)), "host": "nova:8773",
		"verb": "GET", "path": "/", "params": params}}
}

// ec2Key makes a key for alice and her project.
func (c *trusting) ec2Key() (access, secret string) {
	c.t.Helper()
	a := c.do("POST", "/v3/users/"+c.alice+"/credentials/OS-EC2", c.aliceToken, obj{"tenant_id": c.project}).want(201)
	return a.str("credential", "access"), a.str("credential", "secret")
}

func TestEC2Tokens(t *testing.T) {
	for _, provider := range []string{"uuid", "pki"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			c := newTrusting(t, provider, "[DEFAULT]", "notification_format = cadf")
			access, secret := c.ec2Key()
			signed := signEC2(access, secret, c.clock.Now())
			service := c.login("authproxy", servicePassword, onProject("service")).token()
			a := c.do("POST", "/v3/ec2tokens", service, signed).want(200)
			text := a.token()
			if a.str("token", "user", "id") != c.alice || a.str("token", "project", "id") != c.project || a.at("token", "methods").([]any)[0] != "ec2credential" {
				t.Errorf("got %s", a.text)
			}
			if got := c.do("GET", "/v3/auth/tokens", c.admin, nil, "X-Subject-Token", text).want(200); got.str("token", "user", "id") != c.alice {
				t.Errorf("validated: %s", got.text)
			}
			if log := c.log.String(); !strings.Contains(log, "authenticate") || strings.Contains(log, secret) {
				t.Error("no event of the login, or the secret is in the log")
			}
			// It is for the key's project, and for nothing that outlives it.
			again := obj{"auth": obj{"identity": obj{"methods": []string{"token"}, "token": obj{"id": text}}}}
			c.do("POST", "/v3/auth/tokens", "", again).want(403)
			c.do("POST", "/v3/users/"+c.alice+"/credentials/OS-EC2", text, obj{"tenant_id": c.project}).want(403)
			c.do("POST", trustsPath, text, c.wish(nil)).want(403)
			c.do("POST", "/v3/ec2tokens", text, signed).want(403)

			c.do("POST", "/v3/ec2tokens", "", signed).want(401)
			c.do("POST", "/v3/ec2tokens", c.aliceToken, signed).want(403)
			changed := func(name string, value any) obj {
				o := maps.Clone(signed["credentials"].(obj))
				o[name] = value
				return obj{"credentials": o}
			}
			for what, test := range map[string]struct {
				body   obj
				status int
			}{
				"wrong secret":  {signEC2(access, secret+"x", c.clock.Now()), 401},
				"old":           {signEC2(access, secret, c.clock.Now().Add(-16*time.Minute)), 401},
				"unknown key":   {signEC2("none", secret, c.clock.Now()), 404},
				"no signature":  {changed("signature", nil), 401},
				"no access":     {changed("access", ""), 401},
				"other path":    {changed("path", "/x"), 401},
				"no parameters": {changed("params", "x"), 400},
				"a number":      {changed("params", obj{"x": 1}), 400},
				"nothing":       {obj{}, 400},
			} {
				if got := c.do("POST", "/v3/ec2tokens", service, test.body); got.status != test.status {
					t.Errorf("%s: %d, want %d: %s", what, got.status, test.status, got.text)
				}
			}
			c.do("POST", "/v3/ec2tokens", service, obj{"ec2Credentials": signed["credentials"]}).want(200)

			// The key is good while its user has a role, is enabled, and the key is there.
			for _, role := range []string{c.member, c.extra} {
				c.do("DELETE", c.grant(c.alice, role), c.admin, nil).want(204)
			}
			c.do("GET", "/v3/auth/tokens", c.admin, nil, "X-Subject-Token", text).want(404)
			c.do("POST", "/v3/ec2tokens", service, signed).want(401)
			c.do("PUT", c.grant(c.alice, c.member), c.admin, nil).want(204)
			c.do("POST", "/v3/ec2tokens", service, signed).want(200)
			c.do("PATCH", "/v3/users/"+c.alice, c.admin, obj{"user": obj{"enabled": false}}).want(200)
			c.do("POST", "/v3/ec2tokens", service, signed).want(401)
			c.do("PATCH", "/v3/users/"+c.alice, c.admin, obj{"user": obj{"enabled": true}}).want(200)
			c.do("DELETE", "/v3/users/"+c.alice+"/credentials/OS-EC2/"+access, c.admin, nil).want(204)
			c.do("POST", "/v3/ec2tokens", service, signed).want(404)
		})
	}
}

// TestEC2Trust is a key with a trust in it, as later Keystones and administrators make them: it is good for that trust alone.
func TestEC2Trust(t *testing.T) {
	t.Parallel()
	c := newTrusting(t, "uuid")
	service, id := c.login("authproxy", servicePassword, onProject("service")).token(), c.trust(nil)
	for _, test := range []struct {
		access, user, trust string
		status              int
	}{{"ofBob", c.bob, id, 200}, {"ofAlice", c.alice, id, 403}, {"none", c.bob, "none", 401}} {
		c.do("POST", "/v3/credentials", c.admin, obj{"credential": obj{"type": "ec2", "user_id": test.user, "project_id": c.project,
			"blob": `{"access": "` + test.access + `", "secret": "s", "trust_id": "` + test.trust + `"}`}}).want(201)
		a := c.do("POST", "/v3/ec2tokens", service, signEC2(test.access, "s", c.clock.Now())).want(test.status)
		if test.status == 200 && (a.str("token", "OS-TRUST:trust", "id") != id || a.str("token", "user", "id") != c.alice) {
			t.Errorf("got %s", a.text)
		}
	}
	// A trust for one project in a key for another.
	other := c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "other"}}).want(201).str("project", "id")
	c.do("PUT", "/v3/projects/"+other+"/users/"+c.bob+"/roles/"+c.member, c.admin, nil).want(204)
	c.do("POST", "/v3/credentials", c.admin, obj{"credential": obj{"type": "ec2", "user_id": c.bob, "project_id": other,
		"blob": `{"access": "elsewhere", "secret": "s", "trust_id": "` + id + `"}`}}).want(201)
	c.do("POST", "/v3/ec2tokens", service, signEC2("elsewhere", "s", c.clock.Now())).want(403)
}

// TestEC2RenamedCredential: what becomes an EC2 key, or one with another access key, by a change is no way to log in.
func TestEC2RenamedCredential(t *testing.T) {
	t.Parallel()
	c := newTrusting(t, "uuid")
	a := c.do("POST", "/v3/credentials", c.admin, obj{"credential": obj{"type": "cert", "user_id": c.bob, "blob": "x"}}).want(201)
	c.do("PATCH", "/v3/credentials/"+a.str("credential", "id"), c.admin, obj{"credential": obj{"type": "ec2", "user_id": c.alice, "project_id": c.project,
		"blob": `{"access": "A", "secret": "s"}`}}).want(200)
	access, secret := c.ec2Key()
	key := c.do("GET", "/v3/credentials?type=ec2&user_id="+c.alice, c.admin, nil).want(200).at("credentials").([]any)
	for _, v := range key {
		if id := v.(obj)["id"].(string); id != a.str("credential", "id") {
			c.do("PATCH", "/v3/credentials/"+id, c.admin, obj{"credential": obj{"blob": `{"access": "B", "secret": "` + secret + `"}`}}).want(200)
		}
	}
	service := c.login("authproxy", servicePassword, onProject("service")).token()
	for renamed, status := range map[string]int{"A": 404, "B": 404, access: 401} {
		c.do("POST", "/v3/ec2tokens", service, signEC2(renamed, map[bool]string{true: "s", false: secret}[renamed == "A"], c.clock.Now())).want(status)
	}
}

// TestEC2OfOthers: with rules that look at roles alone, the administrator of one domain gets no key of a user of another.
func TestEC2OfOthers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.json")
	rules := `{"admin_required": "role:admin", "owner": "user_id:%(user_id)s", "default": "rule:admin_required",
		"identity:ec2_create_credential": "rule:admin_required or rule:owner",
		"identity:update_user": "role:admin and domain_id:%(target.user.domain_id)s"}`
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newTrusting(t, "uuid", "[DEFAULT]", "policy_file = "+file)
	access, _ := c.ec2Key()
	role := c.do("GET", "/v3/roles?name=admin", c.admin, nil).at("roles").([]any)[0].(obj)["id"].(string)
	c.do("PUT", "/v3/domains/"+c.bobDomain+"/users/"+c.bob+"/roles/"+role, c.admin, nil).want(204)
	bob := c.loginID(c.bob, obj{"domain": obj{"id": c.bobDomain}}).want(201).token()
	ec2 := obj{"credential": obj{"type": "ec2", "user_id": c.alice, "project_id": c.project, "blob": `{"access": "A", "secret": "s"}`}}
	many := "/v3/users/" + c.alice + "/credentials/OS-EC2"
	for _, r := range []struct {
		method, path string
		body         any
	}{{"POST", "/v3/credentials", ec2}, {"POST", many, obj{"tenant_id": c.project}}, {"GET", many, nil}, {"GET", many + "/" + access, nil}} {
		if a := c.do(r.method, r.path, bob, r.body); a.status != 403 {
			t.Errorf("%s %s: %d, want 403: %s", r.method, r.path, a.status, a.text)
		}
	}
	if list := c.do("GET", "/v3/credentials", bob, nil).want(200).at("credentials").([]any); len(list) != 0 {
		t.Errorf("sees %v", list)
	}
	cert := c.do("POST", "/v3/credentials", bob, obj{"credential": obj{"type": "cert", "user_id": c.bob, "blob": "x"}}).want(201).str("credential", "id")
	c.do("PATCH", "/v3/credentials/"+cert, bob, ec2).want(403)
	c.do("POST", "/v3/users/"+c.bob+"/credentials/OS-EC2", bob, obj{"tenant_id": c.project}).want(201)
}

func TestEC2V2(t *testing.T) {
	t.Parallel()
	c := newCloud(t, "pki")
	admin := c.adminToken()
	me := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200)
	user, project := me.str("token", "user", "id"), me.str("token", "project", "id")
	for _, base := range []string{c.public.URL, c.admin.URL} {
		many := "/v2.0/users/" + user + "/credentials/OS-EC2"
		key := send(t, base, "POST", many, admin, obj{"tenant_id": project}).want(200)
		access := key.str("credential", "access")
		if key.at("credential", "links") != nil || key.str("credential", "tenant_id") != project {
			t.Errorf("made %s", key.text)
		}
		if list := send(t, base, "GET", many, admin, nil).want(200); len(list.at("credentials").([]any)) != 1 || list.at("links") != nil {
			t.Errorf("listed %s", list.text)
		}
		send(t, base, "GET", many+"/"+access, admin, nil).want(200)
		send(t, base, "POST", "/v2.0/ec2tokens", "", signEC2(access, key.str("credential", "secret"), c.clock.Now())).want(401)
		a := send(t, base, "POST", "/v2.0/ec2tokens", admin, signEC2(access, key.str("credential", "secret"), c.clock.Now())).want(200)
		if a.str("access", "user", "id") != user || a.str("access", "token", "tenant", "id") != project {
			t.Errorf("got %s", a.text)
		}
		onS3 := signS3(access, key.str("credential", "secret"))
		if base == c.public.URL {
			send(t, base, "POST", "/v2.0/s3tokens", admin, onS3).want(404)
		} else {
			a = send(t, base, "POST", "/v2.0/s3tokens", admin, onS3).want(200)
			if a.str("access", "user", "id") != user || a.str("access", "token", "tenant", "id") != project || !c.valid(a.str("access", "token", "id")) {
				t.Errorf("got %s", a.text)
			}
			send(t, base, "POST", "/v2.0/s3tokens", "", onS3).want(401)
		}
		send(t, base, "DELETE", many+"/"+access, admin, nil).want(204)
		send(t, base, "GET", many+"/"+access, admin, nil).want(404)
	}
	// Users of other domains are not there.
	domain := c.do("POST", "/v3/domains", admin, obj{"domain": obj{"name": "d"}}).want(201).str("domain", "id")
	other := c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "o", "domain_id": domain}}).want(201).str("user", "id")
	c.do("POST", "/v2.0/users/"+other+"/credentials/OS-EC2", admin, obj{"tenant_id": project}).want(404)
}
