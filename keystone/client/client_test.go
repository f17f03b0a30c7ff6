package client

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/revocation"
)

// A Client is a source of certificates and of the revocation list.
var (
	_ certs.Source                 = (*Client)(nil)
	_ revocation.ConditionalSource = (*Client)(nil)
)

// clock is a clock that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// identity is a small Identity service: it issues tokens own-1, own-2, …, takes those that are not in refused, and answers the
// rest by routes, which map a path to an answer.
type identity struct {
	*httptest.Server
	clock *clock

	mu      sync.Mutex
	logins  int
	bodies  []string // of logins
	seen    []string // "GET /v3/… token subject"
	refused map[string]bool
	life    time.Duration
	login   http.HandlerFunc // instead of the built-in one
	routes  map[string]http.HandlerFunc
	other   http.HandlerFunc // for paths without a route, instead of 404
}

func newIdentity(t *testing.T) *identity {
	t.Helper()
	id := &identity{clock: newClock(), refused: map[string]bool{}, life: time.Hour, routes: map[string]http.HandlerFunc{}}
	id.Server = httptest.NewTLSServer(id)
	id.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(id.Close)
	return id
}

func (id *identity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	id.mu.Lock()
	id.seen = append(id.seen, strings.TrimSpace(fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", r.Header.Get("X-Auth-Token"), " ", r.Header.Get("X-Subject-Token"))))
	route := id.routes[r.URL.Path]
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/v3/auth/tokens") {
		id.logins++
		id.bodies = append(id.bodies, string(body))
		if route = id.login; route == nil {
			route = issue(fmt.Sprint("own-", id.logins), id.clock.Now(), id.life)
		}
	} else if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/v2.0/tokens") {
		id.logins++
		id.bodies = append(id.bodies, string(body))
		now := id.clock.Now()
		route = text(fmt.Sprintf(`{"access":{"token":{"id":"own-%d","expires":%q,"issued_at":%q}}}`, id.logins,
			now.Add(id.life).Format(time.RFC3339), now.Format("2006-01-02T15:04:05.000000")))
	} else if id.refused[r.Header.Get("X-Auth-Token")] {
		route = fails(http.StatusUnauthorized)
	}
	if route == nil {
		route = id.other
	}
	id.mu.Unlock()
	if route == nil {
		route = fails(http.StatusNotFound)
	}
	route(w, r)
}

func (id *identity) count() int {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.logins
}

func (id *identity) requests() []string {
	id.mu.Lock()
	defer id.mu.Unlock()
	return append([]string(nil), id.seen...)
}

func (id *identity) set(f func()) {
	id.mu.Lock()
	defer id.mu.Unlock()
	f()
}

// issue answers a login.
func issue(text string, now time.Time, life time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", text)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":{"expires_at":%q,"issued_at":%q}}`, now.Add(life).Format("2006-01-02T15:04:05.000000Z"), now.Format("2006-01-02T15:04:05.000000Z"))
	}
}

// fails answers with Keystone's error body, which repeats the token as real ones do.
func fails(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"title":"x","message":"Could not find token: %s"}}`, status, r.Header.Get("X-Subject-Token"))
	}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
}

// options are those of a client of the service, with all it takes to log in.
func (id *identity) options(t *testing.T) Options {
	t.Helper()
	return Options{
		AuthURL: id.URL, Username: "glance", Password: "pa55word", UserDomainID: "default", ProjectName: "service", ProjectDomainName: "Default",
		CAFile: id.caFile(t), Now: id.clock.Now,
	}
}

func (id *identity) caFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func token(t *testing.T, c *Client) string {
	t.Helper()
	text, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAuthURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://h:5000", "https://h:5000"}, {"https://h:5000/", "https://h:5000"}, {"https://h:5000/v3", "https://h:5000"},
		{"https://h:5000/v3/", "https://h:5000"}, {"https://h:5000/v2.0", "https://h:5000"}, {"https://h:5000/v2.0//", "https://h:5000"},
		{"http://h/identity/v3", "http://h/identity"}, {"http://h/identity", "http://h/identity"}, {"http://[::1]:5000/v3", "http://[::1]:5000"},
		{"http://h/v3/v3", "http://h/v3"},
	} {
		c, err := New(Options{AuthURL: tt.url})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if got := *c.endpoints.Load(); got != (endpoints{v3: tt.want + "/v3", v2: tt.want + "/v2.0"}) {
			t.Errorf("%s: got %v", tt.url, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "https://h"
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no URL", Options{}, `auth_url: "" is not a URL of http or https with a host`},
		{"scheme", Options{AuthURL: "h:5000"}, `auth_url: "h:5000" is not a URL of http or https with a host`},
		{"password in the URL", Options{AuthURL: "https://u:pa55word@h"}, "auth_url: the URL holds a user name or password; take it out, they have options of their own"},
		{"broken with a password", Options{AuthURL: "https://u:pa55word@[h"}, "auth_url: this is not a URL; write one like https://identity.example.com:5000"},
		{"query", Options{AuthURL: "https://h?"}, `auth_url: "https://h?" has a ? or # in it, which an endpoint cannot have`},
		{"no password", Options{AuthURL: url, UserID: "1"}, "the login has a user but no password"},
		{"no domain", Options{AuthURL: url, Username: "u", Password: "p"}, "the login has a user name without the id or name of its domain"},
		{"no project domain", Options{AuthURL: url, UserID: "1", Password: "p", ProjectName: "x"}, "the login has a project name without the id or name of its domain"},
		{"two scopes", Options{AuthURL: url, UserID: "1", Password: "p", ProjectID: "x", DomainName: "y"}, "the login has more than one scope: keep one of project, domain, system and trust"},
		{"system and trust", Options{AuthURL: url, UserID: "1", Password: "p", SystemScope: "all", TrustID: "t"}, "the login has more than one scope: keep one of project, domain, system and trust"},
		{"other system", Options{AuthURL: url, UserID: "1", Password: "p", SystemScope: "some"}, `system_scope "some" is not known; it is all`},
		{"no secret", Options{AuthURL: url, ApplicationCredentialID: "1"}, "the login has an application credential but no secret"},
		{"whose credential", Options{AuthURL: url, ApplicationCredentialName: "n", ApplicationCredentialSecret: "s", Username: "u"},
			"the login names an application credential without its user: give its id, or the user's id, or the user's name and domain"},
		{"credential with a scope", Options{AuthURL: url, ApplicationCredentialID: "1", ApplicationCredentialSecret: "s", ProjectID: "x"},
			"an application credential brings its own scope; take the project's, domain's, system's and trust's options away"},
		{"credential by v2.0", Options{AuthURL: url, ApplicationCredentialID: "1", ApplicationCredentialSecret: "s", Version: "v2.0"}, "version v2.0 of the Identity API knows no application credentials"},
		{"domain by v2.0", Options{AuthURL: url, UserID: "1", Password: "p", DomainID: "d", Version: "v2.0"}, "version v2.0 of the Identity API knows projects as scope only"},
		{"version", Options{AuthURL: url, Version: "v4"}, `version "v4" of the Identity API is not known; write v3 or v2.0`},
		{"static token", Options{AuthURL: url, StaticToken: "a b"}, "the static token holds bytes that no header can carry"},
		{"no CA file", Options{AuthURL: url, CAFile: filepath.Join(dir, "none")}, "cafile: open " + filepath.Join(dir, "none") + ": no such file or directory"},
		{"no CA in it", Options{AuthURL: url, CAFile: junk}, "cafile: " + junk + " holds no certificate in PEM"},
		{"key alone", Options{AuthURL: url, KeyFile: junk}, "keyfile has no certificate to go with; set certfile"},
		{"no client certificate in it", Options{AuthURL: url, CertFile: junk}, "certfile " + junk + " with the key of " + junk + ": tls: failed to find any PEM data in certificate input"},
		{"two TLS settings", Options{AuthURL: url, HTTPClient: http.DefaultClient, Insecure: true}, "an HTTPClient brings its own TLS settings; CAFile, CertFile, KeyFile and Insecure cannot be set beside it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.o); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestPrintingShowsNoPassword(t *testing.T) {
	id := newIdentity(t)
	c := newClient(t, id.options(t))
	own := token(t, c)
	if all := fmt.Sprintf("%v %+v %#v %s %d", c, c, c, c, c); strings.Contains(all, "pa55word") || strings.Contains(all, own) || !strings.Contains(all, id.URL) {
		t.Errorf("got %s", all)
	}
}
