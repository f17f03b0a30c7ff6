package revocation_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/revocation"
)

const (
	id1    = "11111111111111111111111111111111"
	id2    = "2222222222222222222222222222222222222222222222222222222222222222"
	audit1 = "AUDrevokedrevokedrevog"
)

func TestPoll(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t, id1+"/"+audit1, id2)
	otherLeaf := keystone.ca.Issue(t, certstest.RSA)
	stranger := newIdentity(t)
	expired := keystone.ca.Issue(t, certstest.ECDSAP256, certstest.Valid(epoch.AddDate(-2, 0, 0), epoch.AddDate(-1, 0, 0)))
	weak := keystone.ca.Issue(t, certstest.RSA1024)
	sameName := keystone.ca.Issue(t, certstest.RSA, certstest.Template(keystoneSerial(keystone)))
	content := listContent(t, id1)
	cut := func(n int) []byte { return good[:len(good)-n] }
	swapped := bytes.Replace(good, []byte("\nMII"), []byte("\nMIJ"), 1)
	forged := func() []byte {
		der, err := cms.DecodePEM(good)
		if err != nil {
			t.Fatal(err)
		}
		return cms.EncodePEM(bytes.Replace(der, []byte(id1), []byte("0"+id1[1:]), 1))
	}()

	tests := []struct {
		name    string
		signed  []byte
		err     error
		result  revocation.Result
		refresh int32 // how often newer certificates are asked for
	}{
		{"good", good, nil, revocation.ResultOK, 0},
		{"empty list", keystone.list(t), nil, revocation.ResultOK, 0},
		{"v3 token in its place", sign(t, keystone.signer, []byte(`{"token":{"user":{"id":"u"}}}`)), revocation.ErrNotAList, revocation.ResultNotAList, 0},
		{"v2 token in its place", sign(t, keystone.signer, []byte(`{"access":{}}`)), revocation.ErrNotAList, revocation.ResultNotAList, 0},
		{"signed, no list", sign(t, keystone.signer, []byte(`{}`)), revocation.ErrMalformed, revocation.ResultMalformed, 0},
		{"signed, empty", sign(t, keystone.signer, nil), revocation.ErrMalformed, revocation.ResultMalformed, 0},
		{"nothing", nil, cms.ErrMalformed, revocation.ResultMalformed, 0},
		{"plain JSON", content, cms.ErrMalformed, revocation.ResultMalformed, 0},
		{"cut short", cut(100), cms.ErrMalformed, revocation.ResultMalformed, 0},
		{"no PEM end", cut(10), cms.ErrMalformed, revocation.ResultMalformed, 0},
		{"damaged DER", swapped, cms.ErrMalformed, revocation.ResultMalformed, 0},
		{"changed content", forged, certs.ErrSignature, revocation.ResultBadSignature, 1},
		{"other leaf of the same CA", sign(t, otherLeaf, content), certs.ErrUnknownSigner, revocation.ResultUnknownSigner, 1},
		{"other leaf, same serial", sign(t, sameName, content), certs.ErrSignature, revocation.ResultBadSignature, 1},
		{"other CA of the same name", stranger.list(t, id1), certs.ErrUnknownSigner, revocation.ResultUnknownSigner, 1},
		{"expired signer", sign(t, expired, content), certs.ErrSignerExpired, revocation.ResultSignerExpired, 1},
		{"weak signer", sign(t, weak, content), certs.ErrAlgorithm, revocation.ResultAlgorithm, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := newVerifier(bundle(t, keystone.ca, keystone.signer, expired, weak))
			src := newSource(t, sends(good))
			var seen counts
			now := newClock(epoch)
			p := &revocation.Poller{Source: src, Verifier: v, Metrics: &seen, Now: now.now}
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := p.Current()
			src.set(sends(tc.signed))
			now.add(time.Minute)
			err := p.Poll(t.Context())
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			s := p.Status()
			if !slices.Contains(revocation.Results(), s.LastResult) {
				t.Errorf("%q is not in Results", s.LastResult)
			}
			if s.LastResult != tc.result || (s.LastError == "") != (err == nil) || (s.Failures == 0) != (err == nil) {
				t.Errorf("status %+v", s)
			}
			if got := seen.polls[tc.result]; got == 0 {
				t.Errorf("counted %v", seen.polls)
			}
			if got := v.refreshed.Load(); got != tc.refresh {
				t.Errorf("asked for newer certificates %d times, want %d", got, tc.refresh)
			}
			if tc.err == nil {
				if !p.Current().FetchedAt().Equal(now.now()) {
					t.Errorf("fetched at %v", p.Current().FetchedAt())
				}
				return
			}
			if p.Current() != before || !before.ContainsID(id1) || !before.ContainsAuditID(audit1) {
				t.Error("the good list did not stay")
			}
			if age, known := p.Age(now.now()); !known || age != time.Minute {
				t.Errorf("age %v, %v", age, known)
			}
		})
	}
}

// keystoneSerial gives a certificate the serial number of i's signer.
func keystoneSerial(i identity) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SerialNumber = i.signer.Cert.SerialNumber }
}

func TestPollFollowsRotation(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	next := keystone.ca.Issue(t, certstest.ECDSAP256)
	twin := keystone.ca.Issue(t, certstest.RSA, certstest.Template(keystoneSerial(keystone)))
	for name, signer := range map[string]*certstest.Signer{"new serial": next, "same serial": twin} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := keystone.verifier(t)
			v.newer = bundle(t, keystone.ca, signer)
			p := &revocation.Poller{Source: newSource(t, sends(sign(t, signer, listContent(t, id1)))), Verifier: v}
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v.refreshed.Load() != 1 || !p.Current().ContainsID(id1) || p.Status().Signer != signer.Cert.Subject.String() {
				t.Errorf("refreshed %d times, status %+v", v.refreshed.Load(), p.Status())
			}
		})
	}
	t.Run("no certificates to be had", func(t *testing.T) {
		t.Parallel()
		v := newVerifier(nil)
		v.err = fmt.Errorf("%w: connection refused", certs.ErrUnavailable)
		p := &revocation.Poller{Source: newSource(t, sends(keystone.list(t))), Verifier: v}
		if err := p.Poll(t.Context()); !errors.Is(err, certs.ErrUnavailable) || !errors.Is(err, certs.ErrUnknownSigner) {
			t.Errorf("error %v", err)
		}
		if got := p.Status().LastResult; got != revocation.ResultSignerUnavailable {
			t.Errorf("result %q", got)
		}
	})
}

// TestSignerThatLeaves wants a list whose signer is not pinned any more to be no longer fresh, with all its entries still revoked.
func TestSignerThatLeaves(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	next := keystone.ca.Issue(t, certstest.RSA)
	v, src := keystone.verifier(t), newSource(t, sends(keystone.list(t, id1)))
	p := &revocation.Poller{Source: src, Verifier: v}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	both := v.current.Load()
	src.set(down)
	for _, tc := range []struct {
		bundle *certs.Bundle
		fresh  bool
	}{{both, true}, {bundle(t, keystone.ca, next, keystone.signer), true}, {bundle(t, keystone.ca, next), false}, {both, true}} {
		v.current.Store(tc.bundle)
		if err := p.Poll(t.Context()); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		if p.Fresh(time.Now()) != tc.fresh || p.Status().SignerGone == tc.fresh || !p.Current().ContainsID(id1) {
			t.Errorf("fresh %v, want %v; status %+v", p.Fresh(time.Now()), tc.fresh, p.Status())
		}
	}
}

func TestNilPollerState(t *testing.T) {
	t.Parallel()
	p := &revocation.Poller{}
	if p.Current() != nil || p.Fresh(epoch) {
		t.Error("knows something")
	}
	if _, known := p.Age(epoch); known {
		t.Error("age is known")
	}
	if s := p.Status(); s != (revocation.Status{}) {
		t.Errorf("status %+v", s)
	}
}

// TestLookupsWhileSwapping wants each snapshot to be one list as a whole, seen through -race.
func TestLookupsWhileSwapping(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	lists := [][]byte{keystone.list(t, id1, id2, "odd/"+audit1), keystone.list(t, id1, "even")}
	turn := 0
	src := newSource(t, nil)
	src.set(func(context.Context) ([]byte, error) { turn++; return lists[turn%2], nil })
	p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t)}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := p.Current()
				odd := s.ContainsID("odd")
				if !s.ContainsID(id1) || s.ContainsID(id2) != odd || s.ContainsAuditID(audit1) != odd || s.ContainsID("even") == odd ||
					!s.HasEntriesWithoutAuditID() || !p.Fresh(time.Now()) {
					t.Error("a snapshot that is neither list")
					return
				}
				_ = p.Status()
			}
		})
	}
	for range 300 {
		if err := p.Poll(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestFileSource(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "list.pem")
	p := &revocation.Poller{Source: revocation.FileSource{Path: path}, Verifier: keystone.verifier(t)}
	if err := p.Load(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	for _, id := range []string{id1, id2} { // the operator changes the file
		if err := os.WriteFile(path, keystone.list(t, id), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := p.Poll(t.Context()); err != nil || !p.Current().ContainsID(id) {
			t.Fatalf("list with %s: %v", id, err)
		}
	}
	for name, change := range map[string]func() error{
		"plain JSON": func() error { return os.WriteFile(path, listContent(t), 0o644) },
		"empty":      func() error { return os.WriteFile(path, nil, 0o644) },
		"directory":  func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		"pipe":       func() error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644)) },
		"too large": func() error {
			return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<30))
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := p.Poll(t.Context()); err == nil || !p.Current().ContainsID(id2) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (revocation.FileSource{Path: path}).FetchRevocationList(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]revocation.Policy{"": revocation.PolicyReject, "reject": revocation.PolicyReject,
		"online": revocation.PolicyOnline, "accept": revocation.PolicyAccept, "Accept": "", "503": ""} {
		got, err := revocation.ParsePolicy(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
