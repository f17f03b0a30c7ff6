package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authproxy/examples/cloud"
	"authproxy/keystone/server/store/postgrestest"
)

// inTurn is one address before several nodes, as a load balancer has it: each request goes to the next node that answers.
func inTurn(t *testing.T, nodes ...*cloud.Cloud) string {
	var next atomic.Int64
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		at := int(next.Add(1))
		for i := range nodes {
			conn, err = new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(nodes[(at+i)%len(nodes)].Keystone, "http://"))
			if err == nil {
				break
			}
		}
		return conn, err
	}}
	server := httptest.NewServer(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: "node"})
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(func() {
		server.CloseClientConnections() // the proxy waits for a revocation
		server.Close()
	})
	return server.URL
}

// twoNodes are two identity backends on one PostgreSQL database, and the address before both, which authproxy is to use.
func twoNodes(t *testing.T, cluster *postgrestest.Cluster) (a, b, front *cloud.Cloud) {
	t.Helper()
	a = newCloud(t, func(c *cloud.Cloud) {
		c.Database = cluster.Database(t)
		c.KeystoneExtra = "[security_compliance]\nlockout_failure_attempts = 4\n"
	})
	b, err := a.Node()
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the second keystone-all wrote:\n%s", b.Log(cloud.KeystoneAll))
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, b.StartKeystone(t.Context()))
	front = &cloud.Cloud{Keystone: inTurn(t, a, b), AdminPassword: a.AdminPassword}
	conf, err := os.ReadFile(a.File("authproxy.conf"))
	must(t, err)
	conf = []byte(strings.Replace(string(conf), "auth_url = "+a.Keystone, "auth_url = "+front.Keystone, 1))
	must(t, os.WriteFile(a.File("authproxy.conf"), conf, 0o600))
	return a, b, front
}

// call makes a request that must be answered with a status.
func call(t *testing.T, method, url, token, body string, want int, headers ...string) (*http.Response, string) {
	t.Helper()
	all := map[string]string{}
	if token != "" {
		all["X-Auth-Token"] = token
	}
	for i := 0; i < len(headers); i += 2 {
		all[headers[i]] = headers[i+1]
	}
	res, text, err := cloud.Call(t.Context(), method, url, all, body)
	must(t, err)
	if res.StatusCode != want {
		t.Fatalf("%s %s: %s\n%s", method, url, res.Status, text)
	}
	return res, text
}

// TestTwoNodes: what one node does, the other and the proxy know.
func TestTwoNodes(t *testing.T) {
	a, b, front := twoNodes(t, postgrestest.New(t))
	must(t, a.StartProxy(t.Context()))
	admin, err := front.Token(t.Context(), "admin", a.AdminPassword, "admin")
	must(t, err)
	list := func(c *cloud.Cloud) (string, string) {
		t.Helper()
		res, text := call(t, http.MethodGet, c.Keystone+"/v3/auth/tokens/OS-PKI/revoked", admin, "", http.StatusOK)
		return text, res.Header.Get("ETag")
	}

	var delays []time.Duration
	for i := range 6 {
		from, at := a, b
		if i%2 == 1 {
			from, at = b, a
		}
		text, err := from.Token(t.Context(), "alice", "wonderland", "demo")
		must(t, err)
		wantStatus(t, a, text, http.StatusOK)
		must(t, at.Revoke(t.Context(), text))
		delays = append(delays, becomes(t, a, text, http.StatusUnauthorized, 5*time.Second))
		// Whichever node is asked knows at once.
		for _, c := range []*cloud.Cloud{a, b} {
			call(t, http.MethodGet, c.Keystone+"/v3/auth/tokens", admin, "", http.StatusNotFound, "X-Subject-Token", text)
		}
		one, tag := list(a)
		two, otherTag := list(b)
		if one != two || tag != otherTag {
			t.Errorf("the nodes' lists differ: %s and %s", tag, otherTag)
		}
	}
	slices.Sort(delays)
	t.Logf("revoked at one node, refused by the proxy after %s to %s", delays[0], delays[len(delays)-1])

	// A wait at one node ends when the other one revokes something.
	_, tag := list(a)
	text := tokenOf(t, a)
	type answer struct {
		status int
		took   time.Duration
		err    error
	}
	answers := make(chan answer, 2)
	begin := time.Now()
	for _, c := range []*cloud.Cloud{a, b} {
		go func() {
			res, _, err := cloud.Call(t.Context(), http.MethodGet, c.Keystone+"/v3/auth/tokens/OS-PKI/revoked", map[string]string{
				"X-Auth-Token": admin, "If-None-Match": tag, "Prefer": "wait=50"}, "")
			if err != nil {
				answers <- answer{err: err}
				return
			}
			answers <- answer{status: res.StatusCode, took: time.Since(begin)}
		}()
	}
	must(t, b.Revoke(t.Context(), text))
	for range 2 {
		if got := <-answers; got.err != nil || got.status != http.StatusOK || got.took > 30*time.Second {
			t.Errorf("a wait ended with %+v, want the new list long before its end", got)
		}
	}

	// Disabled at one node, out at the other.
	var found struct{ Users []struct{ ID string } }
	_, users := call(t, http.MethodGet, front.Keystone+"/v3/users?name=alice", admin, "", http.StatusOK)
	must(t, json.Unmarshal([]byte(users), &found))
	text, err = b.Token(t.Context(), "alice", "wonderland", "demo")
	must(t, err)
	wantStatus(t, a, text, http.StatusOK)
	call(t, http.MethodPatch, a.Keystone+"/v3/users/"+found.Users[0].ID, admin, `{"user":{"enabled":false}}`, http.StatusOK)
	call(t, http.MethodPost, b.Keystone+"/v3/auth/tokens", "", cloud.Login("alice", "wonderland", "demo"), http.StatusUnauthorized)
	becomes(t, a, text, http.StatusUnauthorized, 5*time.Second)

	// Who guesses at both in turn has no more guesses than at one, and is locked out of both.
	must(t, a.AddUser(t.Context(), "bob", "builder", "yard"))
	for range 4 {
		call(t, http.MethodPost, front.Keystone+"/v3/auth/tokens", "", cloud.Login("bob", "wrong", "yard"), http.StatusUnauthorized)
	}
	for _, c := range []*cloud.Cloud{a, b} {
		call(t, http.MethodPost, c.Keystone+"/v3/auth/tokens", "", cloud.Login("bob", "builder", "yard"), http.StatusUnauthorized)
	}
	_, users = call(t, http.MethodGet, front.Keystone+"/v3/users?name=bob", admin, "", http.StatusOK)
	must(t, json.Unmarshal([]byte(users), &found))
	call(t, http.MethodPatch, a.Keystone+"/v3/users/"+found.Users[0].ID, admin, `{"user":{"enabled":true}}`, http.StatusOK)
	call(t, http.MethodPost, b.Keystone+"/v3/auth/tokens", "", cloud.Login("bob", "builder", "yard"), http.StatusCreated)
}

// TestDatabaseStops takes PostgreSQL away from two nodes under load: they say so, the proxy goes on deciding tokens, and when
// the database is back all goes on.
func TestDatabaseStops(t *testing.T) {
	cluster := postgrestest.New(t)
	a, b, front := twoNodes(t, cluster)
	must(t, a.StartProxy(t.Context()))
	good, revoked := tokenOf(t, a), tokenOf(t, a)
	wantStatus(t, a, good, http.StatusOK)
	must(t, b.Revoke(t.Context(), revoked))
	becomes(t, a, revoked, http.StatusUnauthorized, 5*time.Second)

	var mayFail, stopped atomic.Bool
	var issued, unavailable, decided atomic.Int64
	var group sync.WaitGroup
	const login, ask = 2, 2
	for range login {
		group.Go(func() {
			for !stopped.Load() {
				could := mayFail.Load()
				res, text, err := cloud.Call(t.Context(), http.MethodPost, front.Keystone+"/v3/auth/tokens", nil, cloud.Login("alice", "wonderland", "demo"))
				switch could = could || mayFail.Load(); {
				case err != nil:
					t.Error(err)
					return
				case res.StatusCode == http.StatusCreated:
					issued.Add(1)
				case could && res.StatusCode == http.StatusServiceUnavailable && strings.Contains(text, "cannot reach its database"):
					unavailable.Add(1)
				default:
					t.Errorf("login: %s\n%s", res.Status, text)
					return
				}
			}
		})
	}
	for range ask {
		group.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				text, want := good, http.StatusOK
				if i%2 == 1 {
					text, want = revoked, http.StatusUnauthorized
				}
				if got, err := status(t.Context(), a, text); err != nil || got != want {
					t.Errorf("the proxy answered %d, %v; want %d", got, err, want)
					return
				}
				decided.Add(1)
			}
		})
	}
	more := func(what *atomic.Int64, n int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		from := what.Load()
		if err := cloud.Until(ctx, func() (bool, error) { return what.Load() >= from+n || t.Failed(), nil }); err != nil {
			t.Error(err)
		}
	}
	for _, stop := range []func(testing.TB){cluster.Stop, cluster.Crash} {
		more(&issued, 4)
		mayFail.Store(true)
		stop(t)
		more(&unavailable, 10)
		more(&decided, 100)
		cluster.Start(t)
		more(&issued, 4)
		// Each node may still find one dead connection for each that it had.
		must(t, cloud.Until(t.Context(), func() (bool, error) {
			for _, c := range []*cloud.Cloud{a, b} {
				if _, err := c.Token(t.Context(), "alice", "wonderland", "demo"); err != nil {
					return false, nil
				}
			}
			return true, nil
		}))
		mayFail.Store(false)
	}
	stopped.Store(true)
	group.Wait()
	t.Logf("%d tokens issued, %d times unavailable; the proxy decided %d times", issued.Load(), unavailable.Load(), decided.Load())
	must(t, b.Revoke(t.Context(), good))
	becomes(t, a, good, http.StatusUnauthorized, 10*time.Second)
}

// TestNodeKilled kills a node with writes under way: what it acknowledged is there.
func TestNodeKilled(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		a := newCloud(t, nil)
		testNodeKilled(t, a, func() *cloud.Cloud {
			must(t, a.StartKeystone(t.Context()))
			return a
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		a, b, _ := twoNodes(t, postgrestest.New(t))
		testNodeKilled(t, a, func() *cloud.Cloud { return b })
	})
}

func testNodeKilled(t *testing.T, node *cloud.Cloud, survivor func() *cloud.Cloud) {
	admin, err := node.Token(t.Context(), "admin", node.AdminPassword, "admin")
	must(t, err)
	var tokens []string
	for range 8 {
		tokens = append(tokens, tokenOf(t, node))
	}
	const enough = 100
	var users, ended []string
	var mu sync.Mutex
	count := func(list *[]string, value string) {
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, value)
	}
	enoughDone := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(users) >= enough && len(ended) > 2
	}
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				res, text, err := cloud.Call(t.Context(), http.MethodPost, node.Keystone+"/v3/users", map[string]string{"X-Auth-Token": admin},
					fmt.Sprintf(`{"user":{"name":"user-%d-%d","domain_id":"default"}}`, w, i))
				if err != nil {
					return // it was killed
				}
				var made struct{ User struct{ ID string } }
				if err := json.Unmarshal([]byte(text), &made); res.StatusCode != http.StatusCreated || err != nil {
					t.Errorf("%s: %v\n%s", res.Status, err, text)
					return
				}
				count(&users, made.User.ID)
			}
		})
	}
	group.Go(func() {
		for _, text := range tokens {
			if node.Revoke(t.Context(), text) != nil {
				return
			}
			count(&ended, text)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, cloud.Until(ctx, func() (bool, error) { return enoughDone() || t.Failed(), nil }))
	must(t, node.Kill(cloud.KeystoneAll))
	group.Wait()
	c := survivor()
	for _, id := range users {
		call(t, http.MethodGet, c.Keystone+"/v3/users/"+id, admin, "", http.StatusOK)
	}
	for _, text := range ended {
		call(t, http.MethodGet, c.Keystone+"/v3/auth/tokens", admin, "", http.StatusNotFound, "X-Subject-Token", text)
	}
	t.Logf("%d users and %d revocations were acknowledged, and are there", len(users), len(ended))
	call(t, http.MethodPost, c.Keystone+"/v3/users", admin, `{"user":{"name":"afterwards","domain_id":"default"}}`, http.StatusCreated)
}

// TestDiskFull fills the file system that an SQLite database is on: what was acknowledged stays, what cannot be stored is
// refused with a clear answer, readers go on, and with space again all goes on.
func TestDiskFull(t *testing.T) {
	c := newCloud(t, nil)
	admin, err := c.Token(t.Context(), "admin", c.AdminPassword, "admin")
	must(t, err)
	must(t, c.Kill(cloud.KeystoneAll))
	// A file system of its own, which only keystone-all sees.
	small := c.File("small")
	must(t, os.Mkdir(small, 0o700))
	conf, err := os.ReadFile(c.File("keystone.conf"))
	must(t, err)
	must(t, os.WriteFile(c.File("keystone.conf"), []byte(strings.Replace(string(conf), c.File("keystone.db"), filepath.Join(small, "keystone.db"), 1)), 0o600))
	mount := `mount -t tmpfs -o size=3m small "$0" && cp -p "$0"/../keystone.db* "$0" && dd if=/dev/zero of="$0"/ballast bs=1k count=500 2>/dev/null`
	if out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "--map-root-user", "sh", "-c", mount, small).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v\n%s", err, out)
	}
	must(t, c.Run(t.Context(), c.Keystone+"/v3", cloud.KeystoneAll, exec.Command("unshare", "--mount", "--map-root-user", "sh", "-c",
		mount+` && exec "$1" --config-file "$2"`, small, filepath.Join(c.Bin, cloud.KeystoneAll), c.File("keystone.conf"))))

	var users []string
	add := func() (status int, text string) {
		t.Helper()
		res, text, err := cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/users", map[string]string{"X-Auth-Token": admin},
			fmt.Sprintf(`{"user":{"name":"user-%d","domain_id":"default","description":%q}}`, len(users), strings.Repeat("x", 50_000)))
		must(t, err)
		if res.StatusCode == http.StatusCreated {
			var made struct{ User struct{ ID string } }
			must(t, json.Unmarshal([]byte(text), &made))
			users = append(users, made.User.ID)
		}
		return res.StatusCode, text
	}
	for {
		status, text := add()
		if status == http.StatusCreated && len(users) < 100 {
			continue
		}
		if status != http.StatusInsufficientStorage || !strings.Contains(text, "no space left") {
			t.Fatalf("after %d users: %d\n%s", len(users), status, text)
		}
		break
	}
	call(t, http.MethodPost, c.Keystone+"/v3/auth/tokens", "", cloud.Login("alice", "wrong", "demo"), http.StatusUnauthorized)
	there := func() {
		t.Helper()
		for _, id := range users {
			call(t, http.MethodGet, c.Keystone+"/v3/users/"+id, admin, "", http.StatusOK)
		}
	}
	there()
	t.Logf("full after %d users", len(users))
	must(t, os.Remove(fmt.Sprintf("/proc/%d/root%s/ballast", c.Pid(cloud.KeystoneAll), small)))
	if status, text := add(); status != http.StatusCreated {
		t.Errorf("with space again: %d\n%s", status, text)
	}
	there()
}
