package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/certs/certstest"
	"authproxy/keystone/peer/kdctest"
	"authproxy/validate/bind"
)

// add writes more lines to a keystone.conf.
func add(t *testing.T, conf, lines string) {
	t.Helper()
	f, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(lines); err != nil {
		t.Fatal(err)
	}
}

func addAlice(t *testing.T, client *http.Client, url string) {
	t.Helper()
	_, admin, _, err := requestBy(client, "POST", url+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, text, err := requestBy(client, "POST", url+"/v3/users", admin, `{"user": {"name": "alice", "password": "pw"}}`); status != 201 {
		t.Fatalf("%d %s %v", status, text, err)
	}
}

// TestKerberosLogin logs in with MIT's KDC and curl, and uses the token that is bound to the principal.
func TestKerberosLogin(t *testing.T) {
	kdc := kdctest.Start(t)
	kdc.AddUser("alice", "alice-password")
	kdc.AddUser("bob", "bob-password")
	keytab := kdc.Keytab("http.keytab", "HTTP/localhost")
	conf := configure(t, "pki")
	add(t, conf, "[auth]\nmethods = kerberos,external,password,token\nkerberos_keytab = "+keytab+"\nkerberos_realm_map = "+kdctest.Realm+"=\n[token]\nbind = kerberos\n")
	urls, _ := start(t, "--config-file", conf)
	addAlice(t, http.DefaultClient, urls["public"])
	url := strings.Replace(urls["public"], "127.0.0.1", "localhost", 1)
	curl := func(env []string, args ...string) (status string, header http.Header, body []byte) {
		t.Helper()
		dir := t.TempDir()
		cmd := exec.Command(kdctest.Program(t, "curl"), append([]string{"-sS", "--noproxy", "*", "--negotiate", "-u", ":", "-H", "Content-Type: application/json",
			"-D", filepath.Join(dir, "header"), "-o", filepath.Join(dir, "body"), "-w", "%{http_code}"}, args...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		lines, err := os.ReadFile(filepath.Join(dir, "header"))
		if err != nil {
			t.Fatal(err)
		}
		header = http.Header{}
		for line := range strings.Lines(string(lines)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
				header.Add(name, value)
			}
		}
		body, err = os.ReadFile(filepath.Join(dir, "body"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(out), header, body
	}
	alice, bob := kdc.Login("alice", "alice-password"), kdc.Login("bob", "bob-password")
	const byKerberos = `{"auth": {"identity": {"methods": ["kerberos"], "kerberos": {}}}}`
	status, header, body := curl(alice, "-d", byKerberos, url+"/v3/auth/tokens")
	var answer struct {
		Token struct {
			Methods []string
			Bind    map[string]string
			User    struct{ Name string }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != "201" || answer.Token.User.Name != "alice" || answer.Token.Bind["kerberos"] != "alice" {
		t.Fatalf("%s %v %s", status, header, body)
	}
	token := header.Get("X-Subject-Token")
	use := []string{"-H", "X-Auth-Token: " + token, url + "/v3/auth/projects"}
	if status, _, body := curl(alice, use...); status != "200" {
		t.Errorf("by alice: %s %s", status, body)
	}
	if status, _, _ := curl(bob, use...); status != "401" {
		t.Errorf("by bob: %s", status)
	}
	if status, _, body := curl(bob, "-d", byKerberos, url+"/v3/auth/tokens"); status != "401" || !bytes.Contains(body, []byte("requires authentication")) {
		t.Errorf("a principal without a user: %s %s", status, body)
	}
	if status, _, body := curl(alice, "-d", `{"auth": {}}`, url+"/v2.0/tokens"); status != "200" || !bytes.Contains(body, []byte(`"bind":{"kerberos":"alice"}`)) {
		t.Errorf("by v2.0: %s %s", status, body)
	}
	if status, _, _, err := request("GET", url+"/v3/auth/projects", token, ""); status != 401 || err != nil {
		t.Errorf("by nobody: %d %v", status, err)
	}
}

// TestRemoteDomain: a front end says whom it has authenticated, and of which domain, where that is configured.
func TestRemoteDomain(t *testing.T) {
	for class, want := range map[string]int{"DefaultDomain": 401, "Domain": 201, "KerberosDomain": 401} {
		conf := configure(t, "uuid")
		add(t, conf, "[auth]\nmethods = external,password,token\ntrusted_peers = 127.0.0.1\nexternal = keystone.auth.plugins.external."+class+"\n")
		urls, _ := start(t, "--config-file", conf)
		_, admin, _, err := request("POST", urls["public"]+"/v3/auth/tokens", "", login("admin", adminPassword))
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ Domain struct{ ID string } }
		_, _, text, err := request("POST", urls["public"]+"/v3/domains", admin, `{"domain": {"name": "two"}}`)
		if err == nil {
			err = json.Unmarshal(text, &made)
		}
		if err != nil {
			t.Fatal(err)
		}
		if status, _, text, err := request("POST", urls["public"]+"/v3/users", admin, `{"user": {"name": "alice", "domain_id": "`+made.Domain.ID+`"}}`); status != 201 {
			t.Fatalf("%d %s %v", status, text, err)
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", urls["public"]+"/v3/auth/tokens", strings.NewReader(`{"auth": {"identity": {"methods": ["external"], "external": {}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "X-Remote-User": "alice", "X-Remote-Domain": "two", "X-Auth-Type": "Basic"} {
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", class, res.StatusCode, want)
		}
	}
}

// TestTLS: the listeners speak TLS, and a token is bound to the certificate that it was got with.
func TestTLS(t *testing.T) {
	ca, dir := certstest.New(t), t.TempDir()
	name := certstest.Template(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	client := certstest.Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	write := func(name string, text ...[]byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Join(text, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := ca.Issue(t, certstest.ECDSAP256, name)
	conf := configure(t, "uuid")
	add(t, conf, "[eventlet_server_ssl]\nenable = true\ncertfile = "+write("server.pem", server.CertPEM, server.KeyPEM)+"\nkeyfile = "+filepath.Join(dir, "none")+
		"\nca_certs = "+write("ca.pem", ca.CertPEM())+"\n[token]\nbind = x509\n")
	urls, _ := start(t, "--config-file", conf)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	as := func(s *certstest.Signer) *http.Client {
		config := &tls.Config{RootCAs: pool}
		if s != nil {
			pair, err := tls.X509KeyPair(s.CertPEM, s.KeyPEM)
			if err != nil {
				t.Fatal(err)
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil } // asked for or not
		}
		transport := &http.Transport{TLSClientConfig: config}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	first, second := ca.Issue(t, certstest.ECDSAP256, client), ca.Issue(t, certstest.ECDSAP256, client)
	holder, thief, plain := as(first), as(second), as(nil)
	url := strings.Replace(urls["public"], "127.0.0.1", "localhost", 1)
	if !strings.HasPrefix(url, "https://") || !strings.HasPrefix(urls["admin"], "https://") {
		t.Fatalf("%v", urls)
	}
	status, token, body, err := requestBy(holder, "POST", url+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil || status != 201 || !bytes.Contains(body, []byte(`"bind":{"x509":"`+bind.Thumbprint(first.Cert.Raw)+`"}`)) {
		t.Fatalf("%d %s %v", status, body, err)
	}
	for who, want := range map[*http.Client]int{holder: 200, thief: 401, plain: 401} {
		if status, _, _, err := requestBy(who, "GET", url+"/v3/auth/projects", token, ""); status != want || err != nil {
			t.Errorf("%d %v, want %d", status, err, want)
		}
	}
	status, token, body, err = requestBy(plain, "POST", url+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil || status != 201 || bytes.Contains(body, []byte(`"bind"`)) {
		t.Errorf("without a certificate: %d %s %v", status, body, err)
	}
	if status, _, _, err := requestBy(holder, "GET", url+"/v3/auth/projects", token, ""); status != 200 {
		t.Errorf("%d %v", status, err)
	}
	stranger := as(certstest.New(t, certstest.Subject("Another CA")).Issue(t, certstest.ECDSAP256, client))
	if _, _, _, err := requestBy(stranger, "GET", url+"/v3", "", ""); err == nil {
		t.Error("a certificate of another CA was let in")
	}
	if res, err := http.Get("http" + strings.TrimPrefix(url, "https") + "/v3"); err == nil {
		res.Body.Close()
		if res.StatusCode == 200 {
			t.Error("answered without TLS")
		}
	}
}

func TestCertRequired(t *testing.T) {
	ca, dir := certstest.New(t), t.TempDir()
	server := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}))
	conf := configure(t, "uuid")
	for name, text := range map[string][]byte{"cert.pem": server.CertPEM, "key.pem": server.KeyPEM, "ca.pem": ca.CertPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add(t, conf, "[ssl]\nenable = true\ncert_required = true\ncertfile = "+dir+"/cert.pem\nkeyfile = "+dir+"/key.pem\nca_certs = "+dir+"/ca.pem\n")
	urls, _ := start(t, "--config-file", conf)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	if _, _, _, err := requestBy(&http.Client{Transport: transport}, "GET", strings.Replace(urls["public"], "127.0.0.1", "localhost", 1)+"/v3", "", ""); err == nil {
		t.Error("let in without a certificate")
	}
}
