package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/token"
)

const denied = "The request you have made requires authentication."

func TestRefusedLogins(t *testing.T) {
	c := newCloud(t, "uuid")
	userID, projectID, _ := c.newUser("alice", "pw")
	admin := c.adminToken()
	nobodyID := c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "passwordless"}}).want(201).str("user", "id")
	c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "off", "password": "pw", "enabled": false}}).want(201)
	c.do("POST", "/v3/projects", admin, obj{"project": obj{"name": "off", "enabled": false}}).want(201)
	byID := func(id string) obj {
		return obj{"auth": obj{"identity": obj{"methods": []string{"password"}, "password": obj{"user": obj{"id": id, "password": "pw"}}}}}
	}
	elsewhere := byPassword("alice", "pw", nil)
	elsewhere["auth"].(obj)["identity"].(obj)["password"].(obj)["user"].(obj)["domain"] = obj{"name": "nowhere"}
	first := ""
	for name, request := range map[string]obj{
		"wrong password":        byPassword("alice", "no", nil),
		"empty password":        byPassword("alice", "", nil),
		"password with a tail":  byPassword("alice", "pw\x01", nil),
		"very long password":    byPassword("alice", strings.Repeat("x", 5000), nil),
		"unknown user":          byPassword("nobody", "pw", nil),
		"unknown id":            byID("ffffffffffffffffffffffffffffffff"),
		"unknown domain":        elsewhere,
		"no password":           byID(nobodyID),
		"disabled user":         byPassword("off", "pw", nil),
		"unknown project":       byPassword("alice", "pw", onProject("none")),
		"unknown project id":    byPassword("alice", "pw", obj{"project": obj{"id": "none"}}),
		"project's domain":      byPassword("alice", "pw", obj{"project": obj{"name": "alice-project", "domain": obj{"id": "none"}}}),
		"disabled project":      byPassword("alice", "pw", onProject("off")),
		"no role on project":    byPassword("alice", "pw", onProject("admin")),
		"no role on domain":     byPassword("alice", "pw", obj{"domain": obj{"id": "default"}}),
		"unknown domain scope":  byPassword("alice", "pw", obj{"domain": obj{"name": "none"}}),
		"a domain as a project": byPassword("alice", "pw", obj{"project": obj{"id": "default"}}),
		"a project as a domain": byPassword("alice", "pw", obj{"domain": obj{"id": projectID}}),
	} {
		a := c.do("POST", "/v3/auth/tokens", "", request)
		if a.status != 401 || a.at("error", "message") != denied || a.token() != "" {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		if first == "" {
			first = a.text
		}
		if a.text != first {
			t.Errorf("%s: the answer %s can be told from %s", name, a.text, first)
		}
		if got := a.header.Get("WWW-Authenticate"); got != fmt.Sprintf("Keystone uri=%q", c.public.URL+"/") {
			t.Errorf("%s: WWW-Authenticate %s", name, got)
		}
	}
	if got := c.login("alice", "pw", nil).str("token", "user", "id"); got != userID {
		t.Errorf("user id %s, want %s", got, userID)
	}
}

// TestTwoTokens: of two tokens in one request neither counts, in whichever order they come.
func TestTwoTokens(t *testing.T) {
	c := newCloud(t, "uuid")
	c.newUser("alice", "pw")
	admin, alice := c.adminToken(), c.login("alice", "pw", nil).token()
	ask := func(callers, subjects []string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", c.public.URL+"/v3/auth/tokens", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["X-Auth-Token"], r.Header["X-Subject-Token"] = callers, subjects
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := ask([]string{admin}, []string{alice}); got != 200 {
		t.Fatalf("one of each: %d", got)
	}
	for _, two := range [][]string{{admin, alice}, {alice, admin}, {admin, admin}, {admin, ""}, {"", admin}} {
		if got := ask(two, []string{alice}); got != 401 {
			t.Errorf("two callers: %d", got)
		}
		if got := ask([]string{admin}, two); got != 404 {
			t.Errorf("two subjects: %d", got)
		}
	}
}

func TestScopes(t *testing.T) {
	c := newCloud(t, "uuid")
	userID, projectID, roleID := c.newUser("alice", "pw")
	admin := c.adminToken()
	unscoped := c.login("alice", "pw", nil)
	for _, absent := range []string{"project", "domain", "roles", "catalog"} {
		if unscoped.at("token", absent) != nil {
			t.Errorf("an unscoped token has %s", absent)
		}
	}
	scoped := c.login("alice", "pw", obj{"project": obj{"id": projectID}})
	if got := scoped.str("token", "project", "domain", "name"); got != "Default" {
		t.Errorf("project's domain %q", got)
	}
	if scoped.at("token", "catalog") == nil || scoped.at("token", "roles").([]any)[0].(obj)["name"] != "member" {
		t.Errorf("scoped token: %s", scoped.text)
	}
	c.do("PUT", "/v3/domains/default/users/"+userID+"/roles/"+roleID, admin, nil).want(204)
	if got := c.login("alice", "pw", obj{"domain": obj{"name": "Default"}}).str("token", "domain", "id"); got != "default" {
		t.Errorf("domain scope %q", got)
	}
	if a := c.do("POST", "/v3/auth/tokens?nocatalog", "", byPassword("alice", "pw", onProject("alice-project"))).want(201); a.at("token", "catalog") != nil {
		t.Error("?nocatalog: there is a catalog")
	}

	// The default project is the scope of who asks for none, while there is a role on it.
	c.do("PATCH", "/v3/users/"+userID, admin, obj{"user": obj{"default_project_id": projectID}}).want(200)
	if got := c.login("alice", "pw", nil).at("token", "project", "id"); got != projectID {
		t.Errorf("default project: %v", got)
	}
	if got := c.login("alice", "pw", obj{"unscoped": obj{}}).at("token", "project"); got != nil {
		t.Errorf("asked for no scope: %v", got)
	}
	c.do("PATCH", "/v3/projects/"+projectID, admin, obj{"project": obj{"enabled": false}}).want(200)
	if got := c.login("alice", "pw", nil).at("token", "project"); got != nil {
		t.Errorf("default project disabled: %v", got)
	}
	c.do("DELETE", "/v3/projects/"+projectID, admin, nil).want(204)
	if got := c.login("alice", "pw", nil).at("token", "project"); got != nil {
		t.Errorf("default project gone: %v", got)
	}
	if n := len(c.do("GET", "/v3/auth/domains", c.login("alice", "pw", nil).token(), nil).want(200).at("domains").([]any)); n != 1 {
		t.Errorf("%d domains to scope to, want 1", n)
	}
}

func TestRescoping(t *testing.T) {
	c := newCloud(t, "pki")
	first := c.login("admin", adminPassword, obj{"unscoped": obj{}})
	root := first.at("token", "audit_ids").([]any)
	if len(root) != 1 || len(root[0].(string)) != 22 {
		t.Fatalf("audit ids of a first token: %v", root)
	}
	c.clock.advance(10 * time.Minute)
	previous := first
	for range 3 {
		next := c.do("POST", "/v3/auth/tokens", "", byToken(previous.token(), onProject("admin"))).want(201)
		if got, want := next.str("token", "expires_at"), first.str("token", "expires_at"); got != want {
			t.Errorf("expires %s, want that of the first token %s", got, want)
		}
		if next.str("token", "issued_at") == first.str("token", "issued_at") {
			t.Error("issued_at was not renewed")
		}
		chain := next.at("token", "audit_ids").([]any)
		if len(chain) != 2 || chain[0] == previous.at("token", "audit_ids").([]any)[0] || chain[1] != root[0] {
			t.Errorf("audit ids %v, want an own one and %v", chain, root[0])
		}
		if methods := next.at("token", "methods"); !reflect.DeepEqual(methods, []any{"password", "token"}) {
			t.Errorf("methods %v", methods)
		}
		previous = next
	}
	// A token that has ended is the parent of none; the children of one that was revoked are on their own.
	c.do("DELETE", "/v3/auth/tokens", first.token(), nil, "X-Subject-Token", first.token()).want(204)
	c.do("POST", "/v3/auth/tokens", "", byToken(first.token(), nil)).want(404)
	if !c.valid(previous.token()) {
		t.Error("revoking a token ended one that came from it")
	}
	// Two methods must be about one user.
	c.newUser("alice", "pw")
	both := byPassword("alice", "pw", nil)
	identity := both["auth"].(obj)["identity"].(obj)
	identity["methods"], identity["token"] = []string{"password", "token"}, obj{"id": previous.token()}
	c.do("POST", "/v3/auth/tokens", "", both).want(401, denied)
	c.clock.advance(time.Hour)
	c.do("POST", "/v3/auth/tokens", "", byToken(previous.token(), nil)).want(404)
}

func TestTokenForms(t *testing.T) {
	for provider, form := range map[string]token.Form{"pki": token.PKI, "pkiz": token.PKIZ, "uuid": token.UUID} {
		t.Run(provider, func(t *testing.T) {
			c := newCloud(t, provider)
			admin := c.adminToken()
			a := c.login("admin", adminPassword, onProject("admin"))
			text := a.token()
			if got := token.FormOf(text); got != form {
				t.Fatalf("form %v, want %v", got, form)
			}
			got := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", text).want(200)
			if got.text != a.text || got.token() != text {
				t.Errorf("validation says %s, issuing said %s", got.text, a.text)
			}
			if got := c.do("HEAD", "/v3/auth/tokens", admin, nil, "X-Subject-Token", text).want(200); got.text != "" || got.token() != text {
				t.Error("HEAD: want the header and no body")
			}
			if a := c.do("GET", "/v3/auth/tokens?nocatalog", admin, nil, "X-Subject-Token", text).want(200); a.at("token", "catalog") != nil || a.at("token", "roles") == nil {
				t.Errorf("?nocatalog: %s", a.text)
			}
			id, err := token.ID(text, "md5")
			if err != nil {
				t.Fatal(err)
			}
			byID := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", id)
			if form == token.UUID {
				byID.want(404)
				c.do("GET", "/v3/auth/projects", id, nil).want(401)
				return
			}
			byID.want(200)
			der, err := token.Decode(text, token.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			signed, err := cms.Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := c.parts.Keys.Load()
			if err != nil {
				t.Fatal(err)
			}
			if err := signed.CheckSignature(pair.Leaf.PublicKey); err != nil {
				t.Error(err)
			}
			if string(signed.Content) != a.text || strings.ContainsAny(string(signed.Content), "\n\r\t") {
				t.Errorf("signed %s, want the body of the answer in one line", signed.Content)
			}
			body, err := token.DecodePayload(signed.Content)
			if err != nil {
				t.Fatal(err)
			}
			if body.User.Name != "admin" || body.Project.Name != "admin" || len(body.Catalog) != 1 || len(body.Catalog[0].Endpoints) != 3 {
				t.Errorf("token says %+v", body)
			}
			// One changed character is another token, and one that nobody issued.
			c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", text[:len(text)-6]+"AAAAAA").want(404)
		})
	}
}

func TestWhoMayValidate(t *testing.T) {
	c := newCloud(t, "uuid")
	c.newUser("alice", "pw")
	alice := c.login("alice", "pw", onProject("alice-project")).token()
	service := c.login("authproxy", servicePassword, onProject("service")).token()
	for who, test := range map[string]struct {
		token            string
		get, head, other int // status of GET and HEAD of alice's token, and of DELETE of another one's
	}{
		"nobody":     {"", 401, 401, 401},
		"a stranger": {"0123456789abcdef0123456789abcdef", 401, 401, 401},
		"the user":   {alice, 403, 403, 403},
		"a service":  {service, 200, 403, 403},
		"an admin":   {c.adminToken(), 200, 200, 204},
	} {
		other := c.adminToken()
		if a := c.do("GET", "/v3/auth/tokens", test.token, nil, "X-Subject-Token", alice); a.status != test.get {
			t.Errorf("%s: GET %d, want %d", who, a.status, test.get)
		}
		if a := c.do("HEAD", "/v3/auth/tokens", test.token, nil, "X-Subject-Token", alice); a.status != test.head || a.text != "" {
			t.Errorf("%s: HEAD %d %q, want %d and no body", who, a.status, a.text, test.head)
		}
		if a := c.do("DELETE", "/v3/auth/tokens", test.token, nil, "X-Subject-Token", other); a.status != test.other {
			t.Errorf("%s: DELETE %d, want %d", who, a.status, test.other)
		}
	}
	c.do("GET", "/v3/users", alice, nil).want(403, "You are not authorized to perform the requested action: identity:list_users")
	c.do("DELETE", "/v3/auth/tokens", alice, nil, "X-Subject-Token", alice).want(204)
	c.do("GET", "/v3/auth/projects", alice, nil).want(401)
}

func TestAllowExpired(t *testing.T) {
	c := newCloud(t, "uuid")
	text := c.adminToken()
	get := func(query string) int {
		return c.do("GET", "/v3/auth/tokens"+query, c.adminToken(), nil, "X-Subject-Token", text).status
	}
	for _, step := range []struct {
		after           time.Duration
		plain, expired_ int
	}{{0, 200, 200}, {59 * time.Minute, 200, 200}, {2 * time.Minute, 404, 200}, {47 * time.Hour, 404, 200}, {2 * time.Hour, 404, 404}} {
		c.clock.advance(step.after)
		if plain, expired := get(""), get("?allow_expired=1"); plain != step.plain || expired != step.expired_ {
			t.Errorf("another %s on: %d and %d with allow_expired, want %d and %d", step.after, plain, expired, step.plain, step.expired_)
		}
	}
	if get("?allow_expired=0") != 404 {
		t.Error("allow_expired=0 lets an expired token in")
	}
}

func TestAdminToken(t *testing.T) {
	c := newCloud(t, "uuid")
	c.do("GET", "/v3/users", "", nil).want(401)
	c.do("GET", "/v3/users", "ADMIN", nil).want(401)
	c.parts.Server.AdminToken = "long-and-random"
	c.do("GET", "/v3/users", "long-and-random", nil).want(200)
	c.do("GET", "/v3/users", "long-and-randoM", nil).want(401)
	c.do("GET", "/v3/auth/catalog", "long-and-random", nil).want(403)
	if err := policy.Default().Rule("identity:no_such_thing").Check(t.Context(), policy.Credentials{}, nil); err == nil {
		t.Error("an action without a rule is allowed")
	}
}

// TestRollOver changes the signing certificate as an operator would, file by file, while tokens are issued.
func TestRollOver(t *testing.T) {
	c := newCloud(t, "pki")
	signerOf := func(text string) *cms.SignedData {
		t.Helper()
		der, err := token.Decode(text, token.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := cms.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		return &signed
	}
	old, err := c.parts.Keys.Load()
	if err != nil {
		t.Fatal(err)
	}
	first := c.adminToken()
	served := func() int {
		a := c.do("GET", "/v3/OS-SIMPLE-CERT/certificates", "", nil).want(200)
		if a.header.Get("Content-Type") != "application/x-pem-file" || a.header.Get("Vary") != "" {
			t.Errorf("headers %v", a.header)
		}
		list, err := certs.ParseCertificates([]byte(a.text))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := served(); n != 1 {
		t.Errorf("%d certificates, want 1", n)
	}
	// The new certificate stands behind the old one, whose key still signs; then the key changes.
	next := c.ca.Issue(t, certstest.ECDSAP256)
	oldPEM, err := os.ReadFile(c.path("signing_cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c.write("signing_cert.pem", string(oldPEM)+string(next.CertPEM))
	if n := served(); n != 2 {
		t.Errorf("%d certificates while rolling over, want 2", n)
	}
	if err := signerOf(c.adminToken()).CheckSignature(old.Leaf.PublicKey); err != nil {
		t.Errorf("the old key should sign: %v", err)
	}
	c.write("signing_key.pem", string(next.KeyPEM))
	text := c.adminToken()
	if err := signerOf(text).CheckSignature(next.Cert.PublicKey); err != nil {
		t.Errorf("the new key should sign: %v", err)
	}
	// Files that do not fit leave the last good pair at work.
	c.write("signing_key.pem", "not a key\n")
	if err := signerOf(c.adminToken()).CheckSignature(next.Cert.PublicKey); err != nil {
		t.Errorf("the last good key should sign: %v", err)
	}
	if !strings.Contains(c.log.String(), "the last good pair goes on signing") {
		t.Error("the log does not tell of the bad key")
	}
	if !c.valid(first) || !c.valid(text) {
		t.Error("a token ended with the change of keys")
	}
}

func TestMissingCertificates(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	for _, path := range []string{"/v3/OS-SIMPLE-CERT/ca", "/v3/OS-SIMPLE-CERT/certificates"} {
		c.do("GET", path, "", nil).want(404)
	}
	c.do("GET", "/v3/auth/tokens/OS-PKI/revoked", admin, nil).want(404)
	for _, path := range []string{"/v2.0/certificates/ca", "/v2.0/certificates/signing"} {
		if a := c.do("GET", path, "", nil).want(403); a.str("error", "title") != "Cannot retrieve certificates" {
			t.Errorf("title %q", a.str("error", "title"))
		}
	}
	signing := newCloud(t, "pki")
	if err := os.Remove(signing.path("ca.pem")); err != nil {
		t.Fatal(err)
	}
	signing.do("GET", "/v3/OS-SIMPLE-CERT/ca", "", nil).want(500)
	key, err := os.ReadFile(signing.path("signing_key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	signing.write("ca.pem", string(key))
	if a := signing.do("GET", "/v3/OS-SIMPLE-CERT/ca", "", nil).want(500); strings.Contains(a.text, "PRIVATE") {
		t.Error("a private key was served")
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newCloud(t, "pki")
	admin := c.adminToken()
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			name := fmt.Sprint("user", i)
			body, _ := json.Marshal(obj{"user": obj{"name": name, "password": "pw"}})
			for range 5 {
				c.do("POST", "/v3/users", admin, string(body))
				a := c.do("POST", "/v3/auth/tokens", "", byPassword(name, "pw", nil))
				if a.status != http.StatusCreated {
					t.Errorf("log-in: %d %s", a.status, a.text)
					continue
				}
				if v := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", a.token()); v.status != 200 {
					t.Errorf("validation: %d", v.status)
				}
				if v := c.do("DELETE", "/v3/auth/tokens", a.token(), nil, "X-Subject-Token", a.token()); v.status != 204 {
					t.Errorf("revocation: %d", v.status)
				}
				if v := c.do("GET", "/v3/auth/tokens/OS-PKI/revoked", admin, nil); v.status != 200 {
					t.Errorf("list: %d", v.status)
				}
			}
		})
	}
	all.Wait()
}

func TestLogHoldsNoSecrets(t *testing.T) {
	c := newCloud(t, "pki")
	c.parts.Server.AdminToken = "the-admin-token"
	admin := c.adminToken()
	c.newUser("alice", "alices-password")
	uuid := "0123456789abcdef0123456789abcdef"
	c.do("POST", "/v3/auth/tokens", "", byPassword("alice", "wrong-password", nil)).want(401)
	c.do("POST", "/v3/auth/tokens", "", byPassword("password-typed-as-a-name", "x", nil)).want(401)
	c.do("POST", "/v3/users", admin, obj{"user": obj{"name": "x", "password": 12345678}}).want(400, "password field must be a string")
	c.do("GET", "/v3/users", uuid, nil).want(401)
	c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", uuid).want(404, "Could not find token: "+uuid)
	c.do("GET", "/v3/users", "the-admin-token", nil).want(200)
	c.do("GET", "/v3/"+admin, admin, nil).want(404)
	c.do("DELETE", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(204)
	c.do("GET", "/v3/auth/tokens", c.adminToken(), nil, "X-Subject-Token", admin).want(404)
	log := c.log.String()
	if !strings.Contains(log, "token issued") || !strings.Contains(log, "wrong password of user") {
		t.Fatalf("the log does not tell what happened:\n%s", log)
	}
	for _, secret := range []string{adminPassword, servicePassword, "alices-password", "wrong-password", "password-typed-as-a-name", "12345678",
		"the-admin-token", uuid, admin[:100], "argon2id", base64.StdEncoding.EncodeToString([]byte(adminPassword))} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
