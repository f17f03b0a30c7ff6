package proxy

import (
	"bufio"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"authproxy/keystone"
	"authproxy/proxy/headers"
	"authproxy/validate"
)

// spoofed is every header that a client would like to have believed, in spellings that reach a WSGI server's environment.
var spoofed = func() string {
	names := []string{
		"X-Identity-Status", "X-Service-Identity-Status", "X-Service-Catalog", "X-Is-Admin-Project", "X-Roles", "X-Service-Roles",
		"X-Role", "X-User", "X-Tenant-Id", "X-Tenant-Name", "X-Tenant", "OpenStack-System-Scope", "X-Authproxy-Guard",
	}
	for _, prefix := range []string{"X-", "X-Service-"} {
		for _, name := range []string{"Domain-Id", "Domain-Name", "Project-Id", "Project-Name", "Project-Domain-Id",
			"Project-Domain-Name", "User-Id", "User-Name", "User-Domain-Id", "User-Domain-Name"} {
			names = append(names, prefix+name)
		}
	}
	var b strings.Builder
	for _, name := range names {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_"),
			strings.ReplaceAll(strings.ToUpper(name), "-", "_"), strings.Replace(name, "-", "_", 1), strings.ReplaceAll(name, "-", ".")} {
			b.WriteString(spelling + ": spoofed\r\n")
		}
	}
	b.WriteString("X_Auth_Token: alice\r\nx.service.token: nova\r\nX-Storage_Token: alice\r\n")
	return b.String()
}()

var (
	alice = map[string]string{
		"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "member,reader", "X_ROLE": "member,reader",
		"X_USER_ID": "alice-id", "X_USER_NAME": "alice", "X_USER": "alice",
		"X_PROJECT_ID": "demo-id", "X_PROJECT_NAME": "demo", "X_TENANT_ID": "demo-id", "X_TENANT_NAME": "demo", "X_TENANT": "demo",
	}
	novaAsUser = map[string]string{
		"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "service", "X_ROLE": "service",
		"X_USER_ID": "nova-id", "X_USER_NAME": "nova", "X_USER": "nova", "X_PROJECT_ID": "services-id",
		"X_PROJECT_NAME": "services", "X_TENANT_ID": "services-id", "X_TENANT_NAME": "services", "X_TENANT": "services",
	}
	late = map[string]string{
		"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "member", "X_ROLE": "member",
		"X_USER_ID": "late-id", "X_USER_NAME": "late", "X_USER": "late",
		"X_PROJECT_ID": "demo-id", "X_PROJECT_NAME": "demo", "X_TENANT_ID": "demo-id", "X_TENANT_NAME": "demo", "X_TENANT": "demo",
	}
	nobody = map[string]string{"X_IDENTITY_STATUS": "Invalid"}
	nova   = map[string]string{
		"X_SERVICE_IDENTITY_STATUS": "Confirmed", "X_SERVICE_ROLES": "service",
		"X_SERVICE_USER_ID": "nova-id", "X_SERVICE_USER_NAME": "nova",
		"X_SERVICE_PROJECT_ID": "services-id", "X_SERVICE_PROJECT_NAME": "services",
	}
	noService = map[string]string{"X_SERVICE_IDENTITY_STATUS": "Invalid"}
)

func merged(maps_ ...map[string]string) map[string]string {
	m := map[string]string{}
	for _, n := range maps_ {
		maps.Copy(m, n)
	}
	return m
}

// Every kind of token in both headers, in both modes, each time with all spoofed headers: the status in strict mode, and
// the identity that the upstream sees, all of it.
func TestVerdicts(t *testing.T) {
	tests := map[string]struct {
		headers string
		strict  int               // a 200 is passed on, and so is all in delay mode but for a 400
		delayed map[string]string // what the upstream sees when it is passed on
		reason  validate.Reason
	}{
		"no token":         {"", 401, nobody, validate.Missing},
		"empty token":      {"X-Auth-Token:\r\n", 401, nobody, validate.Missing},
		"good token":       {"X-Auth-Token: alice\r\n", 200, alice, ""},
		"bad token":        {"X-Auth-Token: junk\r\n", 401, nobody, validate.BadSignature},
		"expired token":    {"X-Auth-Token: expired\r\n", 401, nobody, validate.Expired},
		"undecided":        {"X-Auth-Token: down\r\n", 503, nobody, validate.IdentityUnavailable},
		"unsafe user name": {"X-Auth-Token: unsafe\r\n", 401, nobody, HeaderSafety},
		"comma in a role":  {"X-Auth-Token: comma\r\n", 401, nobody, HeaderSafety},
		"v2, no project":   {"X-Auth-Token: v2-unscoped\r\n", 401, nobody, validate.NoProject},
		"unscoped": {"X-Auth-Token: unscoped\r\n", 200, map[string]string{
			"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "", "X_ROLE": "",
			"X_USER_ID": "bob-id", "X_USER_NAME": "bob", "X_USER": "bob"}, ""},
		"system scope": {"X-Auth-Token: system\r\n", 200, map[string]string{
			"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "admin", "X_ROLE": "admin",
			"X_USER_ID": "root-id", "X_USER_NAME": "root", "X_USER": "root", "OPENSTACK_SYSTEM_SCOPE": "all"}, ""},

		"storage token alone":               {"X-Storage-Token: alice\r\n", 200, alice, ""},
		"storage token beside an empty one": {"X-Storage-Token: alice\r\nX-Auth-Token:\r\n", 401, nobody, validate.Missing},
		"storage token beside a bad one":    {"X-Storage-Token: alice\r\nX-Auth-Token: junk\r\n", 401, nobody, validate.BadSignature},
		"two tokens":                        {"X-Auth-Token: alice\r\nX-Auth-Token: junk\r\n", 400, nil, DuplicateHeader},
		"one token twice":                   {"X-Auth-Token: alice\r\nx-auth-token: alice\r\n", 400, nil, DuplicateHeader},
		"two service tokens":                {"X-Auth-Token: alice\r\nX-Service-Token: nova\r\nX-Service-Token: nova\r\n", 400, nil, DuplicateHeader},
		"two storage tokens":                {"X-Storage-Token: alice\r\nX-Storage-Token: alice\r\n", 400, nil, DuplicateHeader},
		"two tokens in one":                 {"X-Auth-Token: alice, alice\r\n", 401, nobody, validate.BadSignature},
		"token over two lines":              {"X-Auth-Token: al\r\n ice\r\n", 401, nobody, validate.BadSignature},
		"user and service":                  {"X-Auth-Token: alice\r\nX-Service-Token: nova\r\n", 200, merged(alice, nova), ""},
		"user and an empty service token":   {"X-Auth-Token: alice\r\nX-Service-Token:\r\n", 200, alice, ""},
		"user and bad service":              {"X-Auth-Token: alice\r\nX-Service-Token: junk\r\n", 401, merged(alice, noService), validate.BadSignature},
		"user and service without the role": {"X-Auth-Token: alice\r\nX-Service-Token: member-svc\r\n", 401, merged(alice, noService), ServiceRole},
		"user and undecided service":        {"X-Auth-Token: alice\r\nX-Service-Token: down\r\n", 503, merged(alice, noService), validate.IdentityUnavailable},
		"user and unsafe service":           {"X-Auth-Token: alice\r\nX-Service-Token: unsafe-svc\r\n", 401, merged(alice, noService), HeaderSafety},
		"service alone":                     {"X-Service-Token: nova\r\n", 401, merged(nobody, nova), validate.Missing},
		"bad user and service":              {"X-Auth-Token: junk\r\nX-Service-Token: nova\r\n", 401, merged(nobody, nova), validate.BadSignature},
		"bad user and undecided service":    {"X-Auth-Token: junk\r\nX-Service-Token: down\r\n", 401, merged(nobody, noService), validate.BadSignature},
		"undecided user and bad service":    {"X-Auth-Token: down\r\nX-Service-Token: junk\r\n", 401, merged(nobody, noService), validate.BadSignature},
		"both undecided":                    {"X-Auth-Token: down\r\nX-Service-Token: down \r\n", 401, merged(nobody, noService), SameToken},
		"same token twice":                  {"X-Auth-Token: nova\r\nX-Service-Token: nova\r\n", 401, merged(novaAsUser, noService), SameToken},
		"same token in another form":        {"X-Auth-Token: alice\r\nX-Service-Token: alice-pkiz\r\n", 401, merged(alice, noService), SameToken},
		"system-scoped service":             {"X-Auth-Token: alice\r\nX-Service-Token: nova-system\r\n", 200, merged(alice, map[string]string{"X_SERVICE_IDENTITY_STATUS": "Confirmed", "X_SERVICE_ROLES": "service", "X_SERVICE_USER_ID": "nova-id"}), ""},
		"system user, project's service": {"X-Auth-Token: system\r\nX-Service-Token: nova\r\n", 200, merged(nova, map[string]string{
			"X_IDENTITY_STATUS": "Confirmed", "X_IS_ADMIN_PROJECT": "True", "X_ROLES": "admin", "X_ROLE": "admin",
			"X_USER_ID": "root-id", "X_USER_NAME": "root", "X_USER": "root", "OPENSTACK_SYSTEM_SCOPE": "all"}), ""},
		"expired user, service with the role": {"X-Auth-Token: expired\r\nX-Service-Token: nova\r\n", 200, merged(late, nova), ""},
		"expired user, member as service":     {"X-Auth-Token: expired\r\nX-Service-Token: member-svc\r\n", 401, merged(nobody, noService), ServiceRole},
	}
	for name, tt := range tests {
		for _, mode := range []string{"strict", "delay"} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				g := newRig(t, func(h *Handler) { h.DelayAuthDecision = mode == "delay" })
				res, _ := g.raw("GET /v2/images HTTP/1.1\r\nHost: h\r\n" + spoofed + tt.headers + "Connection: close\r\n\r\n")
				want := tt.strict
				if mode == "delay" && want != 400 {
					want = 200
				}
				if res.StatusCode != want {
					t.Fatalf("status %d, want %d", res.StatusCode, want)
				}
				if tt.reason != "" {
					g.eventually("counted as "+string(tt.reason), func() bool {
						return g.metric("authproxy_refusals_total", "reason="+string(tt.reason)) >= 1
					})
				}
				if want != 200 {
					g.up.none()
					return
				}
				got := g.up.next()
				if id := got.identity(); !maps.Equal(id, tt.delayed) {
					t.Errorf("the upstream saw\n%v\nwant\n%v", id, tt.delayed)
				}
				for name, value := range got.cgi() {
					if strings.Contains(value, "spoofed") {
						t.Errorf("%s: %q came through", name, value)
					}
				}
			})
		}
	}
}

func TestTokensArePassedOnUnchanged(t *testing.T) {
	for _, delay := range []bool{false, true} {
		g := newRig(t, func(h *Handler) { h.DelayAuthDecision = delay })
		g.raw("GET / HTTP/1.1\r\nHost: h\r\nx-auth-TOKEN: alice\r\nX-Service-Token: nova\r\nX-Storage-Token: other\r\n" +
			"Connection: close, X-Auth-Token, X-Service-Token\r\nX_Auth_Token: look-alike\r\n\r\n")
		env := g.up.next().cgi()
		for name, want := range map[string]string{"X_AUTH_TOKEN": "alice", "X_SERVICE_TOKEN": "nova", "X_STORAGE_TOKEN": "other"} {
			if env[name] != want {
				t.Errorf("%s: %q, want %q", name, env[name], want)
			}
		}
	}
	g := newRig(t, func(h *Handler) { h.DelayAuthDecision = true })
	g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nConnection: close\r\n\r\n")
	if env := g.up.next().cgi(); env["X_AUTH_TOKEN"] != "junk" {
		t.Errorf("the token of an Invalid request: %q", env["X_AUTH_TOKEN"])
	}
}

func TestServiceTokenOptions(t *testing.T) {
	const text = "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nX-Service-Token: member-svc\r\nConnection: close\r\n\r\n"
	alice, expired := strings.Replace(text, "%s", "alice", 1), strings.Replace(text, "%s", "expired", 1)

	g := newRig(t, func(h *Handler) { h.ServiceTokenRoles = []string{"x", "member"} })
	if res, _ := g.raw(alice); res.StatusCode != 200 {
		t.Errorf("a role of the list: %d", res.StatusCode)
	}
	if res, _ := g.raw(expired); res.StatusCode != 200 {
		t.Errorf("an expired token with it: %d", res.StatusCode)
	}
	g = newRig(t, func(h *Handler) { h.InsecureServiceTokenRolesOptional = true })
	if res, _ := g.raw(alice); res.StatusCode != 200 || g.up.next().identity()["X_SERVICE_IDENTITY_STATUS"] != "Confirmed" {
		t.Errorf("no role needed: %d", res.StatusCode)
	}
	if res, _ := g.raw(expired); res.StatusCode != 401 {
		t.Errorf("an expired token without the role: %d", res.StatusCode)
	}
}

func TestOwnAnswers(t *testing.T) {
	strict := newRig(t, nil)
	nameless := newRig(t, func(h *Handler) { h.ChallengeURI = "" })
	tests := map[string]struct {
		rig    *rig
		text   string
		status int
		header map[string]string // "" = absent
		body   string
	}{
		"401": {strict, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 401, map[string]string{
			"Content-Type": "application/json", "Content-Length": "114", "Www-Authenticate": `Keystone uri="http://keystone:5000/v3"`, "Retry-After": ""},
			`{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`},
		"401 to HEAD": {strict, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 401, map[string]string{
			"Content-Type": "application/json", "Content-Length": "114", "Www-Authenticate": `Keystone uri="http://keystone:5000/v3"`}, ""},
		"401 naming no Identity service": {nameless, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 401, map[string]string{"Www-Authenticate": `Keystone`},
			`{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`},
		"503": {strict, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: down\r\n\r\n", 503, map[string]string{
			"Retry-After": "5", "Www-Authenticate": "", "Content-Type": "text/plain; charset=utf-8"},
			"The Keystone service is temporarily unavailable.\n"},
		"503 to HEAD": {strict, "HEAD / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: down\r\n\r\n", 503, map[string]string{"Retry-After": "5"}, ""},
		"CONNECT": {strict, "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\nX-Auth-Token: alice\r\n\r\n", 501, nil,
			"CONNECT is not supported.\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res, body := tt.rig.raw(tt.text)
			if res.StatusCode != tt.status || body != tt.body {
				t.Errorf("%d %q, want %d %q", res.StatusCode, body, tt.status, tt.body)
			}
			for k, v := range tt.header {
				if res.Header.Get(k) != v {
					t.Errorf("%s: %q, want %q", k, res.Header.Get(k), v)
				}
			}
			tt.rig.up.none()
		})
	}
}

func TestOutcomesAreCountedAndLoggedWithoutTheToken(t *testing.T) {
	const secret = "a-token-text-that-must-not-be-logged"
	for _, delay := range []bool{false, true} {
		g := newRig(t, func(h *Handler) { h.DelayAuthDecision = delay })
		g.raw("GET /x?secret=query HTTP/1.1\r\nHost: h\r\nX-Auth-Token: " + secret + "\r\nConnection: close\r\n\r\n")
		g.raw("GET /x HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
		outcome := map[bool]string{false: "code=401 outcome=refused", true: "code=200 outcome=passed_invalid"}[delay]
		g.eventually(outcome, func() bool { return g.metric("authproxy_requests_total", strings.Fields(outcome)...) == 1 })
		g.eventually("confirmed", func() bool { return g.metric("authproxy_requests_total", "code=200", "outcome=confirmed") == 1 })
		g.eventually("none in flight", func() bool { return g.metric("authproxy_requests_in_flight") == 0 })
		logs := g.logs.String()
		for _, bad := range []string{secret, "query", "alice"} {
			if strings.Contains(logs, bad) {
				t.Errorf("%q is in the log: %s", bad, logs)
			}
		}
		for _, want := range []string{"reason=bad_signature", "token=user", "digest=fdb20acf155f58f7", "path=/x "} {
			if !strings.Contains(logs, want) {
				t.Errorf("%q is not in the log: %s", want, logs)
			}
		}
	}
}

func TestCatalogFaultsAreCountedPerTokenAndLoggedOnce(t *testing.T) {
	big := func() entry {
		tok := token("alice", "demo", "member")
		tok.Catalog = keystone.Catalog{{Type: "image", Endpoints: []keystone.Endpoint{
			{Interface: "public", URL: "http://" + strings.Repeat("x", 200)}, {Interface: "odd", URL: "http://y"}}}}
		return entry{verified: &validate.Verified{Token: tok}}
	}
	small := token("bob", "demo", "member")
	small.Catalog = keystone.Catalog{{Type: "image"}}
	g := newRig(t, func(h *Handler) {
		h.Headers = headers.Options{MaxCatalog: 100}
		h.Validator = tokens{"one": big(), "two": big(), "small": {verified: &validate.Verified{Token: small}}}
	})
	for _, text := range []string{"one", "two", "one"} {
		if res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: " + text + "\r\nConnection: close\r\n\r\n"); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		if c, there := g.up.next().cgi()["X_SERVICE_CATALOG"]; there {
			t.Errorf("catalog over the limit: %q", c)
		}
	}
	if n := g.metric("authproxy_catalog_faults_total", "fault=too_large"); n != 2 {
		t.Errorf("too_large counted %v times for two tokens", n)
	}
	if n := g.metric("authproxy_catalog_faults_total", "fault=partly_skipped"); n != 2 {
		t.Errorf("partly_skipped counted %v times for two tokens", n)
	}
	for _, message := range []string{"service catalog left out", "service catalog is faulty"} {
		if n := strings.Count(g.logs.String(), message); n != 1 {
			t.Errorf("%q logged %d times", message, n)
		}
	}
	g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: small\r\nConnection: close\r\n\r\n")
	if c := g.up.next().cgi()["X_SERVICE_CATALOG"]; c != `[{"type":"image","endpoints":[]}]` {
		t.Errorf("catalog within the limit: %q", c)
	}
}

// One cached token, many requests at a time: they share the header block, so nothing may write to it.
func TestSharedHeaderBlock(t *testing.T) {
	up := newUpstream(t)
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
	g := newRigOn(t, up, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				req, _ := http.NewRequest("GET", g.URL, nil)
				req.Header.Set("X-Auth-Token", "alice")
				req.Header.Set("X-Service-Token", "nova")
				res, err := g.Client().Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != 200 {
					t.Error(res.Status)
				}
			}
		})
	}
	wg.Wait()
	g.eventually("all counted", func() bool {
		return g.metric("authproxy_requests_total", "code=200", "outcome=confirmed") == 200
	})
}

func TestDefaultsOfTheZeroHandler(t *testing.T) {
	up := newUpstream(t)
	target, err := ParseUpstream(up.url(), false)
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{Validator: knownTokens(), Upstream: target}
	h.once.Do(h.prepare)
	if h.Log.Enabled(t.Context(), slog.LevelError) {
		t.Error("logs somewhere")
	}
	if h.DelayAuthDecision || h.ServiceTokenRoles[0] != "service" || h.DrainBytes != 64<<20 || h.challenge != "Keystone" || h.retryAfter != "5" {
		t.Errorf("defaults: %+v", h)
	}
	h.Relay.CloseIdle()
}

// The proxy's own work for a request with a cached token, without sockets.
func BenchmarkHandler(b *testing.B) {
	target, err := ParseUpstream("http://127.0.0.1:1", false)
	if err != nil {
		b.Fatal(err)
	}
	h := &Handler{Validator: knownTokens(), Upstream: target, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 204, Header: http.Header{}, Body: http.NoBody, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
	})}
	for name, token := range map[string]string{"confirmed": "alice", "refused": "junk"} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequestWithContext(b.Context(), "GET", "/v2/images", nil)
			for _, name := range []string{"Accept", "Accept-Encoding", "User-Agent"} {
				r.Header.Set(name, "x")
			}
			r.Header.Set("X-Auth-Token", token)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
