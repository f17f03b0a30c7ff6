package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
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

	"authproxy/examples/cloud"
)

// process is a program that runs until its test ends.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer // what it wrote to standard output and standard error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// startProcess starts a command. At the end of the test its standard input, if it is a pipe of the test, must have been closed or
// it is told to stop by SIGTERM; it is waited for, and what it wrote is shown if the test failed.
func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(cmd.Path), cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p
	}
	cmd.Stderr = p
	must(t, cmd.Start())
	go func() {
		_ = cmd.Wait() // how it ended shows in its output
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(15 * time.Second):
			t.Errorf("%s did not stop within 15 s of SIGTERM, and was killed", p.name)
			_ = cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.name, p.output())
		}
	})
	return p
}

// wait waits until what the process wrote matches, and gives the groups.
func (p *process) wait(re *regexp.Regexp) []string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second)
	defer cancel()
	var found []string
	if err := cloud.Until(ctx, func() (bool, error) {
		if found = re.FindStringSubmatch(p.output()); found != nil {
			return true, nil
		}
		select {
		case <-p.done:
			return false, io.ErrUnexpectedEOF
		default:
			return false, nil
		}
	}); err != nil {
		p.t.Fatalf("%s did not write %s: %v\n%s", p.name, re, err, p.output())
	}
	return found
}

var listening = regexp.MustCompile(`msg=listening url=(\S+) admin=(\S+)`)

// proxyProcess is a running authproxy and its URLs.
type proxyProcess struct {
	*process
	url, admin string
}

// startProxyProcess starts authproxy on ports that the kernel chooses, and waits until it is ready.
func startProxyProcess(t *testing.T, args ...string) proxyProcess {
	t.Helper()
	bin, err := programs()
	must(t, err)
	p := startProcess(t, exec.Command(filepath.Join(bin, cloud.Authproxy),
		append([]string{"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain-delay", "0s"}, args...)...))
	found := p.wait(listening)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := cloud.Until(ctx, func() (bool, error) {
		res, _, err := cloud.Call(ctx, http.MethodGet, found[2]+"/readyz", nil, "")
		return err == nil && res.StatusCode == http.StatusOK, nil
	}); err != nil {
		t.Fatalf("authproxy did not get ready: %v\n%s", err, p.output())
	}
	return proxyProcess{p, found[1], found[2]}
}

// python is the interpreter that the named modules are installed for; the test is skipped without them.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real programs")
	}
	program := os.Getenv("AUTHPROXY_TEST_PYTHON")
	if program == "" {
		program = "/usr/bin/python3" // Debian's, whose packages these are
	}
	if out, err := exec.CommandContext(t.Context(), program, "-I", "-c", "import "+strings.Join(modules, ", ")).CombinedOutput(); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatalf("%s lacks a module of %s: %v\n%s", program, strings.Join(modules, ", "), err, out)
		}
		t.Skipf("not installed for %s: %s", program, strings.Join(modules, ", "))
	}
	return program
}

// admins asks the Identity service as the administrator.
type admins struct {
	t     *testing.T
	c     *cloud.Cloud
	token string
}

func administrator(t *testing.T, c *cloud.Cloud) *admins {
	t.Helper()
	text, err := c.Token(t.Context(), "admin", c.AdminPassword, "admin")
	must(t, err)
	return &admins{t: t, c: c, token: text}
}

// ask makes a request, and wants a status.
func (a *admins) ask(method, path, body string, status int) string {
	a.t.Helper()
	res, text, err := cloud.Call(a.t.Context(), method, a.c.Keystone+path, map[string]string{"X-Auth-Token": a.token}, body)
	must(a.t, err)
	if res.StatusCode != status {
		a.t.Fatalf("%s %s: %s\n%s", method, path, res.Status, text)
	}
	return text
}

// id gives the id of the only item of a list.
func (a *admins) id(list, path string) string {
	a.t.Helper()
	var found map[string]json.RawMessage
	must(a.t, json.Unmarshal([]byte(a.ask(http.MethodGet, path, "", http.StatusOK)), &found))
	var items []struct{ ID string }
	must(a.t, json.Unmarshal(found[list], &items))
	if len(items) != 1 {
		a.t.Fatalf("%s: %d items", path, len(items))
	}
	return items[0].ID
}

// create makes an object, and gives its id.
func (a *admins) create(kind, path, body string) string {
	a.t.Helper()
	var made map[string]struct{ ID string }
	must(a.t, json.Unmarshal([]byte(a.ask(http.MethodPost, path, body, http.StatusCreated)), &made))
	return made[kind].ID
}

// endpoint puts a URL into the catalog, for all who ask.
func (a *admins) endpoint(service, region, url string) {
	a.t.Helper()
	for _, side := range []string{"public", "internal", "admin"} {
		a.create("endpoint", "/v3/endpoints", `{"endpoint":{"service_id":"`+service+`","interface":"`+side+`","region_id":"`+region+`","url":"`+url+`"}}`)
	}
}
