package main

import (
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keystone-manage": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

// TestOwner: as root the files are given to the server's user and group, the directories made for them as well; and a rotation
// keeps to that.
func TestOwner(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("only root can give files away, and there has to be a user nobody")
	}
	uid, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "keystone.conf")
	text := "[signing]\ncertfile = " + dir + "/ssl/certs/signing_cert.pem\nkeyfile = " + dir + "/ssl/private/signing_key.pem\nca_certs = " + dir + "/ssl/certs/ca.pem\nca_key = " + dir + "/ssl/private/cakey.pem\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	owners := func() {
		t.Helper()
		seen := 0
		err := filepath.WalkDir(filepath.Join(dir, "ssl"), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			seen++
			info, err := d.Info()
			if err != nil {
				return err
			}
			if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != gid {
				t.Errorf("%s belongs to %d:%d, want %d:%d", path, st.Uid, st.Gid, uid, gid)
			}
			return nil
		})
		if err != nil || seen < 7 {
			t.Errorf("%d files, %v", seen, err)
		}
	}
	for _, args := range [][]string{
		{"pki_setup", "--key-type", "ecdsa", "--keystone-user", "nobody", "--keystone-group", group.Name},
		{"signing_rotate", "prepare"}, {"signing_rotate", "publish"}, {"signing_rotate", "switch", "--wait", "0s"}, {"signing_rotate", "rollback"},
		{"csr", "--key", filepath.Join(dir, "ssl", "private", "other.pem"), "--keystone-user", "nobody", "--keystone-group", group.Name},
	} {
		if err := run(t.Context(), append([]string{"keystone-manage", "--config-file", conf}, args...), io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
		owners()
	}
}
