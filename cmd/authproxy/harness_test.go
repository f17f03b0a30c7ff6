package main

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

// pki is a CA, its signer and what they sign.
type pki struct {
	t      *testing.T
	ca     *certstest.CA
	signer *certstest.Signer
}

func newPKI(t *testing.T) *pki {
	ca := certstest.New(t)
	return &pki{t, ca, ca.Issue(t, certstest.RSA)}
}

func (p *pki) sign(content string) []byte {
	p.t.Helper()
	der, err := cms.Sign([]byte(content), p.signer.Cert, p.signer.Key, crypto.SHA256)
	if err != nil {
		p.t.Fatal(err)
	}
	return der
}

func body(user, auditID string) string {
	return fmt.Sprintf(`{"token":{"methods":["password"],"expires_at":"2100-01-01T00:00:00.000000Z","issued_at":"2026-01-01T00:00:00.000000Z",`+
		`"user":{"id":"%[1]s-id","name":"%[1]s","domain":{"id":"default","name":"Default"}},`+
		`"project":{"id":"p","name":"demo","domain":{"id":"default","name":"Default"}},"roles":[{"id":"r","name":"member"}],"audit_ids":["%[2]s"]}}`, user, auditID)
}

func (p *pki) token(user, auditID string) string {
	return token.EncodePKI(p.sign(body(user, auditID)))
}

// list is a signed revocation list of audit ids.
func (p *pki) list(auditIDs ...string) []byte {
	var entries []string
	for i, id := range auditIDs {
		entries = append(entries, fmt.Sprintf(`{"id":"%032x","expires":"2100-01-01T00:00:00Z","audit_id":"%s"}`, i, id))
	}
	return cms.EncodePEM(p.sign(`{"revoked":[` + strings.Join(entries, ",") + `]}`))
}

const (
	auditA = "AAAAAAAAAAAAAAAAAAAAAA"
	auditB = "BBBBBBBBBBBBBBBBBBBBBA"
	uuid   = "0123456789abcdef0123456789abcdef"
)

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// echoUpstream answers with the identity headers that it saw. /wait waits for release first.
func echoUpstream(t *testing.T) (s *httptest.Server, waiting, release chan bool) {
	waiting, release = make(chan bool, 1), make(chan bool)
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			waiting <- true
			select {
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-Identity-Status"), r.Header.Get("X-User-Name"), r.Header.Get("X-Roles"))
	}))
	t.Cleanup(s.Close)
	return s, waiting, release
}

// running is the command, run in this process.
type running struct {
	t           *testing.T
	data, admin string
	stop        context.CancelFunc
	ended       chan error
	logs        *logs
	http        *http.Client
}

// logs collects the log and finds the line that tells the addresses.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
	line chan map[string]any
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	var record map[string]any
	if json.Unmarshal(p, &record) == nil && record["msg"] == "listening" {
		l.line <- record
	}
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func begin(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, stop: stop, ended: make(chan error, 1), logs: &logs{line: make(chan map[string]any, 1)}, http: &http.Client{Transport: &http.Transport{}}}
	args = append([]string{"authproxy", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json", "--drain-delay", "0s"}, args...)
	go func() { r.ended <- run(ctx, args, io.Discard, r.logs) }()
	t.Cleanup(func() {
		stop()
		r.http.CloseIdleConnections()
		if r.ended != nil {
			r.end()
		}
	})
	select {
	case line := <-r.logs.line:
		r.data, r.admin = line["url"].(string), line["admin"].(string)
	case err := <-r.ended:
		r.ended = nil
		t.Fatalf("ended at once: %v\n%s", err, r.logs)
	case <-time.After(20 * time.Second):
		t.Fatalf("did not begin to listen: %s", r.logs)
	}
	return r
}

// end waits for the command to end by itself, and checks that nothing of it is left.
func (r *running) end() {
	r.t.Helper()
	select {
	case err := <-r.ended:
		r.ended = nil
		if err != nil {
			r.t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatalf("did not end: %s", r.logs)
	}
	r.eventually("no goroutine is left", func() bool {
		all := make([]byte, 1<<20)
		all = all[:runtime.Stack(all, true)]
		for _, mine := range []string{"authproxy/certs.", "authproxy/revocation.", "authproxy/proxy.", "main.(*parts)", "authproxy/keystone/client."} {
			if strings.Contains(string(all), mine) {
				return false
			}
		}
		return true
	})
}

func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never came true: %s\n%s", what, r.logs)
		}
		<-tick.C
	}
}

func (r *running) get(url, token string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
		req.Header.Set("X-Roles", "admin")
		req.Header["X_Roles"] = []string{"admin"}
	}
	res, err := r.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

func (r *running) expect(url, token string, code int, text string) {
	r.t.Helper()
	if c, b := r.get(url, token); c != code || !strings.Contains(b, text) {
		r.t.Errorf("%s: %d %q, want %d %q\n%s", url, c, b, code, text, r.logs)
	}
}

// keystone is as much of an Identity service as the proxy asks for.
type keystone struct {
	*httptest.Server
	pki *pki // nil: this one has no PKI

	mu        sync.Mutex
	down      bool
	list      []byte
	events    string // "": this one has none
	questions int
}

func newKeystone(t *testing.T, p *pki) *keystone {
	k := &keystone{pki: p}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", "00000000000000000000000000000001")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, body("authproxy", "CCCCCCCCCCCCCCCCCCCCCA"))
	})
	mux.HandleFunc("GET /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.questions++
		k.mu.Unlock()
		if r.Header.Get("X-Subject-Token") != uuid {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":404,"title":"Not Found","message":"Could not find token"}}`)
			return
		}
		w.Header().Set("X-Subject-Token", uuid)
		fmt.Fprint(w, body("carol", "DDDDDDDDDDDDDDDDDDDDDA"))
	})
	signed := func(text func() []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if p == nil {
				w.WriteHeader(http.StatusGone)
				return
			}
			_, _ = w.Write(text())
		}
	}
	mux.HandleFunc("GET /v3/OS-SIMPLE-CERT/certificates", signed(func() []byte {
		k.mu.Lock()
		defer k.mu.Unlock()
		return p.signer.CertPEM
	}))
	mux.HandleFunc("GET /v3/OS-SIMPLE-CERT/ca", signed(func() []byte { return p.ca.CertPEM() }))
	mux.HandleFunc("GET /v3/auth/tokens/OS-PKI/revoked", signed(func() []byte {
		k.mu.Lock()
		defer k.mu.Unlock()
		text, _ := json.Marshal(map[string]string{"signed": string(k.list)})
		return text
	}))
	mux.HandleFunc("GET /v3/OS-REVOKE/events", func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.events == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, k.events)
	})
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		down := k.down
		k.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(k.Server.Close)
	if p != nil {
		k.list = p.list(auditB)
	}
	return k
}

func (k *keystone) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *keystone) config(t *testing.T, more string) string {
	return write(t, filepath.Join(t.TempDir(), "glance-api.conf"), []byte("[DEFAULT]\ndebug = true\n[keystone_authtoken]\nauth_url = "+k.URL+`
auth_type = password
username = authproxy
password = hunter2
user_domain_id = default
project_name = service
project_domain_id = default
revocation_cache_time = 1
cert_refresh_cooldown = 1
`+more))
}
