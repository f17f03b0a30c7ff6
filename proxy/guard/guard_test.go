package guard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	const good, other = "0123456789abcdef01234567", "fedcba987654321001234567"
	path := filepath.Join(t.TempDir(), "secrets")
	f := &File{Path: path}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n\n "+good+" \r\n"+other, 0o640)
	if err := f.Load(); err != nil || f.Secret() != good {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{other, 0o644, "chmod 640"},
		{other, 0o602, "chmod 640"},
		{"", 0o600, "holds no secret"},
		{"# " + other, 0o600, "holds no secret"},
		{other[:23], 0o600, "line 1: the secret has less than 24 characters"},
		{other + "\nshort", 0o600, "line 2: the secret has less"},
		{other[:23] + "\x00x", 0o600, "must be ASCII"},
		{other + "\u00e9", 0o600, "must be ASCII"},
		{other + "," + good, 0o600, "must be ASCII"},
		{other + " " + good, 0o600, "must be ASCII"},
	} {
		write(tt.text, tt.mode)
		err := f.Load()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want an error with %q", tt.text, err, tt.want)
		} else if strings.Contains(err.Error(), other[:23]) {
			t.Errorf("a secret is shown: %v", err)
		}
		if f.Secret() != good {
			t.Fatal("the last good one did not stay")
		}
	}
}

func TestParseHeader(t *testing.T) {
	for text, want := range map[string]string{"x-authproxy-guard": "X-Authproxy-Guard", "X-From-Front": "X-From-Front"} {
		if name, err := ParseHeader(text); err != nil || name != want {
			t.Errorf("%s: %s %v", text, name, err)
		}
	}
	for _, text := range []string{"", "X-Roles", "X-User-Id", "X-Identity-Status", "Openstack-System-Scope", "X-Service-Foo", "X-Auth-Token", "Authorization", "X_Guard", "X-Forwarded-For", "Host"} {
		if name, err := ParseHeader(text); err == nil {
			t.Errorf("%q became %s", text, name)
		}
	}
}
