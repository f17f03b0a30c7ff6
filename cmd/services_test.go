package cmd

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"authproxy/examples/cloud"
)

// The tests here put authproxy before real OpenStack services, which scripts beside the project start from Debian packages, and
// drive them with the real clients. They take long and install packages, so they run only where AUTHPROXY_TEST_SERVICES names the
// services, as in "placement swift glance".

// realService is a service with authproxy before it, and the same service with auth_token inside it.
type realService struct {
	t     *testing.T
	cloud *cloud.Cloud
	name  string
	// URLs
	upstream, proxy string
	inside          string // the one with auth_token
	tokens          map[string]string
	dir             string
}

func needService(t *testing.T, name string) {
	t.Helper()
	if !slices.Contains(strings.FieldsFunc(os.Getenv("AUTHPROXY_TEST_SERVICES"), func(c rune) bool { return c == ' ' || c == ',' }), name) {
		t.Skipf("AUTHPROXY_TEST_SERVICES does not name %s", name)
	}
}

// startService starts a service twice: behind authproxy, and as Debian has it. Each listens on that many ports.
func startService(t *testing.T, name, kind, path string, ports int, env ...string) *realService {
	t.Helper()
	needService(t, name)
	c := newCloud(t, nil)
	s := &realService{t: t, cloud: c, name: name, dir: t.TempDir()}
	must(t, c.AddUser(t.Context(), "bob", "builder", "other"))
	admin := administrator(t, c)

	// auth_token inside the service logs in as the script has it, and looks for the Identity service in its region.
	project, role := admin.id("projects", "/v3/projects?name=service"), admin.id("roles", "/v3/roles?name=service")
	nova := admin.create("user", "/v3/users", `{"user":{"name":"nova","password":"pw","domain_id":"default"}}`)
	admin.ask(http.MethodPut, "/v3/projects/"+project+"/users/"+nova+"/roles/"+role, "", http.StatusNoContent)
	identity := admin.id("services", "/v3/services?type=identity")
	admin.ask(http.MethodPut, "/v3/regions/R1", `{"region":{}}`, http.StatusCreated)
	admin.endpoint(identity, "R1", c.Keystone+"/v3")

	conf := filepath.Join(s.dir, "service.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `[keystone_authtoken]
www_authenticate_uri = %[1]s/
auth_url = %[1]s
auth_type = password
username = nova
password = pw
project_name = service
user_domain_id = default
project_domain_id = default
delay_auth_decision = true
signing_dir = %[2]s/signing
revocation_cache_time = 1
`, c.Keystone, s.dir), 0o600))
	s.upstream = s.up("behind", ports, env...)
	s.proxy = startProxyProcess(t, "--config-file", conf, "--upstream", s.upstream, "--header-encoding", "iso-8859-1").url
	s.inside = s.up("inside", ports, append(env, "AUTHTOKEN="+c.Keystone)...)
	admin.endpoint(admin.create("service", "/v3/services", `{"service":{"type":"`+kind+`","name":"`+name+`"}}`), "RegionOne", s.proxy+path)

	token := func(user, password, project string) string {
		text, err := c.Token(t.Context(), user, password, project)
		must(t, err)
		return text
	}
	s.tokens = map[string]string{
		"admin": token("admin", c.AdminPassword, "admin"), "alice": token("alice", "wonderland", "demo"), "bob": token("bob", "builder", "other"),
		"revoked": token("alice", "wonderland", "demo"), "service": token("nova", "pw", "service"), "garbage": "garbage", "nobody": "",
	}
	s.tokens["forged"] = forged(s.tokens["alice"])
	must(t, c.Revoke(t.Context(), s.tokens["revoked"]))
	return s
}

// up runs the service's script and gives its URL.
func (s *realService) up(as string, ports int, env ...string) string {
	s.t.Helper()
	scripts, err := filepath.Abs(filepath.Join("..", "..", "shared", "services", s.name))
	must(s.t, err)
	port := freePorts(s.t, ports)
	env = append(os.Environ(), append(env, fmt.Sprintf("PORT=%d", port), "STATE="+filepath.Join(s.dir, as))...)
	run := func(script string) {
		cmd := exec.Command(filepath.Join(scripts, script))
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Errorf("%s %s: %v\n%s", s.name, script, err, out)
		}
	}
	s.t.Cleanup(func() { run("down.sh") })
	if run("up.sh"); s.t.Failed() {
		s.t.FailNow()
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// freePorts gives the first of n consecutive ports on which nobody listens now.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first := 20000 + rand.N(8000) // below those that the kernel gives to others
		var held []net.Listener
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if err != nil {
				break
			}
			held = append(held, l)
		}
		for _, l := range held {
			l.Close()
		}
		if len(held) == n {
			return first
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

// env is the environment of a client for a user.
func (s *realService) env(user string) []string {
	password, project := map[string][2]string{
		"admin": {s.cloud.AdminPassword, "admin"}, "alice": {"wonderland", "demo"}, "bob": {"builder", "other"},
	}[user][0], map[string]string{"admin": "admin", "alice": "demo", "bob": "other"}[user]
	return append(os.Environ(), "OS_AUTH_URL="+s.cloud.Keystone+"/v3", "OS_USERNAME="+user, "OS_PASSWORD="+password, "OS_PROJECT_NAME="+project,
		"OS_USER_DOMAIN_ID=default", "OS_PROJECT_DOMAIN_ID=default", "OS_IDENTITY_API_VERSION=3", "OS_AUTH_VERSION=3", "OS_REGION_NAME=RegionOne")
}

// client runs a command as a user, and wants it to succeed.
func (s *realService) client(user string, command ...string) string {
	s.t.Helper()
	out, err := s.tryClient(user, command...)
	if err != nil {
		s.t.Fatalf("%s as %s: %v\n%s", strings.Join(command, " "), user, err, out)
	}
	return out
}

func (s *realService) tryClient(user string, command ...string) (string, error) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "/usr/bin/"+command[0], command[1:]...)
	cmd.Env, cmd.Dir = s.env(user), s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// refusedClient wants a command to fail and to say a word.
func (s *realService) refusedClient(user, says string, command ...string) {
	s.t.Helper()
	if out, err := s.tryClient(user, command...); err == nil || !strings.Contains(out, says) {
		s.t.Errorf("%s as %s: %v, and does not say %q:\n%s", strings.Join(command, " "), user, err, says, out)
	}
}

// request asks one of the two, and reads the answer.
func (s *realService) request(base, method, path, token string, headers map[string]string) (*http.Response, string) {
	s.t.Helper()
	all := map[string]string{}
	for name, value := range headers {
		all[name] = value
	}
	if token != "" {
		all["X-Auth-Token"] = token
	}
	res, body, err := cloud.Call(s.t.Context(), method, base+path, all, "")
	must(s.t, err)
	return res, body
}

// sameRefusals sends requests with every kind of token to both, and wants the same status and challenges.
func (s *realService) sameRefusals(paths ...string) {
	s.t.Helper()
	for _, line := range paths {
		method, path, _ := strings.Cut(line, " ")
		for who, token := range s.tokens {
			behind, _ := s.request(s.proxy, method, path, token, nil)
			inside, _ := s.request(s.inside, method, path, token, nil)
			a, b := slices.Sorted(slices.Values(behind.Header["Www-Authenticate"])), slices.Sorted(slices.Values(inside.Header["Www-Authenticate"]))
			if behind.StatusCode != inside.StatusCode || !slices.Equal(a, b) {
				s.t.Errorf("%s as %s: %d %q behind authproxy, %d %q with auth_token inside", line, who, behind.StatusCode, a, inside.StatusCode, b)
			}
		}
		// A forged identity is nobody's.
		forgery := map[string]string{"X_User_Id": "root", "X-Roles": "admin", "X-Identity-Status": "Confirmed", "X_Identity_Status": "Confirmed", "X-Project-Id": "root"}
		behind, _ := s.request(s.proxy, method, path, "", forgery)
		if inside, _ := s.request(s.inside, method, path, "", nil); behind.StatusCode != inside.StatusCode {
			s.t.Errorf("%s with forged headers: %d, %d with none", line, behind.StatusCode, inside.StatusCode)
		}
	}
}

// large makes a file for uploads: AUTHPROXY_TEST_UPLOAD_MB (50) megabytes that no compression makes smaller.
func (s *realService) large() (path string, sum [sha256.Size]byte, size int64) {
	s.t.Helper()
	size = 50 << 20
	if mb, err := strconv.Atoi(os.Getenv("AUTHPROXY_TEST_UPLOAD_MB")); err == nil {
		size = int64(mb) << 20
	}
	path = filepath.Join(s.dir, "large")
	f, err := os.Create(path)
	must(s.t, err)
	defer f.Close()
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), size)
	must(s.t, err)
	return path, sumOf(s.t, path), size
}

func sumOf(t *testing.T, path string) (sum [sha256.Size]byte) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	copy(sum[:], h.Sum(nil))
	return sum
}

// sameRange wants a part of the large file from the proxy.
func (s *realService) sameRange(path, token, file string, from, to int64) {
	s.t.Helper()
	res, body := s.request(s.proxy, http.MethodGet, path, token, map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", from, to)})
	f, err := os.Open(file)
	must(s.t, err)
	defer f.Close()
	want := make([]byte, to-from+1)
	_, err = f.ReadAt(want, from)
	must(s.t, err)
	if res.StatusCode != http.StatusPartialContent || !bytes.Equal([]byte(body), want) || res.ContentLength != int64(len(want)) {
		s.t.Errorf("a range of %s: %s, %d bytes", path, res.Status, len(body))
	}
}

func TestServicePlacement(t *testing.T) {
	s := startService(t, "placement", "placement", "", 1)
	s.client("admin", "openstack", "resource", "provider", "create", "rack-1")
	if list := s.client("admin", "openstack", "resource", "provider", "list", "-f", "value", "-c", "name"); strings.TrimSpace(list) != "rack-1" {
		t.Errorf("providers:\n%s", list)
	}
	s.refusedClient("alice", "403", "openstack", "resource", "provider", "list")
	s.sameRefusals("GET /", "GET /resource_providers", "GET /resource_classes", "POST /resource_providers", "GET /nothing", "DELETE /traits/X")
	for i := range 200 { // its server closes connections without saying so where it is not told to
		if res, body := s.request(s.proxy, http.MethodGet, "/resource_providers", s.tokens["admin"], nil); res.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %s\n%s", i, res.Status, body)
		}
	}
}

func TestServiceSwift(t *testing.T) {
	s := startService(t, "swift", "object-store", "/v1/AUTH_$(tenant_id)s", 4)
	file, sum, size := s.large()

	s.client("alice", "swift", "upload", "box", "large", "--object-name", "whole")
	s.client("alice", "swift", "upload", "box", "large", "--object-name", "pieces", "--segment-size", strconv.FormatInt(size/5+1, 10))
	for _, object := range []string{"whole", "pieces"} {
		s.client("alice", "swift", "download", "box", object, "-o", "out")
		if got := sumOf(t, filepath.Join(s.dir, "out")); got != sum {
			t.Errorf("%s came back changed", object)
		}
	}
	if list := s.client("alice", "openstack", "object", "list", "box", "-f", "value"); list != "pieces\nwhole\n" {
		t.Errorf("objects:\n%s", list)
	}
	account := "/v1/AUTH_" + administrator(t, s.cloud).id("projects", "/v3/projects?name=demo")
	object := account + "/box/whole"
	s.sameRange(object, s.tokens["alice"], file, size/3, size/3+100000)
	s.refusedClient("bob", "403", "swift", "--os-storage-url", s.proxy+account, "list", "box")

	// The other one has the same container, so that the answers about it can be compared.
	s.request(s.inside, http.MethodPut, account+"/box", s.tokens["alice"], nil)
	small := map[string]string{"Content-Type": "text/plain"}
	s.request(s.proxy, http.MethodPut, account+"/box/small", s.tokens["alice"], small)
	s.request(s.inside, http.MethodPut, account+"/box/small", s.tokens["alice"], small)
	s.sameRefusals("GET "+account, "HEAD "+account+"/box", "GET "+account+"/box/small", "PUT "+account+"/new/", "DELETE "+account+"/nothing", "GET /info", "GET /healthcheck",
		"GET /v1/SERVICE_x", "POST "+account+"/box", "OPTIONS "+account+"/box")

	// A time-limited URL needs no token.
	s.client("alice", "swift", "post", "-m", "Temp-URL-Key:key")
	limited := strings.TrimSpace(s.client("alice", "swift", "tempurl", "GET", "600", object, "key"))
	res, err := http.Get(s.proxy + limited)
	must(t, err)
	h := sha256.New()
	n, err := io.Copy(h, res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || n != size || !bytes.Equal(h.Sum(nil), sum[:]) {
		t.Errorf("a time-limited URL: %s, %d bytes, %v", res.Status, n, err)
	}
	if res, _ := s.request(s.proxy, http.MethodGet, strings.Replace(limited, "temp_url_sig=", "temp_url_sig=0", 1), "", nil); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a time-limited URL with another signature: %s", res.Status)
	}
	// A public container neither, until it is closed again.
	s.client("alice", "swift", "post", "box", "--read-acl", ".r:*,.rlistings")
	for _, path := range []string{account + "/box", account + "/box/small"} {
		if res, _ := s.request(s.proxy, http.MethodGet, path, "", nil); res.StatusCode != http.StatusOK {
			t.Errorf("public %s: %s", path, res.Status)
		}
	}
	// Names in an ACL are those of the account's domain: bob of the project other may read, his namesake elsewhere may not.
	s.client("alice", "swift", "post", "box", "--read-acl", "other:bob")
	admin := administrator(t, s.cloud)
	domain := admin.create("domain", "/v3/domains", `{"domain":{"name":"elsewhere"}}`)
	other := admin.create("project", "/v3/projects", `{"project":{"name":"other","domain_id":"`+domain+`"}}`)
	namesake := admin.create("user", "/v3/users", `{"user":{"name":"bob","password":"wrecker","domain_id":"`+domain+`"}}`)
	admin.ask(http.MethodPut, "/v3/projects/"+other+"/users/"+namesake+"/roles/"+admin.id("roles", "/v3/roles?name=member"), "", http.StatusNoContent)
	res, text, err := cloud.Call(t.Context(), http.MethodPost, s.cloud.Keystone+"/v3/auth/tokens", nil,
		strings.ReplaceAll(cloud.Login("bob", "wrecker", "other"), `"default"`, `"`+domain+`"`))
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%v %v\n%s", res, err, text)
	}
	for token, want := range map[string]int{s.tokens["bob"]: http.StatusOK, res.Header.Get("X-Subject-Token"): http.StatusForbidden} {
		if res, _ := s.request(s.proxy, http.MethodGet, account+"/box/small", token, nil); res.StatusCode != want {
			t.Errorf("an ACL by names: %s, want %d", res.Status, want)
		}
	}
	s.client("alice", "swift", "post", "box", "--read-acl", "")
	if res, _ := s.request(s.proxy, http.MethodGet, account+"/box/small", "", nil); res.StatusCode != http.StatusUnauthorized || len(res.Header["Www-Authenticate"]) != 2 {
		t.Errorf("closed again: %s, %q", res.Status, res.Header["Www-Authenticate"])
	}
	if res, _ := s.request(s.proxy, http.MethodGet, account+"/box/small", s.tokens["bob"], nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("the other project: %s", res.Status)
	}
	// An account of a service takes a service token beside the user's.
	project := account[len("/v1/AUTH_"):]
	for token, want := range map[string]int{"": 403, s.tokens["service"]: 201, s.tokens["bob"]: 401, "garbage": 401} {
		headers := map[string]string{}
		if token != "" {
			headers["X-Service-Token"] = token
		}
		if res, _ := s.request(s.proxy, http.MethodPut, "/v1/SERVICE_"+project+"/box", s.tokens["alice"], headers); res.StatusCode != want {
			t.Errorf("a service's account: %s, want %d", res.Status, want)
		}
	}
}

func TestServiceGlance(t *testing.T) {
	s := startService(t, "glance", "image", "", 1)
	file, sum, size := s.large()

	var image struct {
		ID     string
		Status string
	}
	must(t, json.Unmarshal([]byte(s.client("alice", "openstack", "image", "create", "disk", "--file", file, "--disk-format", "raw", "--container-format", "bare", "-f", "json")), &image))
	s.client("alice", "openstack", "image", "save", image.ID, "--file", "out")
	if got := sumOf(t, filepath.Join(s.dir, "out")); got != sum {
		t.Error("the image came back changed")
	}
	s.client("alice", "glance", "image-create", "--name", "second", "--file", file, "--disk-format", "raw", "--container-format", "bare")
	s.client("alice", "glance", "image-download", image.ID, "--file", "out2")
	if got := sumOf(t, filepath.Join(s.dir, "out2")); got != sum {
		t.Error("the image came back changed by glance")
	}
	s.sameRange("/v2/images/"+image.ID+"/file", s.tokens["alice"], file, size/3, size/3+100000)

	if list := s.client("bob", "openstack", "image", "list", "-f", "value"); strings.TrimSpace(list) != "" {
		t.Errorf("the other project sees images:\n%s", list)
	}
	s.refusedClient("bob", "No Image found", "openstack", "image", "show", image.ID)
	s.sameRefusals("GET /", "GET /healthcheck", "GET /v2/images", "GET /v2/schemas/image", "GET /v2/images/"+image.ID[:8], "DELETE /v2/images/nothing", "POST /v2/images", "GET /v2/tasks")

	// A refusal in the middle of a chunked upload reaches the client as such, up to the size that is read for that.
	must(t, json.Unmarshal([]byte(s.client("alice", "openstack", "image", "create", "empty", "--disk-format", "raw", "--container-format", "bare", "-f", "json")), &image))
	must(t, os.Truncate(file, min(size, 40<<20)))
	strict := startProxyProcess(t, "--config-file", filepath.Join(s.dir, "service.conf"), "--delay-auth-decision=false", "--upstream", s.upstream).url
	for url, says := range map[string]string{s.proxy: "Invalid OpenStack Identity credentials", strict: "The request you have made requires authentication"} {
		s.refusedClient("alice", says, "glance", "--os-auth-token", "garbage", "--os-image-url", url, "image-upload", "--file", file, image.ID)
	}
}
