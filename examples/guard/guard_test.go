// Package guard tests the samples of this directory with what they are for: Python's WSGI server and nginx.
package guard

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/examples/nginxtest"
	"authproxy/keystone"
	"authproxy/proxy"
	proxyguard "authproxy/proxy/guard"
	"authproxy/validate"
)

const (
	first  = "0123456789abcdef0123456789abcdef"
	second = "fedcba9876543210fedcba9876543210"
)

type anybody struct{}

func (anybody) Validate(context.Context, validate.Request) (*validate.Verified, error) {
	return &validate.Verified{Token: &keystone.Token{Version: 3, User: keystone.User{ID: "alice-id", Name: "alice"}}}, nil
}

func secrets(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte("# secrets\n\n"+strings.Join(lines, "\n")+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// front is a proxy before an upstream, which sends the first secret of a file.
func front(t *testing.T, upstream, file string) (url string, f *proxyguard.File) {
	t.Helper()
	f = &proxyguard.File{Path: file}
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	target, err := proxy.ParseUpstream(upstream, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := proxy.NewTransport(target, proxy.TransportOptions{DisableKeepAlives: true})
	h := &proxy.Handler{Validator: anybody{}, Upstream: target, Transport: transport, Guard: f.Secret, GuardHeader: proxyguard.DefaultHeader}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL, f
}

func ask(t *testing.T, url string, guard ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", "token")
	req.Header["X-Authproxy-Guard"] = guard
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// run starts a program and ends it with the test.
func run(t *testing.T, stdout io.Writer, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = stdout, t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

const service = `
import sys
from wsgiref.simple_server import make_server, WSGIRequestHandler
import authproxy_guard
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    seen = [k for k in environ if "GUARD" in k]
    return [("%s %s" % (environ.get("HTTP_X_USER_NAME"), seen)).encode()]
class Quiet(WSGIRequestHandler):
    def log_message(self, *args): pass
app = authproxy_guard.filter_factory({}, secret_file=sys.argv[1])(app)
with make_server("127.0.0.1", 0, app, handler_class=Quiet) as s:
    print(s.server_port, flush=True)
    s.serve_forever()
`

func TestWSGI(t *testing.T) {
	python := nginxtest.Need(t, "python3")
	file := filepath.Join(t.TempDir(), "secrets")
	secrets(t, file, first)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	run(t, in, python, "-B", "-c", "import sys; sys.path.insert(0, "+fmt.Sprintf("%q", here)+")\n"+service, file)
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	direct := "http://127.0.0.1:" + strings.TrimSpace(port)
	through, guard := front(t, direct, file)

	check := func(what, url string, code int, text string, guard ...string) {
		t.Helper()
		if c, body := ask(t, url, guard...); c != code || !strings.Contains(body, text) {
			t.Errorf("%s: %d %q, want %d %q", what, c, body, code, text)
		}
	}
	check("through the proxy", through, 200, "alice []")
	check("through the proxy, with a guess of the client's own", through, 200, "alice []", second)
	check("past the proxy", direct, 403, "through its proxy only")
	check("a guess", direct, 403, "", second)
	check("the beginning", direct, 403, "", first[:31])
	check("too much", direct, 403, "", first+"0")
	check("empty", direct, 403, "", "")
	check("not ASCII", direct, 403, "", "\xff"+first[1:])
	check("twice", direct, 403, "", first, first)
	check("who knows the secret", direct, 200, "None []", first)

	// A secret is changed: the service takes both, then the proxy sends the new one, then the old one goes.
	secrets(t, file, first, second)
	check("the proxy still sends the old one", through, 200, "alice")
	check("the new one counts", direct, 200, "", second)
	secrets(t, file, second)
	check("the old one is gone", through, 403, "")
	if err := guard.Load(); err != nil {
		t.Fatal(err)
	}
	check("the proxy sends the new one", through, 200, "alice []")
	secrets(t, file, "short")
	check("a file that cannot be used changes nothing", through, 200, "alice")
	check("and lets nobody in", direct, 403, "", "short")
	if err := guard.Load(); err == nil || guard.Secret() != second {
		t.Errorf("the proxy took it: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	check("nor does one that is gone", through, 200, "alice")
}

func TestNginx(t *testing.T) {
	nginxtest.Need(t, "nginx")
	dir := t.TempDir()
	file := filepath.Join(dir, "secrets")
	secrets(t, file, first)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-User-Name"), r.Header["X-Authproxy-Guard"])
	}))
	defer behind.Close()
	sample, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	text := string(sample)
	for from, to := range map[string]string{
		"/etc/nginx/authproxy-secrets.map": filepath.Join(dir, "secrets.map"),
		"192.0.2.10:9292 ssl":              "unix:" + socket,
		"http://127.0.0.1:9293":            behind.URL,
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("the sample has no %s", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets.map"), []byte(`"`+first+`" 1;`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	past := nginxtest.Start(t, text, socket)
	through, _ := front(t, "unix:"+socket, file)
	if code, body := ask(t, through, "guess"); code != 200 || body != "alice[]" {
		t.Errorf("through the proxy: %d %q", code, body)
	}
	for _, guard := range [][]string{nil, {""}, {second}, {first[:31]}, {first + "0"}} {
		req, err := http.NewRequest("GET", "http://h/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-User-Name", "mallory")
		req.Header["X-Authproxy-Guard"] = guard
		res, err := past.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 403 {
			t.Errorf("past the proxy with %q: %d", guard, res.StatusCode)
		}
	}
}
