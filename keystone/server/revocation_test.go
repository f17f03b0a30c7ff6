package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/certs/cms"
	"authproxy/keystone"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/token"
	"authproxy/revocation"
)

// entry is one member of a revocation list.
type entry struct {
	ID      string `json:"id"`
	AuditID string `json:"audit_id"`
	Expires string `json:"expires"`
}

// signed is the content of an answer {"signed": …}, whose signature it checks.
func (c *cloud) signed(a *answer) []byte {
	c.t.Helper()
	der, err := cms.DecodePEM([]byte(a.str("signed")))
	if err != nil {
		c.t.Fatal(err)
	}
	signed, err := cms.Parse(der)
	if err != nil {
		c.t.Fatal(err)
	}
	pair, err := c.parts.Keys.Load()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := signed.CheckSignature(pair.Leaf.PublicKey); err != nil {
		c.t.Fatal(err)
	}
	return signed.Content
}

// revocationList fetches the list as the proxy's user does, checks its signature and returns it by audit id.
func (c *cloud) revocationList() map[string]entry {
	c.t.Helper()
	service := c.login("authproxy", servicePassword, onProject("service")).token()
	a := c.do("GET", "/v3/auth/tokens/OS-PKI/revoked", service, nil).want(200)
	content := c.signed(a)
	if _, err := revocation.ParseList(content); err != nil { // as authproxy reads it
		c.t.Error(err)
	}
	var list struct{ Revoked []entry }
	if err := json.Unmarshal(content, &list); err != nil || list.Revoked == nil {
		c.t.Fatalf("list %s: %v", content, err)
	}
	byAudit := map[string]entry{}
	for _, e := range list.Revoked {
		byAudit[e.AuditID] = e
	}
	return byAudit
}

func auditID(a *answer) string { return a.at("token", "audit_ids").([]any)[0].(string) }

// wantRevoked checks that a token is refused and is on the list under its id and its audit id.
func (c *cloud) wantRevoked(a *answer) {
	c.t.Helper()
	if c.valid(a.token()) {
		c.t.Errorf("token is still valid: %s", a.text)
	}
	id, err := token.ID(a.token(), "md5")
	if err != nil {
		c.t.Fatal(err)
	}
	e, there := c.revocationList()[auditID(a)]
	if !there || e.ID != id {
		c.t.Errorf("entry %+v (there: %v), want the id %s", e, there, id)
	}
}

func (c *cloud) wantValid(a *answer) {
	c.t.Helper()
	if _, there := c.revocationList()[auditID(a)]; there || !c.valid(a.token()) {
		c.t.Errorf("token should be valid and not on the list (%v): %s", there, a.text)
	}
}

func TestRevocationTriggers(t *testing.T) {
	type names struct{ userID, projectID, roleID, domainID, otherRole string }
	admin := func(c *cloud, method, path string, body any, status int) {
		c.do(method, path, c.adminToken(), body).want(status)
	}
	for _, test := range []struct {
		name    string
		trigger func(c *cloud, n names, scoped *answer)
		// ends are the tokens that the trigger ends: of alice "unscoped", on her "project" and on her "domain".
		ends []string
		// event is what the trigger records, by the names in names ("" for nothing); "audit_id" stands for the scoped token's.
		event string
		// back undoes what keeps alice from logging in again, nil where nothing does.
		back func(c *cloud, n names)
		// project says that she can log in to the project again.
		project bool
	}{
		{"token deleted", func(c *cloud, _ names, scoped *answer) {
			c.do("DELETE", "/v3/auth/tokens", scoped.token(), nil, "X-Subject-Token", scoped.token()).want(204)
		}, []string{"project"}, "audit_id", nil, true},
		{"password changed by the user", func(c *cloud, n names, scoped *answer) {
			c.do("POST", "/v3/users/"+n.userID+"/password", scoped.token(), obj{"user": obj{"original_password": "pw", "password": "new"}}).want(204)
		}, []string{"unscoped", "project", "domain"}, "user_id", func(c *cloud, n names) {
			admin(c, "PATCH", "/v3/users/"+n.userID, obj{"user": obj{"password": "pw"}}, 200)
		}, true},
		{"password set by the administrator", func(c *cloud, n names, _ *answer) {
			admin(c, "PATCH", "/v3/users/"+n.userID, obj{"user": obj{"password": "pw"}}, 200)
		}, []string{"unscoped", "project", "domain"}, "user_id", nil, true},
		{"user disabled", func(c *cloud, n names, _ *answer) {
			admin(c, "PATCH", "/v3/users/"+n.userID, obj{"user": obj{"enabled": false}}, 200)
		}, []string{"unscoped", "project", "domain"}, "user_id", func(c *cloud, n names) {
			admin(c, "PATCH", "/v3/users/"+n.userID, obj{"user": obj{"enabled": true}}, 200)
		}, true},
		{"user deleted", func(c *cloud, n names, _ *answer) {
			admin(c, "DELETE", "/v3/users/"+n.userID, nil, 204)
		}, []string{"unscoped", "project", "domain"}, "user_id", func(*cloud, names) {}, false},
		{"project disabled", func(c *cloud, n names, _ *answer) {
			admin(c, "PATCH", "/v3/projects/"+n.projectID, obj{"project": obj{"enabled": false}}, 200)
		}, []string{"project"}, "project_id", func(c *cloud, n names) {
			admin(c, "PATCH", "/v3/projects/"+n.projectID, obj{"project": obj{"enabled": true}}, 200)
		}, true},
		{"project deleted", func(c *cloud, n names, _ *answer) {
			admin(c, "DELETE", "/v3/projects/"+n.projectID, nil, 204)
		}, []string{"project"}, "project_id", nil, false},
		{"domain disabled", func(c *cloud, n names, _ *answer) {
			admin(c, "PATCH", "/v3/domains/"+n.domainID, obj{"domain": obj{"enabled": false}}, 200)
		}, []string{"unscoped", "project", "domain"}, "domain_id", func(c *cloud, n names) {
			admin(c, "PATCH", "/v3/domains/"+n.domainID, obj{"domain": obj{"enabled": true}}, 200)
		}, true},
		{"grant on the project removed", func(c *cloud, n names, _ *answer) {
			admin(c, "DELETE", "/v3/projects/"+n.projectID+"/users/"+n.userID+"/roles/"+n.roleID, nil, 204)
		}, []string{"project"}, "user_id role_id project_id", nil, false},
		{"grant on the domain removed", func(c *cloud, n names, _ *answer) {
			admin(c, "DELETE", "/v3/domains/"+n.domainID+"/users/"+n.userID+"/roles/"+n.roleID, nil, 204)
		}, []string{"domain"}, "user_id role_id domain_id", nil, true},
		{"role deleted", func(c *cloud, n names, _ *answer) {
			admin(c, "DELETE", "/v3/roles/"+n.roleID, nil, 204)
		}, []string{"project", "domain"}, "role_id", nil, false},
		{"another role deleted", func(c *cloud, n names, _ *answer) {
			admin(c, "DELETE", "/v3/roles/"+n.otherRole, nil, 204)
		}, nil, "other_role", nil, true},
		{"user renamed", func(c *cloud, n names, _ *answer) {
			admin(c, "PATCH", "/v3/users/"+n.userID, obj{"user": obj{"email": "a@b"}}, 200)
		}, nil, "", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t, "pki")
			token := c.adminToken()
			post := func(kind string, body obj) string {
				return c.do("POST", "/v3/"+kind+"s", token, obj{kind: body}).want(201).str(kind, "id")
			}
			n := names{domainID: post("domain", obj{"name": "wonderland"}), roleID: post("role", obj{"name": "reader"}), otherRole: post("role", obj{"name": "other"})}
			n.userID = post("user", obj{"name": "alice", "password": "pw", "domain_id": n.domainID})
			n.projectID = post("project", obj{"name": "p", "domain_id": n.domainID})
			for _, on := range []string{"projects/" + n.projectID, "domains/" + n.domainID} {
				c.do("PUT", "/v3/"+on+"/users/"+n.userID+"/roles/"+n.roleID, token, nil).want(204)
			}
			login := func(scope obj) *answer {
				t.Helper()
				return c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{"scope": scope, "identity": obj{
					"methods": []string{"password"}, "password": obj{"user": obj{"id": n.userID, "password": "pw"}}}}}).want(201)
			}
			onP := obj{"project": obj{"id": n.projectID}}
			held := map[string]*answer{"unscoped": login(obj{"unscoped": obj{}}), "project": login(onP), "domain": login(obj{"domain": obj{"id": n.domainID}})}
			bystander := c.login("authproxy", servicePassword, onProject("service"))

			before := len(c.events(""))
			test.trigger(c, n, held["project"])
			happened := c.events("")[before:]
			wantEvent(t, test.event, map[string]string{"audit_id": auditID(held["project"]), "user_id": n.userID, "project_id": n.projectID,
				"domain_id": n.domainID, "role_id": n.roleID, "other_role": n.otherRole}, happened)
			for name, token := range held {
				if slices.Contains(test.ends, name) && !slices.ContainsFunc(happened, func(e obj) bool { return concerns(e, token) }) {
					t.Errorf("no event concerns the token %s: %v", name, happened)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(held)) {
				if slices.Contains(test.ends, name) {
					c.wantRevoked(held[name])
				} else {
					c.wantValid(held[name])
				}
			}
			c.wantValid(bystander)
			if test.back != nil {
				test.back(c, n)
			}
			if test.project {
				again := login(onP) // most likely in the same second
				c.wantValid(again)
				for _, e := range c.events("") {
					if concerns(e, again) {
						t.Errorf("event %v concerns a token that was got after it: %s", e, again.text)
					}
				}
			}
			for _, name := range test.ends { // what undid the trigger brought no token back
				c.wantRevoked(held[name])
			}
		})
	}
}

func TestDomainDeleted(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	domainID := c.do("POST", "/v3/domains", admin, obj{"domain": obj{"name": "d"}}).want(201).str("domain", "id")
	userID := c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "u", "password": "pw", "domain_id": domainID}}).want(201).str("user", "id")
	held := c.do("POST", "/v3/auth/tokens", "", obj{"auth": obj{"identity": obj{
		"methods": []string{"password"}, "password": obj{"user": obj{"id": userID, "password": "pw"}}}}}).want(201)
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(403)
	c.do("PATCH", "/v3/domains/"+domainID, admin, obj{"domain": obj{"enabled": false}}).want(200)
	c.do("DELETE", "/v3/domains/"+domainID, admin, nil).want(204)
	c.do("GET", "/v3/users/"+userID, admin, nil).want(404)
	c.wantRevoked(held)
}

func TestRevocationListLife(t *testing.T) {
	c := newCloud(t, "pki")
	if list := c.revocationList(); len(list) != 0 {
		t.Fatalf("list of a new cloud: %v", list)
	}
	c.newUser("alice", "pw")
	a := c.login("alice", "pw", nil)
	c.do("DELETE", "/v3/auth/tokens", a.token(), nil, "X-Subject-Token", a.token()).want(204)
	e := c.revocationList()[auditID(a)]
	expires, err := time.Parse(time.RFC3339, e.Expires)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := time.Parse(tokens.TimeFormat, a.str("token", "expires_at"))
	if err != nil {
		t.Fatal(err)
	}
	if early := exact.Sub(expires); early > 0 || early <= -time.Second || strings.Contains(e.Expires, ".") {
		t.Errorf("expires %s in the list, %s in the token: want the next whole second", e.Expires, exact)
	}

	short := c.do("GET", "/v3/auth/tokens/OS-PKI/revoked?audit_id_only", c.adminToken(), nil).want(200)
	if list := short.at("revoked").([]any); len(list) != 1 || list[0].(obj)["audit_id"] != auditID(a) || list[0].(obj)["id"] != nil {
		t.Errorf("audit_id_only: %s", short.text)
	}
	c.do("GET", "/v3/auth/tokens/OS-PKI/revoked", "", nil).want(401)
	c.do("GET", "/v3/auth/tokens/OS-PKI/revoked", c.login("alice", "pw", nil).token(), nil).want(403)
	if got := c.do("HEAD", "/v3/auth/tokens/OS-PKI/revoked", c.adminToken(), nil).want(200); got.text != "" {
		t.Error("HEAD has a body")
	}

	// It outlives a restart, and flushing, until the window after its expiry is over.
	c.clock.advance(48 * time.Hour)
	if _, err := c.parts.Server.Tokens.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, there := c.revocationList()[auditID(a)]; !there {
		t.Error("the entry went before the window was over")
	}
	again, err := c.settings.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	list, err := c.settings.Build(again, app.Options{Now: c.clock.Now}).Server.Tokens.ShortRevocationList(t.Context())
	if err != nil || !strings.Contains(string(list), e.AuditID) {
		t.Errorf("after a restart: %s, %v", list, err)
	}
	c.clock.advance(2 * time.Hour)
	if _, there := c.revocationList()[auditID(a)]; there {
		t.Error("the entry stayed after the window was over")
	}
	if n, err := c.parts.Server.Tokens.Flush(t.Context()); err != nil || n < 1 {
		t.Errorf("flushed %d, %v", n, err)
	}

	c.parts.Server.RevokeByID = false
	c.do("GET", "/v3/auth/tokens/OS-PKI/revoked", c.adminToken(), nil).want(410)
}

// TestRevokedExpired has a user disabled whose token has expired: a service token could still let it in.
func TestRevokedExpired(t *testing.T) {
	c := newCloud(t, "pki")
	userID, _, _ := c.newUser("alice", "pw")
	a := c.login("alice", "pw", nil)
	c.clock.advance(24 * time.Hour)
	c.do("PATCH", "/v3/users/"+userID, c.adminToken(), obj{"user": obj{"enabled": false}}).want(200)
	if _, there := c.revocationList()[auditID(a)]; !there {
		t.Error("the expired token is not on the list")
	}
	c.do("GET", "/v3/auth/tokens?allow_expired=1", c.adminToken(), nil, "X-Subject-Token", a.token()).want(404)
}

// meddler changes something while a token is being made: after its user was authenticated and before it is stored.
type meddler struct {
	*catalog.Manager
	meddle func(attempt int)
	calls  int
}

func (m *meddler) Build(ctx context.Context, variables map[string]string) (keystone.Catalog, error) {
	m.calls++
	m.meddle(m.calls)
	return m.Manager.Build(ctx, variables)
}

// TestNoTokenSlipsThrough takes away what a token stands on while the token is made. It would be on no list.
func TestNoTokenSlipsThrough(t *testing.T) {
	off, password, renamed := false, "another", "renamed"
	for name, test := range map[string]struct {
		meddle func(c *cloud, ctx context.Context, userID, projectID, roleID string, parent *answer) error
		want   int
	}{
		"user disabled": {func(c *cloud, ctx context.Context, userID, _, _ string, _ *answer) error {
			_, err := c.parts.Server.Identity.UpdateUser(ctx, userID, identity.Update{Enabled: &off})
			return err
		}, 401},
		"password changed": {func(c *cloud, ctx context.Context, userID, _, _ string, _ *answer) error {
			_, err := c.parts.Server.Identity.UpdateUser(ctx, userID, identity.Update{Password: &password})
			return err
		}, 401},
		"user deleted": {func(c *cloud, ctx context.Context, userID, _, _ string, _ *answer) error {
			return c.parts.Server.Identity.DeleteUser(ctx, userID)
		}, 401},
		"project deleted": {func(c *cloud, ctx context.Context, _, projectID, _ string, _ *answer) error {
			return c.parts.Server.Assignment.DeleteProject(ctx, projectID)
		}, 401},
		"role deleted": {func(c *cloud, ctx context.Context, _, _, roleID string, _ *answer) error {
			return c.parts.Server.Assignment.DeleteRole(ctx, roleID)
		}, 401},
		"parent revoked": {func(c *cloud, ctx context.Context, _, _, _ string, parent *answer) error {
			return c.parts.Server.Tokens.Revoke(ctx, parent.token())
		}, 404},
		"user renamed": {func(c *cloud, ctx context.Context, userID, _, _ string, _ *answer) error {
			_, err := c.parts.Server.Identity.UpdateUser(ctx, userID, identity.Update{Name: &renamed})
			return err
		}, 201},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, "pki")
			userID, projectID, roleID := c.newUser("alice", "pw")
			parent := c.login("alice", "pw", obj{"unscoped": obj{}})
			request := byPassword("alice", "pw", obj{"project": obj{"id": projectID}})
			if name == "parent revoked" {
				request = byToken(parent.token(), obj{"project": obj{"id": projectID}})
			}
			c.parts.Server.Tokens.Catalog = &meddler{Manager: c.parts.Server.Catalog, meddle: func(attempt int) {
				if attempt == 1 {
					if err := test.meddle(c, context.Background(), userID, projectID, roleID, parent); err != nil {
						t.Error(err)
					}
				}
			}}
			a := c.do("POST", "/v3/auth/tokens", "", request).want(test.want)
			if test.want == 201 && a.str("token", "user", "name") != renamed {
				t.Errorf("the token says %s, which was true before", a.text)
			}
		})
	}

	c := newCloud(t, "pki")
	userID, projectID, _ := c.newUser("alice", "pw")
	c.parts.Server.Tokens.Catalog = &meddler{Manager: c.parts.Server.Catalog, meddle: func(attempt int) {
		name := fmt.Sprint("name-", attempt)
		if _, err := c.parts.Server.Identity.UpdateUser(context.Background(), userID, identity.Update{Name: &name}); err != nil {
			t.Error(err)
		}
	}}
	a := c.do("POST", "/v3/auth/tokens", "", byPassword("alice", "pw", obj{"project": obj{"id": projectID}})).want(503)
	if a.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}
