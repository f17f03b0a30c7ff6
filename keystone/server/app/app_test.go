package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

func noEnv(string) string { return "" }

func load(t *testing.T, lines ...string) (*Settings, error) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "keystone.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load([]string{conf}, nil, noEnv)
}

func TestLoadErrors(t *testing.T) {
	for lines, want := range map[string]string{
		"[identity]\ndefault_domain_id = elsewhere":  "the default domain's id is always default",
		"[DEFAULT]\nadmin_token = ADMIN":             "ADMIN",
		"[token]\nprovider = fernet":                 "fernet",
		"[DEFAULT]\npublic_port = 1\nadmin_port = 1": "both listeners",
	} {
		if _, err := load(t, lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", lines, err, want)
		}
	}
	s, err := load(t, "[auth]", "methods = external,password")
	if err != nil || len(s.Warnings()) != 1 || !strings.Contains(s.Warnings()[0].Text, "external lets nobody in") {
		t.Errorf("warnings %v, %v", s.Warnings(), err)
	}
}

func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ home, xdg, want string }{
		"home":         {dir, "", filepath.Join(dir, ".local/state/authproxy")},
		"xdg":          {dir, filepath.Join(dir, "x"), filepath.Join(dir, "x/authproxy")},
		"relative xdg": {dir, "x", filepath.Join(dir, ".local/state/authproxy")},
		"neither":      {"", "", ""},
	} {
		got, err := stateDir(test.home, test.xdg)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestCheckKeys(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(in(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(provider string, now time.Time) error {
		t.Helper()
		s, err := load(t, "[token]", "provider = "+provider, "[signing]", "certfile = "+in("cert"), "keyfile = "+in("key"), "ca_certs = "+in("ca"))
		if err != nil {
			t.Fatal(err)
		}
		return s.CheckKeys(s.Build(nil, Options{Now: func() time.Time { return now }}).Keys)
	}
	now := time.Now()
	want := func(err error, text string) {
		t.Helper()
		if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	want(check("uuid", now), "")
	want(check("pki", now), "run keystone-manage pki_setup")
	ca := certstest.New(t)
	signer := ca.Issue(t, certstest.ECDSAP256, certstest.Valid(now.Add(-48*time.Hour).Truncate(time.Second), now.Add(24*time.Hour).Truncate(time.Second)))
	write("cert", signer.CertPEM)
	want(check("pki", now), "key")
	write("key", []byte("not a key"))
	want(check("pki", now), "signing key")
	write("key", ca.Issue(t, certstest.ECDSAP256).KeyPEM)
	want(check("pki", now), "no certificate in "+in("cert")+" goes with the key")
	write("key", signer.KeyPEM)
	want(check("pkiz", now), "[signing] ca_certs")
	write("ca", ca.CertPEM())
	want(check("pki", now), "")
	want(check("pki", now.Add(48*time.Hour)), "expired on")
	write("ca", append(ca.CertPEM(), signer.KeyPEM...))
	want(check("pki", now), "holds a private key")
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	s, err := load(t, "[DEFAULT]", "log_dir = "+dir, "log_file = keystone.log")
	if err != nil {
		t.Fatal(err)
	}
	log, closer, err := s.NewLog(nil, "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hello")
	log.Debug("not asked for")
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "keystone.log")); err != nil || !strings.Contains(string(text), `"msg":"hello"`) || strings.Contains(string(text), "not asked") {
		t.Errorf("log %s, %v", text, err)
	}
	if _, _, err := s.NewLog(nil, "xml"); err == nil {
		t.Error("format xml was taken")
	}
}
