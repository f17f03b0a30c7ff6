package proxy

import (
	"strings"
	"testing"

	"authproxy/proxy/anonymous"
)

// What passes by a rule brings no identity and no token along; what only looks like it takes a token as before.
func TestAnonymous(t *testing.T) {
	rules, err := anonymous.Parse([]string{"GET /healthcheck", "GET|PUT /public/*"}, true)
	if err != nil {
		t.Fatal(err)
	}
	const spoof = "X-Roles: admin\r\nX_User_Id: root\r\nX-Identity-Status: Confirmed\r\nX-Service-Roles: service\r\nX-Service-Identity-Status: Confirmed\r\n"
	tests := map[string]struct {
		text   string
		status int
	}{
		"no token":             {"GET /healthcheck HTTP/1.1\r\nHost: h\r\n" + spoof, 200},
		"a bad token":          {"GET /healthcheck HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\n" + spoof, 200},
		"a good token":         {"GET /public/x HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nX-Service-Token: nova\r\n" + spoof, 200},
		"two tokens":           {"GET /public/x HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nX-Auth-Token: down\r\n" + spoof, 200},
		"Connection lists":     {"GET /public/x HTTP/1.1\r\nHost: h\r\nConnection: close, X-Auth-Token\r\nX-Auth-Token: alice\r\n" + spoof, 200},
		"a body":               {"PUT /public/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + spoof + "\r\nhi", 200},
		"a preflight":          {"OPTIONS /v2/images HTTP/1.1\r\nHost: h\r\nOrigin: https://ui\r\nAccess-Control-Request-Method: PUT\r\n" + spoof, 200},
		"absolute form":        {"GET http://other/healthcheck HTTP/1.1\r\nHost: h\r\n" + spoof, 200},
		"absolute, a fragment": {"GET http://h/servers#/healthcheck HTTP/1.1\r\nHost: h\r\n" + spoof, 401},

		"another method":           {"POST /healthcheck HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n" + spoof, 401},
		"beneath an exact path":    {"GET /healthcheck/x HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"in the query":             {"GET /servers?/public/ HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"in a fragment":            {"GET /servers#/public/ HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"in the host":              {"GET http://h/servers HTTP/1.1\r\nHost: h/public/\r\n" + spoof, 400},
		"dots":                     {"GET /public/../servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"encoded dots":             {"GET /public/%2e%2E/servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"encoded twice":            {"GET /public/%252e%252e/servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"encoded slash":            {"GET /public/..%2Fservers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"backslash":                {"GET /public/..\\servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"encoded backslash":        {"GET /public/..%5Cservers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"parameters":               {"GET /servers;/../public/x HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"parameters of a dot":      {"GET /public/..;x=1/servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"two slashes":              {"GET //public/x HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"NUL":                      {"GET /public/x%00/../../servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"overlong UTF-8":           {"GET /public/%c0%ae%c0%ae/servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"fullwidth":                {"GET /public/%ef%bc%8e%ef%bc%8e/servers HTTP/1.1\r\nHost: h\r\n" + spoof, 401},
		"another path by header":   {"GET /healthcheck HTTP/1.1\r\nHost: h\r\nX-Original-URL: /servers\r\n" + spoof, 401},
		"another method by header": {"GET /public/x HTTP/1.1\r\nHost: h\r\nX_HTTP_Method_Override: DELETE\r\n" + spoof, 401},
		"a preflight's half":       {"OPTIONS /v2/images HTTP/1.1\r\nHost: h\r\nOrigin: https://ui\r\n" + spoof, 401},
		"a preflight with dots":    {"OPTIONS /v2/../images HTTP/1.1\r\nHost: h\r\nOrigin: https://ui\r\nAccess-Control-Request-Method: PUT\r\n" + spoof, 401},
		"OPTIONS *":                {"OPTIONS * HTTP/1.1\r\nHost: h\r\nOrigin: https://ui\r\nAccess-Control-Request-Method: PUT\r\n" + spoof, 401},
		"a tunnel":                 {"CONNECT /healthcheck HTTP/1.1\r\nHost: h\r\n" + spoof, 501},
	}
	for _, delay := range []bool{false, true} {
		passed := 0.0
		g := newRig(t, func(h *Handler) { h.Anonymous, h.DelayAuthDecision, h.Route = rules, delay, "main" })
		for name, tt := range tests {
			text := tt.text
			if !strings.Contains(text, "\r\n\r\n") {
				text += "\r\n"
			}
			res, _ := g.raw(text)
			want := tt.status
			if delay && want == 401 {
				want = 200
			}
			if res.StatusCode != want {
				t.Errorf("delay %v, %s: %d, want %d", delay, name, res.StatusCode, want)
			}
			if res.StatusCode != 200 {
				g.up.none()
				continue
			}
			got := g.up.next()
			identity := got.identity()
			if tt.status == 401 {
				if identity["X_IDENTITY_STATUS"] != "Invalid" || len(identity) != 1 {
					t.Errorf("delay, %s: %v", name, identity)
				}
				continue
			}
			passed++
			env := got.cgi()
			if len(identity) != 0 || env["X_AUTH_TOKEN"]+env["X_SERVICE_TOKEN"]+env["X_STORAGE_TOKEN"] != "" {
				t.Errorf("delay %v, %s: the upstream saw %v", delay, name, env)
			}
		}
		counted := g.metric("authproxy_anonymous_requests_total", "route=main", "rule=GET /healthcheck") +
			g.metric("authproxy_anonymous_requests_total", "route=main", "rule=GET|PUT /public/*") +
			g.metric("authproxy_anonymous_requests_total", "route=main", "rule=preflight")
		if counted != passed {
			t.Errorf("%v requests counted, %v passed", counted, passed)
		}
		g.eventually("outcomes", func() bool {
			return g.metric("authproxy_requests_total", "outcome=anonymous", "code=200") == passed
		})
	}
}
