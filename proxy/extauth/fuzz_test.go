package extauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"authproxy/keystone/peer"
)

// FuzzQuestion puts whatever texts into the places where front ends say what they ask for. Without a token nothing passes but the one
// request that needs none, however it is said, and the client is an address or nobody.
func FuzzQuestion(f *testing.F) {
	for _, s := range [][4]string{
		{"GET", "/healthcheck", "192.0.2.9", "image"}, {"GET", "/healthcheck?x", "[2001:db8::1]:99, 127.0.0.1", "a"}, {"GET", "//healthcheck", "unknown", ""},
		{"GET", "/x/%2e%2e/healthcheck", "unix:", "image:99"}, {"get", "http://a/healthcheck", ",", "a b"}, {"CONNECT", "*", "1.2.3.4%eth0", "\x00"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	fronts, err := peer.ParseFronts([]string{"127.0.0.1", "unix"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	h, _ := handler(f, fronts, nil)
	f.Fuzz(func(t *testing.T, method, uri, client, host string) {
		ask := func(r *http.Request) int {
			r.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		needsNone := func() bool {
			u, err := url.ParseRequestURI(uri)
			return err == nil && method == "GET" && u.Path == "/healthcheck"
		}
		for _, r := range []*http.Request{
			{Method: "GET", URL: &url.URL{Path: OriginalPath}, RequestURI: OriginalPath, Host: host,
				Header: http.Header{"X-Original-Method": {method}, "X-Original-Uri": {uri}, "X-Forwarded-For": {client}}},
			{Method: "GET", URL: &url.URL{Path: ForwardedPath}, RequestURI: ForwardedPath,
				Header: http.Header{"X-Forwarded-Method": {method}, "X-Forwarded-Uri": {uri}, "X-Forwarded-Host": {host}, "X-Forwarded-For": {client}}},
			{Method: method, URL: &url.URL{Path: EnvoyPrefix + uri}, RequestURI: EnvoyPrefix + uri, Host: host, Header: http.Header{"X-Forwarded-For": {client}}},
		} {
			if code := ask(r); code == 200 && !needsNone() || code == 500 {
				t.Errorf("%s: %q %q is %d", r.URL.Path, method, uri, code)
			}
		}
		q := grpcQuestion(envoy(method, uri, map[string]string{"x-forwarded-for": client}))
		if r, err := q.request(t.Context()); err == nil {
			if v := h.judge(r); v.code == 200 && !needsNone() || v.code == 0 {
				t.Errorf("gRPC: %q %q is %d", method, uri, v.code)
			}
		}
	})
}
