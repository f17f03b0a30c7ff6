package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/revocation"
)

// diskPoller makes a poller that keeps its list in dir.
func diskPoller(t *testing.T, i identity, dir string, fetch func(context.Context) ([]byte, error), now *clock) (*revocation.Poller, *source) {
	src := newSource(t, fetch)
	return &revocation.Poller{Source: src, Verifier: i.verifier(t), Dir: dir, Now: now.now}, src
}

func TestRestart(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	dir := filepath.Join(t.TempDir(), "signing")
	now := newClock(epoch)
	first, _ := diskPoller(t, keystone, dir, sends(keystone.list(t, id1, "/"+audit1)), now)
	if err := first.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "revoked.pem": 0o600, "revoked.fetched": 0o600} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}

	now.add(4 * time.Minute)
	second, src := diskPoller(t, keystone, dir, down, now)
	if err := second.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !second.Current().ContainsID(id1) || !second.Current().ContainsAuditID(audit1) || !second.Current().FetchedAt().Equal(epoch) {
		t.Errorf("status %+v", second.Status())
	}
	if age, known := second.Age(now.now()); !known || age != 4*time.Minute || !second.Fresh(now.now()) {
		t.Errorf("age %v, %v", age, known)
	}
	if s := second.Status(); !s.FromDisk || s.LastError == "" || s.DiskError != "" {
		t.Errorf("status %+v", s)
	}
	now.add(time.Minute + 1)
	if second.Fresh(now.now()) {
		t.Error("fresh after five minutes over two lives")
	}
	now.add(-time.Hour)
	if second.Fresh(now.now()) {
		t.Error("fresh when the clock is set back")
	}

	src.set(sends(keystone.list(t, id1, id2)))
	if err := second.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := second.Status(); s.FromDisk || !second.Fresh(now.now()) {
		t.Errorf("status %+v", s)
	}
	third, _ := diskPoller(t, keystone, dir, noPKI, now)
	if err := third.Load(t.Context()); err != nil || !third.Current().ContainsID(id2) || !third.Status().NoPKI {
		t.Errorf("third life: %v, status %+v", err, third.Status())
	}
	noLitter(t, dir)
}

func noLitter(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// TestKeepSparingly wants a list that stays the same to be written once, and its fetch time now and then.
func TestKeepSparingly(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	keystone.signer = keystone.ca.Issue(t, certstest.ECDSAP256) // signs anew each time
	dir := t.TempDir()
	now := newClock(epoch)
	p, src := diskPoller(t, keystone, dir, nil, now)
	src.set(func(context.Context) ([]byte, error) { return keystone.list(t, id1), nil })
	writes := map[string]int{}
	last := map[string]os.FileInfo{}
	poll := func() {
		t.Helper()
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"revoked.pem", "revoked.fetched"} {
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(last[name], info) || !last[name].ModTime().Equal(info.ModTime()) {
				writes[name]++
			}
			last[name] = info
		}
	}
	for range 60 { // ten minutes
		poll()
		now.add(10 * time.Second)
	}
	if writes["revoked.pem"] != 1 || writes["revoked.fetched"] != 20 {
		t.Errorf("writes %v", writes)
	}
	if err := os.Remove(filepath.Join(dir, "revoked.pem")); err != nil {
		t.Fatal(err)
	}
	now.add(time.Minute)
	poll()
	if writes["revoked.pem"] != 2 {
		t.Errorf("a removed list was not written again: %v", writes)
	}
	// The same content by another signer has to be kept, too: the first signer may be the next to go.
	next := keystone.ca.Issue(t, certstest.RSA)
	p.Verifier.(*verifier).newer = bundle(t, keystone.ca, next)
	keystone.signer = next
	poll()
	if writes["revoked.pem"] != 3 {
		t.Errorf("the list of the next signer was not written: %v", writes)
	}
}

// TestHalfKept fails between the two writes, and then the list is again what it was before.
func TestHalfKept(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	dir := t.TempDir()
	fetched := filepath.Join(dir, "revoked.fetched")
	now := newClock(epoch)
	p, src := diskPoller(t, keystone, dir, nil, now)
	for _, step := range []struct {
		list   string
		before func() error
		failed bool
	}{
		{"a", func() error { return nil }, false},
		{"b", func() error { return errors.Join(os.Remove(fetched), os.Mkdir(fetched, 0o700)) }, true},
		{"a", func() error { return os.Remove(fetched) }, false},
	} {
		if err := step.before(); err != nil {
			t.Fatal(err)
		}
		now.add(time.Second)
		src.set(sends(keystone.list(t, step.list)))
		if err := p.Poll(t.Context()); err != nil || (p.Status().DiskError != "") != step.failed {
			t.Fatalf("list %s: %v, status %+v", step.list, err, p.Status())
		}
	}
	next, _ := diskPoller(t, keystone, dir, down, now)
	if err := next.Load(t.Context()); err != nil || !next.Current().ContainsID("a") || !next.Fresh(now.now()) {
		t.Errorf("Load: %v, status %+v", err, next.Status())
	}
}

// TestTamperedDisk changes what is kept between two lives. The source is down in the second.
func TestTamperedDisk(t *testing.T) {
	t.Parallel()
	keystone, stranger := newIdentity(t), newIdentity(t)
	write := func(name string, text []byte) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), text, 0o600) }
	}
	older := keystone.list(t, "older")
	for name, tc := range map[string]struct {
		change  func(dir string) error
		held    bool // the list is used
		known   bool // and its age is known
		problem string
	}{
		"nothing":             {func(string) error { return nil }, true, true, ""},
		"list gone":           {func(dir string) error { return os.Remove(filepath.Join(dir, "revoked.pem")) }, false, false, ""},
		"bit changed":         {change("revoked.pem", func(b []byte) { b[200] ^= 1 }), false, false, "revoked.pem"},
		"list empty":          {write("revoked.pem", nil), false, false, "revoked.pem"},
		"list of another CA":  {write("revoked.pem", stranger.list(t)), false, false, "issuer and serial"},
		"token":               {write("revoked.pem", sign(t, keystone.signer, []byte(`{"token":{}}`))), false, false, "not a revocation list"},
		"as auth_token wrote": {write("revoked.pem", listContent(t, id1)), false, false, "BEGIN CMS"},
		"older list put back": {write("revoked.pem", older), true, false, ""},
		"list too large":      {func(dir string) error { return os.Truncate(filepath.Join(dir, "revoked.pem"), 1<<30) }, false, false, "larger than"},
		"list is a directory": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "revoked.pem")), os.Mkdir(filepath.Join(dir, "revoked.pem"), 0o700))
		}, false, false, "no regular file"},
		"list is a pipe": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "revoked.pem")), syscall.Mkfifo(filepath.Join(dir, "revoked.pem"), 0o600))
		}, false, false, "no regular file"},
		"list is a link": {func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "revoked.pem"), filepath.Join(dir, "x")), os.Symlink("x", filepath.Join(dir, "revoked.pem")))
		}, false, false, "no regular file"},
		"list writable by all":      {func(dir string) error { return os.Chmod(filepath.Join(dir, "revoked.pem"), 0o666) }, false, false, "chmod"},
		"directory writable by all": {func(dir string) error { return os.Chmod(dir, 0o777) }, false, false, "chmod"},
		"directory is a link": {func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}, false, false, "symbolic link"},
		"directory is a file":  {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, false, false, "directory"},
		"time gone":            {func(dir string) error { return os.Remove(filepath.Join(dir, "revoked.fetched")) }, true, false, ""},
		"time empty":           {write("revoked.fetched", nil), true, false, ""},
		"time without list":    {write("revoked.fetched", []byte("2026-06-01T12:00:00Z\n")), true, false, ""},
		"time of another list": {change("revoked.fetched", func(b []byte) { b[0] ^= 1 }), true, false, ""},
		"time cut":             {change("revoked.fetched", func(b []byte) { copy(b[70:], strings.Repeat("\n", len(b)-70)) }), true, false, ""},
		"time in the future":   {change("revoked.fetched", func(b []byte) { b[65] = '3' }), true, false, ""},
		"time is a link": {func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "revoked.fetched"), filepath.Join(dir, "x")), os.Symlink("x", filepath.Join(dir, "revoked.fetched")))
		}, true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "signing")
			now := newClock(epoch)
			first, _ := diskPoller(t, keystone, dir, sends(keystone.list(t, id1)), now)
			if err := first.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			now.add(time.Minute)
			p, src := diskPoller(t, keystone, dir, down, now)
			if err := p.Load(t.Context()); (err == nil) != tc.held || err != nil && !errors.Is(err, errDown) {
				t.Errorf("Load: %v", err)
			}
			s := p.Status()
			if s.Held != tc.held || s.AgeKnown != tc.known || s.Fresh != tc.known {
				t.Errorf("status %+v", s)
			}
			if tc.held && !p.Current().ContainsID(id1) && !p.Current().ContainsID("older") {
				t.Error("the kept list is not in force")
			}
			if (s.DiskError == "") != (tc.problem == "") || !strings.Contains(s.DiskError, tc.problem) {
				t.Errorf("disk error %q, want %q", s.DiskError, tc.problem)
			}

			// Once the source is back all is well, whatever the disk is like.
			src.set(sends(keystone.list(t, id1, id2)))
			if err := p.Poll(t.Context()); err != nil || !p.Current().ContainsID(id2) || !p.Fresh(now.now()) {
				t.Errorf("with the source back: %v", err)
			}
		})
	}
}

func change(name string, f func([]byte)) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f(text)
		return os.WriteFile(path, text, 0o600)
	}
}

// TestDirOfAnotherUser is CVE-2013-2030: somebody else was first to make the directory.
func TestDirOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	keystone := newIdentity(t)
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Skip(err)
	}
	p, _ := diskPoller(t, keystone, dir, sends(keystone.list(t, id1)), newClock(epoch))
	if err := p.Load(t.Context()); err != nil || !p.Current().ContainsID(id1) {
		t.Fatalf("the list itself must not suffer: %v", err)
	}
	if got := p.Status().DiskError; !strings.Contains(got, "another user") {
		t.Errorf("disk error %q", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("wrote %v, %v", entries, err)
	}
}

// TestRestartAfterSignerLeft wants a kept list whose signer is not pinned any more to be worth nothing.
func TestRestartAfterSignerLeft(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	dir := t.TempDir()
	now := newClock(epoch)
	first, _ := diskPoller(t, keystone, dir, sends(keystone.list(t, id1)), now)
	if err := first.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	keystone.signer = keystone.ca.Issue(t, certstest.RSA)
	second, _ := diskPoller(t, keystone, dir, down, now)
	if err := second.Load(t.Context()); !errors.Is(err, errDown) || second.Current() != nil {
		t.Errorf("Load: %v, status %+v", err, second.Status())
	}
}

// TestDiskFull bounds the size of all files that this process writes, so it runs alone.
func TestDiskFull(t *testing.T) {
	keystone := newIdentity(t)
	dir := t.TempDir()
	now := newClock(epoch)
	var book logBook
	p, src := diskPoller(t, keystone, dir, sends(keystone.list(t, id1)), now)
	p.Log = book.logger()
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "revoked.pem"))
	if err != nil {
		t.Fatal(err)
	}

	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 256, Max: limit.Max}); err != nil {
		t.Skip(err)
	}
	restore := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	src.set(sends(keystone.list(t, id1, id2)))
	var errs []error
	for range 3 {
		now.add(10 * time.Second)
		errs = append(errs, p.Poll(t.Context()))
	}
	status := p.Status()
	restore()

	if err := errors.Join(errs...); err != nil {
		t.Errorf("Poll: %v", err)
	}
	if !p.Current().ContainsID(id2) || !p.Fresh(now.now()) {
		t.Error("the new list is not in force")
	}
	if !strings.Contains(status.DiskError, "writing revoked.pem") {
		t.Errorf("disk error %q", status.DiskError)
	}
	if n := book.count("level=WARN", "not kept on disk"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "revoked.pem")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the kept list was damaged: %v", err)
	}
	noLitter(t, dir)

	// With room on the disk again the next poll writes the list, though it is not new.
	now.add(10 * time.Second)
	if err := p.Poll(t.Context()); err != nil || p.Status().DiskError != "" {
		t.Errorf("Poll: %v, status %+v", err, p.Status())
	}
	next, _ := diskPoller(t, keystone, dir, down, now)
	if err := next.Load(t.Context()); err != nil || !next.Current().ContainsID(id2) {
		t.Errorf("Load: %v", err)
	}
}
