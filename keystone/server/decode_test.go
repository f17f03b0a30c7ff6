package server

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
)

func TestAuthRequestErrors(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                         "auth in request body",
		`[]`:                         "auth in request body",
		`{"auth": {}}`:               "auth in request body",
		`{"auth": 1}`:                "auth in request body",
		`{"AUTH": {"identity": {}}}`: "auth in request body",
		`{"auth": {"x": 1}}`:         "identity in auth",
		`{"auth": {"identity": []}}`: "identity in auth",
		`{"auth": {"identity": {}}}`: "methods in identity",
		`{"auth": {"identity": {"methods": []}}}`:                                                                                "methods in identity",
		`{"auth": {"identity": {"methods": "password"}}}`:                                                                        "methods in identity",
		`{"auth": {"identity": {"methods": ["token"]}}}`:                                                                         "token in identity",
		`{"auth": {"identity": {"methods": ["token"], "token": {}}}}`:                                                            "id in token",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": 1}}}}`:                                                     "id in token",
		`{"auth": {"identity": {"methods": ["token"], "token": "x"}}}`:                                                           "id in token",
		`{"auth": {"identity": {"methods": ["password"], "password": {}}}}`:                                                      "user in password",
		`{"auth": {"identity": {"methods": ["password"], "password": null}}}`:                                                    "user in password",
		`{"auth": {"identity": {"methods": ["password"], "password": {"user": {}}}}}`:                                            "id or name in user",
		`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "x"}}}}}`:                                 "domain in user",
		`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "x", "domain": {}}}}}}`:                   "id or name in domain",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {}}}`:                                      "project, domain, OS-TRUST:trust or unscoped in scope",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": null}}`:                                    "project, domain, OS-TRUST:trust or unscoped in scope",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"project": {}}}}`:                         "id or name in project",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"project": 1}}}`:                          "id or name in project",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"project": {"name": "p"}}}}`:              "domain in project",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"domain": {}}}}`:                          "id or name in domain",
		`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"domain": {"id": "d"}, "unscoped": {}}}}`: "project, domain, OS-TRUST:trust or unscoped in scope",
	} {
		o, err := decodeObject([]byte(body))
		if err != nil {
			t.Fatal(body, err)
		}
		_, err = authRequest(o, tokens.AllMethods)
		if e, ok := errors.AsType[fault.Invalid](err); !ok || !strings.HasPrefix(e.Message, "Expecting to find "+want+" -") {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
	o, err := decodeObject([]byte(`{"auth": {"identity": {"methods": ["token", "magic"], "token": {"id": "x"}, "magic": {}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = authRequest(o, tokens.AllMethods)
	if e, ok := errors.AsType[fault.UnsupportedMethod](err); !ok || !slices.Equal(e.Offered, tokens.AllMethods) {
		t.Errorf("unknown method: %v", err)
	}
}

// TestMethodsCountOnce: a method that is named many times is carried out once.
func TestMethodsCountOnce(t *testing.T) {
	o, err := decodeObject([]byte(`{"auth": {"identity": {"methods": ["password"` + strings.Repeat(`, "password"`, 1000) + `],
		"password": {"user": {"id": "u", "password": "p"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := authRequest(o, tokens.AllMethods); err != nil || len(r.Methods) != 1 {
		t.Errorf("%d methods, %v", len(r.Methods), err)
	}
}

func TestNUL(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":"\u0000"}`: true, `{"\u0000":1}`: true, `{"a":"\\\u0000"}`: true,
		`{"a":"\\u0000"}`: false, `{"a":"\\\\u0000"}`: false, `{"a":"\"u0000\u00001"}`: true, `{"a":"\u00010000"}`: false, `{"a":"\\"}`: false,
	} {
		o, err := decodeObject([]byte(text))
		if got := err != nil; got != want {
			t.Errorf("%s: refused %v, want %v: %q", text, got, want, o)
		}
	}
}

func FuzzAuthRequest(f *testing.F) {
	for _, seed := range []string{
		`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "u", "domain": {"id": "d"}, "password": "p"}}}, "scope": {"project": {"id": "x"}}}}`,
		`{"auth": {"identity": {"methods": ["password", "token"], "password": {"user": {"id": "u", "password": "p"}}, "token": {"id": "t"}}, "scope": {"unscoped": {}}}}`,
		`{"auth": {"identity": {"methods": ["token", "token"], "token": {"id": "t"}}, "scope": {"domain": {"name": "n"}}}}`,
		`[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]`, `{"a": "\\\"[[[["}`, `"\u0000"`, "\xff", `{"auth":1e999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := decodeObject(text)
		if err != nil {
			if err != error(errNotJSON) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatal("took what is no JSON")
		}
		r, err := authRequest(o, tokens.AllMethods)
		if err != nil {
			_, invalid := errors.AsType[fault.Invalid](err)
			_, unsupported := errors.AsType[fault.UnsupportedMethod](err)
			_, missing := errors.AsType[fault.NotImplemented](err)
			if !invalid && !unsupported && !missing {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		// A request that is taken names at least one method, and all that its methods and its scope need.
		if len(r.Methods) == 0 || slices.Contains(r.Methods, "password") != (r.Password != nil) {
			t.Fatalf("request %+v", r)
		}
		if r.Password != nil && !complete(r.Password.User, true) ||
			r.Scope.Kind == tokens.ScopeProject && !complete(r.Scope.Ref, true) ||
			r.Scope.Kind == tokens.ScopeDomain && !complete(r.Scope.Ref, false) {
			t.Fatalf("request %+v", r)
		}
	})
}

// complete says that a reference names something.
func complete(r tokens.Ref, owned bool) bool {
	return r.ID != "" || r.Name != "" && (!owned || r.Domain != nil && complete(*r.Domain, false))
}
