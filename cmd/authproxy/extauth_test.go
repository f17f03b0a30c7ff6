package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"authproxy/certs/certstest"
)

// auth is where front ends ask, from the line that tells the addresses.
func (r *running) auth() string {
	r.t.Helper()
	_, rest, ok := strings.Cut(r.logs.String(), `"auth":"`)
	where, _, _ := strings.Cut(rest, `"`)
	if !ok || where == "" {
		r.t.Fatalf("no front end can ask: %s", r.logs)
	}
	return where
}

// question asks about a GET.
func question(t *testing.T, client *http.Client, url, path, token string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("GET", url+"/auth", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-Original-Method": {"GET"}, "X-Original-Uri": {path}, "X-Auth-Token": {token}, "X-Roles": {"admin"}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func check(t *testing.T, target string, creds credentials.TransportCredentials, path, token string) int {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Headers: map[string]string{"x-auth-token": token}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if denied := res.GetDeniedResponse(); denied != nil {
		return int(denied.Status.Code)
	}
	for _, o := range res.GetOkResponse().GetHeaders() {
		if o.Header.Key == "x-user-name" && o.Header.Value != "alice" {
			t.Errorf("%s", o.Header.Value)
		}
	}
	return 200
}

// Without an upstream there is the listener for front ends alone; here a unix socket.
func TestAuthOnly(t *testing.T) {
	p := newPKI(t)
	socket := filepath.Join(t.TempDir(), "auth.sock")
	r := begin(t, append(localFiles(t, p), "--auth-listen", "unix:"+socket, "--anonymous", "GET /healthcheck")...)
	if where := r.auth(); r.data != "" || where != "unix:"+socket {
		t.Errorf("listens on %q and %q", r.data, where)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	alice, bob := p.token("alice", auditA), p.token("bob", auditB) // whose token is on the list
	for _, tt := range []struct {
		path, token string
		code        int
		roles       string
	}{{"/v2", alice, 200, "member"}, {"/v2", bob, 401, ""}, {"/v2", "junk", 401, ""}, {"/healthcheck", "", 200, ""}} {
		res := question(t, client, "http://authproxy", tt.path, tt.token)
		if res.StatusCode != tt.code || res.Header.Get("X-Roles") != tt.roles {
			t.Errorf("%s: %d %q, want %d", tt.path, res.StatusCode, res.Header.Get("X-Roles"), tt.code)
		}
		if code := check(t, "unix:"+socket, insecure.NewCredentials(), tt.path, tt.token); code != tt.code {
			t.Errorf("%s by gRPC: %d, want %d", tt.path, code, tt.code)
		}
	}
	r.expect(r.admin+"/readyz", "", 200, "")
	r.expect(r.admin+"/metrics", "", 200, `authproxy_auth_requests_total{by="original",code="401"} 2`)
	r.expect(r.admin+"/metrics", "", 200, `authproxy_auth_requests_total{by="grpc",code="200"} 2`)
	r.expect(r.admin+"/metrics", "", 200, `authproxy_requests_total{code="401",outcome="refused"} 4`)
	r.expect(r.admin+"/metrics", "", 200, `authproxy_refusals_total{reason="revoked"} 2`)
	r.stop()
	r.end()
}

// Front ends on other machines are known by their certificates, which say nothing about the clients.
func TestAuthTLS(t *testing.T) {
	p, ca := newPKI(t), certstest.New(t)
	dir := t.TempDir()
	issue := func(name string) *certstest.Signer {
		return ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}))
	}
	front, other := issue("front.example.org"), issue("other.example.org")
	upstream, _, _ := echoUpstream(t)
	r := begin(t, append(append(localFiles(t, p), listenerFiles(t, ca, dir)...), "--upstream", upstream.URL, "--auth-listen", "127.0.0.1:0", "--auth-tls",
		"--tls-client-ca-file", write(t, filepath.Join(dir, "clients.pem"), ca.CertPEM()),
		"--auth-trusted-peers", "unix", "--auth-trusted-peer-names", "front.example.org", "--route", "audit; path=/audit; required_roles=auditor; upstream="+upstream.URL)...)
	alice := p.token("alice", auditA)
	sum := sha256.Sum256(front.Cert.Raw)
	bound := p.bound("alice", auditA, `"bind":{"x509":"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"}`)

	client := tlsClient(t, ca, front)
	defer client.CloseIdleConnections()
	for _, tt := range []struct {
		path, token string
		code        int
	}{{"/v2", alice, 200}, {"/audit/x", alice, 403}, {"/x/../audit", alice, 400}, {"/v2", bound, 401}, {"/v2", "", 401}} {
		if res := question(t, client, r.auth(), tt.path, tt.token); res.StatusCode != tt.code {
			t.Errorf("%s: %d, want %d", tt.path, res.StatusCode, tt.code)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	creds := credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{front.Cert.Raw}, PrivateKey: front.Key}}})
	if code := check(t, strings.TrimPrefix(r.auth(), "https://"), creds, "/audit/x", alice); code != 403 {
		t.Errorf("gRPC: %d", code)
	}
	for name, certificate := range map[string]*certstest.Signer{"nobody": nil, "another": other} {
		stranger := tlsClient(t, ca, certificate)
		if res := question(t, stranger, r.auth(), "/v2", alice); res.StatusCode != 403 || res.Header["X-Roles"] != nil {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
		stranger.CloseIdleConnections()
	}
	// The proxy itself goes on beside it, and knows that the certificate is its client's.
	req, err := http.NewRequest("GET", r.data+"/v2", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", bound)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil || text.String() != "Confirmed alice member" {
		t.Errorf("%q %v", text.String(), err)
	}
}
