package cmd

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// loginV2 gets a token by the API v2.0.
func loginV2(t *testing.T, c *cloud.Cloud) string {
	t.Helper()
	res, answer, err := cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v2.0/tokens", nil,
		`{"auth": {"passwordCredentials": {"username": "alice", "password": "wonderland"}, "tenantName": "demo"}}`)
	must(t, err)
	var body struct {
		Access struct{ Token struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(answer), &body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, answer)
	}
	return body.Access.Token.ID
}

// TestV2Tokens: a token of the API v2.0 is decided like any other: offline, where it is signed.
func TestV2Tokens(t *testing.T) {
	for _, provider := range []string{"pki", "pkiz", "uuid"} {
		t.Run(provider, func(t *testing.T) {
			c := newCloud(t, func(c *cloud.Cloud) {
				c.Provider = provider
				c.AuthtokenExtra = "token_cache_time = 1"
			})
			must(t, c.StartProxy(t.Context()))
			text := loginV2(t, c)
			res, answer, err := cloud.Call(t.Context(), http.MethodGet, c.Proxy+"/x", map[string]string{"X-Auth-Token": text}, "")
			must(t, err)
			var saw struct{ Identity map[string]string }
			must(t, json.Unmarshal([]byte(answer), &saw))
			if res.StatusCode != http.StatusOK || saw.Identity["X-User-Name"] != "alice" || saw.Identity["X-Project-Name"] != "demo" || saw.Identity["X-Roles"] != "member" {
				t.Fatalf("%s: %s", res.Status, answer)
			}
			wantStatus(t, c, forged(text), http.StatusUnauthorized)
			must(t, c.Revoke(t.Context(), text))
			becomes(t, c, text, http.StatusUnauthorized, 5*time.Second)
		})
	}
}

// TestKeystoneclientV2 has the library that OpenStack's services used for the API v2.0 manage users, tenants, roles and the catalog.
func TestKeystoneclientV2(t *testing.T) {
	interpreter := python(t, "keystoneclient.v2_0")
	c := newCloud(t, func(c *cloud.Cloud) { c.Provider = "pki" })
	out, err := exec.CommandContext(t.Context(), interpreter, "testdata/keystoneclient_v2.py", c.Keystone, c.KeystoneAdmin, c.AdminPassword, c.Dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
