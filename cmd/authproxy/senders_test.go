package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/certs/certstest"
	"authproxy/validate/bind"
)

// listenerFiles makes the files of a TLS listener, and gives the flags for them.
func listenerFiles(t *testing.T, ca *certstest.CA, dir string) []string {
	t.Helper()
	s := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
		c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}))
	return []string{"--tls-cert-file", write(t, filepath.Join(dir, "tls.pem"), s.CertPEM), "--tls-key-file", write(t, filepath.Join(dir, "tls.key"), s.KeyPEM)}
}

// tlsClient is one that trusts ca, and shows a certificate unless it is nil.
func tlsClient(t *testing.T, ca *certstest.CA, certificate *certstest.Signer) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	config := &tls.Config{RootCAs: pool}
	if certificate != nil {
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate.Cert.Raw}, PrivateKey: certificate.Key}}
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func issueClient(t *testing.T, ca *certstest.CA, names ...string) *certstest.Signer {
	return ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = names, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
}

// TestClientCertificates: tokens bound to x509 over a real TLS listener.
func TestClientCertificates(t *testing.T) {
	p, ca, dir := newPKI(t), certstest.New(t), t.TempDir()
	args := append(listenerFiles(t, ca, dir), "--tls-client-ca-file", write(t, filepath.Join(dir, "clients.pem"), ca.CertPEM()))
	alice, bob := issueClient(t, ca), issueClient(t, ca)
	thumbprint := bind.Thumbprint(alice.Cert.Raw)
	r := offline(t, p, args...)
	if !strings.HasPrefix(r.data, "https://") {
		t.Fatalf("listens on %s", r.data)
	}
	digest, err := base64.RawURLEncoding.DecodeString(thumbprint)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token  string
		client *certstest.Signer
		want   int
	}{
		"bind.x509, right":              {p.bound("alice", auditA, `"bind":{"x509":"`+thumbprint+`"}`), alice, 200},
		"bind.x509, hex":                {p.bound("alice", auditA, fmt.Sprintf(`"bind":{"x509":"%x"}`, digest)), alice, 200},
		"bind.x509, nobody":             {p.bound("alice", auditA, `"bind":{"x509":"`+thumbprint+`"}`), nil, 401},
		"bind.x509, another":            {p.bound("alice", auditA, `"bind":{"x509":"`+thumbprint+`"}`), bob, 401},
		"oauth2_credential, right":      {p.bound("alice", auditA, `"oauth2_credential":{"x5t#S256":"`+thumbprint+`"}`), alice, 200},
		"oauth2_credential, another":    {p.bound("alice", auditA, `"oauth2_credential":{"x5t#S256":"`+thumbprint+`"}`), bob, 401},
		"not bound, with a certificate": {p.token("alice", auditA), bob, 200},
		"not bound, without":            {p.token("alice", auditA), nil, 200},
		"bound to kerberos":             {p.bound("alice", auditA, `"bind":{"kerberos":"alice"}`), alice, 401},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.send(tlsClient(t, ca, tt.client), r.data, tt.token, nil)
			if res.StatusCode != tt.want {
				t.Errorf("%d, want %d\n%s", res.StatusCode, tt.want, r.logs)
			}
			for _, challenge := range res.Header["Www-Authenticate"] {
				if challenge == "Negotiate" {
					t.Error("Negotiate is offered where there is no keytab")
				}
			}
		})
	}
}

// TestListenerReload: a renewed certificate is shown without a restart, a broken one is not, and is told of.
func TestListenerReload(t *testing.T) {
	p, ca, dir := newPKI(t), certstest.New(t), t.TempDir()
	args := listenerFiles(t, ca, dir)
	r := offline(t, p, args...)
	shown := func() string {
		res := r.send(tlsClient(t, ca, nil), r.data, p.token("alice", auditA), nil)
		return res.TLS.PeerCertificates[0].SerialNumber.String()
	}
	first := shown()
	good, err := os.ReadFile(args[3])
	if err != nil {
		t.Fatal(err)
	}
	write(t, args[3], []byte("junk"))
	r.eventually("told of", func() bool {
		_, text := r.get(r.admin+"/metrics", "")
		return strings.Contains(text, `authproxy_files_stale{what="listener"} 1`)
	})
	r.expect(r.admin+"/status", "", 200, `"last_error": "certificate `)
	if got := shown(); got != first {
		t.Errorf("shows %s, not the last good one %s", got, first)
	}
	write(t, args[3], good)
	r.eventually("good again", func() bool {
		_, text := r.get(r.admin+"/metrics", "")
		return strings.Contains(text, `authproxy_files_stale{what="listener"} 0`)
	})
	listenerFiles(t, ca, dir)
	r.eventually("the new one is shown", func() bool { return shown() != first })
	r.expect(r.admin+"/metrics", "", 200, "authproxy_listener_certificate_days_left ")
}

// TestTrustedPeers: REMOTE_USER by header, from a trusted address or a front's certificate, and never to the upstream.
func TestTrustedPeers(t *testing.T) {
	seen := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer upstream.Close()
	p, ca, dir := newPKI(t), certstest.New(t), t.TempDir()
	bound := p.bound("alice", auditA, `"bind":{"kerberos":"alice"}`)
	said := http.Header{"X-Krb-User": {"alice@EXAMPLE.ORG"}, "X-Krb-Type": {"Negotiate"}, "X_Krb_User": {"mallory"}, "x.krb.type": {"Basic"}, "X-Remote-User": {"not ours"}}
	for name, tt := range map[string]struct {
		args   []string
		client *certstest.Signer
		want   int
	}{
		"trusted address":  {[]string{"--trusted-peers", "192.0.2.0/24, 127.0.0.0/8"}, nil, 200},
		"other address":    {[]string{"--trusted-peers", "192.0.2.0/24"}, nil, 401},
		"trusted name":     {[]string{"--trusted-peer-names", "front.example.org"}, issueClient(t, ca, "front.example.org"), 200},
		"other name":       {[]string{"--trusted-peer-names", "front.example.org"}, issueClient(t, ca, "www.example.org"), 401},
		"no certificate":   {[]string{"--trusted-peer-names", "front.example.org"}, nil, 401},
		"address, by name": {[]string{"--trusted-peer-names", "front.example.org", "--trusted-peers", "127.0.0.1"}, nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(listenerFiles(t, ca, t.TempDir()), "--tls-client-ca-file", write(t, filepath.Join(dir, "clients.pem"), ca.CertPEM()),
				"--remote-user-header", "X-Krb-User", "--auth-type-header", "x-krb-type", "--kerberos-realm-map", "EXAMPLE.ORG=")
			r := offline(t, p, append(append(args, tt.args...), "--upstream", upstream.URL)...)
			c := tlsClient(t, ca, tt.client)
			if res := r.send(c, r.data, bound, said); res.StatusCode != tt.want {
				t.Errorf("%d, want %d\n%s", res.StatusCode, tt.want, r.logs)
			}
			// To the upstream they go from nobody.
			if tt.want != 200 {
				if res := r.send(c, r.data, p.token("alice", auditB), said); res.StatusCode != 200 {
					t.Fatalf("a token that is not bound: %d", res.StatusCode)
				}
			}
			header := <-seen
			for name := range header {
				if strings.Contains(strings.ToLower(name), "krb") {
					t.Errorf("%s reached the upstream", name)
				}
			}
			if header.Get("X-Remote-User") != "not ours" {
				t.Error("a header that means nothing here was taken away")
			}
		})
	}
}
