package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// newStockKeystone starts Debian's own Keystone, with Fernet tokens and without PKI, and a cloud without keystone-all around it.
func newStockKeystone(t *testing.T) *cloud.Cloud {
	t.Helper()
	interpreter := python(t, "keystone.server.wsgi")
	bin, err := programs()
	must(t, err)
	c := &cloud.Cloud{Dir: t.TempDir(), Bin: bin, AdminPassword: "administrator"}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, c.Listen())
	must(t, c.StartEcho(t.Context()))
	port := fmt.Sprint(freePorts(t, 1))
	c.Keystone = "http://127.0.0.1:" + port
	conf := c.File("keystone.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `[DEFAULT]
log_file = %[1]s/keystone.log
[database]
connection = sqlite:///%[1]s/keystone.sqlite
sqlite_synchronous = false
[token]
provider = fernet
[fernet_tokens]
key_repository = %[1]s/fernet
[cache]
enabled = false
[identity]
password_hash_rounds = 4
`, c.Dir), 0o600))
	// Keystone reads while it writes, which SQLite allows in this mode alone.
	wal := exec.CommandContext(t.Context(), interpreter, "-I", "-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('pragma journal_mode = wal')", c.File("keystone.sqlite"))
	if out, err := wal.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	owner := []string{"--keystone-user", fmt.Sprint(os.Getuid()), "--keystone-group", fmt.Sprint(os.Getgid())}
	for _, args := range [][]string{
		{"db_sync"},
		append([]string{"fernet_setup"}, owner...),
		{"bootstrap", "--bootstrap-password", c.AdminPassword, "--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", c.Keystone + "/v3"},
	} {
		cmd := exec.CommandContext(t.Context(), interpreter, append([]string{"-I", "/usr/bin/keystone-manage", "--config-file", conf}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("keystone-manage %s: %v\n%s", args[0], err, out)
		}
	}
	p := startProcess(t, exec.Command(interpreter, "-I", filepath.Join("testdata", "keystone_wsgi.py"), conf, port))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := cloud.Until(ctx, func() (bool, error) {
		res, _, err := cloud.Call(ctx, http.MethodGet, c.Keystone+"/v3", nil, "")
		return err == nil && res.StatusCode == http.StatusOK, nil
	}); err != nil {
		t.Fatalf("Keystone did not get ready: %v\n%s", err, p.output())
	}
	return c
}

// TestStockKeystone: authproxy before a service, with a Keystone that has no PKI. All tokens are Fernet, and put to it.
func TestStockKeystone(t *testing.T) {
	needService(t, "keystone")
	c := newStockKeystone(t)
	must(t, c.AddUser(t.Context(), "alice", "wonderland", "demo"))
	admin := administrator(t, c)
	project := admin.create("project", "/v3/projects", `{"project":{"name":"service","domain_id":"default"}}`)
	role := admin.create("role", "/v3/roles", `{"role":{"name":"service"}}`)
	user := admin.create("user", "/v3/users", `{"user":{"name":"authproxy","password":"hidden","domain_id":"default"}}`)
	admin.ask(http.MethodPut, "/v3/projects/"+project+"/users/"+user+"/roles/"+role, "", http.StatusNoContent)
	images := admin.create("service", "/v3/services", `{"service":{"type":"image","name":"glance"}}`)
	admin.create("endpoint", "/v3/endpoints", `{"endpoint":{"service_id":"`+images+`","interface":"public","region_id":"RegionOne","url":"http://images.example.org"}}`)

	const cacheTime = 2 * time.Second
	conf := c.File("service.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `[keystone_authtoken]
auth_url = %s
username = authproxy
password = hidden
user_domain_id = default
project_name = service
project_domain_id = default
token_cache_time = %d
revocation_events = off
service_type = image
`, c.Keystone, int(cacheTime.Seconds())), 0o600))
	p := startProxyProcess(t, "--config-file", conf, "--upstream", c.Upstream)
	c.Proxy = p.url

	// The openstack command logs in; the token passes, and says who it is.
	openstack := exec.CommandContext(t.Context(), "/usr/bin/openstack", "token", "issue", "-f", "value", "-c", "id")
	openstack.Env = append(os.Environ(), "OS_AUTH_URL="+c.Keystone+"/v3", "OS_USERNAME=alice", "OS_PASSWORD=wonderland", "OS_PROJECT_NAME=demo",
		"OS_USER_DOMAIN_ID=default", "OS_PROJECT_DOMAIN_ID=default", "OS_IDENTITY_API_VERSION=3")
	out, err := openstack.Output()
	must(t, err)
	issued := strings.TrimSpace(string(out))
	if !strings.HasPrefix(issued, "gAAAA") {
		t.Fatalf("no Fernet token: %.20s", issued)
	}
	wantIdentity(t, c, issued, "/v2/images", map[string]string{
		"X-Identity-Status": "Confirmed", "X-User-Name": "alice", "X-Project-Name": "demo", "X-User-Domain-Id": "default",
		"X-Project-Domain-Name": "Default", "X-Tenant-Name": "demo", "X-Domain-Id": "", "Openstack-System-Scope": "", "X-Is-Admin-Project": "True",
	})
	for _, bad := range []string{issued[:len(issued)-8] + "AAAAAAA=", "gAAAA" + strings.Repeat("A", 160), "", "garbage", strings.Repeat("0", 32)} {
		wantStatus(t, c, bad, http.StatusUnauthorized)
	}

	// Tokens of the other scopes.
	adminID := admin.id("users", "/v3/users?name=admin")
	admin.ask(http.MethodPut, "/v3/domains/default/users/"+adminID+"/roles/"+admin.id("roles", "/v3/roles?name=admin"), "", http.StatusNoContent)
	logIn := func(identity, scope string) string {
		t.Helper()
		res, text, err := cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/auth/tokens", nil, `{"auth":{"identity":`+identity+scope+`}}`)
		must(t, err)
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s\n%s", res.Status, text)
		}
		return res.Header.Get("X-Subject-Token")
	}
	password := func(user, password string) string {
		return `{"methods":["password"],"password":{"user":{"name":"` + user + `","domain":{"id":"default"},"password":"` + password + `"}}}`
	}
	asAdmin, asAlice := password("admin", c.AdminPassword), password("alice", "wonderland")
	wantIdentity(t, c, logIn(asAdmin, `,"scope":{"system":{"all":true}}`), "/", map[string]string{"Openstack-System-Scope": "all", "X-Project-Id": "", "X-Domain-Id": "", "X-User-Name": "admin"})
	wantIdentity(t, c, logIn(asAdmin, `,"scope":{"domain":{"id":"default"}}`), "/", map[string]string{"Openstack-System-Scope": "", "X-Project-Id": "", "X-Domain-Id": "default", "X-Domain-Name": "Default"})
	unscoped := logIn(asAlice, `,"scope":"unscoped"`)
	wantIdentity(t, c, unscoped, "/", map[string]string{"X-User-Name": "alice", "X-Project-Id": "", "X-Domain-Id": "", "X-Service-Catalog": ""})

	// An application credential with access rules: Keystone knows its tokens only where the rules are enforced.
	var credential struct {
		Made struct{ ID, Secret string } `json:"application_credential"`
	}
	alice := admin.id("users", "/v3/users?name=alice")
	res, text, err := cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/users/"+alice+"/application_credentials", map[string]string{"X-Auth-Token": issued},
		`{"application_credential":{"name":"reader","access_rules":[{"service":"image","method":"GET","path":"/v2/images/*"}]}}`)
	must(t, err)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%s\n%s", res.Status, text)
	}
	must(t, json.Unmarshal([]byte(text), &credential))
	restricted := logIn(`{"methods":["application_credential"],"application_credential":{"id":"`+credential.Made.ID+`","secret":"`+credential.Made.Secret+`"}}`, "")
	wantIdentity(t, c, restricted, "/v2/images/1", map[string]string{"X-User-Name": "alice", "X-Project-Name": "demo"})
	wantStatus(t, c, restricted, http.StatusUnauthorized) // GET /x

	// A trust: the trustee acts for the trustor, in his project.
	trust := struct{ Trust struct{ ID string } }{}
	res, text, err = cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/OS-TRUST/trusts", map[string]string{"X-Auth-Token": issued},
		`{"trust":{"trustor_user_id":"`+alice+`","trustee_user_id":"`+adminID+`","impersonation":true,"project_id":"`+admin.id("projects", "/v3/projects?name=demo")+`","roles":[{"name":"member"}]}}`)
	must(t, err)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%s\n%s", res.Status, text)
	}
	must(t, json.Unmarshal([]byte(text), &trust))
	wantIdentity(t, c, logIn(asAdmin, `,"scope":{"OS-TRUST:trust":{"id":"`+trust.Trust.ID+`"}}`), "/", map[string]string{"X-User-Name": "alice", "X-Project-Name": "demo"})

	// Revoked, and refused when the answer that was kept is too old; by a proxy that follows events, long before.
	first := c.Proxy
	follower := startProxyProcess(t, "--config-file", conf, "--upstream", c.Upstream, "--token-cache-time", "3600", "--revocation-events", "auto", "--revocation-cache-time", "1")
	c.Proxy = follower.url
	wantStatus(t, c, issued, http.StatusOK)
	wantStatus(t, c, unscoped, http.StatusOK)
	c.Proxy = first
	wantStatus(t, c, issued, http.StatusOK)
	must(t, c.Revoke(t.Context(), issued))
	delay := becomes(t, c, issued, http.StatusUnauthorized, cacheTime+time.Minute) // this Keystone is slow
	t.Logf("refused %s after the revocation; token_cache_time is %s", delay, cacheTime)
	wantStatus(t, c, unscoped, http.StatusOK)
	c.Proxy = follower.url
	t.Logf("refused %s later by the events", becomes(t, c, issued, http.StatusUnauthorized, time.Minute))
	wantStatus(t, c, unscoped, http.StatusOK)
	admin.ask(http.MethodPatch, "/v3/users/"+alice, `{"user":{"enabled":false}}`, http.StatusOK)
	t.Logf("refused %s after the user was disabled", becomes(t, c, unscoped, http.StatusUnauthorized, time.Minute))
	if n := strings.Count(p.output(), `msg="the Identity service has no PKI`); n != 1 {
		t.Errorf("said %d times that there is no PKI", n)
	}
}

// wantIdentity wants a token to be accepted, and the service to see these headers; "" is for one that must be absent.
func wantIdentity(t *testing.T, c *cloud.Cloud, text, path string, want map[string]string) {
	t.Helper()
	res, answer, err := cloud.Call(t.Context(), http.MethodGet, c.Proxy+path, map[string]string{"X-Auth-Token": text}, "")
	must(t, err)
	var saw struct{ Identity map[string]string }
	if res.StatusCode != http.StatusOK || json.Unmarshal([]byte(answer), &saw) != nil {
		t.Fatalf("%s: %s", res.Status, answer)
	}
	for name, value := range want {
		if got, there := saw.Identity[name]; got != value || there != (value != "") {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}
