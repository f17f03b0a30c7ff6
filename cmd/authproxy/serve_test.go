package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/cms"
)

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

// TestUnsafeSigningDir: where somebody else could have put certificates, the proxy does not go on.
func TestUnsafeSigningDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "signing")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // past the umask
		t.Fatal(err)
	}
	config := write(t, filepath.Join(t.TempDir(), "a.conf"), []byte("[keystone_authtoken]\nauth_url = http://127.0.0.1:1\nauth_type = password\nusername = u\npassword = p\n"+
		"user_domain_id = default\nproject_name = service\nproject_domain_id = default\nhttp_request_max_retries = 0\nsigning_dir = "+dir+"\n"))
	err := run(t.Context(), []string{"authproxy", "--config-file", config, "--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, io.Discard, io.Discard)
	if !errors.Is(err, certs.ErrUnsafeDir) || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("got %v, want ErrUnsafeDir and what to do", err)
	}
}

// TestInsecureIsSaid: every choice that weakens security is a warning at start.
func TestInsecureIsSaid(t *testing.T) {
	names := []string{"insecure", "insecure_skip_revocation", "insecure_allow_sha1", "insecure_allow_weak_rsa", "insecure_allow_fetched_ca",
		"insecure_memcache_plain", "insecure_service_token_skips_bind"}
	text := "[keystone_authtoken]\nauth_url = http://127.0.0.1:1\nauth_type = password\nusername = u\npassword = p\nuser_domain_id = default\n" +
		"project_name = service\nproject_domain_id = default\nmemcached_servers = 127.0.0.1:1\n"
	for _, name := range names {
		text += name + " = true\n"
	}
	var logged strings.Builder
	err := run(t.Context(), []string{"authproxy", "--config-file", write(t, filepath.Join(t.TempDir(), "a.conf"), []byte(text)), "--check-config",
		"--upstream", "http://192.0.2.1:80", "--insecure-upstream"}, io.Discard, &logged)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, "insecure_upstream") {
		if !strings.Contains(logged.String(), name+": is on") && !strings.Contains(logged.String(), name+" is on") {
			t.Errorf("%s is not said:\n%s", name, logged.String())
		}
	}
}
