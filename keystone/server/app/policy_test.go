package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/keystone/server/policy"
)

func TestFindPolicy(t *testing.T) {
	home, beside := t.TempDir(), t.TempDir()
	conf := filepath.Join(beside, "keystone.conf")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	find := func(lines string) *Settings {
		t.Helper()
		write(conf, "[DEFAULT]\n"+lines+"\n")
		s, err := Load([]string{conf}, nil, func(name string) string { return map[string]string{"HOME": home}[name] })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := func(s *Settings, file string, dirs ...string) {
		t.Helper()
		if s.PolicyFile != file || strings.Join(s.PolicyDirs, " ") != strings.Join(dirs, " ") {
			t.Errorf("got %q and %q, want %q and %q", s.PolicyFile, s.PolicyDirs, file, dirs)
		}
	}
	write(filepath.Join(home, "policy.json"), `{}`)
	write(filepath.Join(home, ".keystone", "mine.json"), `{}`)
	want(find(""), "") // not that of the home directory, which nobody named
	want(find("policy_file = mine.json"), filepath.Join(home, ".keystone", "mine.json"))
	write(filepath.Join(beside, "mine.json"), `{}`)
	want(find("policy_file = mine.json"), filepath.Join(beside, "mine.json"))
	want(find("policy_file = /else/where.json\npolicy_dirs = /a, b"), "/else/where.json", "/a", filepath.Join(beside, "b"))
	want(find("policy_file = none.json"), filepath.Join(beside, "none.json"))
	write(filepath.Join(beside, "policy.json"), `{"identity:list_users": "@"}`)
	write(filepath.Join(beside, "policy.d", "a.json"), `{}`)
	s := find("")
	want(s, filepath.Join(beside, "policy.json"), filepath.Join(beside, "policy.d"))

	parts := s.Build(nil, Options{})
	check := func() error {
		return parts.Server.Policy.Rule("identity:list_users").Check(t.Context(), policy.Credentials{}, nil)
	}
	if check() == nil {
		t.Error("allows before the file is loaded")
	}
	if err := parts.Policy.Load(); err != nil || check() != nil {
		t.Errorf("the file beside the configuration does not count: %v, %v", err, check())
	}
	if err := find("policy_file = none.json").Build(nil, Options{}).Policy.Load(); err == nil || !strings.Contains(err.Error(), "[DEFAULT] policy_file: stat "+beside+"/none.json: no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestPolicyRemoteChecks(t *testing.T) {
	for rule, kinds := range map[string]string{"https://h/x": "https insecure_http", "http://h/x": "insecure_http", "role:a": "off https insecure_http"} {
		for _, kind := range []string{"off", "https", "insecure_http"} {
			path := filepath.Join(t.TempDir(), "p.json")
			if err := os.WriteFile(path, []byte(`{"x": "`+rule+`"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := load(t, "[DEFAULT]", "policy_remote_checks = "+kind, "policy_file = "+path)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Build(nil, Options{}).Policy.Load()
			if good := strings.Contains(kinds, kind); good != (err == nil) || err != nil && !strings.Contains(err.Error(), `p.json: rule "x": `) {
				t.Errorf("%s with %s: %v", rule, kind, err)
			}
		}
	}
}
