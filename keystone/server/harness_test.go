package server_test

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/certs/certstest"
	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/bootstrap"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/store/sql"
)

// cheap makes password hashes that cost nothing.
var cheap = identity.Params{Memory: 8, Time: 1, Threads: 1}

const adminPassword, servicePassword = "refsecret", "service-secret"

// cloud is a running backend with its two listeners, on a real database file.
type cloud struct {
	t             *testing.T
	dir           string
	settings      *app.Settings
	db            *sql.Store
	parts         *app.Parts
	public, admin *httptest.Server
	metrics       *prometheus.Registry
	log           *lockedBuffer
	clock         *clock
	ca            *certstest.CA // nil with provider uuid
}

// clock is a time that tests move.
type clock struct {
	mu      sync.Mutex
	offset  time.Duration
	stopped time.Time // zero: it goes
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped.Add(c.offset)
	}
	return time.Now().Add(c.offset)
}

// stop lets time pass by advance alone, for tests that a slow machine must not change.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = time.Now()
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newCloud starts a backend of that token provider, bootstrapped, with extra lines for its keystone.conf.
func newCloud(t *testing.T, provider string, lines ...string) *cloud {
	t.Helper()
	c := &cloud{t: t, dir: t.TempDir(), metrics: prometheus.NewRegistry(), log: new(lockedBuffer), clock: new(clock)}
	conf := filepath.Join(c.dir, "keystone.conf")
	c.write("keystone.conf", strings.Join(append([]string{
		"[token]", "provider = " + provider,
		"[database]", "connection = " + connection(t, c.path("keystone.db")),
		"[signing]", "certfile = " + c.path("signing_cert.pem"), "keyfile = " + c.path("signing_key.pem"), "ca_certs = " + c.path("ca.pem"),
	}, lines...), "\n"))
	var err error
	if c.settings, err = app.Load([]string{conf}, nil, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	if provider != "uuid" {
		c.ca = certstest.New(t)
		signer := c.ca.Issue(t, certstest.RSA)
		c.write("ca.pem", string(c.ca.CertPEM()))
		c.write("signing_cert.pem", "Certificate:\n    as openssl -text prints it\n"+string(signer.CertPEM))
		c.write("signing_key.pem", string(signer.KeyPEM))
	}
	if c.db, err = c.settings.OpenAnyStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.parts = c.settings.Build(c.db, app.Options{Log: log, Metrics: c.metrics, Hashing: cheap, Now: c.clock.Now})
	if err := c.parts.Policy.Load(); err != nil {
		t.Fatal(err)
	}
	options := bootstrap.Options{Password: adminPassword, ServiceUsername: "authproxy", ServicePassword: servicePassword}
	if c.parts.Catalog != nil {
		options.FixedCatalog = true
		if err := c.parts.Catalog.Load(); err != nil {
			t.Fatal(err)
		}
	}
	c.public = httptest.NewServer(c.parts.Server.Handler(server.Listener{}))
	t.Cleanup(c.public.Close)
	c.admin = httptest.NewServer(c.parts.Server.Handler(server.Listener{Admin: true, PublicEndpoint: c.public.URL + "/"}))
	t.Cleanup(c.admin.Close)
	if !options.FixedCatalog {
		options.RegionID, options.PublicURL, options.AdminURL, options.InternalURL = "RegionOne", c.public.URL+"/v3", c.admin.URL+"/v3", c.public.URL+"/v3"
	}
	if err := bootstrap.Run(context.Background(), c.parts.Server, options); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cloud) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cloud) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// answer is what came back for a request.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	text   string
	body   map[string]any
}

// do sends a request. body is JSON text or a value for JSON; headers are pairs.
func (c *cloud) do(method, path, token string, body any, headers ...string) *answer {
	c.t.Helper()
	return send(c.t, c.public.URL, method, path, token, body, headers...)
}

func send(t *testing.T, base, method, path, token string, body any, headers ...string) *answer {
	t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	a := &answer{t: t, what: method + " " + path, status: response.StatusCode, header: response.Header, text: string(out)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") && len(out) > 0 {
		if err := json.Unmarshal(out, &a.body); err != nil {
			t.Fatalf("%s: body is no JSON: %v\n%s", a.what, err, out)
		}
	}
	return a
}

// want checks the status, and with a message that of the error, and returns the answer.
func (a *answer) want(status int, message ...string) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d\n%s", a.what, a.status, status, a.text)
	}
	if len(message) > 0 {
		if got := a.at("error", "message"); got != message[0] {
			a.t.Errorf("%s: got the message %q, want %q", a.what, got, message[0])
		}
	}
	return a
}

// at is the value under a path of names in the body, nil where there is none.
func (a *answer) at(path ...string) any { return at(a.body, path...) }

func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// text of a path in the body, which must be there.
func (a *answer) str(path ...string) string {
	a.t.Helper()
	s, ok := a.at(path...).(string)
	if !ok {
		a.t.Fatalf("%s: no text at %v in %s", a.what, path, a.text)
	}
	return s
}

func (a *answer) token() string { return a.header.Get("X-Subject-Token") }

type obj = map[string]any

// byPassword is the auth request of a user of the default domain; scope may be nil.
func byPassword(name, password string, scope any) obj {
	auth := obj{"identity": obj{"methods": []string{"password"}, "password": obj{"user": obj{
		"name": name, "password": password, "domain": obj{"id": "default"}}}}}
	if scope != nil {
		auth["scope"] = scope
	}
	return obj{"auth": auth}
}

func byToken(token string, scope any) obj {
	auth := obj{"identity": obj{"methods": []string{"token"}, "token": obj{"id": token}}}
	if scope != nil {
		auth["scope"] = scope
	}
	return obj{"auth": auth}
}

func onProject(name string) obj {
	return obj{"project": obj{"name": name, "domain": obj{"id": "default"}}}
}

// login gets a token.
func (c *cloud) login(name, password string, scope any) *answer {
	c.t.Helper()
	return c.do("POST", "/v3/auth/tokens", "", byPassword(name, password, scope)).want(201)
}

// adminToken logs the administrator in.
func (c *cloud) adminToken() string {
	c.t.Helper()
	return c.login("admin", adminPassword, onProject("admin")).token()
}

// newUser makes a user with a role on a project of their own and returns the ids.
func (c *cloud) newUser(name, password string) (userID, projectID, roleID string) {
	c.t.Helper()
	admin := c.adminToken()
	userID = c.do("POST", "/v3/users", admin, obj{"user": obj{"name": name, "password": password}}).want(201).str("user", "id")
	projectID = c.do("POST", "/v3/projects", admin, obj{"project": obj{"name": name + "-project"}}).want(201).str("project", "id")
	roles := c.do("GET", "/v3/roles?name=member", admin, nil).want(200).at("roles").([]any)
	roleID = roles[0].(obj)["id"].(string)
	c.do("PUT", fmt.Sprintf("/v3/projects/%s/users/%s/roles/%s", projectID, userID, roleID), admin, nil).want(204)
	return userID, projectID, roleID
}

// valid says whether the administrator can validate a token.
func (c *cloud) valid(token string) bool {
	c.t.Helper()
	a := c.do("GET", "/v3/auth/tokens", c.adminToken(), nil, "X-Subject-Token", token)
	if a.status != 200 && a.status != 404 {
		a.want(200)
	}
	return a.status == 200
}
