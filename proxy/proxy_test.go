package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone"
	"authproxy/validate"
	"authproxy/validate/bind"
)

// tokens is a Validator that knows its tokens by heart.
type tokens map[string]entry

type entry struct {
	verified *validate.Verified
	err      error
	expired  bool // holds only where expired tokens are allowed
	bind     map[string]string
}

func (v tokens) Validate(_ context.Context, r validate.Request) (*validate.Verified, error) {
	e, ok := v[r.Token]
	switch {
	case !ok:
		return nil, refuse(validate.BadSignature, nil)
	case e.err != nil:
		return nil, e.err
	case e.expired && !r.AllowExpired:
		return nil, refuse(validate.Expired, nil)
	}
	if e.bind != nil && !r.InsecureSkipBind {
		peer := r.Peer
		if r.Identify != nil {
			peer = r.Identify()
		}
		if err := bind.Strict.Check(e.bind, peer); err != nil {
			return nil, refuse(validate.Bind, err)
		}
	}
	return e.verified, nil
}

func token(user, project string, roles ...string) *keystone.Token {
	t := &keystone.Token{Version: 3, User: keystone.User{ID: user + "-id", Name: user}, AuditIDs: []string{"audit-" + user}}
	if project != "" {
		t.Project = &keystone.Project{ID: project + "-id", Name: project}
	}
	for _, name := range roles {
		t.Roles = append(t.Roles, keystone.Role{Name: name})
	}
	return t
}

// knownTokens is one token for each thing that can become of one.
func knownTokens() tokens {
	verified := func(t *keystone.Token) entry { return entry{verified: &validate.Verified{Token: t}} }
	system := token("root", "", "admin")
	system.System = true
	v2 := token("old", "")
	v2.Version = 2
	return tokens{
		"alice":       verified(token("alice", "demo", "member", "reader")),
		"alice-pkiz":  verified(token("alice", "demo", "member", "service")),
		"unscoped":    verified(token("bob", "")),
		"system":      verified(system),
		"unsafe":      verified(token("evil\r\nX-Roles: admin", "demo", "member")),
		"comma":       verified(token("carol", "demo", "member,admin")),
		"v2-unscoped": verified(v2),
		"expired":     {verified: &validate.Verified{Token: token("late", "demo", "member")}, expired: true},
		"nova":        verified(token("nova", "services", "service")),
		"nova-system": verified(&keystone.Token{Version: 3, User: keystone.User{ID: "nova-id"}, System: true, Roles: []keystone.Role{{Name: "service"}}}),
		"unsafe-svc":  verified(token("no,\x00va", "services", "service")),
		"member-svc":  verified(token("dave", "demo", "member")),
		"down":        {err: refuse(validate.IdentityUnavailable, nil)},
		"bound":       {verified: &validate.Verified{Token: token("alice", "demo", "member", "reader")}, bind: map[string]string{"kerberos": "alice"}},
		"bound-svc":   {verified: &validate.Verified{Token: token("nova", "services", "service")}, bind: map[string]string{"kerberos": "nova"}},
		"bound-x509":  {verified: &validate.Verified{Token: token("alice", "demo", "member", "reader")}, bind: map[string]string{"x509": bind.Thumbprint([]byte("certificate"))}},
	}
}

// request is what an upstream got, from the wire.
type request struct {
	line    string // "GET / HTTP/1.1"
	headers [][2]string
	body    string
}

// cgi gives the headers as a CGI or WSGI server would: upper case, every other character folded, repeated ones joined.
func (r *request) cgi() map[string]string {
	env := map[string]string{}
	for _, h := range r.headers {
		name := strings.Map(func(c rune) rune {
			if 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
				return c
			}
			return '_'
		}, strings.ToUpper(h[0]))
		if before, ok := env[name]; ok {
			env[name] = before + "," + h[1]
		} else {
			env[name] = h[1]
		}
	}
	return env
}

// identity is the part of cgi that says who sent the request.
func (r *request) identity() map[string]string {
	env := r.cgi()
	for name := range env {
		if !slices.ContainsFunc([]string{"X_IDENTITY", "X_SERVICE", "X_USER", "X_TENANT", "X_PROJECT", "X_DOMAIN", "X_ROLE",
			"X_IS_ADMIN", "OPENSTACK_SYSTEM", "KEYSTONE", "X_AUTHPROXY"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			delete(env, name)
		}
	}
	delete(env, "X_SERVICE_TOKEN") // carries no identity by itself
	return env
}

// upstream is a server that reads requests off the wire by itself, so that tests see the bytes.
type upstream struct {
	t        *testing.T
	listener net.Listener
	got      chan *request
	// answer is called for each request with its head read; by default it reads the body and answers 200 "ok".
	answer func(c net.Conn, r *bufio.Reader, got *request)
	wg     sync.WaitGroup
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveUpstream(t, l)
}

func serveUpstream(t *testing.T, l net.Listener) *upstream {
	u := &upstream{t: t, listener: l, got: make(chan *request, 100)}
	u.answer = func(c net.Conn, r *bufio.Reader, got *request) {
		got.body = readBody(t, r, got)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		u.got <- got
	}
	var conns sync.Map
	u.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, true)
			u.wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					got := &request{}
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					got.line = strings.TrimRight(line, "\r\n")
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						if line = strings.TrimRight(line, "\r\n"); line == "" {
							break
						}
						name, value, _ := strings.Cut(line, ":")
						got.headers = append(got.headers, [2]string{name, strings.TrimSpace(value)})
					}
					u.answer(c, r, got)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		u.wg.Wait()
	})
	return u
}

// readBody reads a body by the rules of RFC 9112, section 6.
func readBody(t *testing.T, r *bufio.Reader, got *request) string {
	head := got.line + "\r\n"
	for _, h := range got.headers {
		if !strings.EqualFold(h[0], "Expect") {
			head += h[0] + ": " + h[1] + "\r\n"
		}
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head+"\r\n"), r)))
	if err != nil {
		t.Errorf("the upstream cannot read its request: %v", err)
		return ""
	}
	// A bufio.Reader over r would read ahead; tests send one request at a time.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return fmt.Sprintf("%s <%v>", body, err)
	}
	return string(body)
}

func (u *upstream) url() string { return "http://" + u.listener.Addr().String() }

func (u *upstream) next() *request {
	u.t.Helper()
	select {
	case r := <-u.got:
		return r
	case <-time.After(10 * time.Second):
		u.t.Fatal("no request came to the upstream")
		return nil
	}
}

func (u *upstream) none() {
	u.t.Helper()
	select {
	case r := <-u.got:
		u.t.Errorf("a request came to the upstream: %v", r)
	default:
	}
}

// rig is a proxy on a real socket before an upstream.
type rig struct {
	*httptest.Server
	t        *testing.T
	up       *upstream
	registry *prometheus.Registry
	logs     *syncBuffer
}

func newRig(t *testing.T, change func(*Handler)) *rig {
	t.Helper()
	return newRigOn(t, newUpstream(t), change)
}

func newRigOn(t *testing.T, up *upstream, change func(*Handler)) *rig {
	t.Helper()
	target, err := ParseUpstream(up.url(), false)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, up: up, registry: prometheus.NewRegistry(), logs: &syncBuffer{}}
	h := &Handler{
		Validator: knownTokens(), Upstream: target, ChallengeURI: "http://keystone:5000/v3",
		Metrics: NewMetrics(g.registry),
		Log:     slog.New(slog.NewTextHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	if change != nil {
		change(h)
	}
	if h.Transport == nil && h.Relay == nil {
		useClient(t, h, TransportOptions{})
	}
	g.Server = httptest.NewUnstartedServer(nil)
	g.Server.Config = NewServer(h, ServerOptions{ReadHeaderTimeout: 5 * time.Second})
	start(t, g.Server)
	return g
}

// dial opens a raw connection to the proxy.
func (g *rig) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	return c
}

// raw sends text over a new connection and reads one response.
func (g *rig) raw(text string) (*http.Response, string) {
	g.t.Helper()
	c := g.dial()
	if _, err := io.WriteString(c, text); err != nil {
		g.t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	return readResponse(g.t, bufio.NewReader(c), method)
}

func readResponse(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading the response's body: %v", err)
	}
	return res, string(body)
}

// metric reads one figure; labels are "name=value".
func (g *rig) metric(name string, labels ...string) float64 {
	g.t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(labels, l.GetName()+"="+l.GetValue()) {
					continue metrics
				}
			}
			switch {
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				return m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// eventually waits for what a handler does after its client has the answer.
func (g *rig) eventually(what string, ok func() bool) {
	g.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			g.t.Fatalf("never came true: %s", what)
		}
		<-tick.C
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
