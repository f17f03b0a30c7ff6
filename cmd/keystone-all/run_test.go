package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"authproxy/certs"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/bootstrap"
)

// asProgram makes the test binary be keystone-all.
const asProgram = "KEYSTONE_ALL_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	testscript.Main(m, map[string]func(){"keystone-all": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

const adminPassword = "admin-secret"

// configure writes a keystone.conf with a bootstrapped database and, for pki, certificates.
func configure(t *testing.T, provider string) (conf string) {
	t.Helper()
	dir := t.TempDir()
	conf = filepath.Join(dir, "keystone.conf")
	in := func(name string) string { return filepath.Join(dir, name) }
	text := fmt.Sprintf("[DEFAULT]\npublic_port = 0\nadmin_port = 0\n[token]\nprovider = %s\n[database]\nconnection = sqlite:///%s\n[signing]\n"+
		"certfile = %s\nkeyfile = %s\nca_certs = %s\nca_key = %s\n", provider, in("keystone.db"), in("signing_cert.pem"), in("signing_key.pem"), in("ca.pem"), in("cakey.pem"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := app.Load([]string{conf}, nil, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if provider != "uuid" {
		if err := certs.Setup(certs.SetupOptions{CertFile: s.Signing.CertFile, KeyFile: s.Signing.KeyFile, CACerts: s.Signing.CACerts, CAKey: s.Signing.CAKey}); err != nil {
			t.Fatal(err)
		}
	}
	db, err := s.OpenAnyStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := bootstrap.Run(t.Context(), s.Build(db, app.Options{}).Server, bootstrap.Options{
		Password: adminPassword, ServiceUsername: "authproxy", ServicePassword: "service-secret",
	}); err != nil {
		t.Fatal(err)
	}
	return conf
}

// addIdentityEndpoint names the running server in its own catalog, as a bootstrap with a fixed port would.
func addIdentityEndpoint(t *testing.T, conf, url string) {
	t.Helper()
	s, err := app.Load([]string{conf}, nil, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	db, err := s.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := bootstrap.Run(t.Context(), s.Build(db, app.Options{}).Server, bootstrap.Options{
		Password: adminPassword, RegionID: "RegionOne", PublicURL: url, AdminURL: url, InternalURL: url,
	}); err != nil {
		t.Fatal(err)
	}
}

var listening = regexp.MustCompile(`msg=listening listener=(\w+) url=(\S+)/`)

// awaitListeners reads a log until so many listeners are up, then goes on reading it into the void.
func awaitListeners(t *testing.T, log io.Reader, n int) map[string]string {
	t.Helper()
	return awaitListenersTo(t, log, n, io.Discard)
}

// awaitListenersTo goes on reading the log into rest.
func awaitListenersTo(t *testing.T, log io.Reader, n int, rest io.Writer) map[string]string {
	t.Helper()
	urls := map[string]string{}
	lines := bufio.NewScanner(log)
	for len(urls) < n && lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			urls[m[1]] = m[2]
		}
	}
	if len(urls) < n {
		t.Fatalf("only %v came up", urls)
	}
	go io.Copy(rest, log)
	return urls
}

// start runs the server in this process until the test ends.
func start(t *testing.T, args ...string) (urls map[string]string, stop func() error) {
	t.Helper()
	return startLogging(t, os.DevNull, args...)
}

// startLogging puts what the server logs once it listens into a file.
func startLogging(t *testing.T, file string, args ...string) (urls map[string]string, stop func() error) {
	t.Helper()
	rest, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rest.Close() })
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"keystone-all"}, args...), io.Discard, w)
		w.Close()
		done <- err
	}()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	n := 2
	if strings.Contains(strings.Join(args, " "), "--metrics-listen") {
		n = 3
	}
	return awaitListenersTo(t, log, n, rest), stop
}

func login(name, password string) string {
	return fmt.Sprintf(`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": %q, "password": %q, "domain": {"id": "default"}}}},
		"scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}}`, name, password)
}

// request sends JSON and returns status, X-Subject-Token and body.
func request(method, url, token, body string) (status int, subject string, text []byte, err error) {
	return requestBy(http.DefaultClient, method, url, token, body)
}

func requestBy(client *http.Client, method, url, token, body string) (status int, subject string, text []byte, err error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", token)
	response, err := client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header.Get("X-Subject-Token"), text, err
}

func TestServe(t *testing.T) {
	urls, stop := start(t, "--config-file", configure(t, "pki"), "--metrics-listen", "127.0.0.1:0")
	status, token, _, err := request("POST", urls["public"]+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil || status != 201 || !strings.HasPrefix(token, "MII") {
		t.Fatalf("log-in: %d %.20s %v", status, token, err)
	}
	if status, _, text, err := request("GET", urls["admin"]+"/v3/users", token, ""); err != nil || status != 200 {
		t.Errorf("admin port: %d %s %v", status, text, err)
	}
	if status, _, text, err := request("GET", urls["metrics"]+"/metrics", "", ""); err != nil || status != 200 ||
		!bytes.Contains(text, []byte(`keystone_http_requests_total{code="201",method="POST",route="/v3/auth/tokens"} 1`)) {
		t.Errorf("metrics: %d %v\n%s", status, err, text)
	}
	if status, _, _, err := request("GET", urls["public"]+"/metrics", "", ""); err != nil || status != 404 {
		t.Errorf("metrics on the public port: %d %v", status, err)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if _, _, _, err := request("GET", urls["public"]+"/v3", "", ""); err == nil {
		t.Error("the port is open after the end")
	}
}

// TestDrain ends the server while a request's body is on its way, and completes it.
func TestDrain(t *testing.T) {
	urls, stop := start(t, "--config-file", configure(t, "uuid"))
	body := login("admin", adminPassword)
	conn, err := net.Dial("tcp", strings.TrimPrefix(urls["public"], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v3/auth/tokens HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n') // the handler reads the body now
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatal(line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	for { // until the port is closed to others
		other, err := net.DialTimeout("tcp", strings.TrimPrefix(urls["public"], "http://"), time.Second)
		if err != nil {
			break
		}
		other.Close()
	}
	io.WriteString(conn, body)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != 201 {
		t.Fatalf("the request under way: %v, %v", response, err)
	}
	response.Body.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestDrainWaiting ends the server while clients wait for a revocation: they are answered at once.
func TestDrainWaiting(t *testing.T) {
	urls, stop := start(t, "--config-file", configure(t, "pki"), "--metrics-listen", "127.0.0.1:0")
	_, token, _, err := request("POST", urls["public"]+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(base string, headers map[string]string) (*http.Response, error) {
		r, err := http.NewRequest("GET", base+"/v3/auth/tokens/OS-PKI/revoked", nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("X-Auth-Token", token)
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			response.Body.Close()
		}
		return response, err
	}
	now, err := ask(urls["public"], nil)
	if err != nil || now.StatusCode != 200 {
		t.Fatal(now, err)
	}
	const clients = 10
	answers := make(chan string, clients)
	for i := range clients {
		go func() {
			response, err := ask(urls[[]string{"public", "admin"}[i%2]], map[string]string{"If-None-Match": now.Header.Get("ETag"), "Prefer": "wait=60"})
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- response.Status
		}()
	}
	for waiting := false; !waiting; {
		_, _, text, err := request("GET", urls["metrics"]+"/metrics", "", "")
		if err != nil {
			t.Fatal(err)
		}
		waiting = bytes.Contains(text, fmt.Appendf(nil, "keystone_revocation_waiting %d\n", clients))
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > drainTimeout/2 {
		t.Errorf("stopping took %s", took)
	}
	for range clients {
		if got := <-answers; got != "304 Not Modified" {
			t.Errorf("a client that waited got %q", got)
		}
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	err = run(t.Context(), []string{"keystone-all", "--config-file", configure(t, "uuid"), "--public-port", port}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "public listener (public_port)") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

// program starts keystone-all as a process of its own.
func program(t *testing.T, environ []string, args ...string) (*exec.Cmd, map[string]string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, args...)
	command.Env = append(append(os.Environ(), asProgram+"=1"), environ...)
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill() })
	return command, awaitListeners(t, log, 2)
}

// TestWithoutConfig runs out of a state directory, and ends by a signal.
func TestWithoutConfig(t *testing.T) {
	state := t.TempDir()
	command, urls := program(t, []string{"XDG_STATE_HOME=" + state, "HOME=" + state}, "--public-port", "0", "--admin-port", "0")
	if !strings.HasPrefix(urls["public"], "http://127.0.0.1:") {
		t.Errorf("listens on %s, want loopback", urls["public"])
	}
	if status, _, text, err := request("GET", urls["public"]+"/", "", ""); err != nil || status != 300 {
		t.Errorf("versions: %d %s %v", status, text, err)
	}
	if info, err := os.Stat(filepath.Join(state, "authproxy")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: %v, %v", info, err)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestKill kills the program while it writes. All that it had acknowledged is there afterwards.
func TestKill(t *testing.T) {
	conf := configure(t, "pki")
	command, urls := program(t, nil, "--config-file", conf)
	base := urls["public"]
	status, admin, text, err := request("POST", base+"/v3/auth/tokens", "", login("admin", adminPassword))
	if err != nil || status != 201 {
		t.Fatal(status, string(text), err)
	}
	var mu sync.Mutex
	var users, issued, revoked []string
	enough := make(chan struct{})
	var once sync.Once
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				var made struct{ User struct{ ID, Name string } }
				status, _, text, err := request("POST", base+"/v3/users", admin, fmt.Sprintf(`{"user": {"name": "u%d"}}`, time.Now().UnixNano()))
				if err != nil {
					return // killed
				}
				if status == 409 {
					continue
				}
				if err := json.Unmarshal(text, &made); err != nil || status != 201 {
					t.Errorf("user: %d %s %v", status, text, err)
					return
				}
				mu.Lock()
				users = append(users, made.User.ID)
				mu.Unlock()
				rescope := fmt.Sprintf(`{"auth": {"identity": {"methods": ["token"], "token": {"id": %q}}, "scope": {"unscoped": {}}}}`, admin)
				_, keep, _, err := request("POST", base+"/v3/auth/tokens", "", rescope)
				if err != nil {
					return
				}
				mu.Lock()
				issued = append(issued, keep)
				mu.Unlock()
				_, drop, _, err := request("POST", base+"/v3/auth/tokens", "", rescope)
				if err != nil {
					return
				}
				r, _ := http.NewRequest("DELETE", base+"/v3/auth/tokens", nil)
				r.Header.Set("X-Auth-Token", admin)
				r.Header.Set("X-Subject-Token", drop)
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					return
				}
				response.Body.Close()
				mu.Lock()
				if response.StatusCode == 204 {
					revoked = append(revoked, drop)
				}
				if len(revoked) >= 20 {
					once.Do(func() { close(enough) })
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	command.Wait()
	writers.Wait()

	s, err := app.Load([]string{conf}, nil, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	db, err := s.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	backend := s.Build(db, app.Options{}).Server
	for _, id := range users {
		if _, err := backend.Identity.User(t.Context(), id); err != nil {
			t.Errorf("an acknowledged user is lost: %v", err)
		}
	}
	for _, text := range issued {
		if _, err := backend.Tokens.Validate(t.Context(), text, false); err != nil {
			t.Errorf("an acknowledged token is lost: %v", err)
		}
	}
	for _, text := range revoked {
		if _, err := backend.Tokens.Validate(t.Context(), text, false); err == nil {
			t.Error("an acknowledged revocation is lost")
		}
	}
	t.Logf("%d users, %d tokens, %d revocations", len(users), len(issued), len(revoked))
}

// TestOpenStackClient drives the server with the command line client of OpenStack.
func TestOpenStackClient(t *testing.T) {
	client := os.Getenv("AUTHPROXY_TEST_OPENSTACK")
	if client == "" {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal("AUTHPROXY_TEST_OPENSTACK does not name the openstack command")
		}
		t.Skip("AUTHPROXY_TEST_OPENSTACK does not name the openstack command")
	}
	conf := configure(t, "pki")
	urls, _ := start(t, "--config-file", conf)
	addIdentityEndpoint(t, conf, urls["public"]+"/v3")
	home := t.TempDir()
	try := func(args ...string) (string, error) {
		t.Helper()
		command := exec.CommandContext(t.Context(), client, args...)
		command.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "OS_AUTH_URL=" + urls["public"] + "/v3", "OS_USERNAME=admin",
			"OS_PASSWORD=" + adminPassword, "OS_PROJECT_NAME=admin", "OS_USER_DOMAIN_ID=default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_IDENTITY_API_VERSION=3"}
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, stderr.Bytes())
		}
		return strings.TrimSpace(string(out)), err
	}
	openstack := func(args ...string) string {
		t.Helper()
		out, err := try(args...)
		if err != nil {
			t.Fatalf("openstack %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	openstack("user", "create", "--password", "pw", "--email", "a@example.com", "alice")
	openstack("project", "create", "--description", "of alice", "wonderland")
	openstack("role", "create", "reader")
	openstack("role", "add", "--project", "wonderland", "--user", "alice", "reader")
	openstack("service", "create", "--name", "nova", "compute")
	openstack("endpoint", "create", "--region", "RegionOne", "compute", "public", "http://nova.example.com/v2.1/$(tenant_id)s")
	if out := openstack("user", "show", "alice", "-f", "value", "-c", "email"); out != "a@example.com" {
		t.Errorf("email %q", out)
	}
	alice := []string{"--os-username", "alice", "--os-password", "pw", "--os-project-name", "wonderland"}
	if out := openstack(append(alice, "catalog", "list")...); !strings.Contains(out, "http://nova.example.com/v2.1/"+openstack("project", "show", "wonderland", "-f", "value", "-c", "id")) {
		t.Errorf("catalog:\n%s", out)
	}
	token := openstack(append(alice, "token", "issue", "-f", "value", "-c", "id")...)
	validate := func() int {
		_, admin, _, err := request("POST", urls["public"]+"/v3/auth/tokens", "", login("admin", adminPassword))
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("GET", urls["public"]+"/v3/auth/tokens", nil)
		r.Header.Set("X-Auth-Token", admin)
		r.Header.Set("X-Subject-Token", token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := validate(); got != 200 {
		t.Errorf("new token: %d", got)
	}
	openstack(append(alice, "token", "revoke", token)...)
	if got := validate(); got != 404 {
		t.Errorf("revoked token: %d", got)
	}
	if out, err := try(append(alice, "user", "list")...); err == nil || !strings.Contains(err.Error(), "HTTP 403") {
		t.Errorf("alice lists users: %s %v", out, err)
	}
	openstack("user", "set", "--password", "other", "alice")
	if out, err := try(append(alice, "token", "issue")...); err == nil || !strings.Contains(err.Error(), "HTTP 401") {
		t.Errorf("old password: %s %v", out, err)
	}
	openstack("role", "remove", "--project", "wonderland", "--user", "alice", "reader")
	openstack("user", "delete", "alice")
	openstack("project", "delete", "wonderland")
	if out := openstack("project", "list", "-f", "value", "-c", "Name"); strings.Contains(out, "wonderland") {
		t.Errorf("projects:\n%s", out)
	}
}
