// Package extauth tests the samples of this directory: nginx's with nginx itself, the others by what their front ends are documented
// to do with them.
package extauth

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"authproxy/examples/nginxtest"
	"authproxy/keystone"
	"authproxy/keystone/peer"
	"authproxy/proxy"
	"authproxy/proxy/extauth"
	"authproxy/proxy/headers"
	"authproxy/validate"
)

type tokens struct{}

func (tokens) Validate(_ context.Context, r validate.Request) (*validate.Verified, error) {
	switch r.Token {
	case "alice":
		return &validate.Verified{Token: &keystone.Token{Version: 3, User: keystone.User{ID: "alice-id", Name: "Alicë"}, Roles: []keystone.Role{{Name: "member"}}}}, nil
	case "unsure":
		return nil, &validate.Error{Reason: validate.IdentityUnavailable}
	}
	return nil, &validate.Error{Reason: validate.Revoked}
}

// alices are the headers that the service is to get for alice's token; no other of the table.
var alices = map[string]string{"X-Identity-Status": "Confirmed", "X-Roles": "member", "X-Role": "member", "X-User-Id": "alice-id", "X-User-Name": "Alicë",
	"X-User": "Alicë", "X-Is-Admin-Project": "True"}

// asked is authproxy, which local front ends ask.
func asked(t *testing.T, delay bool) *httptest.Server {
	t.Helper()
	fronts, err := peer.ParseFronts([]string{"127.0.0.1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := extauth.New(extauth.Options{Fronts: fronts, Proxy: &proxy.Handler{Validator: tokens{}, AnswerOnly: true, ForwardedFrom: &peer.Fronts{},
		DelayAuthDecision: delay, ChallengeURI: "http://identity"}})
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// items gives what stands alone in lines after a line that ends with a text, each behind a mark, up to a line without it.
func items(text, after, mark string) (list []string) {
	_, rest, _ := strings.Cut(text, after+"\n")
	for line := range strings.Lines(rest) {
		item, ok := strings.CutPrefix(strings.TrimSpace(line), mark)
		if !ok || item == "}" {
			break
		}
		list = append(list, item)
	}
	return list
}

// TestSamplesNameTheTable: what the samples list is the table of proxy/headers, neither less nor more.
func TestSamplesNameTheTable(t *testing.T) {
	lower := func(list []string) []string {
		for i := range list {
			list[i] = strings.ToLower(list[i])
		}
		slices.Sort(list)
		return list
	}
	var nginx []string
	for _, m := range regexp.MustCompile(`(?m)^ *auth_request_set \$identity_(\w+) \$upstream_http_(\w+);\n *proxy_set_header (\S+) \$identity_(\w+);$`).
		FindAllStringSubmatch(sample(t, "nginx.conf"), -1) {
		if variable := strings.ReplaceAll(strings.ToLower(m[3]), "-", "_"); m[1] != variable || m[2] != variable || m[4] != variable {
			t.Errorf("nginx.conf: %q", m[0])
		}
		nginx = append(nginx, m[3])
	}
	want := lower(headers.Names())
	for name, got := range map[string][]string{
		"nginx.conf":      nginx,
		"traefik.yaml":    items(sample(t, "traefik.yaml"), "authResponseHeaders:", "- "),
		"Caddyfile":       items(sample(t, "Caddyfile"), "copy_headers {", ""),
		"envoy-http.yaml": items(sample(t, "envoy-http.yaml"), "allowed_upstream_headers:\n                            patterns:", "- exact: "),
	} {
		if got := lower(got); !slices.Equal(got, want) {
			t.Errorf("%s names %q, want %q", name, got, want)
		}
	}
}

// A front is a front end: it gives the status of the answer to a request and, of one that passes, the headers that the service gets.
type front func(header http.Header) (code int, upstream http.Header)

// spellings are the ways to write a name that some service reads as it.
func spellings(name string) []string {
	all := []string{""}
	for _, c := range name {
		var next []string
		for _, s := range all {
			next = append(next, s+string(c))
			if c == '-' {
				next = append(next, s+"_")
			}
		}
		all = next
	}
	return append(all, strings.ReplaceAll(name, "-", "."), strings.ToLower(name))
}

// fold is a name as services read it.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return '-'
		}
		return c
	}, strings.ToLower(name))
}

// folded are the names of the table by how services read them.
var folded = func() map[string]string {
	m := map[string]string{}
	for _, name := range headers.Names() {
		m[fold(name)] = name
	}
	return m
}()

// check says what is wrong with the identity in headers that a service gets.
func check(t *testing.T, what string, upstream http.Header, want map[string]string) {
	t.Helper()
	seen := map[string]string{}
	for name, values := range upstream {
		if table, ok := folded[fold(name)]; ok {
			seen[table] += strings.Join(values, "+")
		}
	}
	for name, value := range want {
		if seen[name] != value {
			t.Errorf("%s: %s is %q, want %q", what, name, seen[name], value)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%s: the service gets %v, want %v", what, seen, want)
	}
}

// try sends a front end what clients try.
func try(t *testing.T, ask front, delayed front) {
	t.Helper()
	code, upstream := ask(http.Header{"X-Auth-Token": {"alice"}})
	if code != 200 || upstream.Get("X-Auth-Token") != "alice" {
		t.Fatalf("%d %v", code, upstream)
	}
	check(t, "a good token", upstream, alices)
	all := http.Header{"X-Auth-Token": {"alice"}}
	for _, name := range headers.Names() {
		all[http.CanonicalHeaderKey(name)] = []string{"forged"}
		for _, spelling := range spellings(name) {
			h := http.Header{"X-Auth-Token": {"alice"}, spelling: {"forged", "twice"}}
			code, upstream := ask(h)
			switch {
			case code == 200:
				check(t, spelling, upstream, alices)
			case code != 403 || spelling == name:
				t.Errorf("%s: %d", spelling, code)
			}
		}
	}
	code, upstream = ask(all)
	if code != 200 {
		t.Errorf("every name forged: %d", code)
	}
	check(t, "every name forged", upstream, alices)
	all["X-Auth-Token"] = []string{"revoked"}
	if code, upstream = delayed(all); code != 200 {
		t.Errorf("delayed: %d", code)
	}
	check(t, "delayed", upstream, map[string]string{"X-Identity-Status": "Invalid"})
	for token, want := range map[string]int{"": 401, "revoked": 401, "unsure": 503} {
		h := http.Header{}
		if token != "" {
			h.Set("X-Auth-Token", token)
		}
		if code, _ := ask(h); code != want {
			t.Errorf("token %q: %d, want %d", token, code, want)
		}
	}
	if code, _ := ask(http.Header{"X-Auth-Token": {"alice", "alice"}}); code != 400 {
		t.Errorf("two tokens: %d", code)
	}
	// What the front end itself is to say cannot be said by clients.
	if code, upstream := ask(http.Header{"X-Auth-Token": {"alice"}, "X-Original-Uri": {"/x"}, "X-Original-Method": {"PUT"}, "X-Forwarded-For": {"1.2.3.4"}}); code != 200 {
		t.Errorf("a client that plays front end: %d", code)
	} else {
		check(t, "a client that plays front end", upstream, alices)
	}
}

func send(t *testing.T, client *http.Client, url string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

// canonical are headers as Go's server gives them.
func canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = append(out[http.CanonicalHeaderKey(name)], values...)
	}
	return out
}

// TestTraefik does what Traefik's ForwardAuth is documented to: what is listed and what fits the expression is taken off the
// request, and put on from the answer.
func TestTraefik(t *testing.T) {
	text := sample(t, "traefik.yaml")
	listed := items(text, "authResponseHeaders:", "- ")
	match := regexp.MustCompile(`authResponseHeadersRegex: '(.*)'`).FindStringSubmatch(text)
	address := regexp.MustCompile(`address: http://127.0.0.1:8082(\S+)`).FindStringSubmatch(text)
	if match == nil || address == nil || !strings.Contains(text, "trustForwardHeader: false") {
		t.Fatal("the sample has changed")
	}
	expression := regexp.MustCompile(match[1])
	traefik := func(s *httptest.Server) front {
		return func(header http.Header) (int, http.Header) {
			header = canonical(header)
			question := header.Clone()
			for name, value := range map[string]string{"Method": "GET", "Uri": "/v2/images", "Host": "image.example.org", "For": "192.0.2.9", "Proto": "http"} {
				question["X-Forwarded-"+name] = []string{value}
			}
			res := send(t, s.Client(), s.URL+address[1], question)
			for _, name := range listed {
				name = http.CanonicalHeaderKey(name)
				delete(header, name)
				if values, ok := res.Header[name]; ok {
					header[name] = values
				}
			}
			for name := range header {
				if expression.MatchString(name) {
					delete(header, name)
				}
			}
			for name, values := range res.Header {
				if expression.MatchString(name) {
					header[name] = values
				}
			}
			return res.StatusCode, header
		}
	}
	try(t, traefik(asked(t, false)), traefik(asked(t, true)))
	for _, name := range headers.Names() {
		for _, spelling := range spellings(name) {
			if !expression.MatchString(http.CanonicalHeaderKey(spelling)) {
				t.Errorf("the expression leaves %s", spelling)
			}
		}
	}
	for _, name := range []string{"X-Auth-Token", "X-Service-Token", "X-Storage-Token", "Openstack-Api-Version", "X-Openstack-Nova-Api-Version", "X-Container-Meta-Role"} {
		if expression.MatchString(name) {
			t.Errorf("the expression takes %s", name)
		}
	}
}

// TestCaddy does what Caddy is documented to: request_header takes off names, by their beginning where * stands at the end;
// forward_auth copies those of the answer that have a value.
func TestCaddy(t *testing.T) {
	text := sample(t, "Caddyfile")
	var remove []string
	before, _, ok := strings.Cut(text, "forward_auth 127.0.0.1:8082 {")
	for _, m := range regexp.MustCompile(`(?m)^\s*request_header -(\S+)`).FindAllStringSubmatch(before, -1) {
		remove = append(remove, strings.ToLower(m[1]))
	}
	uri := regexp.MustCompile(`(?m)^\s*uri (\S+)$`).FindStringSubmatch(text)
	if !ok || uri == nil {
		t.Fatal("the sample has changed")
	}
	removed := func(name string) bool {
		return slices.ContainsFunc(remove, func(pattern string) bool {
			beginning, all := strings.CutSuffix(pattern, "*")
			return all && strings.HasPrefix(strings.ToLower(name), beginning) || strings.EqualFold(name, pattern)
		})
	}
	copied := items(text, "copy_headers {", "")
	caddy := func(s *httptest.Server) front {
		return func(header http.Header) (int, http.Header) {
			header = canonical(header)
			for name := range header {
				if removed(name) {
					delete(header, name)
				}
			}
			question := header.Clone()
			for name, value := range map[string]string{"Method": "GET", "Uri": "/v2/images", "Host": "image.example.org", "For": "192.0.2.9", "Proto": "http"} {
				question["X-Forwarded-"+name] = []string{value}
			}
			res := send(t, s.Client(), s.URL+uri[1], question)
			for _, name := range copied {
				if value := res.Header.Get(name); value != "" {
					header.Set(name, value)
				}
			}
			return res.StatusCode, header
		}
	}
	try(t, caddy(asked(t, false)), caddy(asked(t, true)))
	for _, name := range headers.Names() {
		for _, spelling := range spellings(name) {
			if !strings.Contains(spelling, ".") && !removed(spelling) {
				t.Errorf("%s is left", spelling)
			}
		}
	}
	for _, name := range []string{"X-Auth-Token", "X-Service-Token", "X-Storage-Token", "OpenStack-API-Version"} {
		if removed(name) {
			t.Errorf("%s is removed", name)
		}
	}
}

// joined are headers as Envoy has them: in lower case; without those of "_", where it is told to drop them.
func joined(h http.Header, dropUnderscores bool) map[string][]string {
	out := map[string][]string{}
	for name, values := range h {
		if name = strings.ToLower(name); !dropUnderscores || !strings.Contains(name, "_") {
			out[name] = append(out[name], values...)
		}
	}
	return out
}

// TestEnvoyHTTP does what Envoy's HTTP service is documented to: allowed_headers go to authproxy, allowed_upstream_headers of the
// answer replace those of the request, and what X-Envoy-Auth-Headers-To-Remove lists is removed.
func TestEnvoyHTTP(t *testing.T) {
	text := sample(t, "envoy-http.yaml")
	expression := regexp.MustCompile(`safe_regex: { regex: "(.*)" }`).FindStringSubmatch(text)
	prefix := regexp.MustCompile(`path_prefix: (\S+)`).FindStringSubmatch(text)
	if expression == nil || prefix == nil || !strings.Contains(text, "headers_with_underscores_action: DROP_HEADER") {
		t.Fatal("the sample has changed")
	}
	told := regexp.MustCompile("^(?:" + expression[1] + ")$")
	taken := items(text, "allowed_upstream_headers:\n                            patterns:", "- exact: ")
	envoy := func(s *httptest.Server, drop bool) front {
		return func(header http.Header) (int, http.Header) {
			request := joined(header, drop)
			question := http.Header{}
			for name, values := range request {
				if told.MatchString(name) {
					question[name] = values
				}
			}
			question["X-Forwarded-For"] = []string{"192.0.2.9"}
			res := send(t, s.Client(), s.URL+prefix[1]+"/v2/images", question)
			for _, name := range taken {
				if values, ok := res.Header[http.CanonicalHeaderKey(name)]; ok {
					request[name] = values
				}
			}
			for name := range strings.SplitSeq(res.Header.Get("X-Envoy-Auth-Headers-To-Remove"), ",") {
				delete(request, strings.TrimSpace(name))
			}
			return res.StatusCode, canonical(request)
		}
	}
	for _, drop := range []bool{true, false} {
		try(t, envoy(asked(t, false), drop), envoy(asked(t, true), drop))
	}
}

// TestEnvoyGRPC: the same over gRPC, where authproxy is sent all headers.
func TestEnvoyGRPC(t *testing.T) {
	if text := sample(t, "envoy-grpc.yaml"); !strings.Contains(text, "encode_raw_headers: true") || !strings.Contains(text, "failure_mode_allow: false") {
		t.Fatal("the sample has changed")
	}
	envoy := func(s *httptest.Server) front {
		conn, err := grpc.NewClient(s.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		client := authv3.NewAuthorizationClient(conn)
		return func(header http.Header) (int, http.Header) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			request := joined(header, false)
			res, err := client.Check(ctx, question("/v2/images", request))
			if err != nil {
				t.Fatal(err)
			}
			if denied := res.GetDeniedResponse(); denied != nil {
				return int(denied.GetStatus().GetCode()), nil
			}
			for _, o := range res.GetOkResponse().GetHeaders() {
				request[o.Header.Key] = []string{o.Header.Value}
			}
			for _, name := range res.GetOkResponse().GetHeadersToRemove() {
				delete(request, name)
			}
			return 200, canonical(request)
		}
	}
	try(t, envoy(asked(t, false)), envoy(asked(t, true)))
}

// startNginx runs nginx with the sample before a service, and gives a client for it.
func startNginx(t *testing.T, authproxy, service *httptest.Server, options string) *http.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	text := sample(t, "nginx.conf")
	for from, to := range map[string]string{
		"listen 192.0.2.10:9292;": "listen unix:" + socket + ";",
		"server 127.0.0.1:8082;":  "server " + authproxy.Listener.Addr().String() + ";",
		"server 127.0.0.1:9293;":  "server " + service.Listener.Addr().String() + ";",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("the sample has no %s", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	return nginxtest.Start(t, options+"\n"+text, socket)
}

// TestNginx: nginx with the sample, as it stands and with underscores_in_headers on.
func TestNginx(t *testing.T) {
	nginxtest.Need(t, "nginx")
	got := make(chan http.Header, 1)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own-500" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Header.Clone()
	}))
	t.Cleanup(service.Close)
	for name, options := range map[string]string{"as it is": "", "with underscores": "underscores_in_headers on; ignore_invalid_headers off;"} {
		t.Run(name, func(t *testing.T) {
			through := func(client *http.Client) front {
				return func(header http.Header) (int, http.Header) {
					res := send(t, client, "http://image.example.org/v2/images", header)
					if res.StatusCode == 200 {
						return 200, <-got
					}
					if c := res.Header["Www-Authenticate"]; res.StatusCode == 401 && (len(c) != 1 || c[0] != `Keystone uri="http://identity"`) {
						t.Errorf("challenge %q", c)
					}
					if after := res.Header.Get("Retry-After"); (res.StatusCode == 503) != (after == "5") {
						t.Errorf("%d, Retry-After %q", res.StatusCode, after)
					}
					return res.StatusCode, nil
				}
			}
			client := startNginx(t, asked(t, false), service, options)
			try(t, through(client), through(startNginx(t, asked(t, true), service, options)))

			// One connection serves many users and strangers.
			for i := range 500 {
				header := []http.Header{{"X-Auth-Token": {"alice"}, "X-Roles": {"forged"}, "X-Domain-Id": {"forged"}}, {"X-Roles": {"forged"}}, {"X-Auth-Token": {"revoked"}}}[i%3]
				code, upstream := through(client)(header)
				if want := []int{200, 401, 401}[i%3]; code != want {
					t.Fatalf("request %d: %d, want %d", i, code, want)
				}
				if code == 200 {
					check(t, "again", upstream, alices)
				}
			}
			body := strings.NewReader(strings.Repeat("x", 1<<20))
			req, err := http.NewRequest("PUT", "http://image.example.org/v2/images", io.MultiReader(body)) // chunked
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Auth-Token", "alice")
			res, err := client.Do(req)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			res.Body.Close()
			check(t, "an upload", <-got, alices)
			if res := send(t, client, "http://image.example.org/own-500", http.Header{"X-Auth-Token": {"alice"}}); res.StatusCode != 500 {
				t.Errorf("the service's own 500: %d", res.StatusCode)
			}
			if res := send(t, client, "http://image.example.org/.authproxy", http.Header{"X-Auth-Token": {"alice"}}); res.StatusCode != 404 {
				t.Errorf("the question from outside: %d", res.StatusCode)
			}
		})
	}
}

// question is one of Envoy's, with encode_raw_headers.
func question(path string, header map[string][]string) *authv3.CheckRequest {
	all := &corev3.HeaderMap{}
	for name, values := range header {
		for _, value := range values {
			all.Headers = append(all.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Host: "image.example.org", HeaderMap: all}}}}
}
