package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/keystone/server/app"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/credential/fernet"
)

// stored is a credential as it is in the database.
func (c *cloud) stored(id string) credential.Credential {
	c.t.Helper()
	v, err := c.db.Credential(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

func TestCredentialEncryption(t *testing.T) {
	t.Parallel()
	keys := fernet.Repository{Dir: filepath.Join(t.TempDir(), "keys")}
	c := newTrusting(t, "uuid", "[credential]", "key_repository = "+keys.Dir)
	manager := c.parts.Server.Credentials
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	body := obj{"credential": obj{"type": "cert", "user_id": c.alice, "blob": "very secret"}}
	c.do("POST", "/v3/credentials", c.admin, body).want(500) // before there are keys
	if err := c.settings.CheckCredentialKeys(); err == nil || !strings.Contains(err.Error(), "credential_setup") {
		t.Error(err)
	}
	check(keys.Setup())
	check(c.settings.CheckCredentialKeys())

	plain := credential.Credential{ID: "plain", UserID: c.alice, Type: "cert", Blob: "from before"}
	check(c.db.AddCredential(t.Context(), plain))
	id := c.do("POST", "/v3/credentials", c.admin, body).want(201).str("credential", "id")
	access, secret := c.ec2Key()
	blob := func(id, want string) {
		t.Helper()
		if got := c.do("GET", "/v3/credentials/"+id, c.admin, nil).want(200).str("credential", "blob"); got != want {
			t.Errorf("%s: got %q", id, got)
		}
	}
	encrypted := func(id, text string) {
		t.Helper()
		ring, err := keys.Load()
		check(err)
		if v := c.stored(id); v.KeyHash != ring[0].Hash() || strings.Contains(v.Blob, text) {
			t.Errorf("stored %+v", v)
		}
	}
	blob(id, "very secret")
	blob("plain", "from before")
	encrypted(id, "secret")
	encrypted(credential.EC2ID(access), secret)
	if c.stored("plain").KeyHash != "" {
		t.Error("what was there is encrypted by reading it")
	}
	list := c.do("GET", "/v3/credentials", c.admin, nil).want(200)
	if !strings.Contains(list.text, "very secret") || !strings.Contains(list.text, "from before") || strings.Contains(list.text, "hash") {
		t.Error(list.text)
	}
	service := c.login("authproxy", servicePassword, onProject("service")).token()
	signed := func() {
		t.Helper()
		c.do("POST", "/v3/ec2tokens", service, signEC2(access, secret, c.clock.Now())).want(200)
	}
	signed()
	if a := c.do("PATCH", "/v3/credentials/"+id, c.admin, obj{"credential": obj{"blob": "another secret"}}).want(200); a.str("credential", "blob") != "another secret" {
		t.Error(a.text)
	}
	encrypted(id, "secret")
	blob(id, "another secret")

	left := func(want int) {
		t.Helper()
		if n, err := manager.Left(t.Context()); n != want || err != nil {
			t.Errorf("%d left, %v, want %d", n, err, want)
		}
	}
	left(1)
	for _, want := range []int{1, 3, 3, 3} { // the server follows, and keys that are gone are not missed
		if n, err := manager.Encrypt(t.Context()); n != want || err != nil {
			t.Errorf("%d encrypted, %v, want %d", n, err, want)
		}
		left(0)
		encrypted("plain", "before")
		blob("plain", "from before")
		blob(id, "another secret")
		signed()
		check(keys.Rotate())
		left(3)
		blob(id, "another secret")
		signed()
	}

	// Without its key nothing is shown, and nothing is overwritten.
	for _, number := range []string{"0", "4", "5"} {
		check(os.WriteFile(filepath.Join(keys.Dir, number), []byte(fernet.NewKey().String()), 0o600))
	}
	before := c.stored(id)
	c.do("GET", "/v3/credentials/"+id, c.admin, nil).want(500)
	c.do("PATCH", "/v3/credentials/"+id, c.admin, obj{"credential": obj{"type": "x"}}).want(500)
	c.do("POST", "/v3/ec2tokens", service, signEC2(access, secret, c.clock.Now())).want(500)
	if _, err := manager.Encrypt(t.Context()); err == nil {
		t.Error("encrypted what cannot be read")
	}
	if after := c.stored(id); after.Blob != before.Blob || after.KeyHash != before.KeyHash {
		t.Errorf("stored %+v", after)
	}
	c.settings.Credential.KeyRepository = ""
	unconfigured := c.settings.Build(c.db, app.Options{Now: c.clock.Now, Hashing: cheap}).Server.Credentials
	if v, err := unconfigured.Credential(t.Context(), id); err == nil || !strings.Contains(err.Error(), "key_repository") {
		t.Errorf("without a repository: %+v, %v", v, err)
	}
	log := c.log.String()
	for _, text := range []string{"very secret", "another secret", "from before", secret, before.Blob} {
		if strings.Contains(log, text) {
			t.Errorf("%s is in the log", text)
		}
	}
}
