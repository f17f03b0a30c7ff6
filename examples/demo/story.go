package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"authproxy/examples/cloud"
)

// story tells what happens, step by step, and stops at the first thing that is not as it tells.
type story struct {
	cloud *cloud.Cloud
	out   io.Writer
	step  int

	alicePassword string
	token         string
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *story) title(format string, args ...any) {
	s.step++
	s.say("\n%d. "+format, append([]any{s.step}, args...)...)
}

// request prints a request as the curl line that repeats it, makes it, and prints what came back.
func (s *story) request(ctx context.Context, method, url string, headers map[string]string, body string) (*http.Response, string, error) {
	var line strings.Builder
	line.WriteString("   $ curl -i")
	if method != http.MethodGet {
		line.WriteString(" -X " + method)
	}
	line.WriteString(" " + url)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		if value == s.token {
			value = "$TOKEN"
		}
		fmt.Fprintf(&line, " -H \"%s: %s\"", name, value)
	}
	if body != "" {
		line.WriteString(" -H 'Content-Type: application/json' -d '" + body + "'")
	}
	s.say("%s", line.String())
	return cloud.Call(ctx, method, url, headers, body)
}

// expect makes a request and wants one status.
func (s *story) expect(ctx context.Context, status int, method, url string, headers map[string]string, body string) (*http.Response, string, error) {
	res, text, err := s.request(ctx, method, url, headers, body)
	if err != nil {
		return nil, "", err
	}
	s.say("   HTTP %s", res.Status)
	if res.StatusCode != status {
		return nil, "", fmt.Errorf("%s %s answered %s, want %d:\n%s", method, url, res.Status, status, text)
	}
	return res, text, nil
}

func (s *story) tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.begin, s.noToken, s.logIn, s.use, s.forge, s.revoke,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) begin(ctx context.Context) error {
	s.title("A small cloud on this machine, in %s", s.cloud.Dir)
	if err := s.cloud.Prepare(ctx); err != nil {
		return err
	}
	s.say("   keystone-manage made a CA, a signing certificate, a database, an administrator and a service user.")
	if err := s.cloud.StartKeystone(ctx); err != nil {
		return err
	}
	s.say("   keystone-all, the identity backend, listens on %s", s.cloud.Keystone)
	if err := s.cloud.StartEcho(ctx); err != nil {
		return err
	}
	s.say("   echo, a service without a line of auth code, listens on %s", s.cloud.Upstream)
	s.alicePassword = rand.Text()
	if err := s.cloud.AddUser(ctx, "alice", s.alicePassword, "demo"); err != nil {
		return err
	}
	s.say("   The administrator made a project, demo, and a user, alice, with the role member in it.")
	if err := s.cloud.StartProxy(ctx); err != nil {
		return err
	}
	s.say("   authproxy stands before it on %s, and has fetched certificates and revocation list.", s.cloud.Proxy)
	return nil
}

func (s *story) noToken(ctx context.Context) error {
	s.title("Without a token nobody gets in")
	res, text, err := s.expect(ctx, http.StatusUnauthorized, http.MethodGet, s.cloud.Proxy+"/hello", nil, "")
	if err != nil {
		return err
	}
	s.say("   WWW-Authenticate: %s\n   %s", res.Header.Get("WWW-Authenticate"), strings.TrimSpace(text))
	return nil
}

func (s *story) logIn(ctx context.Context) error {
	s.title("Alice logs in at the identity backend")
	res, text, err := s.expect(ctx, http.StatusCreated, http.MethodPost, s.cloud.Keystone+"/v3/auth/tokens", nil, cloud.Login("alice", s.alicePassword, "demo"))
	if err != nil {
		return err
	}
	s.token = res.Header.Get("X-Subject-Token")
	var body struct {
		Token struct {
			ExpiresAt string   `json:"expires_at"`
			AuditIDs  []string `json:"audit_ids"`
		}
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		return err
	}
	s.say("   The header X-Subject-Token holds the token: %d characters, a signed document.", len(s.token))
	s.say("   TOKEN=%s…%s (audit id %s, until %s)", s.token[:24], s.token[len(s.token)-8:], body.Token.AuditIDs[0], body.Token.ExpiresAt)
	return nil
}

func (s *story) use(ctx context.Context) error {
	s.title("With the token the request reaches the service, which is told who it is")
	_, text, err := s.expect(ctx, http.StatusOK, http.MethodGet, s.cloud.Proxy+"/hello", map[string]string{"X-Auth-Token": s.token}, "")
	if err != nil {
		return err
	}
	seen, err := s.identity(text)
	if err != nil {
		return err
	}
	if seen["X-User-Name"] != "alice" || seen["X-Project-Name"] != "demo" || seen["X-Roles"] != "member" {
		return fmt.Errorf("the service saw somebody else: %v", seen)
	}
	return nil
}

// identity reads and prints the identity headers that the service saw.
func (s *story) identity(text string) (map[string]string, error) {
	var echoed struct {
		Identity map[string]string `json:"identity"`
	}
	if err := json.Unmarshal([]byte(text), &echoed); err != nil {
		return nil, fmt.Errorf("the service's answer: %w\n%s", err, text)
	}
	s.say("   The service saw:")
	for _, name := range []string{"X-Identity-Status", "X-User-Name", "X-User-Id", "X-Project-Name", "X-Project-Id", "X-Roles"} {
		s.say("     %s: %s", name, echoed.Identity[name])
	}
	return echoed.Identity, nil
}

func (s *story) forge(ctx context.Context) error {
	s.title("Identity headers that a client sends are worth nothing")
	_, text, err := s.expect(ctx, http.StatusOK, http.MethodGet, s.cloud.Proxy+"/hello",
		map[string]string{"X-Auth-Token": s.token, "X-Roles": "admin", "X_Roles": "admin", "X-User-Name": "root"}, "")
	if err != nil {
		return err
	}
	seen, err := s.identity(text)
	if err != nil {
		return err
	}
	if seen["X-User-Name"] != "alice" || seen["X-Roles"] != "member" || strings.Contains(text, "admin") {
		return fmt.Errorf("a forged header reached the service: %s", text)
	}
	return nil
}

func (s *story) revoke(ctx context.Context) error {
	s.title("Alice revokes her token; authproxy asks for what is revoked every %s, and lets keystone-all answer sooner", s.cloud.PollPeriod)
	before, err := s.metrics(ctx)
	if err != nil {
		return err
	}
	if _, _, err := s.expect(ctx, http.StatusNoContent, http.MethodDelete, s.cloud.Keystone+"/v3/auth/tokens",
		map[string]string{"X-Auth-Token": s.token, "X-Subject-Token": s.token}, ""); err != nil {
		return err
	}
	revoked, accepted := time.Now(), 0
	waiting, cancel := context.WithTimeout(ctx, 3*s.cloud.PollPeriod)
	defer cancel()
	if err := cloud.Until(waiting, func() (bool, error) {
		res, _, err := cloud.Call(waiting, http.MethodGet, s.cloud.Proxy+"/hello", map[string]string{"X-Auth-Token": s.token}, "")
		if err != nil {
			return false, err
		}
		if res.StatusCode == http.StatusOK {
			accepted++
		}
		return res.StatusCode == http.StatusUnauthorized, nil
	}); err != nil {
		return fmt.Errorf("the revoked token was still accepted %s later: %w", 3*s.cloud.PollPeriod, err)
	}
	delay := time.Since(revoked)
	if _, _, err := s.expect(ctx, http.StatusUnauthorized, http.MethodGet, s.cloud.Proxy+"/hello", map[string]string{"X-Auth-Token": s.token}, ""); err != nil {
		return err
	}
	s.say("   Refused %.2f s after the revocation (%d requests with it were let through until then).", delay.Seconds(), accepted)

	s.title("The metrics that moved meanwhile")
	s.say("   $ curl %s/metrics", s.cloud.ProxyAdmin)
	after, err := s.metrics(ctx)
	if err != nil {
		return err
	}
	moved := 0
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if after[name] != before[name] && !strings.Contains(name, "seconds") && !strings.Contains(name, "days") {
			s.say("   %s  %g → %g", name, before[name], after[name])
			moved++
		}
	}
	if moved == 0 {
		return fmt.Errorf("no metric moved")
	}
	return nil
}

// metrics reads authproxy's own counters and gauges.
func (s *story) metrics(ctx context.Context) (map[string]float64, error) {
	_, text, err := cloud.Call(ctx, http.MethodGet, s.cloud.ProxyAdmin+"/metrics", nil, "")
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64)
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || !strings.HasPrefix(line, "authproxy_") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		values[line[:at]] = value
	}
	return values, nil
}

func (s *story) invite() {
	s.say(`
All of it is still running, until Ctrl-C. To try, in another terminal:

   A fresh token for alice:
   $ TOKEN=$(curl -si %[1]s/v3/auth/tokens -H 'Content-Type: application/json' \
       -d '%[2]s' | tr -d '\r' | sed -n 's/^X-Subject-Token: //Ip')
   $ curl -H "X-Auth-Token: $TOKEN" %[3]s/hello

   The openstack command, as the administrator:
   $ export OS_AUTH_URL=%[1]s/v3 OS_USERNAME=admin OS_PASSWORD=%[4]s OS_PROJECT_NAME=admin \
       OS_USER_DOMAIN_ID=default OS_PROJECT_DOMAIN_ID=default OS_IDENTITY_API_VERSION=3
   $ openstack token issue

   What the proxy knows:
   $ curl %[5]s/status
   $ curl %[5]s/metrics`, s.cloud.Keystone, cloud.Login("alice", s.alicePassword, "demo"), s.cloud.Proxy, s.cloud.AdminPassword, s.cloud.ProxyAdmin)
}
