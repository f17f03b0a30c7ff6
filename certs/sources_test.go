package certs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
)

func TestSourceThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, a := started(t)
		seen := store.Current()
		release := make(chan struct{})
		src.set(func(context.Context) ([]byte, []byte, error) {
			<-release // whatever the context says
			return nil, nil, errDown
		})
		time.Sleep(time.Hour)
		begin := time.Now()
		_, err := store.Refresh(t.Context(), seen)
		if !errors.Is(err, certs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != certs.DefaultTimeout {
			t.Fatalf("%v after %v", err, time.Since(begin))
		}
		// While it hangs it is not asked again, so that nothing piles up.
		time.Sleep(time.Hour)
		if _, err := store.Refresh(t.Context(), seen); !errors.Is(err, certs.ErrUnavailable) || src.count() != 2 {
			t.Errorf("%v, %d fetches", err, src.count())
		}
		close(release)
		src.give(ca.CertPEM(), a.CertPEM)
		time.Sleep(time.Hour)
		if _, err := store.Refresh(t.Context(), seen); err != nil {
			t.Errorf("after it returned: %v", err)
		}
	})
}

func TestSourceThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, a := started(t)
		seen := store.Current()
		src.set(func(context.Context) ([]byte, []byte, error) { panic("boom") })
		time.Sleep(time.Hour)
		if _, err := store.Refresh(t.Context(), seen); !errors.Is(err, certs.ErrUnavailable) || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%v", err)
		}
		src.give(ca.CertPEM(), a.CertPEM)
		time.Sleep(time.Hour)
		if _, err := store.Refresh(t.Context(), seen); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestNoSource(t *testing.T) {
	t.Parallel()
	var store certs.Store
	if err := store.Load(t.Context()); !errors.Is(err, certs.ErrUnavailable) || !strings.Contains(err.Error(), "no source") {
		t.Error(err)
	}
	if st := store.Status(); st.Generation != 0 || len(st.Signers) != 0 || st.LastError == "" {
		t.Errorf("%+v", st)
	}
}

func TestFileSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ca := certstest.New(t)
		a, b := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
		src := certs.FileSource{SigningFile: filepath.Join(dir, "signing.pem"), CAFile: filepath.Join(dir, "ca.pem")}
		store := &certs.Store{Source: src}
		load := func(want string) {
			t.Helper()
			if err := store.Load(t.Context()); !errors.Is(err, certs.ErrUnavailable) || !strings.Contains(err.Error(), want) {
				t.Errorf("Load: %v, want %q", err, want)
			}
		}
		load("signing.pem: no such file")
		writeFile(t, src.SigningFile, []byte("garbage"))
		load("ca.pem: no such file")
		writeFile(t, src.CAFile, ca.CertPEM())
		load("signing certificate file " + src.SigningFile + ": holds no certificate")
		writeFile(t, src.SigningFile, a.CertPEM)
		if err := store.Load(t.Context()); err != nil {
			t.Fatal(err)
		}

		// Changed files count without a restart, and a broken one does no harm.
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- store.Run(ctx) }()
		for _, step := range []struct {
			text       []byte
			generation uint64
		}{
			{slices.Concat(a.CertPEM, b.CertPEM), 2},
			{[]byte("garbage"), 2},
			{b.CertPEM, 3},
		} {
			writeFile(t, src.SigningFile, step.text)
			time.Sleep(2 * certs.DefaultFileInterval)
			if got := store.Current().Generation(); got != step.generation {
				t.Errorf("generation %d, want %d", got, step.generation)
			}
			time.Sleep(time.Hour)
		}
		cancel()
		<-done
	})
}

func TestPinnedCAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := certstest.New(t), certstest.New(t, certstest.Subject("Other CA"))
	s := ca.Issue(t, certstest.ECDSAP256)
	src := &fakeSource{}
	store := &certs.Store{Source: src, CAFile: filepath.Join(dir, "pinned.pem"), Dir: filepath.Join(dir, "keep"), AllowFetchedCA: true}
	src.give(ca.CertPEM(), s.CertPEM)
	if err := store.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "pinned.pem") {
		t.Errorf("CA file missing: %v", err)
	}
	writeFile(t, store.CAFile, other.CertPEM())
	if err := store.Load(t.Context()); err == nil || store.Current() != nil {
		t.Errorf("signer of a CA that is not pinned: %v", err)
	}
	writeFile(t, store.CAFile, ca.CertPEM())
	src.give([]byte("whatever"), s.CertPEM)
	if err := store.Load(t.Context()); err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(filepath.Join(store.Dir, "*")); len(names) != 1 || filepath.Base(names[0]) != "signing_cert.pem" {
		t.Errorf("kept %v, want the signing certificates only", names)
	}
	// After a restart without the source: the kept signers, and still the pinned CA.
	again := &certs.Store{Source: src, CAFile: store.CAFile, Dir: store.Dir}
	src.fail(errDown)
	if err := again.Load(t.Context()); err != nil {
		t.Error(err)
	}
	writeFile(t, store.CAFile, other.CertPEM())
	again = &certs.Store{Source: src, CAFile: store.CAFile, Dir: store.Dir}
	if err := again.Load(t.Context()); err == nil {
		t.Error("kept signers count with another CA pinned")
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ca := certstest.New(t, certstest.Valid(now.Add(-time.Hour), now.Add(48*time.Hour)))
		good := ca.Issue(t, certstest.ECDSAP256, certstest.Serial(0x1a))
		late := ca.Issue(t, certstest.ECDSAP256, certstest.Valid(now.Add(time.Hour), now.Add(2*time.Hour)))
		src := &fakeSource{}
		src.give(ca.CertPEM(), good.CertPEM, late.CertPEM)
		var log bytes.Buffer
		store := &certs.Store{Source: src, AllowFetchedCA: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 3 {
			if err := store.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		st := store.Status()
		if st.Generation != 1 || len(st.Signers) != 2 || st.NoPKI || st.LastError != "" || !st.LastSuccess.Equal(now) || !st.LastAttempt.Equal(now) {
			t.Fatalf("%+v", st)
		}
		if s := st.Signers[0]; s.SerialNumber != "0x1a" || !s.Usable || !s.NotAfter.Equal(now.Add(48*time.Hour)) || len(s.Fingerprint) != 64 ||
			!strings.Contains(s.Subject, "Keystone") || !strings.Contains(s.Issuer, "Test CA") {
			t.Errorf("%+v", s)
		}
		if s := st.Signers[1]; s.Usable {
			t.Errorf("not yet valid: %+v", s)
		}
		if n := strings.Count(log.String(), "of no use at this time"); n != 1 {
			t.Errorf("warned %d times:\n%s", n, &log)
		}
		time.Sleep(time.Hour)
		if s := store.Status().Signers[1]; !s.Usable {
			t.Errorf("valid by now: %+v", s)
		}
	})
}

func TestSignersThatAreLeftOutAreCounted(t *testing.T) {
	t.Parallel()
	store, src, ca, a := started(t)
	alien := certstest.New(t, certstest.Subject("Other CA")).Issue(t, certstest.ECDSAP256)
	src.give(ca.CertPEM(), a.CertPEM, alien.CertPEM)
	if err := store.Load(t.Context()); err != nil || !store.Metrics.(*events).has(certs.EventSignerRefused) {
		t.Errorf("%v, events %v", err, store.Metrics.(*events).list)
	}
	if n := len(store.Current().Signers()); n != 1 {
		t.Errorf("%d signers", n)
	}
}
