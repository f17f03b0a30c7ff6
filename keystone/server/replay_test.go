package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/token"
)

const golden = "../../../shared/golden/kilo-pki.jsonl"

// exchange is one line of the recording.
type exchange struct {
	Name    string
	Request struct {
		Method  string
		URL     string
		Headers map[string]string
		Body    any
	}
	Status  int
	Headers map[string]string
	Body    any
}

// outOfReach are the exchanges about what the server does not have, by a pattern of their names.
var outOfReach = []struct{ pattern, why string }{
	{`^json home`, "what is not there is not in it; TestHome compares the rest"},
	{`^saml`, "assertions for other clouds are not made"},
}

// explained are the differences to Kilo that stay, each with the status that is answered instead (0: the same) and whether the
// body differs.
var explained = map[string]struct {
	status int
	body   bool
	why    string
}{
	"policy create blob obj": {0, true, "the wrong value is not written as Python prints it"},
	"extensions v2 main":     {0, true, "extensions that are not there are not listed"},
	"extensions v2 admin":    {0, true, "extensions that are not there are not listed"},
	"v2 own password":        {0, true, "the tenant of the new token is as in any other, without domain_id and parent_id"},
	"ec2tokens bad":          {401, true, "only services and administrators may ask (CVE-2025-65073)"},
	"assignments create":     {404, true, "there is nothing to create: Kilo fails, later releases say 404"},
}

// TestReplay sends the recorded requests of a real Keystone and compares what comes back: status, media type, the headers
// that clients act on, the names of all members, and error messages.
func TestReplay(t *testing.T) {
	f, err := os.Open(golden)
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatal(err)
		}
		t.Skipf("the recording is not here: %v", err)
	}
	defer f.Close()
	r := newReplay(t)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	compared, seen := 0, map[string]bool{}
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		seen[e.Name] = true
		if slices.ContainsFunc(outOfReach, func(o struct{ pattern, why string }) bool {
			return regexp.MustCompile(o.pattern).MatchString(e.Name)
		}) && !strings.HasPrefix(e.Name, "v2 cert") {
			continue
		}
		compared++
		r.play(t, &e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for name := range explained {
		if !seen[name] {
			t.Errorf("explained, but not in the recording: %s", name)
		}
	}
	if compared < 140 {
		t.Errorf("only %d of %d exchanges were compared", compared, len(seen))
	}
	t.Logf("%d of %d exchanges compared", compared, len(seen))
}

// replay is a backend like the recorded one, and what its ids and tokens correspond to.
type replay struct {
	c      *cloud
	ids    map[string]string // of the recording, to ours
	tokens map[string]string
	hashed string // our token that the recording names by its hash
}

func newReplay(t *testing.T) *replay {
	c := newCloud(t, "pki", "[os_inherit]", "enabled = true", "[auth]", "methods = external,password,token")
	c.parts.Server.AdminToken = "a-long-admin-token"
	admin := c.adminToken()
	me := c.do("GET", "/v3/auth/tokens", admin, nil, "X-Subject-Token", admin).want(200)
	userID, projectID := me.str("token", "user", "id"), me.str("token", "project", "id")
	c.do("PATCH", "/v3/users/"+userID, admin, obj{"user": obj{"default_project_id": projectID}}).want(200)
	roleID := me.at("token", "roles").([]any)[0].(obj)["id"].(string)
	c.do("PUT", "/v3/domains/default/users/"+userID+"/roles/"+roleID, admin, nil).want(204)
	for _, name := range []string{"compute", "suite-v3"} {
		id := c.do("POST", "/v3/services", admin, obj{"service": obj{"type": name, "name": name}}).want(201).str("service", "id")
		c.do("POST", "/v3/endpoints", admin, obj{"endpoint": obj{"service_id": id, "interface": "public", "url": "http://h/", "region_id": "RegionOne"}}).want(201)
	}
	// The recorded Keystone was not empty: an earlier run had made this project.
	c.do("POST", "/v3/projects", admin, obj{"project": obj{"name": "nodom"}}).want(201)
	if assignment.DefaultDomainID != "default" {
		t.Fatal("the recording's default domain has the id default")
	}
	return &replay{c: c, ids: map[string]string{}, tokens: map[string]string{"ADMIN": "a-long-admin-token"}}
}

var hexID = regexp.MustCompile(`[0-9a-f]{32}`)

// oursInPath puts our token in the place of one that a path of v2.0 names, by its text or by its hash.
func (r *replay) oursInPath(t *testing.T, path string) string {
	t.Helper()
	before, text, ok := strings.Cut(path, "/v2.0/tokens/")
	if !ok {
		return r.ours(path)
	}
	end := strings.IndexAny(text, "/?")
	if end < 0 {
		end = len(text)
	}
	text, after := text[:end], text[end:]
	if hexID.MatchString(text) && len(text) == 32 { // of the token of "v2 auth"
		hash, err := token.ID(r.hashed, "md5")
		if err != nil {
			t.Fatal(err)
		}
		text = hash
	}
	for recorded, mapped := range r.tokens {
		if beginning, _, cut := strings.Cut(recorded, "..."); cut && strings.HasPrefix(text, beginning) {
			text = mapped
		}
	}
	return before + "/v2.0/tokens/" + text + after
}

// ours puts our ids in the place of the recorded ones.
func (r *replay) ours(text string) string {
	return hexID.ReplaceAllStringFunc(text, func(id string) string {
		if mapped, ok := r.ids[id]; ok {
			return mapped
		}
		return id
	})
}

// named is a recorded body with our ids in the place of those in it: some are names of members.
func (r *replay) named(t *testing.T, recorded map[string]any) (ours map[string]any) {
	t.Helper()
	text, err := json.Marshal(recorded)
	if err == nil {
		err = json.Unmarshal([]byte(r.ours(string(text))), &ours)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ours
}

func (r *replay) play(t *testing.T, e *exchange) {
	t.Helper()
	u, err := url.Parse(e.Request.URL)
	if err != nil {
		t.Fatal(err)
	}
	base := r.c.public.URL
	if u.Port() == "15021" {
		base = r.c.admin.URL
	}
	var headers []string
	for name, value := range e.Request.Headers {
		if mapped, ok := r.tokens[value]; ok {
			value = mapped
		}
		headers = append(headers, name, value)
	}
	var body any
	if e.Request.Body != nil {
		text, isText := e.Request.Body.(string)
		if !isText {
			encoded, err := json.Marshal(e.Request.Body)
			if err != nil {
				t.Fatal(err)
			}
			for recorded, mapped := range r.tokens {
				quoted, _ := json.Marshal(recorded)
				encoded = []byte(strings.ReplaceAll(string(encoded), string(quoted), fmt.Sprintf("%q", mapped)))
			}
			text = r.ours(string(encoded))
		}
		body = text
	}
	a := send(t, base, e.Request.Method, r.oursInPath(t, u.RequestURI()), "", body, headers...)
	if recorded, ok := e.Headers["X-Subject-Token"]; ok && a.token() != "" {
		r.tokens[recorded] = a.token()
	}
	if recorded, ok := at(e.Body, "access", "token", "id").(string); ok && a.status == 200 {
		r.tokens[recorded] = a.str("access", "token", "id")
		if e.Name == "v2 auth" {
			r.hashed = r.tokens[recorded]
		}
	}
	r.learn(e.Body, any(a.body))

	known, isKnown := explained[e.Name]
	want := e.Status
	if known.status != 0 {
		want = known.status
	}
	if a.status != want {
		t.Errorf("%s: %s %s: status %d, want %d\n%s", e.Name, e.Request.Method, u.RequestURI(), a.status, want, a.text)
		return
	}
	if isKnown && known.body {
		return
	}
	r.compareHeaders(t, e, a)
	recorded, isObject := e.Body.(map[string]any)
	switch {
	case isObject:
		for _, difference := range compare("", r.named(t, recorded), a.body) {
			t.Errorf("%s: %s", e.Name, difference)
		}
		if m := recorded["error"]; m != nil {
			want, got := fmt.Sprint(m.(map[string]any)["message"]), fmt.Sprint(a.at("error", "message"))
			if hexID.ReplaceAllString(want, "ID") != hexID.ReplaceAllString(got, "ID") {
				t.Errorf("%s: message %q, want %q", e.Name, got, want)
			}
		}
	case strings.Contains(e.Name, "cert") && !strings.Contains(a.text, "-----BEGIN CERTIFICATE-----"):
		t.Errorf("%s: no certificate in %q", e.Name, a.text)
	case e.Body == "" && a.text != "":
		t.Errorf("%s: body %q, want none", e.Name, a.text)
	}
}

func (r *replay) compareHeaders(t *testing.T, e *exchange, a *answer) {
	t.Helper()
	media := func(text string) string {
		kind, _, _ := mime.ParseMediaType(text)
		return kind
	}
	if want, got := media(e.Headers["Content-Type"]), media(a.header.Get("Content-Type")); want != got && a.text != "" {
		t.Errorf("%s: content type %q, want %q", e.Name, got, want)
	}
	for _, name := range []string{"WWW-Authenticate", "X-Subject-Token", "Vary"} {
		_, want := e.Headers[name]
		if got := a.header.Get(name) != ""; got != want {
			t.Errorf("%s: header %s is there: %v, want %v", e.Name, name, got, want)
		}
	}
	if !strings.HasPrefix(a.header.Get("X-Openstack-Request-Id"), "req-") {
		t.Errorf("%s: no request id", e.Name)
	}
}

// learn notes which of our ids stand where recorded ones do.
func (r *replay) learn(recorded, ours any) {
	switch recorded := recorded.(type) {
	case string:
		if mapped, ok := ours.(string); ok && hexID.MatchString(recorded) && len(recorded) == 32 && r.ids[recorded] == "" {
			r.ids[recorded] = mapped
		}
	case map[string]any:
		if m, ok := ours.(map[string]any); ok {
			for name, v := range recorded {
				if name != "links" {
					r.learn(v, m[name])
				}
			}
		}
	}
}

// compare lists where two values differ in their names and types of members. In lists, what all recorded elements have must be
// in each of ours.
func compare(path string, recorded, ours any) (differences []string) {
	switch recorded := recorded.(type) {
	case map[string]any:
		m, ok := ours.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v, want an object", path, ours)}
		}
		for _, name := range slices.Sorted(maps.Keys(recorded)) {
			v, there := m[name]
			if !there {
				differences = append(differences, fmt.Sprintf("%s.%s is missing", path, name))
				continue
			}
			differences = append(differences, compare(path+"."+name, recorded[name], v)...)
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if _, there := recorded[name]; !there {
				differences = append(differences, fmt.Sprintf("%s.%s is more than was recorded", path, name))
			}
		}
	case []any:
		list, ok := ours.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v, want a list", path, ours)}
		}
		if (len(list) == 0) != (len(recorded) == 0) {
			return []string{fmt.Sprintf("%s: %d elements, want %d", path, len(list), len(recorded))}
		}
		common := map[string]int{}
		for _, v := range recorded {
			m, _ := v.(map[string]any)
			for name := range m {
				common[name]++
			}
		}
		for i, v := range list {
			m, _ := v.(map[string]any)
			for name, n := range common {
				if _, there := m[name]; !there && n == len(recorded) {
					differences = append(differences, fmt.Sprintf("%s[%d].%s is missing", path, i, name))
				}
			}
		}
	default:
		if fmt.Sprintf("%T", recorded) != fmt.Sprintf("%T", ours) {
			return []string{fmt.Sprintf("%s: %v, want something like %v", path, ours, recorded)}
		}
		if b, isBool := recorded.(bool); isBool && b != ours {
			return []string{fmt.Sprintf("%s: %v, want %v", path, ours, recorded)}
		}
	}
	return differences
}
