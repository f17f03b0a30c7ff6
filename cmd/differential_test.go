package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
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
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// TestSameAsAuthToken sends the same requests to a WSGI application behind Debian's auth_token, and to the same application
// behind authproxy without it, and compares what the application and the client see. Both ask the same Identity service:
// keystone-all, and in front of it a server that also knows tokens which keystone-all does not issue. Every difference must be
// one that is listed, and every listed one must occur.
func TestSameAsAuthToken(t *testing.T) {
	interpreter := python(t, "keystonemiddleware.auth_token")
	c := newCloud(t, func(c *cloud.Cloud) { c.Provider = "pki" })
	d := &differential{t: t, c: c, identity: newInventive(t, c)}
	d.logIn()
	d.start(interpreter)
	d.revokeOne()

	expected := map[string]difference{} // by place
	for _, diff := range deliberate {
		for _, place := range diff.places() {
			if _, twice := expected[place]; twice {
				t.Errorf("%s is listed twice", place)
			}
			expected[place] = diff
		}
	}
	var mu sync.Mutex
	t.Run("options", func(t *testing.T) {
		for _, o := range optionSets {
			t.Run(o.name, func(t *testing.T) {
				t.Parallel()
				for _, r := range requests {
					place := r.name + " / " + o.name
					theirs, ours := d.send(t, d.authToken[o.name], r), d.send(t, d.authproxy[o.name], r)
					got := compareAnswers(theirs, ours)
					mu.Lock()
					want, listed := expected[place]
					delete(expected, place)
					mu.Unlock()
					switch {
					case !listed && got != "":
						t.Errorf("%s: %s", place, got)
					case listed && got != want.what:
						t.Errorf("%s: %q; listed as %s, %q", place, got, want.number, want.what)
					}
				}
			})
		}
	})
	for place, diff := range expected {
		t.Errorf("%s is listed for %s, and there is no such case", diff.number, place)
	}
}

// differential is both ways to the same application.
type differential struct {
	t        *testing.T
	c        *cloud.Cloud
	identity *inventive
	// authToken and authproxy are URLs by option set.
	authToken, authproxy map[string]string
	tokens               map[string]string // real ones, by the name that requests use
}

// logIn gets real tokens, and gives each an opaque name too, under which the Identity service knows it.
func (d *differential) logIn() {
	t, c := d.t, d.c
	admin := administrator(t, c)
	alice, member := admin.id("users", "/v3/users?name=alice"), admin.id("roles", "/v3/roles?name=member")
	admin.ask(http.MethodPut, "/v3/domains/default/users/"+alice+"/roles/"+member, "", http.StatusNoContent)

	logIn := func(user, password, scope string) string {
		t.Helper()
		res, text, err := cloud.Call(t.Context(), http.MethodPost, c.Keystone+"/v3/auth/tokens", nil, fmt.Sprintf(
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"id":"default"},"password":%q}}}%s}}`, user, password, scope))
		must(t, err)
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("logging in %s: %s\n%s", user, res.Status, text)
		}
		return res.Header.Get("X-Subject-Token")
	}
	project := func(name string) string {
		return `,"scope":{"project":{"name":"` + name + `","domain":{"id":"default"}}}`
	}
	d.tokens = map[string]string{
		"project":  logIn("alice", "wonderland", project("demo")),
		"unscoped": logIn("alice", "wonderland", ""),
		"domain":   logIn("alice", "wonderland", `,"scope":{"domain":{"id":"default"}}`),
		"admin":    admin.token,
		"service":  logIn("authproxy", c.ServicePassword, project("service")),
		"revoked":  logIn("alice", "wonderland", project("demo")),
	}
	for _, name := range slices.Sorted(maps.Keys(d.tokens)) {
		d.identity.real[opaque(name)] = d.tokens[name]
		d.tokens["opaque "+name] = opaque(name)
	}
	d.tokens["forged"] = forged(d.tokens["project"])
}

// start starts the application, bare and behind auth_token, and a proxy for each set of options.
func (d *differential) start(interpreter string) {
	t := d.t
	common := map[string]string{
		"auth_url": d.identity.URL, "auth_type": "password", "username": "authproxy", "password": d.c.ServicePassword,
		"user_domain_id": "default", "project_name": "service", "project_domain_id": "default", "interface": "public",
		"www_authenticate_uri": "http://identity.example.org:5000", "token_cache_time": "-1",
	}
	filters := map[string]map[string]string{}
	for _, o := range optionSets {
		filters[o.name] = maps.Clone(common)
		maps.Copy(filters[o.name], o.options)
	}
	config, err := json.Marshal(filters)
	must(t, err)
	cmd := exec.Command(interpreter, "-I", filepath.Join("testdata", "auth_token.py"))
	stdin, err := cmd.StdinPipe()
	must(t, err)
	ports, err := cmd.StdoutPipe()
	must(t, err)
	startProcess(t, cmd)
	_, err = stdin.Write(append(config, '\n'))
	must(t, err)
	var found map[string]int
	must(t, json.NewDecoder(ports).Decode(&found))

	d.authToken, d.authproxy = map[string]string{}, map[string]string{}
	for _, o := range optionSets {
		d.authToken[o.name] = fmt.Sprintf("http://127.0.0.1:%d", found[o.name])
		file := filepath.Join(t.TempDir(), "service.conf")
		var b strings.Builder
		b.WriteString("[keystone_authtoken]\nrevocation_cache_time = 1\n")
		for _, name := range slices.Sorted(maps.Keys(filters[o.name])) {
			fmt.Fprintf(&b, "%s = %s\n", name, filters[o.name][name])
		}
		must(t, os.WriteFile(file, []byte(b.String()), 0o600))
		d.authproxy[o.name] = startProxyProcess(t, append([]string{"--config-file", file, "--upstream", fmt.Sprintf("http://127.0.0.1:%d", found[""]),
			"--trusted-peers", "127.0.0.1"}, o.flags...)...).url
	}
}

// revokeOne revokes a token that was in use, and waits until all proxies know.
func (d *differential) revokeOne() {
	for _, o := range optionSets {
		for _, base := range []string{d.authToken[o.name], d.authproxy[o.name]} {
			if s := d.send(d.t, base, differentialRequest{headers: [][2]string{user("revoked")}}); s.status != http.StatusOK && !strings.HasPrefix(o.name, "bind ") {
				d.t.Fatalf("%s: status %d before the revocation", o.name, s.status)
			}
		}
	}
	must(d.t, d.c.Revoke(d.t.Context(), d.tokens["revoked"]))
	for _, o := range optionSets {
		if _, delayed := o.options["delay_auth_decision"]; delayed {
			continue // says 200; it started with the others
		}
		must(d.t, cloud.Until(d.t.Context(), func() (bool, error) {
			res, _, err := cloud.Call(d.t.Context(), http.MethodGet, d.authproxy[o.name], map[string]string{"X-Auth-Token": d.tokens["revoked"]}, "")
			return err == nil && res.StatusCode == http.StatusUnauthorized, err
		}))
	}
}

// seen is what came of a request.
type seen struct {
	status     int
	challenges []string
	body       string
	// upstream is what the application saw of identity and tokens; nil if the request did not get there.
	upstream map[string]string
}

func (d *differential) send(t *testing.T, base string, r differentialRequest) seen {
	t.Helper()
	method, path := r.method, r.path
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+"/v2/images"+path, nil)
	must(t, err)
	for _, h := range r.headers {
		value := h[1]
		for name, text := range d.tokens {
			value = strings.ReplaceAll(value, "{"+name+"}", text)
		}
		for name := range invented {
			value = strings.ReplaceAll(value, "{"+name+"}", opaque(name))
		}
		if strings.HasPrefix(strings.TrimSpace(value), "{") {
			t.Fatalf("%s: %q names no token", r.name, value)
		}
		req.Header[h[0]] = append(req.Header[h[0]], value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	s := seen{status: res.StatusCode, challenges: res.Header["Www-Authenticate"]}
	var environ map[string]string
	if json.Unmarshal(body, &environ) == nil && environ["HTTP_HOST"] != "" {
		s.upstream = map[string]string{}
		for name, value := range environ {
			if name, ok := strings.CutPrefix(name, "HTTP_"); ok && !passing[name] {
				value = strings.ReplaceAll(value, d.identity.URL, d.c.Keystone)
				for token, text := range d.tokens {
					value = strings.ReplaceAll(value, text, "{"+token+"}")
				}
				s.upstream[name] = oneForm(name, value)
			}
		}
	} else if res.StatusCode == http.StatusUnauthorized {
		s.body = string(body)
	}
	return s
}

// passing are the headers of HTTP itself, which a proxy changes.
var passing = map[string]bool{
	"HOST": true, "USER_AGENT": true, "ACCEPT_ENCODING": true, "CONNECTION": true, "CONTENT_LENGTH": true,
	"X_FORWARDED_FOR": true, "X_FORWARDED_HOST": true, "X_FORWARDED_PROTO": true,
}

// oneForm writes a catalog as Go writes JSON: order and blanks say nothing.
func oneForm(name, value string) string {
	var catalog any
	if name != "X_SERVICE_CATALOG" || json.Unmarshal([]byte(value), &catalog) != nil {
		return value
	}
	text, _ := json.Marshal(catalog)
	return string(text)
}

// compareAnswers says how two answers differ, "" for not at all. Of different statuses it tells no more, and where one side
// confirms an identity and the other does not, no more than that.
func compareAnswers(theirs, ours seen) string {
	if theirs.status != ours.status {
		return fmt.Sprintf("status %d, not %d", ours.status, theirs.status)
	}
	var found []string
	if !slices.Equal(theirs.challenges, ours.challenges) {
		found = append(found, fmt.Sprintf("WWW-Authenticate %q, not %q", ours.challenges, theirs.challenges))
	}
	if theirs.body != ours.body {
		found = append(found, fmt.Sprintf("body %q, not %q", ours.body, theirs.body))
	}
	if (theirs.upstream == nil) != (ours.upstream == nil) {
		found = append(found, fmt.Sprintf("reached the application: %t, not %t", ours.upstream != nil, theirs.upstream != nil))
	}
	names := maps.Clone(theirs.upstream)
	maps.Copy(names, ours.upstream)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		status := statusOf(name)
		if name != status && theirs.upstream[status] != ours.upstream[status] {
			if _, we := ours.upstream[name]; we && ours.upstream[status] != "Confirmed" {
				found = append(found, fmt.Sprintf("%s is told of nobody", name))
			}
			continue
		}
		theirs, they := theirs.upstream[name]
		ours, we := ours.upstream[name]
		switch {
		case they && !we:
			found = append(found, fmt.Sprintf("no %s, not %.20q", name, theirs))
		case we && !they:
			found = append(found, fmt.Sprintf("%s %.20q, not absent", name, ours))
		case ours != theirs:
			found = append(found, fmt.Sprintf("%s %.20q, not %.20q", name, ours, theirs))
		}
	}
	return strings.Join(found, "; ")
}

// statusOf is the header that says whether what another one tells is confirmed; "" for one that tells of no identity.
func statusOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_TOKEN"):
		return ""
	case name == "X_SERVICE_CATALOG" || name == "OPENSTACK_SYSTEM_SCOPE":
		return "X_IDENTITY_STATUS"
	case strings.HasPrefix(name, "X_SERVICE_"):
		return "X_SERVICE_IDENTITY_STATUS"
	}
	for _, prefix := range []string{"X_IDENTITY_", "X_USER", "X_PROJECT", "X_ROLE", "X_TENANT", "X_DOMAIN", "X_IS_ADMIN"} {
		if strings.HasPrefix(name, prefix) {
			return "X_IDENTITY_STATUS"
		}
	}
	return ""
}

// inventive is an Identity service that passes questions on to keystone-all, and answers those about invented tokens itself.
type inventive struct {
	*httptest.Server
	real map[string]string // opaque text → the token of keystone-all that it stands for
}

// opaque is the text of an invented token: 32 hexadecimal digits, as UUID tokens have.
func opaque(name string) string {
	sum := []byte("00000000000000000000000000000000")
	copy(sum, fmt.Sprintf("%x", name))
	return string(sum)
}

func newInventive(t *testing.T, c *cloud.Cloud) *inventive {
	backend, err := url.Parse(c.Keystone)
	must(t, err)
	i := &inventive{real: map[string]string{}}
	byText := map[string]inventedToken{}
	for name, token := range invented {
		if _, twice := byText[opaque(name)]; twice || len(name) > 16 {
			t.Fatalf("the name of %s makes no text of its own", name)
		}
		byText[opaque(name)] = token
	}
	relay := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(backend)
			pr.Out.Header.Del("Accept-Encoding")
			if text, ok := i.real[pr.In.Header.Get("X-Subject-Token")]; ok {
				pr.Out.Header.Set("X-Subject-Token", text)
			}
		},
		// auth_token looks for the Identity service in the catalog, and must find this one there.
		ModifyResponse: func(res *http.Response) error {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			body = bytes.ReplaceAll(body, []byte(c.Keystone), []byte(i.URL))
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			res.Header.Del("Content-Length")
			return nil
		},
	}
	relay.ErrorLog = log.New(io.Discard, "", 0) // proxies leave their long polls at the end
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := byText[r.Header.Get("X-Subject-Token")]
		if !ok || r.Method != http.MethodGet || r.URL.Path != "/v3/auth/tokens" {
			relay.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case token.status != 0:
			w.WriteHeader(token.status)
			fmt.Fprintf(w, `{"error":{"code":%d,"title":"x","message":"x"}}`, token.status)
		case token.expired && r.URL.Query().Get("allow_expired") != "1":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":404,"title":"Not Found","message":"x"}}`)
		case strings.Contains(token.body, `"access_rules"`) && r.Header.Get("OpenStack-Identity-Access-Rules") == "":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":404,"title":"Not Found","message":"x"}}`)
		default:
			w.Header().Set("X-Subject-Token", r.Header.Get("X-Subject-Token"))
			fmt.Fprint(w, token.text(r.URL.Query().Has("nocatalog")))
		}
	}))
	t.Cleanup(i.Close)
	return i
}

// inventedToken is what the Identity service says about a token.
type inventedToken struct {
	body    string // the members of "token" beside the times, or a whole v2.0 body
	catalog string // "" for none
	status  int    // instead of a body
	expired bool   // known only where expired tokens are asked for
}

func (i inventedToken) text(noCatalog bool) string {
	now := time.Now().UTC()
	expires := now.Add(time.Hour)
	if i.expired {
		expires = now.Add(-time.Hour)
	}
	const layout = "2006-01-02T15:04:05.000000Z"
	if strings.HasPrefix(i.body, `{"access"`) {
		return strings.ReplaceAll(i.body, "EXPIRES", expires.Format("2006-01-02T15:04:05Z"))
	}
	body := `{"token":{"methods":["password"],"expires_at":"` + expires.Format(layout) + `","issued_at":"` + now.Add(-2*time.Hour).Format(layout) + `",` + i.body
	if i.catalog != "" && !noCatalog {
		body += `,"catalog":` + i.catalog
	}
	return body + "}}"
}
