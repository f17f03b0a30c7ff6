package certs_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
)

// keeper is a store with a Dir, and what its source gives.
func keeper(t *testing.T, dir string, ca []byte, signing ...[]byte) (*certs.Store, *fakeSource, *events) {
	t.Helper()
	src, metrics := &fakeSource{}, &events{}
	src.give(ca, signing...)
	return &certs.Store{Source: src, Dir: dir, AllowFetchedCA: true, Metrics: metrics}, src, metrics
}

func mustLoad(t *testing.T, s *certs.Store) {
	t.Helper()
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDirKeepsOverRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "signing")
	ca := certstest.New(t)
	s := ca.Issue(t, certstest.ECDSAP256)
	store, _, _ := keeper(t, dir, ca.CertPEM(), s.CertPEM)
	mustLoad(t, store)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(names) != 2 || len(hidden) != 0 {
		t.Errorf("files %v %v", names, hidden)
	}

	for _, why := range []error{errDown, certs.ErrNoPKI} {
		again, src, _ := keeper(t, dir, nil)
		src.fail(why)
		again.AllowFetchedCA = false // what is kept needs no trust in the connection
		if err := again.Load(t.Context()); err != nil {
			t.Fatalf("restart, %v: %v", why, err)
		}
		if _, err := again.Current().Verify(signed(t, s), time.Now()); err != nil {
			t.Errorf("restart, %v: %v", why, err)
		}
		st := again.Status()
		if st.LastError == "" || !st.LastSuccess.IsZero() || st.NoPKI != errors.Is(why, certs.ErrNoPKI) {
			t.Errorf("restart, %v: status %+v", why, st)
		}
	}
}

func TestKeptCANeedsNoTrustInTheConnection(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := certstest.New(t)
	a, b := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
	first, _, _ := keeper(t, dir, ca.CertPEM(), a.CertPEM)
	mustLoad(t, first)
	again, _, _ := keeper(t, dir, ca.CertPEM(), b.CertPEM)
	again.AllowFetchedCA = false
	mustLoad(t, again)
	if _, err := again.Current().Verify(signed(t, b), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestFailureDoesNotGoBackToWhatIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := certstest.New(t)
	a, b := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
	store, src, _ := keeper(t, dir, ca.CertPEM(), b.CertPEM)
	mustLoad(t, store)
	good := store.Current()
	writeFile(t, filepath.Join(dir, "signing_cert.pem"), a.CertPEM)
	src.fail(errDown)
	mustLoad(t, store)
	if store.Current() != good {
		t.Error("the bundle in use was replaced by the one on disk")
	}
}

func TestDirIsCheckedAgainAtStart(t *testing.T) {
	t.Parallel()
	ca, stranger := certstest.New(t), certstest.New(t, certstest.Subject("Stranger"))
	s := ca.Issue(t, certstest.ECDSAP256)
	for _, tt := range []struct {
		name, file string
		text       []byte
		err        string
	}{
		{"signer of a stranger", "signing_cert.pem", stranger.Issue(t, certstest.ECDSAP256).CertPEM, "no CA certificate has the subject"},
		{"signers garbage", "signing_cert.pem", []byte("x"), "holds no certificate"},
		{"signers empty", "signing_cert.pem", nil, "empty"},
		{"CA garbage", "cacert.pem", []byte("x"), "remove the file to trust the next one fetched"},
		{"CA of a stranger", "cacert.pem", stranger.CertPEM(), "no CA certificate has the subject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			chmod(t, dir, 0o700)
			store, _, _ := keeper(t, dir, ca.CertPEM(), s.CertPEM)
			mustLoad(t, store)
			writeFile(t, filepath.Join(dir, tt.file), tt.text)
			again, src, _ := keeper(t, dir, nil)
			src.fail(errDown)
			if err := again.Load(t.Context()); err == nil || !strings.Contains(err.Error(), tt.err) || again.Current() != nil {
				t.Errorf("%v, want %q", err, tt.err)
			}
		})
	}
}

func TestKeptCAWinsOverFetched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, stranger := certstest.New(t), certstest.New(t, certstest.Subject("Stranger"))
	s := ca.Issue(t, certstest.ECDSAP256)
	evil := stranger.Issue(t, certstest.ECDSAP256)
	first, _, _ := keeper(t, dir, ca.CertPEM(), s.CertPEM)
	mustLoad(t, first)
	kept := readFile(t, filepath.Join(dir, "cacert.pem"))

	// After a restart, and in a store that runs: nothing of the other CA counts.
	restarted, src, metrics := keeper(t, dir, stranger.CertPEM(), evil.CertPEM)
	if err := restarted.Load(t.Context()); err != nil {
		t.Fatal(err) // it has the kept signers
	}
	src.give(slices.Concat(ca.CertPEM(), stranger.CertPEM()), s.CertPEM, evil.CertPEM)
	mustLoad(t, restarted)
	if n := metrics.count(certs.EventCARefused); n != 2 {
		t.Errorf("refused %d times", n)
	}
	if _, err := restarted.Current().Verify(signed(t, evil), time.Now()); !errors.Is(err, certs.ErrUnknownSigner) {
		t.Errorf("signer of the other CA: %v", err)
	}
	if _, err := restarted.Current().Verify(signed(t, s), time.Now()); err != nil {
		t.Errorf("signer of the kept CA: %v", err)
	}
	if !bytes.Equal(readFile(t, filepath.Join(dir, "cacert.pem")), kept) {
		t.Error("the kept file changed")
	}

	// The operator has the last word, without a restart.
	writeFile(t, filepath.Join(dir, "cacert.pem"), stranger.CertPEM())
	src.give(stranger.CertPEM(), evil.CertPEM)
	mustLoad(t, restarted)
	if _, err := restarted.Current().Verify(signed(t, evil), time.Now()); err != nil {
		t.Errorf("CA that the operator put there: %v", err)
	}
	// A file that is gone is written again.
	if err := os.Remove(filepath.Join(dir, "cacert.pem")); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, restarted)
	if !bytes.Equal(readFile(t, filepath.Join(dir, "cacert.pem")), stranger.CertPEM()) {
		t.Error("another CA was written")
	}
}

func TestFetchedCAIsTrustedOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	store, _, _ := keeper(t, t.TempDir(), ca.CertPEM(), ca.Issue(t, certstest.ECDSAP256).CertPEM)
	store.AllowFetchedCA = false
	if err := store.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "configure the CA file") || store.Current() != nil {
		t.Errorf("%v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(store.Dir, "*")); len(names) != 0 {
		t.Errorf("kept %v", names)
	}
}

func TestFetchedCAThatProvesNothingIsNotKept(t *testing.T) {
	t.Parallel()
	ca, stranger := certstest.New(t), certstest.New(t, certstest.Subject("Stranger"))
	rootV1 := certstest.New(t, certstest.Version1())
	middle := ca.Intermediate(t)
	for name, tt := range map[string]struct{ ca, signing []byte }{
		"no signer of it":        {stranger.CertPEM(), ca.Issue(t, certstest.ECDSAP256).CertPEM},
		"intermediate only":      {middle.CertPEM(), middle.Issue(t, certstest.ECDSAP256).CertPEM},
		"version 1 root":         {rootV1.CertPEM(), rootV1.Issue(t, certstest.ECDSAP256).CertPEM},
		"signer instead of a CA": {ca.Issue(t, certstest.ECDSAP256).CertPEM, ca.Issue(t, certstest.ECDSAP256).CertPEM},
	} {
		t.Run(name, func(t *testing.T) {
			store, src, _ := keeper(t, t.TempDir(), tt.ca, tt.signing)
			if err := store.Load(t.Context()); err == nil || store.Current() != nil {
				t.Errorf("loaded: %v", err)
			}
			if names, _ := filepath.Glob(filepath.Join(store.Dir, "*")); len(names) != 0 {
				t.Errorf("kept %v", names)
			}
			src.give(ca.CertPEM(), ca.Issue(t, certstest.ECDSAP256).CertPEM)
			if err := store.Load(t.Context()); err != nil {
				t.Errorf("the right one later: %v", err)
			}
		})
	}
}

func TestRollOverOfTheCA(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	old := certstest.New(t, certstest.Subject("Old CA"), certstest.Valid(now.AddDate(-10, 0, 0), now.AddDate(1, 0, 0)))
	next := certstest.New(t, certstest.Subject("New CA"))
	cross := old.Intermediate(t, certstest.Subject("New CA"), certstest.WithKey(next.Key))
	renewed := certstest.New(t, certstest.Subject("Old CA"), certstest.WithKey(old.Key))
	namesake := certstest.New(t, certstest.Subject("New CA"))
	alias := certstest.New(t, certstest.Subject("Alias CA"), certstest.WithKey(next.Key))
	ofAlias := alias.Issue(t, certstest.ECDSAP256)
	middle := old.Intermediate(t)
	leaf := old.Issue(t, certstest.ECDSAP256, certstest.Subject("New CA"), certstest.WithKey(next.Key))
	a, b := old.Issue(t, certstest.ECDSAP256), next.Issue(t, certstest.ECDSAP256)
	ofRenewed := renewed.Issue(t, certstest.ECDSAP256)
	join := func(list ...[]byte) []byte { return slices.Concat(list...) }

	for _, tt := range []struct {
		name    string
		at      time.Time
		ca      []byte
		signing []byte
		use     *certstest.Signer
		accept  bool
	}{
		{"root and cross certificate", now, join(old.CertPEM(), next.CertPEM(), cross.CertPEM()), join(a.CertPEM, b.CertPEM), b, true},
		{"new root and cross certificate", now, join(next.CertPEM(), cross.CertPEM()), b.CertPEM, b, true},
		{"cross certificate only", now, cross.CertPEM(), b.CertPEM, b, true},
		{"root renewed with its key", now, renewed.CertPEM(), ofRenewed.CertPEM, ofRenewed, true},
		{"new intermediate", now, join(old.CertPEM(), middle.CertPEM()), middle.Issue(t, certstest.ECDSAP256).CertPEM, nil, true},
		{"beside what is no CA", now, join(old.CertPEM(), leaf.CertPEM), a.CertPEM, a, true},
		{"crossed key under another name", now, join(old.CertPEM(), cross.CertPEM(), alias.CertPEM()), join(a.CertPEM, ofAlias.CertPEM), ofAlias, false},
		{"new root alone", now, next.CertPEM(), b.CertPEM, b, false},
		{"new root beside the old", now, join(old.CertPEM(), next.CertPEM()), join(a.CertPEM, b.CertPEM), b, false},
		{"namesake of the crossed one", now, join(old.CertPEM(), cross.CertPEM(), namesake.CertPEM()), join(a.CertPEM, namesake.Issue(t, certstest.ECDSAP256).CertPEM), nil, false},
		{"vouched for by a leaf", now, join(old.CertPEM(), next.CertPEM(), leaf.CertPEM), join(a.CertPEM, b.CertPEM), b, false},
		{"old CA expired", now.AddDate(2, 0, 0), join(next.CertPEM(), cross.CertPEM()), b.CertPEM, b, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			store, src, metrics := keeper(t, dir, old.CertPEM(), a.CertPEM)
			store.Now = func() time.Time { return now }
			mustLoad(t, store)
			store.Now = func() time.Time { return tt.at }
			src.give(tt.ca, tt.signing)
			mustLoad(t, store)
			if refused := metrics.has(certs.EventCARefused); refused == tt.accept {
				t.Errorf("refused: %v; %s", refused, store.Status().LastError)
			}
			check := func(store *certs.Store) {
				t.Helper()
				if tt.use == nil {
					return
				}
				if _, err := store.Current().Verify(signed(t, tt.use), tt.at); (err == nil) != tt.accept {
					t.Errorf("Verify: %v", err)
				}
			}
			check(store)
			restarted, src, _ := keeper(t, dir, nil)
			src.fail(errDown)
			restarted.Now = store.Now
			mustLoad(t, restarted)
			check(restarted)
		})
	}

	t.Run("kept CA with a path length", func(t *testing.T) {
		short := certstest.New(t, pathLength(0))
		store, src, metrics := keeper(t, t.TempDir(), short.CertPEM(), short.Issue(t, certstest.ECDSAP256).CertPEM)
		mustLoad(t, store)
		src.give(join(short.CertPEM(), short.Intermediate(t).CertPEM()), short.Issue(t, certstest.ECDSAP256).CertPEM)
		mustLoad(t, store)
		if !metrics.has(certs.EventCARefused) {
			t.Error("it vouches for a CA, which its path length forbids")
		}
	})

	t.Run("validity of the signers grows with it", func(t *testing.T) {
		store, src, _ := keeper(t, t.TempDir(), old.CertPEM(), a.CertPEM)
		store.Now = func() time.Time { return now }
		mustLoad(t, store)
		src.give(renewed.CertPEM(), a.CertPEM)
		mustLoad(t, store)
		// The signer is the same, but what was known of its validity is not.
		if b := store.Current(); b.Generation() != 2 || !b.Signers()[0].ValidAt(now.AddDate(20, 0, 0)) {
			t.Errorf("generation %d, valid to %v", b.Generation(), b.Signers()[0].NotAfter())
		}
	})

	t.Run("while it cannot be kept", func(t *testing.T) {
		dir := t.TempDir()
		store, src, metrics := keeper(t, dir, old.CertPEM(), a.CertPEM)
		store.Now = func() time.Time { return now }
		mustLoad(t, store)
		chmod(t, dir, 0o777)
		src.give(join(next.CertPEM(), cross.CertPEM()), b.CertPEM)
		mustLoad(t, store)
		chmod(t, dir, 0o700)
		// Memory knows better than the file of old, and writes what it missed.
		src.give(next.CertPEM(), b.CertPEM)
		mustLoad(t, store)
		if metrics.has(certs.EventCARefused) || !bytes.Equal(readFile(t, filepath.Join(dir, "cacert.pem")), next.CertPEM()) {
			t.Errorf("events %v", metrics.list)
		}
	})

	t.Run("then without the old one", func(t *testing.T) {
		store, src, metrics := keeper(t, t.TempDir(), old.CertPEM(), a.CertPEM)
		store.Now = func() time.Time { return now }
		mustLoad(t, store)
		src.give(join(old.CertPEM(), next.CertPEM(), cross.CertPEM()), a.CertPEM, b.CertPEM)
		mustLoad(t, store)
		src.give(next.CertPEM(), b.CertPEM)
		mustLoad(t, store)
		now := now.AddDate(20, 0, 0)
		if _, err := store.Current().Verify(signed(t, b), now); err != nil || metrics.has(certs.EventCARefused) {
			t.Errorf("%v, events %v", err, metrics.list)
		}
		if _, err := store.Current().Verify(signed(t, a), now); !errors.Is(err, certs.ErrUnknownSigner) {
			t.Errorf("signer of the old CA: %v", err)
		}
	})
}

func TestDirAttacks(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	s := ca.Issue(t, certstest.ECDSAP256)
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		err     string
	}{
		{"symbolic link", func(t *testing.T, dir string) {
			if err := os.Symlink(t.TempDir(), dir); err != nil {
				t.Fatal(err)
			}
		}, "a symbolic link"},
		{"dangling symbolic link", func(t *testing.T, dir string) {
			if err := os.Symlink("nowhere", dir); err != nil {
				t.Fatal(err)
			}
		}, "signing"},
		{"file", func(t *testing.T, dir string) { writeFile(t, dir, nil) }, "signing"},
		{"writable by group", func(t *testing.T, dir string) { mkdir(t, dir, 0o770) }, "writable by group or others"},
		{"writable by all", func(t *testing.T, dir string) { mkdir(t, dir, 0o777|os.ModeSticky) }, "writable by group or others"},
		{"CA file is a symbolic link", func(t *testing.T, dir string) {
			mkdir(t, dir, 0o700)
			target := filepath.Join(t.TempDir(), "ca.pem")
			writeFile(t, target, ca.CertPEM())
			if err := os.Symlink(target, filepath.Join(dir, "cacert.pem")); err != nil {
				t.Fatal(err)
			}
		}, "no regular file"},
		{"CA file is writable by all", func(t *testing.T, dir string) {
			mkdir(t, dir, 0o700)
			writeFile(t, filepath.Join(dir, "cacert.pem"), ca.CertPEM())
			chmod(t, filepath.Join(dir, "cacert.pem"), 0o666)
		}, "writable by group or others"},
		{"owned by another user", func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			mkdir(t, dir, 0o700)
			if err := os.Chown(dir, 1, 1); err != nil {
				t.Skipf("cannot give a directory away: %v", err)
			}
		}, "owned by another user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "signing")
			tt.prepare(t, dir)
			store, src, _ := keeper(t, dir, ca.CertPEM(), s.CertPEM)
			if err := store.Load(t.Context()); !errors.Is(err, certs.ErrUnsafeDir) || !strings.Contains(err.Error(), tt.err) || store.Current() != nil {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if src.count() != 0 {
				t.Error("certificates were fetched all the same")
			}
		})
	}
}

func TestDirThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	a, b := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
	dir := t.TempDir()
	// No file can take the place of a directory: that stands for a full disk, for root as well.
	mkdir(t, filepath.Join(dir, "signing_cert.pem"), 0o700)
	store, src, metrics := keeper(t, dir, ca.CertPEM(), a.CertPEM)
	mustLoad(t, store)
	if !metrics.has(certs.EventKeepFailed) || store.Status().LastError != "" {
		t.Errorf("events %v, status %+v", metrics.list, store.Status())
	}
	if hidden, _ := filepath.Glob(filepath.Join(dir, ".*")); len(hidden) != 0 {
		t.Errorf("left behind: %v", hidden)
	}

	// A directory that turns bad in a running store ends the keeping, not the renewing.
	if err := os.Remove(filepath.Join(dir, "signing_cert.pem")); err != nil {
		t.Fatal(err)
	}
	chmod(t, dir, 0o777)
	src.give(ca.CertPEM(), a.CertPEM, b.CertPEM)
	mustLoad(t, store)
	if store.Current().Generation() != 2 || metrics.count(certs.EventKeepFailed) != 2 {
		t.Errorf("generation %d, events %v", store.Current().Generation(), metrics.list)
	}
	if _, err := os.Lstat(filepath.Join(dir, "signing_cert.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written all the same: %v", err)
	}
	chmod(t, dir, 0o700)
	mustLoad(t, store)
	if got := readFile(t, filepath.Join(dir, "signing_cert.pem")); !bytes.Equal(got, slices.Concat(a.CertPEM, b.CertPEM)) {
		t.Errorf("kept %s", got)
	}
}

func mkdir(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, mode)
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
