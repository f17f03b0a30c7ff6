package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

// Sockets of both listeners are there with their modes, serve, and are gone with the process.
func TestUnixSockets(t *testing.T) {
	p, dir := newPKI(t), t.TempDir()
	data, admin := filepath.Join(dir, "data"), filepath.Join(dir, "admin")
	r := offline(t, p, "--listen", "unix:"+data+",mode=0600", "--admin-listen", "unix:"+admin)
	if r.data != "unix:"+data || r.admin != "unix:"+admin {
		t.Error(r.data, r.admin)
	}
	over := func(path string) *http.Client {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	ask := func(c *http.Client, path, want string) {
		t.Helper()
		req, err := http.NewRequest("GET", "http://h"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", p.token("alice", auditA))
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q %v", path, text, err)
		}
	}
	ask(over(data), "/", "Confirmed alice member")
	ask(over(admin), "/readyz", "ready")
	for path, mode := range map[string]os.FileMode{data: 0o600, admin: 0o660} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	r.stop()
	r.end()
	if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// program starts this program as a process of its own, as systemd would: with sockets from file descriptor 3 on.
func program(t *testing.T, env []string, sockets []*os.File, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "authproxy") // the name under which TestMain runs main
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", link}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.ExtraFiles, cmd.Stderr = sockets, &logs{line: make(chan map[string]any, 1)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// TestSystemd: sockets by name, READY and STOPPING, requests served while the drain delay lasts, and a second signal that ends it.
func TestSystemd(t *testing.T) {
	p := newPKI(t)
	upstream, _, _ := echoUpstream(t)
	notified := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notified, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	told := func() string {
		t.Helper()
		b := make([]byte, 100)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	var urls []string
	var files []*os.File
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		l.Close()
		urls, files = append(urls, "http://"+l.Addr().String()), append(files, f)
	}
	cmd := program(t, []string{"NOTIFY_SOCKET=" + notified, "LISTEN_FDS=3", "LISTEN_FDNAMES=other:admin:data"}, files,
		append(localFiles(t, p), "--upstream", upstream.URL, "--listen", "systemd", "--admin-listen", "systemd", "--drain-delay", "1h")...)
	log := cmd.Stderr.(*logs)
	if got := told(); got != "READY=1" {
		t.Fatalf("%q\n%s", got, log)
	}
	r := &running{t: t, logs: log, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	alice := p.token("alice", auditA)
	r.expect(urls[2]+"/", alice, 200, "Confirmed alice member")
	r.expect(urls[1]+"/readyz", "", 200, "ready")
	if !strings.Contains(log.String(), "no option asks for") {
		t.Error("a socket that nobody uses is passed over")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "STOPPING=1" {
		t.Fatalf("%q\n%s", got, log)
	}
	r.expect(urls[1]+"/readyz", "", 503, "stopping")
	r.expect(urls[2]+"/", alice, 200, "Confirmed alice member")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the test's own deadline is the bound
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v\n%s", cmd.ProcessState, log)
	}
}

func TestSystemdWithoutSockets(t *testing.T) {
	cmd := program(t, nil, nil, append(localFiles(t, newPKI(t)), "--upstream", "http://127.0.0.1:1", "--listen", "systemd:web", "--admin-listen", "127.0.0.1:0")...)
	err := cmd.Wait()
	if log := cmd.Stderr.(*logs).String(); err == nil || !strings.Contains(log, "--listen: systemd has handed over no socket named web") {
		t.Errorf("%v %s", err, log)
	}
}

// TestHTTP2: offered by TLS, with the same verdicts, and an answer to a bad token does not wait for an upload without an end.
func TestHTTP2(t *testing.T) {
	p, ca := newPKI(t), certstest.New(t)
	seen := make(chan *http.Request, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen <- r
		_, _ = w.Write(append([]byte("got "), body...))
	}))
	defer upstream.Close()
	for _, on := range []string{"true", "false"} {
		r := begin(t, append(append(localFiles(t, p), listenerFiles(t, ca, t.TempDir())...), "--upstream", upstream.URL, "--http2="+on)...)
		pool := x509.NewCertPool()
		pool.AddCert(ca.Cert)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		send := func(token string, body io.Reader) (*http.Response, string) {
			t.Helper()
			req, err := http.NewRequest("PUT", r.data+"/a//b?c", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header["X-Auth-Token"] = []string{token}
			req.Header["X_roles"] = []string{"admin"}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%v\n%s", err, r.logs)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res, string(text)
		}
		res, text := send(p.token("alice", auditA), strings.NewReader(strings.Repeat("x", 1<<20)))
		if major := map[string]int{"true": 2, "false": 1}[on]; res.ProtoMajor != major || res.StatusCode != 200 || len(text) != 4+1<<20 {
			t.Errorf("http2 %s: %s %d %d bytes", on, res.Proto, res.StatusCode, len(text))
		}
		if got := <-seen; got.Header.Get("X-User-Name") != "alice" || got.RequestURI != "/a//b?c" || len(got.Header["X_roles"]) > 0 {
			t.Error(got.RequestURI, got.Header)
		}
		if on == "true" {
			endless, w := io.Pipe()
			if res, _ := send("junk", endless); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
				t.Error(res.StatusCode, res.Header)
			}
			w.Close()
		}
		transport.CloseIdleConnections()
		r.stop()
		r.end()
	}
}
