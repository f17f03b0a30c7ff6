// Package cloud runs a small cloud on this machine, made of the real programs: an identity backend, a service without a line of
// auth code, and authproxy before it. The demo tells a story with it, and end-to-end tests put it under strain.
package cloud

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cloud is the programs, and where they listen. Set Dir and Bin, call Prepare, then start what is wanted, then Stop.
type Cloud struct {
	// Dir is an empty folder for all files; Bin is the folder of the programs.
	Dir, Bin string
	// Provider is [token] provider of the identity backend; pki by default.
	Provider string
	// TokenExtra are further lines of the identity backend's [token].
	TokenExtra string
	// PollPeriod is revocation_cache_time of the proxy, in whole seconds; 2 s by default.
	PollPeriod time.Duration
	// Database is [database] connection; a file in Dir by default.
	Database string
	// KeystoneExtra are further sections of the identity backend's configuration.
	KeystoneExtra string
	// AuthtokenExtra are further lines of the proxy's [keystone_authtoken].
	AuthtokenExtra string

	// URLs, set by Prepare.
	Keystone, KeystoneAdmin, Upstream, Proxy, ProxyAdmin string
	AdminPassword, ServicePassword                       string

	conf    string     // keystone.conf, or that of a further node
	running []*program // in the order of their start
}

// Names of the programs, as they are in Bin.
const (
	KeystoneAll = "keystone-all"
	Echo        = "echo"
	Authproxy   = "authproxy"
)

// program is one that runs in the background.
type program struct {
	name string
	cmd  *exec.Cmd
	log  *buffer
	done chan struct{}
	err  error // why it ended; to be read after done
}

// buffer collects a program's output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Prepare writes the configuration files and makes keys, database and first users.
func (c *Cloud) Prepare(ctx context.Context) error {
	if err := c.Listen(); err != nil {
		return err
	}
	if c.Provider == "" {
		c.Provider = "pki"
	}
	if c.PollPeriod == 0 {
		c.PollPeriod = 2 * time.Second
	}
	if c.Database == "" {
		c.Database = "sqlite:///" + c.File("keystone.db")
	}
	c.AdminPassword, c.ServicePassword = rand.Text(), rand.Text()
	if err := c.configure("keystone.conf"); err != nil {
		return err
	}
	if err := c.write("authproxy.conf", `[keystone_authtoken]
auth_url = %s
auth_type = password
username = authproxy
password = %s
user_domain_id = default
project_name = service
project_domain_id = default
signing_dir = %s/signing
revocation_cache_time = %d
%s
`, c.Keystone, c.ServicePassword, c.Dir, int(c.PollPeriod.Seconds()), c.AuthtokenExtra); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"pki_setup"},
		{"db_sync"},
		{"bootstrap", "--bootstrap-service-username", "authproxy", "--bootstrap-region-id", "RegionOne",
			"--bootstrap-public-url", c.Keystone + "/v3", "--bootstrap-internal-url", c.Keystone + "/v3", "--bootstrap-admin-url", c.KeystoneAdmin + "/v3"},
	} {
		cmd := exec.CommandContext(ctx, filepath.Join(c.Bin, "keystone-manage"), append([]string{"--config-file", c.File("keystone.conf")}, args...)...)
		cmd.Env = append(os.Environ(), "OS_BOOTSTRAP_PASSWORD="+c.AdminPassword, "OS_BOOTSTRAP_SERVICE_PASSWORD="+c.ServicePassword)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("keystone-manage %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// Node is one more identity backend on the same database, with the same signing key and addresses of its own. It is to be
// started and stopped like the first.
func (c *Cloud) Node() (*Cloud, error) {
	n := &Cloud{Dir: c.Dir, Bin: c.Bin, Provider: c.Provider, TokenExtra: c.TokenExtra, Database: c.Database, KeystoneExtra: c.KeystoneExtra, AdminPassword: c.AdminPassword, ServicePassword: c.ServicePassword}
	if err := n.Listen(); err != nil {
		return nil, err
	}
	return n, n.configure("keystone-" + strings.TrimPrefix(n.Keystone, "http://") + ".conf")
}

// configure writes keystone.conf under a name.
func (c *Cloud) configure(name string) error {
	c.conf = name
	_, publicPort, _ := net.SplitHostPort(strings.TrimPrefix(c.Keystone, "http://"))
	_, adminPort, _ := net.SplitHostPort(strings.TrimPrefix(c.KeystoneAdmin, "http://"))
	return c.write(name, `[DEFAULT]
public_port = %[2]s
admin_port = %[3]s
[database]
connection = %[5]s
[token]
provider = %[4]s
%[6]s
[signing]
certfile = %[1]s/ssl/certs/signing_cert.pem
keyfile = %[1]s/ssl/private/signing_key.pem
ca_certs = %[1]s/ssl/certs/ca.pem
ca_key = %[1]s/ssl/private/cakey.pem
%[7]s
`, c.Dir, publicPort, adminPort, c.Provider, c.Database, c.TokenExtra, c.KeystoneExtra)
}

// Listen chooses free addresses and sets the URLs. Prepare does so too.
func (c *Cloud) Listen() error {
	for _, url := range []*string{&c.Keystone, &c.KeystoneAdmin, &c.Upstream, &c.Proxy, &c.ProxyAdmin} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // all are held until the last is found, so that they differ
		*url = "http://" + l.Addr().String()
	}
	return nil
}

// File is the path of a file in Dir.
func (c *Cloud) File(name string) string { return filepath.Join(c.Dir, name) }

func (c *Cloud) write(name, format string, args ...any) error {
	return os.WriteFile(c.File(name), fmt.Appendf(nil, format, args...), 0o600)
}

// StartKeystone starts the identity backend, and waits until it answers.
func (c *Cloud) StartKeystone(ctx context.Context) error {
	return c.start(ctx, c.Keystone+"/v3", KeystoneAll, "--config-file", c.File(c.conf))
}

// StartEcho starts the service, and waits until it answers.
func (c *Cloud) StartEcho(ctx context.Context) error {
	return c.start(ctx, c.Upstream+"/", Echo, "--listen", strings.TrimPrefix(c.Upstream, "http://"))
}

// StartProxy starts authproxy with its configuration file and further arguments, and waits until it is ready.
func (c *Cloud) StartProxy(ctx context.Context, args ...string) error {
	return c.StartBareProxy(ctx, append([]string{"--config-file", c.File("authproxy.conf")}, args...)...)
}

// StartBareProxy starts authproxy without a configuration file.
func (c *Cloud) StartBareProxy(ctx context.Context, args ...string) error {
	return c.start(ctx, c.ProxyAdmin+"/readyz", Authproxy, append([]string{"--upstream", c.Upstream, "--drain-delay", "0s",
		"--listen", strings.TrimPrefix(c.Proxy, "http://"), "--admin-listen", strings.TrimPrefix(c.ProxyAdmin, "http://")}, args...)...)
}

func (c *Cloud) start(ctx context.Context, url string, name string, args ...string) error {
	return c.Run(ctx, url, name, exec.Command(filepath.Join(c.Bin, name), args...))
}

// Run starts a program under a name, and waits until it answers a URL with 200.
func (c *Cloud) Run(ctx context.Context, url, name string, cmd *exec.Cmd) error {
	p := &program{name: name, cmd: cmd, log: new(buffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	c.running = append(c.running, p)

	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := Until(ctx, func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("it ended: %v", p.err)
		default:
		}
		res, _, err := Call(ctx, http.MethodGet, url, nil, "")
		return err == nil && res.StatusCode == http.StatusOK, nil
	}); err != nil {
		return fmt.Errorf("%s did not get ready: %w\n%s", name, err, p.log)
	}
	return nil
}

// Until asks again and again, until the answer is yes.
func Until(ctx context.Context, yes func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := yes(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Stop ends the programs, the one started last first, and waits for each.
func (c *Cloud) Stop() error {
	var problems []error
	for len(c.running) > 0 {
		problems = append(problems, c.end(c.running[len(c.running)-1], syscall.SIGTERM))
	}
	return errors.Join(problems...)
}

// Kill ends one program without letting it say goodbye.
func (c *Cloud) Kill(name string) error {
	for _, p := range c.running {
		if p.name == name {
			return c.end(p, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("%s is not running", name)
}

// Pid is the process id of a running program.
func (c *Cloud) Pid(name string) int {
	for _, p := range c.running {
		if p.name == name {
			return p.cmd.Process.Pid
		}
	}
	return 0
}

// Log is what a running program has written so far.
func (c *Cloud) Log(name string) string {
	for _, p := range c.running {
		if p.name == name {
			return p.log.String()
		}
	}
	return ""
}

func (c *Cloud) end(p *program, how syscall.Signal) error {
	_ = p.cmd.Process.Signal(how) // it may have ended by itself, which is told below
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.err = errors.New("did not stop within 15 s of SIGTERM, and was killed")
	}
	for i := range c.running {
		if c.running[i] == p {
			c.running = append(c.running[:i], c.running[i+1:]...)
			break
		}
	}
	if how == syscall.SIGKILL || p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.log)
}

// Call makes one HTTP request and reads the answer, whole.
func Call(ctx context.Context, method, url string, headers map[string]string, body string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res, string(text), err
}

// Login is the body of a password login, scoped to a project of the default domain.
func Login(user, password, project string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"%s","domain":{"id":"default"},"password":"%s"}}},`+
		`"scope":{"project":{"name":"%s","domain":{"id":"default"}}}}}`, user, password, project)
}

// Token logs a user in and gives the text of the token.
func (c *Cloud) Token(ctx context.Context, user, password, project string) (string, error) {
	res, text, err := Call(ctx, http.MethodPost, c.Keystone+"/v3/auth/tokens", nil, Login(user, password, project))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("logging in %s: %s\n%s", user, res.Status, text)
	}
	return res.Header.Get("X-Subject-Token"), nil
}

// Revoke revokes a token with itself.
func (c *Cloud) Revoke(ctx context.Context, text string) error {
	res, answer, err := Call(ctx, http.MethodDelete, c.Keystone+"/v3/auth/tokens", map[string]string{"X-Auth-Token": text, "X-Subject-Token": text}, "")
	if err == nil && res.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("revoking: %s\n%s", res.Status, answer)
	}
	return err
}

// AddUser makes, as the administrator, a project and a user in it with the role member.
func (c *Cloud) AddUser(ctx context.Context, user, password, project string) error {
	text, err := c.Token(ctx, "admin", c.AdminPassword, "admin")
	if err != nil {
		return err
	}
	admin := map[string]string{"X-Auth-Token": text}
	ask := func(method, path, body string, status int, into any) error {
		res, text, err := Call(ctx, method, c.Keystone+path, admin, body)
		if err != nil {
			return err
		}
		if res.StatusCode != status {
			return fmt.Errorf("%s %s: %s\n%s", method, path, res.Status, text)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal([]byte(text), into)
	}
	var made struct{ Project, User struct{ ID string } }
	if err := ask(http.MethodPost, "/v3/projects", `{"project":{"name":"`+project+`","domain_id":"default"}}`, http.StatusCreated, &made); err != nil {
		return err
	}
	if err := ask(http.MethodPost, "/v3/users", `{"user":{"name":"`+user+`","domain_id":"default","password":"`+password+`"}}`, http.StatusCreated, &made); err != nil {
		return err
	}
	var found struct{ Roles []struct{ ID string } }
	if err := ask(http.MethodGet, "/v3/roles?name=member", "", http.StatusOK, &found); err != nil {
		return err
	}
	if len(found.Roles) != 1 {
		return fmt.Errorf("found %d roles named member", len(found.Roles))
	}
	return ask(http.MethodPut, fmt.Sprintf("/v3/projects/%s/users/%s/roles/%s", made.Project.ID, made.User.ID, found.Roles[0].ID), "", http.StatusNoContent, nil)
}
