package cmd

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

const (
	federationAPI = "/v3/OS-FEDERATION/"
	federatedAuth = federationAPI + "identity_providers/acme/protocols/oidc/auth"
	// federatedConf trusts a front end at an address of its own.
	federatedConf = "[auth]\nmethods = password,token,oidc\ntrusted_peers = 127.0.0.2\n" +
		"[federation]\nassertion_prefix = OIDC_CLAIM_\nremote_id_attribute = OIDC_CLAIM_iss\n"
)

func needSecondAddress(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("this machine has no second address for a front end: %v", err)
	}
	must(t, l.Close())
}

// federate has users of identity provider acme who are in group staff there be in group staff here, which is a member of project demo.
func federate(admin *admins) (project string) {
	group := admin.create("group", "/v3/groups", `{"group":{"name":"staff"}}`)
	project = admin.id("projects", "/v3/projects?name=demo")
	admin.ask(http.MethodPut, "/v3/projects/"+project+"/groups/"+group+"/roles/"+admin.id("roles", "/v3/roles?name=member"), "", http.StatusNoContent)
	admin.ask(http.MethodPut, federationAPI+"identity_providers/acme", `{"identity_provider":{"enabled":true,"remote_ids":["https://idp.example.org"]}}`, http.StatusCreated)
	admin.ask(http.MethodPut, federationAPI+"mappings/people", `{"mapping":{"rules":[{
		"remote":[{"type":"OIDC_CLAIM_preferred_username"},{"type":"OIDC_CLAIM_groups"}],
		"local":[{"user":{"name":"{0}"}},{"groups":"{1}","domain":{"id":"default"}}]}]}}`, http.StatusCreated)
	admin.ask(http.MethodPut, federationAPI+"identity_providers/acme/protocols/oidc", `{"protocol":{"mapping_id":"people"}}`, http.StatusCreated)
	return project
}

// federatedFront is a front end of the identity backend that has authenticated alice by an identity provider. It has an address of its
// own, and overwrites what the backend believes it.
func federatedFront(t *testing.T, keystone string) *httptest.Server {
	t.Helper()
	target, err := url.Parse(keystone)
	must(t, err)
	needSecondAddress(t)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Transport: &http.Transport{DialContext: dialer.DialContext},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			for name := range r.Out.Header {
				if strings.HasPrefix(strings.ReplaceAll(strings.ToUpper(name), "-", "_"), "OIDC_CLAIM_") {
					delete(r.Out.Header, name)
				}
			}
			r.Out.Header.Del("X-Remote-User")
			for name, value := range map[string]string{"OIDC_CLAIM_iss": "https://idp.example.org", "OIDC_CLAIM_preferred_username": "alice", "OIDC_CLAIM_groups": "staff;guests"} {
				r.Out.Header[name] = []string{value} // as mod_auth_openidc writes it
			}
		},
	})
	t.Cleanup(front.Close)
	return front
}

// openstackByFront logs in with the openstack command, where that is installed; the front end takes any access token.
func openstackByFront(t *testing.T, c *cloud.Cloud, front, userID, project string) {
	t.Helper()
	openstack, err := exec.LookPath("openstack")
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Logf("the openstack command is not installed: %v", err)
		return
	}
	for _, test := range [][]string{
		{userID, "token", "issue", "-f", "value", "-c", "user_id"},
		{project, "token", "issue", "-f", "value", "-c", "project_id"},
		{project, "federation", "project", "list", "-f", "value", "-c", "ID"},
	} {
		cmd := exec.CommandContext(t.Context(), openstack, append([]string{"--os-auth-type", "v3oidcaccesstoken", "--os-auth-url", front + "/v3", "--os-identity-provider", "acme",
			"--os-protocol", "oidc", "--os-access-token", "x", "--os-project-id", project, "--os-identity-api-version", "3"}, test[1:]...)...)
		cmd.Env = append(os.Environ(), "HOME="+c.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != test[0] {
			t.Errorf("openstack %s: %v\n%s\nwant %s", strings.Join(test[1:], " "), err, out, test[0])
		}
	}
}

// TestFederatedThroughTheProxy: a user whom an identity provider knows logs in, a service behind the proxy sees who that is, and the
// proxy refuses the user when the identity provider is disabled.
func TestFederatedThroughTheProxy(t *testing.T) {
	for _, provider := range []string{"pki", "uuid"} {
		t.Run(provider, func(t *testing.T) {
			c := newCloud(t, func(c *cloud.Cloud) {
				c.Provider, c.AuthtokenExtra = provider, "token_cache_time = 3600"
				c.KeystoneExtra = federatedConf
			})
			must(t, c.StartProxy(t.Context()))
			admin := administrator(t, c)
			project := federate(admin)
			forged := map[string]string{"OIDC_CLAIM_iss": "https://idp.example.org", "OIDC_CLAIM_preferred_username": "mallory", "OIDC_CLAIM_groups": "staff",
				"Oidc-Claim-Groups": "staff", "X-Remote-User": "mallory"}
			if res, text, err := cloud.Call(t.Context(), http.MethodGet, c.Keystone+federatedAuth, forged, ""); err != nil || res.StatusCode != http.StatusUnauthorized {
				t.Fatalf("forged: %v %v %s", err, res, text)
			}
			front := federatedFront(t, c.Keystone)
			res, text, err := cloud.Call(t.Context(), http.MethodGet, front.URL+federatedAuth, forged, "")
			must(t, err)
			if res.StatusCode != http.StatusCreated || !strings.Contains(text, `"name":"alice"`) {
				t.Fatalf("%s %s", res.Status, text)
			}
			unscoped := res.Header.Get("X-Subject-Token")
			body := fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}},"scope":{"project":{"id":%q}}}}`, unscoped, project)
			res, text, err = cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/auth/tokens", nil, body)
			must(t, err)
			var who whoIs
			must(t, json.Unmarshal([]byte(text), &who))
			token := res.Header.Get("X-Subject-Token")

			res, text, err = cloud.Call(t.Context(), http.MethodGet, c.Proxy+"/x", map[string]string{"X-Auth-Token": token}, "")
			must(t, err)
			var saw struct{ Identity map[string]string }
			must(t, json.Unmarshal([]byte(text), &saw))
			if res.StatusCode != http.StatusOK || len(who.Token.User.ID) != 64 {
				t.Fatalf("%s %s", res.Status, text)
			}
			for name, want := range map[string]string{
				"X-Identity-Status": "Confirmed", "X-User-Id": who.Token.User.ID, "X-User-Name": "alice", "X-User-Domain-Id": "Federated", "X-User-Domain-Name": "Federated",
				"X-Project-Id": project, "X-Project-Name": "demo", "X-Project-Domain-Id": "default", "X-Roles": "member",
			} {
				if saw.Identity[name] != want {
					t.Errorf("%s: %q, want %q", name, saw.Identity[name], want)
				}
			}
			wantStatus(t, c, unscoped, http.StatusOK) // names nobody's project
			openstackByFront(t, c, front.URL, who.Token.User.ID, project)
			alice := tokenOf(t, c)
			admin.ask(http.MethodPatch, federationAPI+"identity_providers/acme", `{"identity_provider":{"enabled":false}}`, http.StatusOK)
			t.Logf("refused %s after the identity provider was disabled", becomes(t, c, token, http.StatusUnauthorized, 5*time.Second))
			becomes(t, c, unscoped, http.StatusUnauthorized, 5*time.Second)
			wantStatus(t, c, alice, http.StatusOK)
		})
	}
}
