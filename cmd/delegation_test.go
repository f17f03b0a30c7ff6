package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// whoIs is a token's body, as far as the tests here read it.
type whoIs struct {
	Token struct {
		User    struct{ ID string }
		Project struct{ ID string }
		Roles   []struct{ ID string }
	}
}

// TestTrustThroughTheProxy: a service sees whom a trust's token says, and the proxy refuses it as soon as the trust is gone.
func TestTrustThroughTheProxy(t *testing.T) {
	c := newCloud(t, nil)
	must(t, c.StartProxy(t.Context()))
	must(t, c.AddUser(t.Context(), "bob", "builder", "elsewhere"))
	identity := func(method, path, token, body string, status int) (*http.Response, string) {
		t.Helper()
		res, text, err := cloud.Call(t.Context(), method, c.Keystone+path, map[string]string{"X-Auth-Token": token}, body)
		must(t, err)
		if res.StatusCode != status {
			t.Fatalf("%s %s: %s, want %d\n%s", method, path, res.Status, status, text)
		}
		return res, text
	}
	login := func(user, password, project string) (string, whoIs) {
		t.Helper()
		res, text := identity("POST", "/v3/auth/tokens", "", cloud.Login(user, password, project), http.StatusCreated)
		var who whoIs
		must(t, json.Unmarshal([]byte(text), &who))
		return res.Header.Get("X-Subject-Token"), who
	}
	aliceToken, alice := login("alice", "wonderland", "demo")
	_, bob := login("bob", "builder", "elsewhere")
	for _, impersonation := range []bool{true, false} {
		_, text := identity("POST", "/v3/OS-TRUST/trusts", aliceToken, fmt.Sprintf(`{"trust":{"trustor_user_id":%q,"trustee_user_id":%q,
			"project_id":%q,"impersonation":%v,"roles":[{"id":%q}]}}`, alice.Token.User.ID, bob.Token.User.ID, alice.Token.Project.ID,
			impersonation, alice.Token.Roles[0].ID), http.StatusCreated)
		var made struct{ Trust struct{ ID string } }
		must(t, json.Unmarshal([]byte(text), &made))
		res, _ := identity("POST", "/v3/auth/tokens", "", fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":%q,
			"password":"builder"}}},"scope":{"OS-TRUST:trust":{"id":%q}}}}`, bob.Token.User.ID, made.Trust.ID), http.StatusCreated)
		token := res.Header.Get("X-Subject-Token")

		res, answer, err := cloud.Call(t.Context(), http.MethodGet, c.Proxy+"/x", map[string]string{"X-Auth-Token": token}, "")
		must(t, err)
		var saw struct{ Identity map[string]string }
		must(t, json.Unmarshal([]byte(answer), &saw))
		name, id := "bob", bob.Token.User.ID
		if impersonation {
			name, id = "alice", alice.Token.User.ID
		}
		if res.StatusCode != http.StatusOK || saw.Identity["X-User-Name"] != name || saw.Identity["X-User-Id"] != id ||
			saw.Identity["X-Project-Name"] != "demo" || saw.Identity["X-Roles"] != "member" {
			t.Fatalf("impersonation %v: %s: %s", impersonation, res.Status, answer)
		}
		identity("DELETE", "/v3/OS-TRUST/trusts/"+made.Trust.ID, aliceToken, "", http.StatusNoContent)
		t.Logf("refused %s after the trust was deleted", becomes(t, c, token, http.StatusUnauthorized, 5*time.Second))
		wantStatus(t, c, aliceToken, http.StatusOK)
	}
}

// TestKeystoneclientDelegation has the library that services use work with trusts, OAuth and what belongs to them; oauthlib signs.
func TestKeystoneclientDelegation(t *testing.T) {
	interpreter := python(t, "keystoneclient.v3", "oauthlib.oauth1")
	c := newCloud(t, func(c *cloud.Cloud) { c.Provider = "pki" })
	out, err := exec.CommandContext(t.Context(), interpreter, "testdata/delegation.py", c.Keystone, c.AdminPassword).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
