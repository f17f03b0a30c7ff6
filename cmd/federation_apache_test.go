package cmd

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

const apacheKey = "0123456789abcdef0123456789abcdef"

// accessToken is one that mod_auth_openidc verifies by apacheKey.
func accessToken(t *testing.T, claims map[string]any) string {
	t.Helper()
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	text, err := json.Marshal(claims)
	must(t, err)
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT","kid":"k"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
	mac := hmac.New(sha256.New, []byte(apacheKey))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// startApache runs Apache with the sample configuration before a service.
func startApache(t *testing.T, service string) (url string) {
	t.Helper()
	const program, modules = "/usr/sbin/apache2", "/usr/lib/apache2/modules/"
	for _, path := range []string{program, modules + "mod_auth_openidc.so"} {
		if _, err := os.Stat(path); err != nil {
			if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
				t.Fatal(err)
			}
			t.Skipf("Apache with mod_auth_openidc is not installed: %v", err)
		}
	}
	sample, err := os.ReadFile("../examples/federation/apache.conf")
	must(t, err)
	text := string(sample)
	if !strings.Contains(text, "http://identity.internal:5000/") {
		t.Fatal("the sample passes requests on to somewhere else")
	}
	text = strings.ReplaceAll(text, "http://identity.internal:5000/", service+"/")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	dir, err := os.MkdirTemp("", "authproxy-test-apache-") // which its own user can enter
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	var conf strings.Builder
	for _, name := range []string{"mpm_event", "authz_core", "authn_core", "authz_user", "headers", "proxy", "proxy_http", "auth_openidc"} {
		fmt.Fprintf(&conf, "LoadModule %s_module %smod_%s.so\n", name, modules, name)
	}
	fmt.Fprintf(&conf, "ServerName localhost\nListen %s\nServerRoot %[2]s\nDefaultRuntimeDir %[2]s\nPidFile %[2]s/pid\nErrorLog %[2]s/log\nLogLevel warn\n", address, dir)
	if os.Getuid() == 0 {
		conf.WriteString("User www-data\nGroup www-data\n")
	}
	conf.WriteString(text + "\nProxySourceAddress 127.0.0.2\nOIDCOAuthVerifySharedKeys plain#k#" + apacheKey + "\nOIDCOAuthRemoteUserClaim sub\n")
	must(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf.String()), 0o600))
	cmd := exec.Command(program, "-X", "-f", filepath.Join(dir, "conf"))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Apache wrote:\n%s%s", out.String(), log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, cloud.Until(ctx, func() (bool, error) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
		}
		return err == nil, nil
	}))
	return "http://" + address
}

// TestApacheSample: behind the Apache of examples/federation, who has an access token gets a token, and nobody gets one by headers.
func TestApacheSample(t *testing.T) {
	needSecondAddress(t)
	c := newCloud(t, func(c *cloud.Cloud) { c.KeystoneExtra = federatedConf })
	apache := startApache(t, c.Keystone)
	admin := administrator(t, c)
	federate(admin)
	admin.ask(http.MethodPut, federationAPI+"identity_providers/unguarded", `{"identity_provider":{"enabled":true,"remote_ids":["https://other.example.org"]}}`, http.StatusCreated)
	admin.ask(http.MethodPut, federationAPI+"identity_providers/unguarded/protocols/oidc", `{"protocol":{"mapping_id":"people"}}`, http.StatusCreated)
	enter := func(path, bearer string, headers ...string) (int, string) {
		t.Helper()
		h := map[string]string{}
		if bearer != "" {
			h["Authorization"] = "Bearer " + bearer
		}
		for i := 0; i < len(headers); i += 2 {
			h[headers[i]] = headers[i+1]
		}
		res, text, err := cloud.Call(t.Context(), http.MethodGet, apache+path, h, "")
		must(t, err)
		if res.StatusCode == http.StatusCreated && res.Header.Get("X-Subject-Token") == "" {
			t.Error("the token did not get through")
		}
		return res.StatusCode, text
	}
	claims := func(more ...any) map[string]any {
		m := map[string]any{"iss": "https://idp.example.org", "sub": "1", "preferred_username": "alice", "groups": []string{"guests", "staff"}}
		for i := 0; i < len(more); i += 2 {
			if m[more[i].(string)] = more[i+1]; more[i+1] == nil {
				delete(m, more[i].(string))
			}
		}
		return m
	}
	forged := []string{"OIDC_CLAIM_iss", "https://idp.example.org", "OIDC_CLAIM_preferred_username", "mallory", "OIDC_CLAIM_groups", "staff"}
	if status, text := enter(federatedAuth, accessToken(t, claims()), forged...); status != http.StatusCreated || !strings.Contains(text, `"name":"alice"`) {
		t.Fatalf("%d %s", status, text)
	}
	guest := accessToken(t, claims("groups", []string{"guests"}))
	none := accessToken(t, claims("groups", nil))
	nobody := accessToken(t, claims("preferred_username", nil))
	for what, test := range map[string]struct {
		path, bearer string
		headers      []string
	}{
		"a guest":                     {federatedAuth, guest, nil},
		"a guest with a group":        {federatedAuth, guest, []string{"OIDC_CLAIM_groups", "staff"}},
		"a guest with a look-alike":   {federatedAuth, guest, []string{"OIDC-CLAIM-groups", "staff"}},
		"no claim, but a header":      {federatedAuth, none, []string{"OIDC_CLAIM_groups", "staff"}},
		"no claim, but a look-alike":  {federatedAuth, none, []string{"OIDC-CLAIM-groups", "staff"}},
		"mixed":                       {federatedAuth, none, []string{"OIDC_CLAIM-groups", "staff"}},
		"no name, but a header":       {federatedAuth, nobody, []string{"OIDC_CLAIM_preferred_username", "mallory", "X-Remote-User", "mallory"}},
		"headers alone":               {federatedAuth, "", forged},
		"another provider's place":    {federationAPI + "identity_providers/unguarded/protocols/oidc/auth", "", append([]string{"OIDC_CLAIM_iss", "https://other.example.org"}, forged[2:]...)},
		"with a token of another":     {federationAPI + "identity_providers/unguarded/protocols/oidc/auth", accessToken(t, claims()), forged},
		"another way to write a path": {strings.Replace(federatedAuth, "/auth", "/%61uth", 1), "", forged},
		"a slash more":                {strings.Replace(federatedAuth, "/auth", "//auth", 1), "", forged},
		"dots":                        {strings.Replace(federatedAuth, "/auth", "/./auth", 1), "", forged},
		"a parameter":                 {strings.Replace(federatedAuth, "/auth", ";x/auth", 1), "", forged},
		"another wrong provider":      {federatedAuth, accessToken(t, claims("iss", "https://other.example.org")), nil},
	} {
		if status, text := enter(test.path, test.bearer, test.headers...); status < 300 || status >= 500 {
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
}
