package policy

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authproxy/keystone/server/fault"
)

func TestRemote(t *testing.T) {
	var path, body string
	status, answer := 200, "True"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed")
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		path, body = r.URL.EscapedPath()+"?"+r.URL.RawQuery, r.PostForm.Get("rule")+" "+r.PostForm.Get("target")
		var caller map[string][]string
		if err := json.Unmarshal([]byte(r.PostForm.Get("credentials")), &caller); err != nil || caller["user_id"][0] != "u" || len(caller["roles"]) != 2 || caller["domain_id"] != nil {
			t.Errorf("credentials %v, %v", r.PostForm.Get("credentials"), err)
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		w.Write([]byte(answer))
	}))
	defer server.Close()
	remote := Remote{HTTPS: true, Client: server.Client()}
	rules, err := Compile([]File{{"f", []byte(`{"x": "` + server.URL + `/a/%(id)s/b?q=%(id)s", "not": "not rule:x", "or": "rule:x or role:member", "none": "` + server.URL + `/%(none)s"}`)}}, Options{Remote: remote})
	if err != nil {
		t.Fatal(err)
	}
	if !rules.Rule("not").Needs("target.") {
		t.Error("a server is not given the whole target")
	}
	target := Target{"id": "1/2&3 ü"}
	for _, test := range []struct {
		status             int
		answer             string
		x, not, or, reason bool
	}{
		{200, "True", true, false, true, false},
		{200, "True\n", true, false, true, false},
		{200, "False", false, true, true, false},
		{200, "true", false, true, true, false},
		{200, "Trueish", false, true, true, false},
		{200, "", false, true, true, false},
		{500, "True", false, false, true, true},
		{204, "", false, false, true, true},
		{302, "True", false, false, true, true},
	} {
		status, answer = test.status, test.answer
		for action, want := range map[string]bool{"x": test.x, "not": test.not, "or": test.or} {
			if got := allowed(t, rules.Rule(action), someone(), target); got != want {
				t.Errorf("%d %q: %s is %v", test.status, test.answer, action, got)
			}
		}
		err := rules.Rule("x").Check(t.Context(), someone(), target)
		if test.reason != (errors.Is(err, ErrRemote) && strings.Contains(err.Error(), "https:")) {
			t.Errorf("%d %q: error %v", test.status, test.answer, err)
		}
		if _, ok := errors.AsType[fault.Forbidden](err); err != nil && !ok {
			t.Errorf("%v is not Forbidden", err)
		}
	}
	if path != "/a/1%2F2%263%20%C3%BC/b?q=1%2F2%263%20%C3%BC" || body != `x {"id":"1/2\u00263 ü"}` {
		t.Errorf("asked %s with %s", path, body)
	}
	for _, id := range []string{".", ".."} {
		if allowed(t, rules.Rule("not"), someone(), Target{"id": id}) {
			t.Errorf("id %q went into a path", id)
		}
	}
	if allowed(t, rules.Rule("none"), someone(), target) {
		t.Error("a URL without its attribute allows")
	}
	server.Close()
	if allowed(t, rules.Rule("x"), someone(), target) || allowed(t, rules.Rule("not"), someone(), target) {
		t.Error("a server that is not there allows")
	}
}

func TestRemoteURLs(t *testing.T) {
	for rule, want := range map[string]struct{ off, https, http bool }{
		"https://h/x":       {false, true, true},
		"http://h/x":        {false, false, true},
		"https://h:1/%(a)s": {false, true, true},
		"https://%(a)s/x":   {},
		"https://h%(a)s/x":  {},
		"https://u:p@h/x":   {},
		"https:h/x":         {},
		"https:///x":        {},
		"https://h/%(a)d":   {},
		"http://h:port/x":   {},
	} {
		for remote, want := range map[Remote]bool{{}: want.off, {HTTPS: true}: want.https, {InsecureHTTP: true}: want.http} {
			if _, err := parseText(rule, remote); (err == nil) != want {
				t.Errorf("%s with %+v: %v", rule, remote, err)
			}
		}
	}
}
