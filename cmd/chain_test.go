// Package cmd holds the programs; the tests here run all of them together, as processes, on real input.
package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// programs is the folder with the programs, built once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "authproxy-test-bin-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "authproxy/cmd/authproxy", "authproxy/cmd/keystone-all", "authproxy/cmd/keystone-manage", "authproxy/examples/echo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// newCloud prepares a cloud and starts all but the proxy.
func newCloud(t *testing.T, change func(*cloud.Cloud)) *cloud.Cloud {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real programs")
	}
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud.Cloud{Dir: t.TempDir(), Bin: bin, PollPeriod: time.Second}
	if change != nil {
		change(c)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("authproxy wrote:\n%s", c.Log(cloud.Authproxy))
			t.Logf("keystone-all wrote:\n%s", c.Log(cloud.KeystoneAll))
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, c.Prepare(t.Context()))
	must(t, c.StartKeystone(t.Context()))
	must(t, c.StartEcho(t.Context()))
	must(t, c.AddUser(t.Context(), "alice", "wonderland", "demo"))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tokenOf(t *testing.T, c *cloud.Cloud) string {
	t.Helper()
	text, err := c.Token(t.Context(), "alice", "wonderland", "demo")
	must(t, err)
	return text
}

// status asks the proxy with a token.
func status(ctx context.Context, c *cloud.Cloud, text string) (int, error) {
	res, _, err := cloud.Call(ctx, http.MethodGet, c.Proxy+"/x", map[string]string{"X-Auth-Token": text}, "")
	if err != nil {
		return 0, err
	}
	return res.StatusCode, nil
}

func wantStatus(t *testing.T, c *cloud.Cloud, text string, want int) {
	t.Helper()
	if got, err := status(t.Context(), c, text); err != nil || got != want {
		t.Fatalf("got %d, %v; want %d", got, err, want)
	}
}

// becomes waits until a token is answered with a status.
func becomes(t *testing.T, c *cloud.Cloud, text string, want int, within time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	begin := time.Now()
	last := 0
	if err := cloud.Until(ctx, func() (bool, error) {
		got, err := status(ctx, c, text)
		last = got
		return got == want, err
	}); err != nil {
		t.Fatalf("not %d within %s, but %d: %v", want, within, last, err)
	}
	return time.Since(begin)
}

// metric is a value from the proxy's /metrics; the name includes its labels.
func metric(t *testing.T, c *cloud.Cloud, name string) float64 {
	t.Helper()
	_, text, err := cloud.Call(t.Context(), http.MethodGet, c.ProxyAdmin+"/metrics", nil, "")
	must(t, err)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			must(t, err)
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// forged is a token with one bit of its signature changed.
func forged(text string) string {
	at := len(text) - 20
	other := byte('A')
	if text[at] == other {
		other = 'B'
	}
	return text[:at] + string(other) + text[at+1:]
}

// TestProviders: each kind of token is accepted, says who it is, and is refused once revoked.
func TestProviders(t *testing.T) {
	for _, provider := range []string{"pki", "pkiz", "uuid"} {
		t.Run(provider, func(t *testing.T) {
			c := newCloud(t, func(c *cloud.Cloud) {
				c.Provider = provider
				c.AuthtokenExtra = "token_cache_time = 1"
			})
			must(t, c.StartProxy(t.Context()))
			text := tokenOf(t, c)
			res, answer, err := cloud.Call(t.Context(), http.MethodGet, c.Proxy+"/x", map[string]string{"X-Auth-Token": text}, "")
			must(t, err)
			var saw struct{ Identity map[string]string }
			must(t, json.Unmarshal([]byte(answer), &saw))
			if res.StatusCode != http.StatusOK || saw.Identity["X-User-Name"] != "alice" || saw.Identity["X-Project-Name"] != "demo" || saw.Identity["X-Roles"] != "member" {
				t.Fatalf("%s: %s", res.Status, answer)
			}
			wantStatus(t, c, forged(text), http.StatusUnauthorized)
			must(t, c.Revoke(t.Context(), text))
			t.Logf("refused %s after the revocation", becomes(t, c, text, http.StatusUnauthorized, 5*time.Second))
		})
	}
}

// TestRevocationDelay measures how long a revoked token is still accepted: with the long poll that keystone-all offers, and
// with plain polling as with any other Keystone. The bounds are those of a machine that does much besides; what was measured
// is printed.
func TestRevocationDelay(t *testing.T) {
	for name, c := range map[string]struct {
		extra string
		bound time.Duration
	}{
		"long poll":  {"revocation_long_poll = 30", 5 * time.Second},
		"plain poll": {"revocation_long_poll = 0", 2 * time.Second}, // the period and a second
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t, func(k *cloud.Cloud) {
				k.AuthtokenExtra = c.extra
				if name == "long poll" {
					k.PollPeriod = time.Minute // what comes sooner comes by the long poll
				}
			})
			must(t, cloud.StartProxy(t.Context()))
			var delays []time.Duration
			for range 12 {
				text := tokenOf(t, cloud)
				wantStatus(t, cloud, text, http.StatusOK)
				must(t, cloud.Revoke(t.Context(), text))
				delays = append(delays, becomes(t, cloud, text, http.StatusUnauthorized, c.bound))
			}
			slices.Sort(delays)
			t.Logf("refused after %s to %s, median %s", delays[0], delays[len(delays)-1], delays[len(delays)/2])
		})
	}
}

// TestOpenStackClient drives the chain with the openstack command.
func TestOpenStackClient(t *testing.T) {
	openstack, err := exec.LookPath("openstack")
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skip("the openstack command (python3-openstackclient) is not here")
	}
	c := newCloud(t, nil)
	must(t, c.StartProxy(t.Context()))
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), openstack, args...)
		cmd.Env = append(os.Environ(), "OS_AUTH_URL="+c.Keystone+"/v3", "OS_USERNAME=admin", "OS_PASSWORD="+c.AdminPassword, "OS_PROJECT_NAME=admin",
			"OS_USER_DOMAIN_ID=default", "OS_PROJECT_DOMAIN_ID=default", "OS_IDENTITY_API_VERSION=3")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("openstack %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
		return string(out)
	}
	var issued struct {
		ID      string `json:"id"`
		Project string `json:"project_id"`
		User    string `json:"user_id"`
		Expires string `json:"expires"`
	}
	must(t, json.Unmarshal([]byte(run("token", "issue", "-f", "json")), &issued))
	if !strings.HasPrefix(issued.ID, "MII") || issued.Project == "" || issued.User == "" || issued.Expires == "" {
		t.Fatalf("%+v", issued)
	}
	if catalog := run("catalog", "list"); !strings.Contains(catalog, "identity") || !strings.Contains(catalog, c.Keystone) {
		t.Errorf("catalog:\n%s", catalog)
	}
	if users := run("user", "list", "-f", "value", "-c", "Name"); !strings.Contains(users, "alice") {
		t.Errorf("users:\n%s", users)
	}
	wantStatus(t, c, issued.ID, http.StatusOK)
	run("token", "revoke", issued.ID)
	t.Logf("refused %s after the revocation", becomes(t, c, issued.ID, http.StatusUnauthorized, 5*time.Second))
}

// TestIdentityGoesDown kills the identity backend under load. Signed tokens go on being decided, rightly, until the list is
// staler than is tolerated; then nobody can tell; and when the backend is back all is well again by itself.
func TestIdentityGoesDown(t *testing.T) {
	c := newCloud(t, func(c *cloud.Cloud) { c.AuthtokenExtra = "revocation_max_stale = 6" })
	must(t, c.StartProxy(t.Context()))
	cached, revoked := tokenOf(t, c), tokenOf(t, c)
	fresh := make([]string, 20)
	for i := range fresh {
		fresh[i] = tokenOf(t, c)
	}
	wantStatus(t, c, cached, http.StatusOK)
	must(t, c.Revoke(t.Context(), revoked))
	becomes(t, c, revoked, http.StatusUnauthorized, 5*time.Second)

	// Load: each of four clients asks about tokens whose verdict it knows, for as long as the list may be used.
	var down, stopped atomic.Bool
	var group sync.WaitGroup
	var asked, unavailable atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for worker := range 4 {
		group.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				text, want := cached, http.StatusOK
				switch i % 4 {
				case 1:
					text, want = revoked, http.StatusUnauthorized
				case 2:
					text, want = forged(cached), http.StatusUnauthorized
				case 3:
					text = fresh[(i/4*4+worker)%len(fresh)]
				}
				got, err := status(ctx, c, text)
				if stopped.Load() {
					return
				}
				asked.Add(1)
				if got == http.StatusServiceUnavailable && down.Load() {
					unavailable.Add(1)
					continue
				}
				if err != nil || got != want {
					t.Errorf("request %d: got %d, %v; want %d", i, got, err, want)
					return
				}
			}
		})
	}
	must(t, c.Kill(cloud.KeystoneAll))
	killed := time.Now()
	// The begin of the outage lies well within the bound: every answer must be the right one.
	atKill := asked.Load()
	early, end := context.WithTimeout(t.Context(), 4*time.Second)
	defer end()
	must(t, cloud.Until(early, func() (bool, error) { return asked.Load() > atKill+1000 || t.Failed(), nil }))
	if n := unavailable.Load(); n != 0 {
		t.Errorf("%d requests were not decided while the list was young", n)
	}
	down.Store(true)
	becomes(t, c, cached, http.StatusServiceUnavailable, 10*time.Second)
	t.Logf("undecided from %s after the backend was killed", time.Since(killed))
	if since := time.Since(killed); since < 4*time.Second {
		t.Errorf("undecided already %s after the backend was killed, though a list may be 6 s old", since)
	}
	wantStatus(t, c, forged(cached), http.StatusUnauthorized)
	wantStatus(t, c, revoked, http.StatusUnauthorized)
	if metric(t, c, `authproxy_refusals_total{reason="revocation_stale"}`) == 0 {
		t.Error("the 503s were not counted by their reason")
	}
	if res, text, err := cloud.Call(t.Context(), http.MethodGet, c.ProxyAdmin+"/status", nil, ""); err != nil || !strings.Contains(text, `"fresh": false`) {
		t.Errorf("/status does not say that the list is stale: %v %v\n%s", res, err, text)
	}
	must(t, c.StartKeystone(t.Context()))
	back := becomes(t, c, cached, http.StatusOK, 10*time.Second)
	t.Logf("decided again %s after the backend answered; %d requests, %d of them not decided", back, asked.Load(), unavailable.Load())
	stopped.Store(true)
	cancel()
	group.Wait()
	wantStatus(t, c, revoked, http.StatusUnauthorized)
	must(t, c.Revoke(t.Context(), cached))
	becomes(t, c, cached, http.StatusUnauthorized, 5*time.Second)
}

// TestGarbage sends ten thousand bad tokens of many kinds to the real proxy.
func TestGarbage(t *testing.T) {
	c := newCloud(t, nil)
	must(t, c.StartProxy(t.Context()))
	good := tokenOf(t, c)
	wantStatus(t, c, good, http.StatusOK)
	fetched := metric(t, c, `authproxy_certificate_events_total{event="fetched"}`)
	send := func(n int) {
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				for i := worker; i < n; i += 8 {
					var text string
					switch i % 4 {
					case 0:
						text = "MII" + strings.Repeat("A", 100) + strconv.Itoa(i)
					case 1:
						text = "PKIZ_" + strings.Repeat("e", i%2000) + strconv.Itoa(i)
					case 2:
						text = good[:200] + fmt.Sprintf("%06d", i) + good[206:]
					case 3:
						text = good[:len(good)-40] + fmt.Sprintf("%06d", i) + good[len(good)-34:]
					}
					if got, err := status(t.Context(), c, text); err != nil || got != http.StatusUnauthorized {
						t.Errorf("token %d: got %d, %v", i, got, err)
						return
					}
				}
			})
		}
		group.Wait()
	}
	send(10000) // to fill what is bounded, garbage before the first collection included
	before := memory(t, c.Pid(cloud.Authproxy))
	begin := time.Now()
	send(10000)
	after := memory(t, c.Pid(cloud.Authproxy))
	t.Logf("10,000 bad tokens in %s; memory %d KiB before, %d KiB after", time.Since(begin), before, after)
	if after > before+32<<10 { // 10,000 tokens that are kept would be 50 MiB
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	// The cooldown is 30 s.
	allowed := 1 + float64(int(time.Since(begin)/(30*time.Second))) + 1
	if n := metric(t, c, `authproxy_certificate_events_total{event="fetched"}`) - fetched; n > allowed {
		t.Errorf("certificates were fetched %g times for garbage, %g are allowed", n, allowed)
	}
	if n := metric(t, c, `authproxy_online_validations_total`); n != 0 {
		t.Errorf("%g questions to the identity backend", n)
	}
	wantStatus(t, c, good, http.StatusOK)
}

// memory is the resident memory of a process in KiB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			must(t, err)
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestAttackCorpus runs the proxy without any Identity service, from files, and sends it the attacks that were collected on
// the Python middleware. Where the corpus leaves a verdict to policy, ours is to refuse.
func TestAttackCorpus(t *testing.T) {
	fixtures := filepath.Join("..", "..", "shared", "fixtures")
	raw, err := os.ReadFile(filepath.Join(fixtures, "attacks.json"))
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatal(err)
		}
		t.Skipf("fixtures are not beside the project: %v", err)
	}
	var attacks []struct {
		Class, Name, Token string
		Expect             any `json:"strict_expect"`
	}
	must(t, json.Unmarshal(raw, &attacks))
	if len(attacks) < 69 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	c := newOffline(t)
	pki := filepath.Join(fixtures, "attacks-pki")
	must(t, c.StartBareProxy(t.Context(), "--signing-cert-file", filepath.Join(pki, "signing_cert.pem"), "--signing-ca-file", filepath.Join(pki, "cacert.pem"),
		"--revocation-file", filepath.Join(pki, "revocation_list.pem"), "--hash-algorithms", "md5,sha256"))
	for _, a := range attacks {
		t.Run(a.Class+"/"+a.Name, func(t *testing.T) {
			want := http.StatusUnauthorized
			if a.Expect == float64(http.StatusOK) {
				want = http.StatusOK
			}
			if got := rawStatus(t, c, a.Token); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
}

// newOffline prepares a cloud of echo and proxy only.
func newOffline(t *testing.T) *cloud.Cloud {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real programs")
	}
	bin, err := programs()
	must(t, err)
	c := &cloud.Cloud{Dir: t.TempDir(), Bin: bin}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("authproxy wrote:\n%s", c.Log(cloud.Authproxy))
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, c.Listen())
	must(t, c.StartEcho(t.Context()))
	return c
}

// rawStatus sends a token as it is, white space and all, which net/http's client would not.
func rawStatus(t *testing.T, c *cloud.Cloud, text string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.Proxy, "http://"))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Auth-Token: %s\r\n\r\n", text)
	must(t, err)
	answer := make([]byte, 12)
	_, err = conn.Read(answer)
	must(t, err)
	code, err := strconv.Atoi(string(answer[9:12]))
	must(t, err)
	return code
}
