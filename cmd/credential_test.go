package cmd

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/credential/fernet"
)

// TestCredentialKeys: Debian's Keystone reads credentials that keystone-all encrypted, and the other way round, with one repository
// of keys that both rotate.
func TestCredentialKeys(t *testing.T) {
	interpreter := python(t, "keystone.credential.providers.fernet.core")
	r := fernet.Repository{Dir: filepath.Join(t.TempDir(), "keys")}
	keystone := func(lines ...string) []string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), interpreter, "-I", filepath.Join("testdata", "credential_keys.py"), r.Dir)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	}
	const text = `{"access": "a", "secret": "ü"}`
	check := func(what string) {
		t.Helper()
		ring, err := r.Load()
		must(t, err)
		token, hash := ring.Seal(text, time.Now())
		said := keystone("decrypt "+token, "encrypt "+text)
		if len(said) != 2 || said[0] != text {
			t.Fatalf("%s: Keystone says %q", what, said)
		}
		theirs, theirHash, _ := strings.Cut(said[1], " ")
		if got, err := ring.Open(theirs); err != nil || got != text || theirHash != hash {
			t.Errorf("%s: got %q, %v; hash %s, ours %s", what, got, err, theirHash, hash)
		}
	}
	must(t, r.Setup())
	check("our keys")
	must(t, r.Rotate())
	check("after our rotation")
	keystone("rotate")
	check("after Keystone's rotation")
	must(t, r.Rotate())
	check("after another one of ours")
	r.Dir += "-of-keystone"
	keystone("setup")
	check("Keystone's keys")
}
