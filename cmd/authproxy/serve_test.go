package main

import (
	"bufio"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net"
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

// Without an Identity service: certificates and list from files, which the operator may replace while it runs.
func TestOfflineFromFiles(t *testing.T) {
	p, dir := newPKI(t), t.TempDir()
	upstream, _, _ := echoUpstream(t)
	list := write(t, filepath.Join(dir, "revoked.pem"), p.list(auditB))
	r := begin(t, "--upstream", upstream.URL, "--revocation-cache-time=1",
		"--signing-cert-file", write(t, filepath.Join(dir, "signing.pem"), p.signer.CertPEM),
		"--signing-ca-file", write(t, filepath.Join(dir, "ca.pem"), p.ca.CertPEM()), "--revocation-file", list)

	alice := p.token("alice", auditA)
	r.expect(r.admin+"/readyz", "", 200, "ready")
	r.expect(r.data+"/", "", 401, "requires authentication")
	r.expect(r.data+"/", alice, 200, "Confirmed alice member")
	r.expect(r.data+"/", alice[:len(alice)-8], 401, "")
	r.expect(r.data+"/", p.token("bob", auditB), 401, "")
	r.expect(r.data+"/", newPKI(t).token("mallory", auditA), 401, "")
	r.expect(r.data+"/", uuid, 401, "") // nobody to ask

	code, text := r.get(r.admin+"/status", "")
	var st struct {
		Ready        bool
		Certificates struct {
			Signers []struct {
				Subject  string
				DaysLeft float64 `json:"days_left"`
			}
		}
		Revocation struct {
			Held, Fresh bool
			Entries     int
		}
		Cache struct{ Entries, Hits, Misses int }
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil || code != 200 {
		t.Fatalf("%d %v %s", code, err, text)
	}
	if !st.Ready || len(st.Certificates.Signers) != 1 || st.Certificates.Signers[0].DaysLeft <= 0 || !st.Revocation.Held || !st.Revocation.Fresh ||
		st.Revocation.Entries != 1 || st.Cache.Entries == 0 || st.Cache.Misses == 0 {
		t.Errorf("status: %s", text)
	}
	for _, line := range []string{
		`authproxy_requests_total{code="200",outcome="confirmed"} 1`, `authproxy_refusals_total{reason="missing"} 1`,
		`authproxy_refusals_total{reason="revoked"} 1`, `authproxy_refusals_total{reason="unknown_signer"} `,
		`authproxy_ready 1`, `authproxy_signers 1`, `authproxy_signer_days_left{which="first"}`, `authproxy_revocation_list_entries 1`,
		`authproxy_revocation_list_age_seconds `, `authproxy_revocation_list_fresh 1`, `authproxy_revocation_polls_total{result="ok"}`,
		`authproxy_certificate_events_total{event="fetched"}`, `authproxy_token_cache_lookups_total{result="miss"}`,
		`authproxy_token_cache_entries `, `authproxy_online_validations_total 0`, `authproxy_requests_in_flight 0`, `go_goroutines `,
	} {
		r.expect(r.admin+"/metrics", "", 200, line)
	}
	if strings.Contains(r.logs.String(), alice[:40]) {
		t.Error("token text in the log")
	}

	// A cached token is refused once the list names it.
	r.expect(r.data+"/", alice, 200, "Confirmed alice member")
	write(t, list+".new", p.list(auditA, auditB))
	if err := os.Rename(list+".new", list); err != nil {
		t.Fatal(err)
	}
	r.eventually("revoked", func() bool { code, _ := r.get(r.data+"/", alice); return code == 401 })
	r.stop()
	r.end()
}

func TestSkippedRevocation(t *testing.T) {
	p, dir := newPKI(t), t.TempDir()
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--insecure-skip-revocation",
		"--signing-cert-file", write(t, filepath.Join(dir, "signing.pem"), p.signer.CertPEM),
		"--signing-ca-file", write(t, filepath.Join(dir, "ca.pem"), p.ca.CertPEM()))
	r.expect(r.data+"/", p.token("alice", auditA), 200, "Confirmed alice member")
	r.expect(r.admin+"/readyz", "", 200, "ready")
	r.expect(r.admin+"/status", "", 200, `"revocation_skipped": true`)
	if !strings.Contains(r.logs.String(), "insecure_skip_revocation") {
		t.Error("no warning")
	}
}

func TestWrongLocalFiles(t *testing.T) {
	p, dir := newPKI(t), t.TempDir()
	signing, ca := write(t, filepath.Join(dir, "signing.pem"), p.signer.CertPEM), write(t, filepath.Join(dir, "ca.pem"), p.ca.CertPEM())
	other := newPKI(t)
	for name, tt := range map[string]struct{ signing, ca, list, want string }{
		"signer of another CA": {write(t, filepath.Join(dir, "other.pem"), other.signer.CertPEM), ca, write(t, filepath.Join(dir, "l1"), p.list()), "sign"},
		"list by another":      {signing, ca, write(t, filepath.Join(dir, "l2"), other.list()), "revocation list"},
		"token as list":        {signing, ca, write(t, filepath.Join(dir, "l3"), cms.EncodePEM(p.sign(body("alice", auditA)))), "list"},
		"no list":              {signing, ca, filepath.Join(dir, "nothing"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), []string{"authproxy", "--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
				"--signing-cert-file", tt.signing, "--signing-ca-file", tt.ca, "--revocation-file", tt.list}, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// keystone is as much of an Identity service as the proxy asks for.
type keystone struct {
	*httptest.Server
	pki *pki // nil: this one has no PKI

	mu        sync.Mutex
	down      bool
	list      []byte
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
	mux.HandleFunc("GET /v3/OS-SIMPLE-CERT/certificates", signed(func() []byte { return p.signer.CertPEM }))
	mux.HandleFunc("GET /v3/OS-SIMPLE-CERT/ca", signed(func() []byte { return p.ca.CertPEM() }))
	mux.HandleFunc("GET /v3/auth/tokens/OS-PKI/revoked", signed(func() []byte {
		k.mu.Lock()
		defer k.mu.Unlock()
		text, _ := json.Marshal(map[string]string{"signed": string(k.list)})
		return text
	}))
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

// With an Identity service: not ready before certificates and list are there, then deciding without it.
func TestWithIdentityService(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	k.set(func() { k.down = true })
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, "revocation_max_stale = 3\nsigning_dir = "+filepath.Join(t.TempDir(), "signing")+"\n"))
	alice := p.token("alice", auditA)
	r.expect(r.admin+"/healthz", "", 200, "ok")
	r.expect(r.admin+"/readyz", "", 503, "not ready: no signing certificates")
	r.expect(r.data+"/", alice, 503, "temporarily unavailable")

	k.set(func() { k.down = false })
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	r.expect(r.data+"/", alice, 200, "Confirmed alice member")
	r.expect(r.data+"/", p.token("bob", auditB), 401, "")
	if code, text := r.get(r.data+"/", uuid); code != 200 || text != "Confirmed carol member" {
		t.Errorf("an opaque token: %d %q", code, text)
	}
	r.expect(r.data+"/", strings.Repeat("f", 32), 401, "")
	res, err := r.http.Get(r.data)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Www-Authenticate"); got != `Keystone uri="`+k.URL+`"` {
		t.Error(got)
	}
	k.set(func() {
		if k.questions != 2 {
			t.Errorf("%d questions about two opaque tokens", k.questions)
		}
	})

	// While the Identity service is down, PKI tokens are decided, and others not.
	k.set(func() { k.down = true })
	r.expect(r.data+"/", p.token("dave", "EEEEEEEEEEEEEEEEEEEEEA"), 200, "Confirmed dave member")
	r.expect(r.data+"/", strings.Repeat("e", 32), 503, "")
	// Until the list is too old. That is so for every replica, and no reason to be taken out of service.
	r.eventually("stale", func() bool { code, _ := r.get(r.data+"/", alice); return code == 503 })
	r.expect(r.admin+"/readyz", "", 200, "ready")
	r.expect(r.admin+"/metrics", "", 200, `authproxy_refusals_total{reason="revocation_stale"}`)
	k.set(func() { k.down = false })
	r.eventually("recovered", func() bool { code, _ := r.get(r.data+"/", alice); return code == 200 })
}

// A Keystone that has given up PKI: ready, everything online.
func TestIdentityServiceWithoutPKI(t *testing.T) {
	k := newKeystone(t, nil)
	upstream, _, _ := echoUpstream(t)
	for _, mode := range []string{"auto", "off"} {
		t.Run(mode, func(t *testing.T) {
			r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, "pki = "+mode+"\n"))
			r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
			r.expect(r.data+"/", uuid, 200, "Confirmed carol member")
			r.expect(r.data+"/", newPKI(t).token("mallory", auditA), 401, "")
		})
	}
	t.Run("required", func(t *testing.T) {
		r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, "pki = required\n"))
		r.eventually("asked", func() bool { _, text := r.get(r.admin+"/readyz", ""); return strings.Contains(text, "has no PKI") })
		r.expect(r.admin+"/readyz", "", 503, "not ready")
	})
}

func TestDelayedDecision(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, "delay_auth_decision = true\n"))
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	r.expect(r.data+"/", "junk", 200, "Invalid  ")
	r.expect(r.data+"/", p.token("alice", auditA), 200, "Confirmed alice member")
}

// SIGTERM: /readyz says so at once, requests go on being served, those under way are finished, then all ends.
func TestDrain(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	upstream, waiting, release := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""), "--drain-delay", "1s")
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	alice := p.token("alice", auditA)
	answer := make(chan string)
	go func() {
		code, text := r.get(r.data+"/wait", alice)
		answer <- fmt.Sprint(code, " ", text)
	}()
	<-waiting

	r.stop()
	r.eventually("not ready", func() bool {
		code, text := r.get(r.admin+"/readyz", "")
		return code == 503 && strings.Contains(text, "stopping")
	})
	r.expect(r.data+"/", alice, 200, "Confirmed alice member")
	r.eventually("listener closed", func() bool { code, _ := r.get(r.data+"/", alice); return code == 0 })
	r.expect(r.admin+"/readyz", "", 503, "stopping")
	close(release)
	if got := <-answer; got != "200 Confirmed alice member" {
		t.Errorf("the request under way: %s", got)
	}
	r.end()
}

// What does not end by itself is cut off at the shutdown timeout.
func TestShutdownTimeout(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	upstream, waiting, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""), "--shutdown-timeout", "100ms")
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	answer := make(chan int)
	go func() {
		code, _ := r.get(r.data+"/wait", p.token("alice", auditA))
		answer <- code
	}()
	<-waiting
	r.stop()
	if code := <-answer; code == 200 {
		t.Error("the request was answered")
	}
	r.end()
	if !strings.Contains(r.logs.String(), "requests cut off") {
		t.Errorf("not logged: %s", r.logs)
	}
}

// An upgraded connection is no concern of http.Server.Shutdown, but of ours.
func TestShutdownEndsUpgradedConnections(t *testing.T) {
	p := newPKI(t)
	k := newKeystone(t, p)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}()
	r := begin(t, "--upstream", "http://"+l.Addr().String(), "--config-file", k.config(t, ""), "--shutdown-timeout", "100ms")
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	c, err := net.Dial("tcp", strings.TrimPrefix(r.data, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", p.token("alice", auditA))
	br := bufio.NewReader(c)
	if line, err := br.ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatal(line, err)
	}
	r.stop()
	if err := c.SetReadDeadline(time.Now().Add(afterCut - time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, br); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
	r.end()
	if !strings.Contains(r.logs.String(), "requests cut off") {
		t.Errorf("not given its time: %s", r.logs)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k := newKeystone(t, nil)
	for _, flag := range []string{"--listen", "--admin-listen"} {
		args := []string{"authproxy", "--upstream", "http://127.0.0.1:1", "--config-file", k.config(t, ""), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", flag, l.Addr().String()}
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.HasPrefix(err.Error(), flag+": ") || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
