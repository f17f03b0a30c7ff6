package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// pathUpstream answers with its name, what it saw of the path, and who.
func pathUpstream(t *testing.T, name string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %q %s", name, r.RequestURI, r.Header.Get("X-Identity-Status"), r.Header.Get("X-User-Name"), r.Header.Get("X-Forwarded-Prefix"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// localFiles is a configuration that needs no Identity service.
func localFiles(t *testing.T, p *pki) []string {
	dir := t.TempDir()
	return []string{"--signing-cert-file", write(t, filepath.Join(dir, "signing.pem"), p.signer.CertPEM),
		"--signing-ca-file", write(t, filepath.Join(dir, "ca.pem"), p.ca.CertPEM()),
		"--revocation-file", write(t, filepath.Join(dir, "revoked.pem"), p.list(auditB))}
}

func TestRoutes(t *testing.T) {
	p := newPKI(t)
	main, image, meta := pathUpstream(t, "main"), pathUpstream(t, "image"), pathUpstream(t, "meta")
	file := write(t, filepath.Join(t.TempDir(), "proxy.conf"), []byte(`[keystone_authtoken]
delay_auth_decision = true
[authproxy:route:image]
path = /image
strip_prefix = true
upstream = `+image+`
delay_auth_decision = false
anonymous = GET /healthcheck, GET /public/*
[authproxy:route:admin]
path = /image/admin
upstream = `+image+`
delay_auth_decision = false
required_roles = admin
[authproxy:route:bound]
path = /bound
upstream = `+image+`
delay_auth_decision = no
enforce_token_bind = kerberos
`))
	r := begin(t, append(localFiles(t, p), "--config-file", file, "--upstream", main, "--anonymous", "GET /main", "--trusted-peers", "192.0.2.1",
		"--route", "meta; host=meta.example.org; upstream="+meta)...)
	alice := p.token("alice", auditA)
	for _, tt := range []struct {
		path, token string
		code        int
		want        string
	}{
		{"/x", alice, 200, `main /x Confirmed "alice" `},
		{"/x", "", 200, `main /x Invalid "" `},
		{"/main", alice, 200, `main /main  "" `},
		{"/image/v2?a=b", alice, 200, `image /v2?a=b Confirmed "alice" /image`},
		{"/image/v2", "", 401, "requires authentication"},
		{"/image/healthcheck", "", 200, `image /healthcheck  "" /image`},
		{"/image/public/x", "", 200, `image /public/x  "" /image`},
		{"/image/public/..%2fv2", "", 400, "more ways than one"},
		{"/public/x", "", 200, `main /public/x Invalid "" `},
		{"/image/admin/public/x", "", 401, ""},
		{"/image/admin/x", alice, 403, "None of your roles"},
		{"/bound", alice, 401, ""},
		{"/x//y", alice, 200, `main /x//y Confirmed "alice" `},
	} {
		if code, text := r.get(r.data+tt.path, tt.token); code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %d %q, want %d %q", tt.path, code, text, tt.code, tt.want)
		}
	}
	req, err := http.NewRequest("GET", r.data+"/m", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "meta.example.org"
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("by host: %d", res.StatusCode)
	}
	r.expect(r.admin+"/metrics", "", 200, `authproxy_route_requests_total{route="meta"} 1`)
	r.expect(r.admin+"/metrics", "", 200, `authproxy_anonymous_requests_total{route="image",rule="GET /public/*"} 1`)
	r.expect(r.admin+"/metrics", "", 200, `authproxy_anonymous_requests_total{route="upstream",rule="GET /main"} 1`)
	r.expect(r.admin+"/status", "", 200, `"required_roles": [`)
	for _, line := range []string{`"msg":"route","route":"admin"`, `"route":"image","rule":"GET /public/*"`} {
		if !strings.Contains(r.logs.String(), line) {
			t.Errorf("not in the log: %s", line)
		}
	}
}

// Without --upstream, what fits no route is a 404.
func TestNoRoute(t *testing.T) {
	p := newPKI(t)
	r := begin(t, append(localFiles(t, p), "--route", "a;path=/a;upstream="+pathUpstream(t, "a"))...)
	r.expect(r.data+"/a/x", p.token("alice", auditA), 200, "a /a/x Confirmed")
	r.expect(r.data+"/b", p.token("alice", auditA), 404, "no service at this address")
	r.expect(r.admin+"/metrics", "", 200, `authproxy_requests_total{code="404",outcome="no_route"} 1`)
}
