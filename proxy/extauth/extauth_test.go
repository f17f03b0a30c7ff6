package extauth

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone"
	"authproxy/keystone/peer"
	"authproxy/proxy"
	"authproxy/proxy/anonymous"
	"authproxy/proxy/headers"
	"authproxy/validate"
)

// tokens decides by the tokens' text, and keeps what it was asked last.
type tokens struct {
	mu   sync.Mutex
	last validate.Request
}

func (v *tokens) Validate(_ context.Context, r validate.Request) (*validate.Verified, error) {
	v.mu.Lock()
	v.last = r
	v.mu.Unlock()
	user := func(name string, roles ...string) *keystone.Token {
		t := &keystone.Token{Version: 3, User: keystone.User{ID: name + "-id", Name: name, Domain: keystone.Domain{ID: "default", Name: "Default"}},
			Project: &keystone.Project{ID: "p", Name: "demo", Domain: keystone.Domain{ID: "default", Name: "Default"}}}
		for _, role := range roles {
			t.Roles = append(t.Roles, keystone.Role{Name: role})
		}
		return t
	}
	switch r.Token {
	case "alice":
		return &validate.Verified{Token: user("alice", "member")}, nil
	case "zoe":
		return &validate.Verified{Token: user("Zoë", "member")}, nil
	case "nobody's":
		return &validate.Verified{Token: user("bob")}, nil
	case "glance":
		return &validate.Verified{Token: user("glance", "service")}, nil
	case "unsure":
		return nil, &validate.Error{Reason: validate.IdentityUnavailable}
	case "revoked":
		return nil, &validate.Error{Reason: validate.Revoked}
	}
	return nil, &validate.Error{Reason: validate.Malformed}
}

func (v *tokens) asked() validate.Request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// local are fronts on this machine.
func local(t *testing.T) peer.Fronts {
	f, err := peer.ParseFronts([]string{"127.0.0.0/8", "unix"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// handler is a Handler before a proxy.Handler that change may change.
func handler(t testing.TB, fronts peer.Fronts, change func(*proxy.Handler)) (*Handler, *tokens) {
	v := &tokens{}
	rules, err := anonymous.Parse([]string{"GET /healthcheck"}, true)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy.Handler{Validator: v, AnswerOnly: true, ForwardedFrom: &peer.Fronts{}, Anonymous: rules, ChallengeURI: "http://identity"}
	if change != nil {
		change(p)
	}
	return New(Options{Proxy: p, Fronts: fronts, StripAlso: []string{"X-Authproxy-Guard", "X-Remote-User"}}), v
}

// serve serves by HTTP/1 and by HTTP/2 without TLS.
func serve(t *testing.T, h http.Handler, l net.Listener) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	if l != nil {
		s.Listener.Close()
		s.Listener = l
	}
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// original asks as nginx does.
func original(method, uri string, more ...string) http.Header {
	h := http.Header{"X-Original-Method": {method}, "X-Original-Uri": {uri}, "X-Forwarded-For": {"192.0.2.9"}}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = append(h[more[i]], more[i+1])
	}
	return h
}

func TestVerdicts(t *testing.T) {
	h, asked := handler(t, local(t), nil)
	s := serve(t, h, nil)
	roles, _ := handler(t, local(t), func(p *proxy.Handler) { p.RequiredRoles = []string{"admin"} })
	delay, _ := handler(t, local(t), func(p *proxy.Handler) { p.DelayAuthDecision = true })
	for name, tt := range map[string]struct {
		h      *Handler
		header http.Header
		code   int
		want   map[string]string // of the answer; all other names of the table are empty
	}{
		"good": {h, original("GET", "/v2/images?x=1", "X-Auth-Token", "alice", "X-Roles", "admin", "X-Domain-Id", "root"), 200,
			map[string]string{"X-Identity-Status": "Confirmed", "X-Roles": "member", "X-Role": "member", "X-User-Id": "alice-id", "X-User-Name": "alice", "X-User": "alice",
				"X-User-Domain-Id": "default", "X-User-Domain-Name": "Default", "X-Project-Id": "p", "X-Project-Name": "demo", "X-Project-Domain-Id": "default",
				"X-Project-Domain-Name": "Default", "X-Tenant": "demo", "X-Tenant-Id": "p", "X-Tenant-Name": "demo", "X-Is-Admin-Project": "True"}},
		"anonymous":                 {h, original("GET", "/healthcheck", "X-Auth-Token", "junk", "X-Roles", "admin"), 200, nil},
		"preflight":                 {h, original("OPTIONS", "/v2", "Origin", "http://a", "Access-Control-Request-Method", "PUT"), 200, nil},
		"delayed":                   {delay, original("GET", "/", "X-Auth-Token", "revoked", "X-Roles", "admin"), 200, map[string]string{"X-Identity-Status": "Invalid"}},
		"delayed, none":             {delay, original("GET", "/"), 200, map[string]string{"X-Identity-Status": "Invalid"}},
		"no token":                  {h, original("GET", "/"), 401, nil},
		"revoked":                   {h, original("GET", "/", "X-Auth-Token", "revoked"), 401, nil},
		"undecided":                 {h, original("GET", "/", "X-Auth-Token", "unsure"), 503, nil},
		"lacks the role":            {roles, original("GET", "/", "X-Auth-Token", "alice"), 403, nil},
		"anonymous, other verb":     {h, original("POST", "/healthcheck"), 401, nil},
		"anonymous, doubtful":       {h, original("GET", "/x/../healthcheck"), 401, nil},
		"token twice":               {h, original("GET", "/", "X-Auth-Token", "alice", "X-Auth-Token", "bob"), 400, nil},
		"look-alike":                {h, original("GET", "/", "X-Auth-Token", "alice", "X_Roles", "admin"), 403, nil},
		"look-alike with a dot":     {h, original("GET", "/", "X-Auth-Token", "alice", "X-Service.Roles", "admin"), 403, nil},
		"look-alike of a token":     {h, original("GET", "/", "X-Auth-Token", "alice", "X_auth_token", "admin"), 403, nil},
		"no URI":                    {h, http.Header{"X-Original-Method": {"GET"}, "X-Auth-Token": {"alice"}}, 400, nil},
		"no method":                 {h, http.Header{"X-Original-Uri": {"/"}, "X-Auth-Token": {"alice"}}, 400, nil},
		"two URIs":                  {h, original("GET", "/", "X-Original-Uri", "/healthcheck"), 400, nil},
		"two methods":               {h, original("GET", "/", "X-Original-Method", "POST"), 400, nil},
		"absolute URI":              {h, original("GET", "http://a/healthcheck"), 400, nil},
		"bad method":                {h, original("GET /", "/"), 400, nil},
		"not a URI":                 {h, original("GET", "/%zz"), 400, nil},
		"the other way's words":     {h, original("GET", "/v2", "X-Forwarded-Uri", "/healthcheck", "X-Forwarded-Method", "GET"), 401, nil},
		"anonymous, but overridden": {h, original("GET", "/healthcheck", "X-Rewrite-Url", "/admin"), 401, nil},
		"a tunnel":                  {h, original("CONNECT", "/healthcheck"), 501, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tt.h, nil)
			res, body := ask(t, "GET", s.URL+OriginalPath, tt.header)
			if res.StatusCode != tt.code {
				t.Fatalf("%d %q, want %d", res.StatusCode, body, tt.code)
			}
			switch tt.code {
			case 200:
				for _, name := range headers.Names() {
					if values := res.Header[name]; len(values) != 1 || values[0] != tt.want[name] {
						t.Errorf("%s: %q, want %q", name, values, tt.want[name])
					}
				}
			case 401:
				if c := res.Header["Www-Authenticate"]; len(c) != 1 || c[0] != `Keystone uri="http://identity"` || !strings.Contains(body, "requires authentication") {
					t.Errorf("%q %q", c, body)
				}
			case 503:
				if res.Header.Get("Retry-After") != "5" {
					t.Errorf("%v", res.Header)
				}
			}
		})
	}

	// What the rules and the questions go by is the original request.
	ask(t, "GET", s.URL+OriginalPath, original("DELETE", "/v2/a%2Fb?x", "X-Auth-Token", "alice"))
	if r := asked.asked(); r.Method != "DELETE" || r.Path != "/v2/a/b" || r.Client != "192.0.2.9" {
		t.Errorf("%+v", r)
	}
	ask(t, "GET", s.URL+OriginalPath, http.Header{"X-Original-Method": {"GET"}, "X-Original-Uri": {"/"}, "X-Auth-Token": {"alice"},
		"X-Forwarded-For": {"10.9.9.9, [2001:db8::1]:99", "127.0.0.3"}})
	if r := asked.asked(); r.Client != "2001:db8::/64" {
		t.Errorf("the client is %q", r.Client)
	}
}

// TestForwarded: Traefik and Caddy ask so.
func TestForwarded(t *testing.T) {
	audit := &proxy.Handler{Validator: &tokens{}, AnswerOnly: true, RequiredRoles: []string{"auditor"}}
	rest := &proxy.Handler{Validator: &tokens{}, AnswerOnly: true}
	h := New(Options{Proxy: proxy.NewRouter([]proxy.Route{{Hosts: []string{"audit"}, Handler: audit}, {Path: "/v2", Handler: rest}}), Fronts: local(t)})
	s := serve(t, h, nil)
	forwarded := func(host, uri string, more ...string) http.Header {
		h := http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {uri}, "X-Forwarded-Host": {host}, "X-Auth-Token": {"alice"}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = append(h[more[i]], more[i+1])
		}
		return h
	}
	for name, tt := range map[string]struct {
		header http.Header
		code   int
	}{
		"good":                  {forwarded("image", "/v2/images"), 200},
		"the route asks more":   {forwarded("audit:99", "/v2/images"), 403},
		"no route":              {forwarded("image", "/v3"), 404},
		"doubtful route":        {forwarded("image", "/v3/../v2"), 400},
		"two hosts":             {forwarded("image", "/v2", "X-Forwarded-Host", "audit"), 400},
		"the other way's words": {forwarded("audit", "/v2", "X-Original-Uri", "/v2/x", "X-Original-Host", "image"), 403},
		"no host":               {http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {"/v2"}, "X-Auth-Token": {"alice"}}, 400},
		"look-alike":            {forwarded("image", "/v2/images", "X_Roles", "admin"), 403},
	} {
		res, body := ask(t, "GET", s.URL+ForwardedPath, tt.header)
		if res.StatusCode != tt.code {
			t.Errorf("%s: %d %q, want %d", name, res.StatusCode, body, tt.code)
		}
		if _, there := res.Header["X-Domain-Id"]; there || tt.code == 200 && res.Header.Get("X-Roles") != "member" {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}

// TestPrefix: Envoy's HTTP service asks so.
func TestPrefix(t *testing.T) {
	h, asked := handler(t, local(t), nil)
	s := serve(t, h, nil)
	res, _ := ask(t, "PUT", s.URL+EnvoyPrefix+"//v2/a%2Fb?x=1", http.Header{"X-Auth-Token": {"nobody's"}, "X-Roles": {"admin"}, "X_roles": {"admin"}, "X-Userx": {"x"},
		"X-Remote.user": {"root"}, "X-Forwarded-For": {"192.0.2.9"}, "X-Service-Token": {"glance"}, "X-Other": {"x"}})
	if res.StatusCode != 200 || res.Header.Get("X-User-Name") != "bob" || res.Header.Get("X-Service-Roles") != "service" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	if r := asked.asked(); r.Method != "PUT" || r.Path != "//v2/a/b" || r.Client != "192.0.2.9" {
		t.Errorf("%+v", r)
	}
	removed := strings.Split(res.Header.Get(removeHeader), ",")
	for _, name := range headers.Names() {
		_, set := res.Header[name]
		if n := count(removed, strings.ToLower(name)); set == (n == 1) || n > 1 {
			t.Errorf("%s: set %v, removed %d times", name, set, n)
		}
	}
	for _, name := range []string{"x_roles", "x-userx", "x-remote.user"} {
		if count(removed, name) != 1 {
			t.Errorf("%s is not removed: %q", name, removed)
		}
	}
	for _, name := range []string{"x-auth-token", "x-service-token", "x-other"} {
		if count(removed, name) != 0 {
			t.Errorf("%s is removed", name)
		}
	}
	for name, tt := range map[string]struct {
		path  string
		token []string
		code  int
	}{
		"anonymous":         {"/healthcheck", []string{"junk"}, 200},
		"two tokens joined": {"/", []string{"alice,alice"}, 400},
		"none":              {"/", nil, 401},
		"no path":           {"", nil, 404},
		"another path":      {"y/", nil, 404},
	} {
		res, body := ask(t, "GET", s.URL+EnvoyPrefix+tt.path, http.Header{"X-Auth-Token": tt.token})
		if res.StatusCode != tt.code {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		if name == "anonymous" && count(strings.Split(res.Header.Get(removeHeader), ","), "x-auth-token") != 1 {
			t.Error("an anonymous request keeps a token that nobody looked at")
		}
	}
}

func count(list []string, item string) (n int) {
	for _, i := range list {
		if i == item {
			n++
		}
	}
	return n
}

// TestStrangers: who is no front end is told nothing, whatever it asks.
func TestStrangers(t *testing.T) {
	fronts, err := peer.ParseFronts([]string{"192.0.2.1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	h, _ := handler(t, fronts, nil)
	h.o.Log = textLog(&log)
	r := prometheus.NewRegistry()
	r.MustRegister(h.requests)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h, l)
	unix := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	s := serve(t, h, nil)
	for _, client := range []*http.Client{http.DefaultClient, unix} {
		for _, path := range []string{OriginalPath, ForwardedPath, EnvoyPrefix + "/healthcheck", "/"} {
			req, err := http.NewRequest("GET", s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = original("GET", "/healthcheck", "X-Auth-Token", "alice")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 403 || res.Header["X-Identity-Status"] != nil {
				t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
			}
		}
	}
	if err := checkCalls(t, s.Listener.Addr().String()); !errors.Is(err, errRefused) {
		t.Errorf("gRPC: %v", err)
	}
	if !strings.Contains(log.String(), "--auth-trusted-peers") || !strings.Contains(log.String(), "127.0.0.1:") {
		t.Errorf("log: %s", log.String())
	}
	families, err := r.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	for _, m := range families[0].GetMetric() {
		if by := m.GetLabel()[0].GetValue(); by == "none" && m.GetCounter().GetValue() != 9 {
			t.Errorf("%v refusals counted", m.GetCounter().GetValue())
		}
	}
}
