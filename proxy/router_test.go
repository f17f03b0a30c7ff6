package proxy

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone"
	"authproxy/proxy/headers"
	"authproxy/validate"
)

// newRoutedRig is a proxy with a Router; each of its upstreams answers under the name of its route.
func newRoutedRig(t *testing.T, routes map[string]Route) (*rig, map[string]*upstream) {
	t.Helper()
	g := &rig{t: t, registry: prometheus.NewRegistry()}
	metrics, validator := NewMetrics(g.registry), knownTokens()
	ups := map[string]*upstream{}
	var all []Route
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		route := routes[name]
		up := newUpstream(t)
		target, err := ParseUpstream(up.url(), false)
		if err != nil {
			t.Fatal(err)
		}
		h := route.Handler
		if h == nil {
			h = &Handler{}
		}
		h.Route, h.Validator, h.Upstream, h.Metrics = name, validator, target, metrics
		useClient(t, h, TransportOptions{})
		route.Handler = h
		ups[name], all = up, append(all, route)
	}
	g.Server = httptest.NewUnstartedServer(nil)
	g.Server.Config = NewServer(NewRouter(all), ServerOptions{ReadHeaderTimeout: 5 * time.Second})
	start(t, g.Server)
	return g, ups
}

func TestRouter(t *testing.T) {
	g, ups := newRoutedRig(t, map[string]Route{
		"image":       {Path: "/image", StripPrefix: true},
		"image-admin": {Path: "/image/admin", Handler: &Handler{RequiredRoles: []string{"admin"}}},
		"host":        {Hosts: []string{"meta.example.org", "meta"}},
		"host-path":   {Hosts: []string{"meta"}, Path: "/deep/down", StripPrefix: true},
		"open":        {Path: "/open", Handler: &Handler{DelayAuthDecision: true}},
	})
	const token = "X-Auth-Token: alice\r\n"
	for _, tt := range []struct {
		line, headers string
		status        int
		route, seen   string
	}{
		{"GET /image/v2/images?x=1", "Host: h\r\n" + token, 200, "image", "GET /v2/images?x=1 HTTP/1.1"},
		{"GET /image", "Host: h\r\n" + token, 200, "image", "GET / HTTP/1.1"},
		{"GET /image?a", "Host: h\r\n" + token, 200, "image", "GET /?a HTTP/1.1"},
		{"GET /image/", "Host: h\r\n" + token, 200, "image", "GET / HTTP/1.1"},
		{"GET /%69mage/a%20b", "Host: h\r\n" + token, 200, "image", "GET /a%20b HTTP/1.1"},
		{"GET http://other/image/x", "Host: h\r\n" + token, 200, "image", "GET /x HTTP/1.1"},
		{"GET /image/v1/a//b/%2Fc;d", "Host: h\r\n" + token, 200, "image", "GET /v1/a//b/%2Fc;d HTTP/1.1"},
		{"GET /image/v1/c/caf%C3%A9", "Host: h\r\n" + token, 200, "image", "GET /v1/c/caf%C3%A9 HTTP/1.1"},
		{"GET /image/v1/a/./b%2500", "Host: h\r\n" + token, 200, "image", "GET /v1/a/./b%2500 HTTP/1.1"},
		{"GET /image/v2", "Host: h\r\n", 401, "", ""},
		{"GET /open/x", "Host: h\r\n", 200, "open", "GET /open/x HTTP/1.1"},
		{"GET /open/x", "Host: h\r\nX-Original-URL: /image/admin\r\nX_Rewrite_Url: /image/admin\r\n", 200, "open", "GET /open/x HTTP/1.1"},
		{"GET /image/admin", "Host: h\r\n" + token, 403, "", ""},
		{"GET /image/admin/x", "Host: h\r\nX-Auth-Token: system\r\n", 200, "image-admin", "GET /image/admin/x HTTP/1.1"},
		{"GET /image/admin/x", "Host: h\r\n", 401, "", ""},
		{"GET /image/administrator", "Host: h\r\n" + token, 200, "image", "GET /administrator HTTP/1.1"},

		{"GET /x", "Host: META.example.org:8080\r\n" + token, 200, "host", "GET /x HTTP/1.1"},
		{"GET /x", "Host: meta.\r\n" + token, 200, "host", "GET /x HTTP/1.1"},
		{"GET /image/x", "Host: meta.example.org\r\n" + token, 200, "host", "GET /image/x HTTP/1.1"},
		{"GET /a/../b", "Host: meta.example.org\r\n" + token, 400, "", ""}, // beneath /image too, perhaps
		{"GET /deep/down/x", "Host: meta\r\n" + token, 200, "host-path", "GET /x HTTP/1.1"},
		{"GET /deep/downward", "Host: meta\r\n" + token, 200, "host", "GET /deep/downward HTTP/1.1"},
		{"GET /image/x", "Host: meta@h\r\n" + token, 400, "", ""},
		{"GET http://meta/deep/down", "Host: h\r\n" + token, 200, "host-path", "GET / HTTP/1.1"},
		{"GET /deep/down/x", "Host: xmeta\r\n" + token, 404, "", ""},

		{"GET /", "Host: h\r\n" + token, 404, "", ""},
		{"GET /images", "Host: h\r\n" + token, 404, "", ""},
		{"GET /IMAGE", "Host: h\r\n" + token, 404, "", ""},
		{"GET /other", "Host: h\r\n", 404, "", ""},
		{"OPTIONS *", "Host: h\r\n" + token, 400, "", ""},
		{"CONNECT /image", "Host: h\r\n" + token, 501, "", ""},

		// Ways to be taken for one route here and for another there.
		{"GET /open/../image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/%2e%2e/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/..%2fimage/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/..%5cimage/admin", "Host: h\r\n", 400, "", ""},
		{`GET /open/..\image/admin`, "Host: h\r\n", 400, "", ""},
		{"GET /open/..;x/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/..%3b/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/%252e%252e/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/%25252e%25252e/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/..%00/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open/..%253fx", "Host: h\r\n", 400, "", ""},
		{"GET /open/%c0%ae%c0%ae/image/admin", "Host: h\r\n", 400, "", ""},
		{"GET /open;/image", "Host: h\r\n", 400, "", ""},
		{"GET //image/admin", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image//admin", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image/./admin", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image%2fadmin", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image/admin;x", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image/admin%2fx", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image/admin%00", "Host: h\r\n" + token, 400, "", ""},
		{"GET /image/admin%3fx", "Host: h\r\n" + token, 400, "", ""},
		{`GET /image\admin`, "Host: h\r\n" + token, 400, "", ""},
		{"GET /image/%61dmin", "Host: h\r\n" + token, 403, "", ""},
	} {
		res, body := g.raw(tt.line + " HTTP/1.1\r\n" + tt.headers + "Connection: close\r\n\r\n")
		if res.StatusCode != tt.status {
			t.Errorf("%s %q: %d, want %d", tt.line, tt.headers, res.StatusCode, tt.status)
		}
		if res.StatusCode == 403 && body != forbiddenBody {
			t.Error(body)
		}
		for name, up := range ups {
			if name != tt.route || res.StatusCode != 200 {
				up.none()
				continue
			}
			got := up.next()
			env := got.cgi()
			if got.line != tt.seen {
				t.Errorf("%s: the upstream saw %q, want %q", tt.line, got.line, tt.seen)
			}
			prefix := map[string]string{"image": "/image", "host-path": "/deep/down"}[tt.route]
			if env["X_FORWARDED_PREFIX"] != prefix || env["X_ORIGINAL_URL"]+env["X_REWRITE_URL"] != "" {
				t.Errorf("%s: %v", tt.line, env)
			}
		}
	}
	for _, m := range []struct {
		name, label string
		atLeast     float64
	}{
		{"authproxy_refusals_total", "reason=no_route", 5}, {"authproxy_refusals_total", "reason=ambiguous_path", 20},
		{"authproxy_refusals_total", "reason=required_role", 2}, {"authproxy_route_requests_total", "route=image", 10},
		{"authproxy_requests_total", "outcome=no_route", 0},
	} {
		if n := g.metric(m.name, m.label); n < m.atLeast {
			t.Errorf("%s{%s} %v", m.name, m.label, n)
		}
	}
}

// A prefix that a trusted front end took off stands before ours.
func TestPrefixOfAFront(t *testing.T) {
	g, ups := newRoutedRig(t, map[string]Route{"image": {Path: "/image", StripPrefix: true}})
	g.raw("GET /image/x HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nX-Forwarded-Prefix: /cloud\r\nConnection: close\r\n\r\n")
	if env := ups["image"].next().cgi(); env["X_FORWARDED_PREFIX"] != "/cloud/image" {
		t.Error(env)
	}
}

// Where routes differ by host alone, paths are nobody's business.
func TestHostsOnly(t *testing.T) {
	g, ups := newRoutedRig(t, map[string]Route{"a": {Hosts: []string{"a"}}, "b": {Hosts: []string{"b"}}})
	res, _ := g.raw("GET /x/../y;z//%2f HTTP/1.1\r\nHost: b\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
	if got := ups["b"].next(); res.StatusCode != 200 || got.line != "GET /x/../y;z//%2f HTTP/1.1" {
		t.Error(res.StatusCode, got.line)
	}
}

// Routes that share a cached token do not share the question whether it brings its catalog along.
func TestCatalogByRoute(t *testing.T) {
	known := token("alice", "demo", "member")
	known.Catalog = keystone.Catalog{{Type: "image", Name: "glance", Endpoints: []keystone.Endpoint{{Interface: "public", URL: "http://glance"}}}}
	verified := &validate.Verified{Token: known}
	with, without := &Handler{}, &Handler{Headers: headers.Options{OmitCatalog: true}}
	for _, h := range []*Handler{without, with, without} {
		id, err := h.userIdentity(verified)
		if err != nil {
			t.Fatal(err)
		}
		out := http.Header{}
		id.Set(out)
		if _, ok := out["X-Service-Catalog"]; ok == h.Headers.OmitCatalog {
			t.Errorf("omitted %v: %v", h.Headers.OmitCatalog, out)
		}
	}
}

// Who lacks the role is refused, unless something else comes first.
func TestRequiredRoles(t *testing.T) {
	g := newRig(t, func(h *Handler) { h.RequiredRoles = []string{"reader", "auditor"} })
	for headers, want := range map[string]int{
		"X-Auth-Token: alice\r\n":                                200, // has reader
		"X-Auth-Token: unscoped\r\n":                             403, // has none
		"X-Auth-Token: alice-pkiz\r\n":                           403, // has others
		"X-Auth-Token: alice-pkiz\r\nX-Service-Token: nova\r\n":  403,
		"X-Auth-Token: alice-pkiz\r\nX-Service-Token: junk\r\n":  401,
		"X-Auth-Token: alice-pkiz\r\nX-Service-Token: down\r\n":  503,
		"X-Auth-Token: alice-pkiz\r\nX-Roles: reader\r\n":        403,
		"X-Auth-Token: unsafe\r\n":                               401,
		"X-Auth-Token: junk\r\n":                                 401,
		"X-Roles: reader\r\n":                                    401,
		"X-Auth-Token: member-svc\r\nX-Service-Token: alice\r\n": 401,
	} {
		res, body := g.raw("GET / HTTP/1.1\r\nHost: h\r\n" + headers + "Connection: close\r\n\r\n")
		if res.StatusCode != want {
			t.Errorf("%q: %d, want %d", headers, res.StatusCode, want)
		}
		if want == 403 && (body != forbiddenBody || res.Header.Get("Content-Type") != "application/json") {
			t.Error(body, res.Header)
		}
		if want != 200 {
			g.up.none()
		} else {
			g.up.next()
		}
	}
	if n := g.metric("authproxy_refusals_total", "reason=required_role"); n != 6 { // two of them beside a service token that is refused too
		t.Errorf("%v refusals", n)
	}
	if !strings.Contains(g.logs.String(), "reason=required_role") {
		t.Error("not logged")
	}
}
