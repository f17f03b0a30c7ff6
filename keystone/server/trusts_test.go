package server_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/certs/cms"
	"authproxy/keystone"
	"authproxy/keystone/token"
)

const trustsPath = "/v3/OS-TRUST/trusts"

func onTrust(id string) obj { return obj{"OS-TRUST:trust": obj{"id": id}} }

// trusting is a cloud with alice, who has two roles on a project, and bob, whom she trusts.
type trusting struct {
	*cloud
	admin                    string
	alice, bob, project      string // ids
	member, extra            string // ids of alice's roles
	aliceToken               string
	group                    string // set where a test makes one
	bobDomain, projectDomain string
}

func newTrusting(t *testing.T, provider string, lines ...string) *trusting {
	c := &trusting{cloud: newCloud(t, provider, lines...)}
	c.admin = c.adminToken()
	c.projectDomain = c.do("POST", "/v3/domains", c.admin, obj{"domain": obj{"name": "of-projects"}}).want(201).str("domain", "id")
	c.bobDomain = c.do("POST", "/v3/domains", c.admin, obj{"domain": obj{"name": "of-bob"}}).want(201).str("domain", "id")
	c.alice = c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "alice", "password": "pw"}}).want(201).str("user", "id")
	c.bob = c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "bob", "password": "pw", "domain_id": c.bobDomain}}).want(201).str("user", "id")
	c.project = c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "p", "domain_id": c.projectDomain}}).want(201).str("project", "id")
	c.member = c.do("POST", "/v3/roles", c.admin, obj{"role": obj{"name": "painter"}}).want(201).str("role", "id")
	c.extra = c.do("POST", "/v3/roles", c.admin, obj{"role": obj{"name": "singer"}}).want(201).str("role", "id")
	for _, role := range []string{c.member, c.extra} {
		c.do("PUT", c.grant(c.alice, role), c.admin, nil).want(204)
	}
	c.aliceToken = c.loginID(c.alice, obj{"project": obj{"id": c.project}}).want(201).token()
	return c
}

func (c *trusting) grant(userID, roleID string) string {
	return "/v3/projects/" + c.project + "/users/" + userID + "/roles/" + roleID
}

func byUserID(userID string, scope any) obj {
	auth := obj{"identity": obj{"methods": []string{"password"}, "password": obj{"user": obj{"id": userID, "password": "pw"}}}}
	if scope != nil {
		auth["scope"] = scope
	}
	return obj{"auth": auth}
}

// loginID is the answer to a login with the password pw.
func (c *cloud) loginID(userID string, scope any) *answer {
	c.t.Helper()
	return c.do("POST", "/v3/auth/tokens", "", byUserID(userID, scope))
}

// wish is a trust from alice to bob, with changes; nil takes a member out.
func (c *trusting) wish(changes obj) obj {
	w := obj{"trustor_user_id": c.alice, "trustee_user_id": c.bob, "project_id": c.project, "impersonation": true, "roles": []obj{{"id": c.member}}}
	for name, v := range changes {
		if w[name] = v; v == nil {
			delete(w, name)
		}
	}
	return obj{"trust": w}
}

func (c *trusting) trust(changes obj) string {
	c.t.Helper()
	return c.do("POST", trustsPath, c.aliceToken, c.wish(changes)).want(201).str("trust", "id")
}

func TestTrustLife(t *testing.T) {
	c := newTrusting(t, "pki")
	end := time.Now().Add(40 * time.Minute).UTC().Format("2006-01-02T15:04:05.000000Z")
	a := c.do("POST", trustsPath, c.aliceToken, c.wish(obj{"expires_at": end, "remaining_uses": 5, "note": "x"})).want(201)
	id := a.str("trust", "id")
	if a.str("trust", "expires_at") != end || a.at("trust", "remaining_uses") != 5.0 || a.str("trust", "note") != "x" || a.at("trust", "redelegation_count") != 0.0 {
		t.Errorf("made: %s", a.text)
	}
	if roles := a.at("trust", "roles").([]any); len(roles) != 1 || roles[0].(obj)["name"] != "painter" {
		t.Errorf("roles: %s", a.text)
	}
	bob := c.loginID(c.bob, nil).want(201).token()
	for _, who := range []string{c.aliceToken, bob} {
		got := c.do("GET", trustsPath+"/"+id, who, nil).want(200)
		if fmt.Sprint(got.body) != fmt.Sprint(a.body) {
			t.Errorf("got %s, made %s", got.text, a.text)
		}
		if got := c.do("HEAD", trustsPath+"/"+id, who, nil).want(200); got.text != "" {
			t.Error("HEAD has a body")
		}
		if got := c.do("GET", trustsPath+"/"+id+"/roles", who, nil).want(200); len(got.at("roles").([]any)) != 1 {
			t.Errorf("roles: %s", got.text)
		}
		c.do("HEAD", trustsPath+"/"+id+"/roles", who, nil).want(200)
		if got := c.do("GET", trustsPath+"/"+id+"/roles/"+c.member, who, nil).want(200); got.str("role", "id") != c.member {
			t.Errorf("role: %s", got.text)
		}
		c.do("HEAD", trustsPath+"/"+id+"/roles/"+c.member, who, nil).want(200)
		c.do("GET", trustsPath+"/"+id+"/roles/"+c.extra, who, nil).want(404)
	}
	list := func(who, query string, status int, n int) {
		t.Helper()
		a := c.do("GET", trustsPath+query, who, nil).want(status)
		if status == 200 && len(a.at("trusts").([]any)) != n {
			t.Errorf("%s: %s, want %d", query, a.text, n)
		}
	}
	list(c.aliceToken, "?trustor_user_id="+c.alice, 200, 1)
	list(c.aliceToken, "?trustee_user_id="+c.alice, 200, 0)
	list(c.aliceToken, "?trustee_user_id="+c.bob, 403, 0)
	list(c.aliceToken, "?trustor_user_id="+c.alice+"&trustee_user_id="+c.bob, 403, 0)
	list(c.aliceToken, "", 403, 0)
	list(bob, "?trustee_user_id="+c.bob, 200, 1)
	list(bob, "?trustor_user_id="+c.bob+"&trustee_user_id="+c.bob, 200, 1)
	list(bob, "?trustor_user_id="+c.alice, 403, 0)
	list(c.admin, "", 200, 1)
	list(c.admin, "?trustor_user_id="+c.alice, 403, 0)
	list("", "", 401, 0)

	// A third user, even an administrator, does not see it; who has the trust's tokens sees that one.
	c.do("GET", trustsPath+"/"+id, c.admin, nil).want(403)
	c.do("GET", trustsPath+"/none", c.aliceToken, nil).want(404, "Could not find trust: none")
	byTrust := c.loginID(c.bob, onTrust(id)).want(201)
	c.do("GET", trustsPath+"/"+id, byTrust.token(), nil).want(200)
	other := c.trust(nil)
	c.do("GET", trustsPath+"/"+other, byTrust.token(), nil).want(403)
	c.do("DELETE", trustsPath+"/"+other, byTrust.token(), nil).want(403)
	list(byTrust.token(), "?trustor_user_id="+c.alice, 403, 0)

	c.do("DELETE", trustsPath+"/"+id, bob, nil).want(403)
	c.do("DELETE", trustsPath+"/"+id, c.aliceToken, nil).want(204)
	c.do("DELETE", trustsPath+"/"+id, c.aliceToken, nil).want(404)
	c.do("GET", trustsPath+"/"+id, c.aliceToken, nil).want(404)
	c.wantRevoked(byTrust)
	c.do("DELETE", trustsPath+"/"+other, c.admin, nil).want(204)
}

func TestTrustToken(t *testing.T) {
	for _, impersonation := range []bool{true, false} {
		t.Run(fmt.Sprint("impersonation ", impersonation), func(t *testing.T) {
			c := newTrusting(t, "pki")
			end := time.Now().Add(10 * time.Minute).UTC().Format("2006-01-02T15:04:05.000000Z")
			id := c.trust(obj{"impersonation": impersonation, "expires_at": end})
			a := c.loginID(c.bob, onTrust(id)).want(201)
			user, domain := c.bob, c.bobDomain
			if impersonation {
				user, domain = c.alice, "default"
			}
			if a.str("token", "user", "id") != user || a.str("token", "user", "domain", "id") != domain || a.str("token", "project", "id") != c.project || a.str("token", "expires_at") != end {
				t.Errorf("token %s", a.text)
			}
			trust := a.at("token", "OS-TRUST:trust")
			want := obj{"id": id, "impersonation": impersonation, "trustor_user": obj{"id": c.alice}, "trustee_user": obj{"id": c.bob}}
			if fmt.Sprint(trust) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", trust, want)
			}
			if roles := a.at("token", "roles").([]any); len(roles) != 1 || roles[0].(obj)["id"] != c.member {
				t.Errorf("roles %v", roles)
			}
			// What the token text itself says, as a verifier reads it.
			der, err := token.Decode(a.token(), token.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			signed, err := cms.Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			said, err := token.DecodePayload(signed.Content)
			if err != nil || said.Trust == nil || *said.Trust != (keystone.Trust{ID: id, Impersonation: impersonation, TrustorUserID: c.alice, TrusteeUserID: c.bob}) {
				t.Errorf("payload %+v, %v", said, err)
			}
			validated := c.do("GET", "/v3/auth/tokens?nocatalog", c.admin, nil, "X-Subject-Token", a.token()).want(200)
			if validated.str("token", "OS-TRUST:trust", "id") != id || validated.at("token", "catalog") != nil {
				t.Errorf("without its catalog: %s", validated.text)
			}

			// A trust's token gives what it says and nothing that outlives it.
			c.do("POST", "/v3/auth/tokens", "", byToken(a.token(), nil)).want(403)
			c.do("POST", "/v3/auth/tokens", "", byToken(a.token(), obj{"project": obj{"id": c.project}})).want(403)
			c.do("POST", "/v3/auth/tokens", "", byToken(a.token(), obj{"unscoped": obj{}})).want(403)
			c.do("POST", "/v3/auth/tokens", "", byToken(a.token(), onTrust(id))).want(403)
			c.do("POST", "/v3/users/"+user+"/password", a.token(), obj{"user": obj{"original_password": "pw", "password": "new"}}).want(403)
			c.do("POST", trustsPath, a.token(), c.wish(obj{"trustor_user_id": user})).want(403)
		})
	}
}

func TestTrustLoginRefused(t *testing.T) {
	c := newTrusting(t, "uuid")
	id := c.trust(nil)
	c.loginID(c.bob, onTrust("none")).want(401)
	c.loginID(c.alice, onTrust(id)).want(403)
	c.do("POST", "/v3/auth/tokens", "", byUserID(c.bob, obj{"OS-TRUST:trust": obj{}})).want(400)
	c.do("POST", "/v3/auth/tokens", "", byUserID(c.bob, obj{"OS-TRUST:trust": obj{"id": 1}})).want(400)
	c.do("POST", "/v3/auth/tokens", "", byUserID(c.bob, obj{"OS-TRUST:trust": "x"})).want(400)
	wrong := byUserID(c.bob, onTrust(id))
	wrong["auth"].(obj)["identity"].(obj)["password"].(obj)["user"].(obj)["password"] = "no"
	c.do("POST", "/v3/auth/tokens", "", wrong).want(401)

	for what, test := range map[string]struct {
		path       string
		off, on    obj
		status     int
		bystanders bool
	}{
		"trustor":        {"/v3/users/" + c.alice, obj{"user": obj{"enabled": false}}, obj{"user": obj{"enabled": true}}, 403, false},
		"trustee":        {"/v3/users/" + c.bob, obj{"user": obj{"enabled": false}}, obj{"user": obj{"enabled": true}}, 401, false},
		"trustee domain": {"/v3/domains/" + c.bobDomain, obj{"domain": obj{"enabled": false}}, obj{"domain": obj{"enabled": true}}, 401, false},
		"project":        {"/v3/projects/" + c.project, obj{"project": obj{"enabled": false}}, obj{"project": obj{"enabled": true}}, 401, false},
		"project domain": {"/v3/domains/" + c.projectDomain, obj{"domain": obj{"enabled": false}}, obj{"domain": obj{"enabled": true}}, 401, false},
	} {
		c.do("PATCH", test.path, c.adminToken(), test.off).want(200)
		if a := c.loginID(c.bob, onTrust(id)); a.status != test.status {
			t.Errorf("%s disabled: %d, want %d", what, a.status, test.status)
		}
		c.do("PATCH", test.path, c.adminToken(), test.on).want(200)
		c.loginID(c.bob, onTrust(id)).want(201)
	}

	both := c.do("POST", trustsPath, c.loginID(c.alice, nil).token(), c.wish(obj{"roles": []obj{{"id": c.member}, {"name": "singer"}, {"id": c.extra}}})).want(201).str("trust", "id")
	if roles := c.loginID(c.bob, onTrust(both)).want(201).at("token", "roles").([]any); len(roles) != 2 {
		t.Errorf("roles %v", roles)
	}
	c.do("DELETE", c.grant(c.alice, c.extra), c.adminToken(), nil).want(204)
	c.loginID(c.bob, onTrust(id)).want(201)
	c.loginID(c.bob, onTrust(both)).want(403) // not with less than was agreed
	c.do("PUT", c.grant(c.alice, c.extra), c.adminToken(), nil).want(204)
	c.loginID(c.bob, onTrust(both)).want(201)
	c.do("DELETE", "/v3/roles/"+c.extra, c.adminToken(), nil).want(204)
	c.loginID(c.bob, onTrust(both)).want(403)
	if got := c.do("GET", trustsPath+"/"+both, c.loginID(c.alice, nil).token(), nil).want(200); len(got.at("trust", "roles").([]any)) != 1 {
		t.Errorf("a role that is gone is shown: %s", got.text)
	}

	end := time.Now().Add(30 * time.Minute).UTC().Format(time.RFC3339)
	short := c.do("POST", trustsPath, c.loginID(c.alice, nil).token(), c.wish(obj{"expires_at": end})).want(201).str("trust", "id")
	c.loginID(c.bob, onTrust(short)).want(201)
	c.clock.advance(31 * time.Minute)
	c.loginID(c.bob, onTrust(short)).want(401)
	alice := c.loginID(c.alice, nil).token()
	c.do("GET", trustsPath+"/"+short, alice, nil).want(404)
	c.do("DELETE", trustsPath+"/"+short, alice, nil).want(204)
	if got := c.do("GET", trustsPath+"?trustor_user_id="+c.alice, alice, nil).want(200); len(got.at("trusts").([]any)) != 2 {
		t.Errorf("trusts left: %s", got.text)
	}
}

func TestTrustWithoutProject(t *testing.T) {
	c := newTrusting(t, "uuid")
	id := c.trust(obj{"project_id": nil, "roles": nil})
	a := c.loginID(c.bob, onTrust(id)).want(201)
	if a.at("token", "project") != nil || a.at("token", "roles") != nil || a.at("token", "catalog") != nil || a.str("token", "OS-TRUST:trust", "id") != id {
		t.Errorf("token %s", a.text)
	}
	c.do("POST", "/v3/auth/tokens", "", byToken(a.token(), obj{"project": obj{"id": c.project}})).want(403)
}

func TestTrustWrongRequests(t *testing.T) {
	c := newTrusting(t, "uuid")
	past := time.Now().Add(-time.Second).UTC().Format(time.RFC3339)
	for _, test := range []struct {
		changes obj
		status  int
	}{
		{obj{"trustor_user_id": c.bob}, 403},
		{obj{"trustor_user_id": nil}, 403}, // nothing that a rule could compare
		{obj{"trustee_user_id": nil}, 400},
		{obj{"trustee_user_id": 1}, 400},
		{obj{"trustee_user_id": "none"}, 404},
		{obj{"impersonation": nil}, 400},
		{obj{"impersonation": "true"}, 400},
		{obj{"project_id": "none"}, 404},
		{obj{"roles": nil}, 403},
		{obj{"roles": []obj{}}, 403},
		{obj{"roles": "x"}, 400},
		{obj{"roles": []obj{{}}}, 400},
		{obj{"roles": []string{"x"}}, 400},
		{obj{"roles": []obj{{"id": "none"}}}, 404},
		{obj{"project_id": nil}, 404}, // roles on nothing
		{obj{"expires_at": past}, 400},
		{obj{"expires_at": "soon"}, 400},
		{obj{"remaining_uses": 0}, 400},
		{obj{"remaining_uses": -1}, 400},
		{obj{"remaining_uses": 1.5}, 400},
		{obj{"remaining_uses": "1"}, 400},
		{obj{"redelegation_count": -1}, 400},
		{obj{"allow_redelegation": true}, 403}, // switched off
		{obj{"allow_redelegation": 1}, 400},
	} {
		if a := c.do("POST", trustsPath, c.aliceToken, c.wish(test.changes)); a.status != test.status {
			t.Errorf("%v: %d, want %d: %s", test.changes, a.status, test.status, a.text)
		}
	}
	reader := c.do("POST", "/v3/roles", c.admin, obj{"role": obj{"name": "reader"}}).want(201).str("role", "id")
	c.do("POST", trustsPath, c.aliceToken, c.wish(obj{"roles": []obj{{"id": reader}}})).want(404, "Could not find role: "+reader)
	c.do("POST", trustsPath, c.aliceToken, obj{}).want(403)
	c.do("POST", trustsPath, "", c.wish(nil)).want(401)
	c.parts.Server.AdminToken = "a-long-admin-token"
	c.do("POST", trustsPath, "a-long-admin-token", c.wish(nil)).want(403)
	id := c.trust(nil)
	c.do("GET", trustsPath+"/"+id, "a-long-admin-token", nil).want(200)
	c.do("GET", trustsPath, "a-long-admin-token", nil).want(200)
	c.do("DELETE", trustsPath+"/"+id, "a-long-admin-token", nil).want(204)
}

func TestTrustsOff(t *testing.T) {
	c := newTrusting(t, "uuid", "[trust]", "enabled = false")
	c.do("POST", trustsPath, c.aliceToken, c.wish(nil)).want(404)
	c.loginID(c.bob, onTrust("x")).want(401)
}

// TestTrustUses has many log in at once with a trust of few uses.
func TestTrustUses(t *testing.T) {
	c := newTrusting(t, "uuid")
	const uses, logins = 5, 16
	id := c.trust(obj{"remaining_uses": uses})
	status := make([]int, logins)
	var all sync.WaitGroup
	for i := range logins {
		all.Go(func() { status[i] = c.loginID(c.bob, onTrust(id)).status })
	}
	all.Wait()
	count := map[int]int{}
	for _, s := range status {
		count[s]++
	}
	if !maps.Equal(count, map[int]int{201: uses, 403: logins - uses}) {
		t.Errorf("got %v, want %d times 201, else 403", count, uses)
	}
	c.loginID(c.bob, onTrust(id)).want(403, "No remaining uses for trust: "+id)
	c.do("GET", trustsPath+"/"+id, c.aliceToken, nil).want(404)
	c.do("DELETE", trustsPath+"/"+id, c.aliceToken, nil).want(204) // its tokens are to end all the same
}

// TestTrustRevocation: what ends the tokens of a trust, and that a login after it is good.
func TestTrustRevocation(t *testing.T) {
	for name, test := range map[string]struct {
		trigger, back func(c *trusting)
		event         func(c *trusting) obj
		gone          bool // no login afterwards
	}{
		"trust deleted": {func(c *trusting) {
			list := c.do("GET", trustsPath, c.admin, nil).want(200).at("trusts").([]any)
			c.do("DELETE", trustsPath+"/"+list[0].(obj)["id"].(string), c.loginID(c.alice, nil).token(), nil).want(204)
		}, nil, nil, true},
		"trustor's password": {func(c *trusting) {
			c.do("PATCH", "/v3/users/"+c.alice, c.admin, obj{"user": obj{"password": "pw"}}).want(200)
		}, nil, func(c *trusting) obj { return obj{"user_id": c.alice} }, false},
		"trustee's password": {func(c *trusting) {
			c.do("PATCH", "/v3/users/"+c.bob, c.admin, obj{"user": obj{"password": "pw"}}).want(200)
		}, nil, func(c *trusting) obj { return obj{"user_id": c.bob} }, false},
		"trustee disabled": {func(c *trusting) {
			c.do("PATCH", "/v3/users/"+c.bob, c.admin, obj{"user": obj{"enabled": false}}).want(200)
		}, func(c *trusting) {
			c.do("PATCH", "/v3/users/"+c.bob, c.admin, obj{"user": obj{"enabled": true}}).want(200)
		}, nil, false},
		"trustee's domain disabled": {func(c *trusting) {
			c.do("PATCH", "/v3/domains/"+c.bobDomain, c.admin, obj{"domain": obj{"enabled": false}}).want(200)
		}, func(c *trusting) {
			c.do("PATCH", "/v3/domains/"+c.bobDomain, c.admin, obj{"domain": obj{"enabled": true}}).want(200)
		}, nil, false},
		"trustor's role removed": {func(c *trusting) {
			c.do("DELETE", c.grant(c.alice, c.member), c.admin, nil).want(204)
		}, func(c *trusting) { c.do("PUT", c.grant(c.alice, c.member), c.admin, nil).want(204) }, nil, false},
		"trustor left a group": {func(c *trusting) {
			c.do("DELETE", "/v3/groups/"+c.group+"/users/"+c.alice, c.admin, nil).want(204)
		}, func(c *trusting) { c.do("PUT", "/v3/groups/"+c.group+"/users/"+c.alice, c.admin, nil).want(204) }, nil, false},
		"trustor's group lost the role": {func(c *trusting) {
			c.do("DELETE", "/v3/projects/"+c.project+"/groups/"+c.group+"/roles/"+c.member, c.admin, nil).want(204)
		}, nil, nil, true},
		"trustor deleted": {func(c *trusting) { c.do("DELETE", "/v3/users/"+c.alice, c.admin, nil).want(204) }, nil, nil, true},
		"trustee deleted": {func(c *trusting) { c.do("DELETE", "/v3/users/"+c.bob, c.admin, nil).want(204) }, nil, nil, true},
		"project deleted": {func(c *trusting) { c.do("DELETE", "/v3/projects/"+c.project, c.admin, nil).want(204) }, nil, nil, true},
		"role deleted":    {func(c *trusting) { c.do("DELETE", "/v3/roles/"+c.member, c.admin, nil).want(204) }, nil, nil, true},
	} {
		for _, impersonation := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", impersonation ", impersonation), func(t *testing.T) {
				t.Parallel()
				c := newTrusting(t, "pki")
				if strings.Contains(name, "group") { // by which she has the role instead
					c.group = c.do("POST", "/v3/groups", c.admin, obj{"group": obj{"name": "g"}}).want(201).str("group", "id")
					c.do("PUT", "/v3/groups/"+c.group+"/users/"+c.alice, c.admin, nil).want(204)
					c.do("PUT", "/v3/projects/"+c.project+"/groups/"+c.group+"/roles/"+c.member, c.admin, nil).want(204)
					c.do("DELETE", c.grant(c.alice, c.member), c.admin, nil).want(204)
					c.aliceToken = c.loginID(c.alice, nil).want(201).token()
				}
				id := c.trust(obj{"impersonation": impersonation})
				held := c.loginID(c.bob, onTrust(id)).want(201)
				bystander := c.login("authproxy", servicePassword, onProject("service"))
				before := len(c.events(""))
				test.trigger(c)
				happened := c.events("")[before:]
				c.wantRevoked(held)
				c.wantValid(bystander)
				want := obj{}
				if test.event != nil {
					want = test.event(c)
				}
				if name == "trust deleted" {
					want = obj{"OS-TRUST:trust_id": id}
				}
				for member, value := range want {
					if len(happened) != 1 || happened[0][member] != value || len(happened[0]) != 2 {
						t.Errorf("events %v, want %v", happened, want)
					}
				}
				if test.back != nil {
					test.back(c)
				}
				again := c.loginID(c.bob, onTrust(id))
				if test.gone {
					if again.status != 401 && again.status != 403 {
						t.Errorf("a login after it: %d", again.status)
					}
				} else {
					c.wantValid(again.want(201)) // most likely in the same second
				}
				c.wantRevoked(held)
			})
		}
	}
}

// TestTrustMeddling takes away what a trust's token stands on while the token is made.
func TestTrustMeddling(t *testing.T) {
	for name, test := range map[string]struct {
		meddle func(c *trusting, ctx context.Context, id string) error
		want   int
	}{
		"trust deleted": {func(c *trusting, ctx context.Context, id string) error { return c.parts.Server.Trusts.Delete(ctx, id) }, 401},
		"used up":       {func(c *trusting, ctx context.Context, id string) error { return c.parts.Server.Trusts.Use(ctx, id) }, 403},
		"trustor deleted": {func(c *trusting, ctx context.Context, _ string) error {
			return c.parts.Server.Identity.DeleteUser(ctx, c.alice)
		}, 401},
		"role deleted": {func(c *trusting, ctx context.Context, _ string) error {
			return c.parts.Server.Assignment.DeleteRole(ctx, c.member)
		}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTrusting(t, "uuid")
			id := c.trust(obj{"remaining_uses": 1, "impersonation": false})
			c.parts.Server.Tokens.Catalog = &meddler{Manager: c.parts.Server.Catalog, meddle: func(attempt int) {
				if attempt == 1 {
					if err := test.meddle(c, context.Background(), id); err != nil {
						t.Error(err)
					}
				}
			}}
			c.loginID(c.bob, onTrust(id)).want(test.want)
		})
	}
}

func TestRedelegation(t *testing.T) {
	c := newTrusting(t, "pki", "[trust]", "allow_redelegation = true", "max_redelegation_count = 2")
	third := c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "carol", "password": "pw"}}).want(201).str("user", "id")
	fourth := c.do("POST", "/v3/users", c.admin, obj{"user": obj{"name": "dave", "password": "pw"}}).want(201).str("user", "id")
	later := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	c.do("POST", trustsPath, c.aliceToken, c.wish(obj{"allow_redelegation": true, "redelegation_count": 3})).want(403)
	c.do("POST", trustsPath, c.aliceToken, c.wish(obj{"allow_redelegation": true, "remaining_uses": 2})).want(400)
	if a := c.do("POST", trustsPath, c.aliceToken, c.wish(obj{"allow_redelegation": true, "redelegation_count": 0})).want(201); a.at("trust", "redelegation_count") != 0.0 {
		t.Errorf("count 0 asked for: %s", a.text)
	}
	both := []obj{{"id": c.member}, {"id": c.extra}}
	a := c.do("POST", trustsPath, c.aliceToken, c.wish(obj{"allow_redelegation": true, "impersonation": false, "roles": both, "expires_at": later(30 * time.Minute)})).want(201)
	if a.at("trust", "redelegation_count") != 2.0 || a.at("trust", "allow_redelegation") != nil {
		t.Errorf("made: %s", a.text)
	}
	first := a.str("trust", "id")
	bob := c.loginID(c.bob, onTrust(first)).want(201)
	pass := func(changes obj) obj {
		w := obj{"trustor_user_id": c.bob, "trustee_user_id": third, "impersonation": false, "allow_redelegation": true}
		maps.Copy(w, changes)
		return c.wish(w)
	}
	otherProject := c.do("POST", "/v3/projects", c.admin, obj{"project": obj{"name": "other"}}).want(201).str("project", "id")
	c.do("PUT", "/v3/projects/"+otherProject+"/users/"+c.alice+"/roles/"+c.member, c.admin, nil).want(204)
	strange := c.do("POST", "/v3/roles", c.admin, obj{"role": obj{"name": "strange"}}).want(201).str("role", "id")
	c.do("PUT", c.grant(c.alice, strange), c.admin, nil).want(204)
	for what, changes := range map[string]obj{
		"later":         {"expires_at": later(31 * time.Minute)},
		"more roles":    {"roles": []obj{{"id": strange}}},
		"impersonation": {"impersonation": true},
		"project":       {"project_id": otherProject},
		"uses":          {"remaining_uses": 1, "allow_redelegation": false},
		"count":         {"redelegation_count": 2},
		"for another":   {"trustor_user_id": c.alice},
	} {
		if a := c.do("POST", trustsPath, bob.token(), pass(changes)); a.status != 403 {
			t.Errorf("%s: %d, want 403: %s", what, a.status, a.text)
		}
	}
	a = c.do("POST", trustsPath, bob.token(), pass(nil)).want(201)
	second := a.str("trust", "id")
	if a.str("trust", "redelegated_trust_id") != first || a.at("trust", "redelegation_count") != 1.0 || !strings.HasPrefix(a.str("trust", "expires_at"), later(30 * time.Minute)[:13]) {
		t.Errorf("passed on: %s", a.text)
	}
	carol := c.loginID(third, onTrust(second)).want(201)
	last := c.do("POST", trustsPath, carol.token(), pass(obj{"trustor_user_id": third, "trustee_user_id": fourth})).want(201)
	if last.at("trust", "redelegation_count") != 0.0 {
		t.Errorf("the last: %s", last.text)
	}
	dave := c.loginID(fourth, onTrust(last.str("trust", "id"))).want(201)
	if roles := dave.at("token", "roles").([]any); len(roles) != 1 || dave.str("token", "user", "id") != fourth || dave.str("token", "OS-TRUST:trust", "trustor_user", "id") != third {
		t.Errorf("token of the last: %s", dave.text)
	}
	c.do("POST", trustsPath, dave.token(), pass(obj{"trustor_user_id": fourth, "trustee_user_id": c.bob})).want(403)

	// Whoever is in the chain, what happens to them ends the tokens at its end.
	c.do("PATCH", "/v3/users/"+c.bob, c.admin, obj{"user": obj{"enabled": false}}).want(200)
	c.wantRevoked(dave)
	c.loginID(fourth, onTrust(last.str("trust", "id"))).want(403, "Trustor is disabled.")
	c.do("PATCH", "/v3/users/"+c.bob, c.admin, obj{"user": obj{"enabled": true}}).want(200)
	dave = c.loginID(fourth, onTrust(last.str("trust", "id"))).want(201)
	c.do("DELETE", c.grant(c.alice, c.member), c.admin, nil).want(204)
	c.wantRevoked(dave)
	c.loginID(fourth, onTrust(last.str("trust", "id"))).want(403)
	c.do("PUT", c.grant(c.alice, c.member), c.admin, nil).want(204)
	dave = c.loginID(fourth, onTrust(last.str("trust", "id"))).want(201)

	before := len(c.events(""))
	c.do("DELETE", trustsPath+"/"+first, c.loginID(c.alice, nil).token(), nil).want(204)
	c.wantRevoked(dave)
	var ended []string
	for _, e := range c.events("")[before:] {
		ended = append(ended, fmt.Sprint(e["OS-TRUST:trust_id"]))
	}
	want := []string{first, second, last.str("trust", "id")}
	slices.Sort(want)
	slices.Sort(ended)
	if !slices.Equal(ended, want) {
		t.Errorf("events for the trusts %v, want %v", ended, want)
	}
	c.do("GET", trustsPath+"/"+second, c.loginID(third, nil).token(), nil).want(404)
}
