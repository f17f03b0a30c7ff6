package certs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
)

// fakeSource answers what it was last told to.
type fakeSource struct {
	mu      sync.Mutex
	answer  func(context.Context) (signing, ca []byte, err error)
	fetches int
}

func (f *fakeSource) Fetch(ctx context.Context) (signing, ca []byte, err error) {
	f.mu.Lock()
	f.fetches++
	answer := f.answer
	f.mu.Unlock()
	return answer(ctx)
}

func (f *fakeSource) set(answer func(context.Context) (signing, ca []byte, err error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fakeSource) give(ca []byte, signing ...[]byte) {
	text := bytes.Join(signing, nil)
	f.set(func(context.Context) ([]byte, []byte, error) { return text, ca, nil })
}

func (f *fakeSource) fail(err error) {
	f.set(func(context.Context) ([]byte, []byte, error) { return nil, nil, err })
}

func (f *fakeSource) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fetches
}

// events is a Metrics that remembers.
type events struct {
	mu   sync.Mutex
	list []certs.Event
}

func (e *events) CertificateEvent(ev certs.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
}

func (e *events) has(ev certs.Event) bool { return e.count(ev) > 0 }

func (e *events) count(ev certs.Event) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, have := range e.list {
		if have == ev {
			n++
		}
	}
	return n
}

var errDown = errors.New("connection refused")

// started returns a store that has loaded one signer of ca from the source.
func started(t *testing.T) (*certs.Store, *fakeSource, *certstest.CA, *certstest.Signer) {
	t.Helper()
	ca := certstest.New(t)
	s := ca.Issue(t, certstest.ECDSAP256)
	src := &fakeSource{}
	src.give(ca.CertPEM(), s.CertPEM)
	store := &certs.Store{Source: src, AllowFetchedCA: true, Metrics: &events{}}
	if err := store.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, src, ca, s
}

func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, a := started(t)
		first := store.Current()
		if first.Generation() != 1 || len(first.Signers()) != 1 {
			t.Fatalf("generation %d, %d signers", first.Generation(), len(first.Signers()))
		}
		signerA, err := first.Verify(signed(t, a), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b := ca.Issue(t, certstest.ECDSAP256)
		steps := []struct {
			name       string
			signing    [][]byte
			generation uint64
			a, b       bool
		}{
			{"same", [][]byte{a.CertPEM}, 1, true, false},
			{"new one below", [][]byte{a.CertPEM, b.CertPEM}, 2, true, true},
			{"new one above", [][]byte{b.CertPEM, a.CertPEM}, 2, true, true},
			{"old one gone", [][]byte{b.CertPEM}, 3, false, true},
			{"old one back", [][]byte{a.CertPEM, b.CertPEM}, 4, true, true},
		}
		for _, step := range steps {
			before := store.Current()
			src.give(ca.CertPEM(), step.signing...)
			if err := store.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			now := store.Current()
			if now.Generation() != step.generation || (now == before) != (now.Generation() == before.Generation()) {
				t.Errorf("%s: generation %d, want %d; same bundle: %v", step.name, now.Generation(), step.generation, now == before)
			}
			if now.Contains(signerA) != step.a {
				t.Errorf("%s: contains the first signer: %v", step.name, !step.a)
			}
			if _, err := now.Verify(signed(t, b), time.Now()); (err == nil) != step.b {
				t.Errorf("%s: new signer: %v", step.name, err)
			}
		}
	})
}

func TestRefreshFindsNewSigner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, a := started(t)
		seen := store.Current()
		b := ca.Issue(t, certstest.ECDSAP256)
		src.give(ca.CertPEM(), a.CertPEM, b.CertPEM)

		// Within the cooldown of the first load, that is authoritative.
		if got, err := store.Refresh(t.Context(), seen); got != seen || err != nil || src.count() != 1 {
			t.Fatalf("within the cooldown: other bundle %v, %v, %d fetches", got != seen, err, src.count())
		}
		time.Sleep(certs.DefaultCooldown)
		got, err := store.Refresh(t.Context(), seen)
		if err != nil || got == seen || src.count() != 2 {
			t.Fatalf("after the cooldown: same bundle %v, %v, %d fetches", got == seen, err, src.count())
		}
		if _, err := got.Verify(signed(t, b), time.Now()); err != nil {
			t.Error(err)
		}
		// Who saw an older bundle gets the newer one, at once and without a fetch, whatever the clock says.
		time.Sleep(time.Hour)
		if again, err := store.Refresh(t.Context(), seen); again != got || err != nil || src.count() != 2 {
			t.Errorf("older bundle: %v, %d fetches", err, src.count())
		}
	})
}

func TestRefreshIsSingleFlightWithCooldown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, a := started(t)
		src.set(func(context.Context) ([]byte, []byte, error) {
			time.Sleep(8 * time.Second)
			return a.CertPEM, ca.CertPEM(), nil
		})
		time.Sleep(time.Hour)
		seen := store.Current()
		begin, fetches := time.Now(), src.count()
		for time.Since(begin) < 5*time.Minute {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if got, err := store.Refresh(t.Context(), seen); got != seen || err != nil {
						t.Errorf("other bundle %v, %v", got != seen, err)
					}
				})
			}
			wg.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		// A cooldown counts from the begin of a good fetch.
		if n := src.count() - fetches; n != 10 {
			t.Errorf("%d fetches in 5 minutes, want one each 30 s", n)
		}
	})
}

func TestRefreshFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, _, a := started(t)
		seen := store.Current()
		src.fail(errDown)
		time.Sleep(time.Hour)
		for i := range 3 {
			got, err := store.Refresh(t.Context(), seen)
			if got != seen || !errors.Is(err, certs.ErrUnavailable) || !errors.Is(err, errDown) {
				t.Fatalf("call %d: %v", i, err)
			}
		}
		if src.count() != 2 {
			t.Errorf("%d fetches within the cooldown", src.count()-1)
		}
		if st := store.Status(); !strings.Contains(st.LastError, errDown.Error()) || time.Since(st.LastSuccess) < time.Hour {
			t.Errorf("status %+v", st)
		}
		time.Sleep(certs.DefaultCooldown)
		if _, err := store.Refresh(t.Context(), seen); !errors.Is(err, errDown) || src.count() != 3 {
			t.Errorf("after the cooldown: %v, %d fetches", err, src.count())
		}
		// The last good bundle goes on.
		if _, err := store.Current().Verify(signed(t, a), time.Now()); err != nil {
			t.Error(err)
		}
		if m := store.Metrics.(*events); m.count(certs.EventFailed) != 2 || m.count(certs.EventFetched) != 1 {
			t.Errorf("events %v", m.list)
		}
	})
}

func TestClockSetBackEndsCooldown(t *testing.T) {
	t.Parallel()
	store, src, _, _ := started(t)
	now := time.Now()
	store.Now = func() time.Time { return now.Add(-24 * time.Hour) }
	if _, err := store.Refresh(t.Context(), store.Current()); err != nil || src.count() != 2 {
		t.Errorf("%v, %d fetches", err, src.count())
	}
}

func TestUnusableAnswersKeepTheLastGood(t *testing.T) {
	t.Parallel()
	ca, stranger := certstest.New(t), certstest.New(t, certstest.Subject("Stranger"))
	a := ca.Issue(t, certstest.ECDSAP256)
	for _, tt := range []struct {
		name        string
		signing, ca []byte
	}{
		{"empty", nil, nil},
		{"HTML", []byte("<html>"), []byte("<html>")},
		{"DER", a.Cert.Raw, ca.CertPEM()},
		{"only the CA", ca.CertPEM(), ca.CertPEM()},
		{"signer of another CA", stranger.Issue(t, certstest.ECDSAP256).CertPEM, ca.CertPEM()},
		{"another CA and its signer", stranger.Issue(t, certstest.ECDSAP256).CertPEM, stranger.CertPEM()},
		{"half a file", slices.Concat(a.CertPEM, a.CertPEM[:100]), ca.CertPEM()},
		{"TLS certificate", ca.Issue(t, certstest.ECDSAP256, extendedKeyUsage(x509.ExtKeyUsageServerAuth)).CertPEM, ca.CertPEM()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &fakeSource{}
			store := &certs.Store{Source: src, AllowFetchedCA: true}
			src.give(tt.ca, tt.signing)
			if tt.name != "another CA and its signer" {
				if err := store.Load(t.Context()); !errors.Is(err, certs.ErrUnavailable) || store.Current() != nil {
					t.Errorf("first load: %v, bundle %v", err, store.Current())
				}
			}
			store = &certs.Store{Source: src, AllowFetchedCA: true}
			src.give(ca.CertPEM(), a.CertPEM)
			if err := store.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			good := store.Current()
			src.give(tt.ca, tt.signing)
			if err := store.Load(t.Context()); err != nil {
				t.Errorf("load with signers: %v", err)
			}
			if store.Current() != good || store.Status().LastError == "" {
				t.Errorf("bundle changed: %v; status %+v", store.Current() != good, store.Status())
			}
		})
	}
}

func TestNoPKI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{}
		src.fail(certs.ErrNoPKI)
		var log bytes.Buffer
		store := &certs.Store{Source: src, AllowFetchedCA: true, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: &events{}}
		if err := store.Load(t.Context()); !errors.Is(err, certs.ErrNoPKI) || errors.Is(err, certs.ErrUnavailable) {
			t.Fatalf("Load: %v", err)
		}
		if got, err := store.Refresh(t.Context(), nil); got != nil || !errors.Is(err, certs.ErrNoPKI) || src.count() != 1 {
			t.Errorf("Refresh within the cooldown: %v, %d fetches", err, src.count())
		}
		if !store.Status().NoPKI {
			t.Error("status does not say NoPKI")
		}
		for range 3 {
			time.Sleep(time.Hour)
			_, _ = store.Refresh(t.Context(), nil)
		}
		if n := strings.Count(log.String(), "no PKI: tokens"); n != 1 {
			t.Errorf("said %d times:\n%s", n, &log)
		}

		// It gets PKI, and says later on that it has none: the last good signers stay.
		ca := certstest.New(t)
		s := ca.Issue(t, certstest.ECDSAP256)
		src.give(ca.CertPEM(), s.CertPEM)
		if err := store.Load(t.Context()); err != nil || store.Status().NoPKI || store.Status().LastError != "" {
			t.Fatalf("Load: %v, %+v", err, store.Status())
		}
		good := store.Current()
		src.fail(certs.ErrNoPKI)
		time.Sleep(time.Hour)
		if got, err := store.Refresh(t.Context(), good); got != good || !errors.Is(err, certs.ErrNoPKI) || !store.Status().NoPKI {
			t.Errorf("Refresh: bundle changed %v, %v", got != good, err)
		}
		// A failure says nothing about PKI.
		src.fail(errDown)
		time.Sleep(time.Hour)
		if _, err := store.Refresh(t.Context(), good); !errors.Is(err, certs.ErrUnavailable) || !store.Status().NoPKI {
			t.Errorf("Refresh: %v, %+v", err, store.Status())
		}
	})
}

func TestCallersWaitOnlyAsLongAsTheyWant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, a := started(t)
		seen := store.Current()
		b := ca.Issue(t, certstest.ECDSAP256)
		src.set(func(ctx context.Context) ([]byte, []byte, error) {
			select {
			case <-time.After(5 * time.Second):
				return slices.Concat(a.CertPEM, b.CertPEM), ca.CertPEM(), nil
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
		})
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		got, err := store.Refresh(ctx, seen)
		if got != seen || !errors.Is(err, certs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		// The flight that the first caller began goes on for the others.
		got, err = store.Refresh(t.Context(), seen)
		if got == seen || err != nil || time.Since(begin) != 5*time.Second || src.count() != 2 {
			t.Errorf("%v after %v, %d fetches", err, time.Since(begin), src.count())
		}
	})
}

func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.New(t)
		s := ca.Issue(t, certstest.ECDSAP256)
		src := &fakeSource{}
		src.fail(errDown)
		var times []time.Duration
		begin := time.Now()
		store := &certs.Store{Source: src, AllowFetchedCA: true, Interval: 10 * time.Minute}
		src.set(func(context.Context) ([]byte, []byte, error) {
			times = append(times, time.Since(begin))
			if len(times) <= 6 {
				return nil, nil, errDown
			}
			return s.CertPEM, ca.CertPEM(), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- store.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(times) < 10 || times[0] != 0 {
			t.Fatalf("fetches at %v", times)
		}
		// After failures at 30 s, 1, 2, 4, 8 and 10 minutes, then each 10.
		wants := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute}
		exact := 0
		for i, want := range wants {
			got := times[i+1] - times[i]
			if got < want*9/10 || got > want*11/10 {
				t.Errorf("pause %d: %v, want %v ±10 %%", i, got, want)
			}
			if got == want {
				exact++
			}
		}
		if exact == len(wants) {
			t.Error("no jitter")
		}
		if store.Current().Generation() != 1 {
			t.Errorf("generation %d", store.Current().Generation())
		}
	})
}

// TestRenew fetches within the cooldown, and again where a fetch is under way that may have begun before the change.
func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, src, ca, _ := started(t)
		b := ca.Issue(t, certstest.RSA)
		src.give(ca.CertPEM(), b.CertPEM)
		if err := store.Renew(t.Context()); err != nil || !store.Current().Contains(store.Current().Signers()[0]) || store.Current().Signers()[0].Certificate.SerialNumber.Cmp(b.Cert.SerialNumber) != 0 {
			t.Errorf("%v", err)
		}
		src.set(func(context.Context) ([]byte, []byte, error) {
			time.Sleep(5 * time.Second)
			return b.CertPEM, ca.CertPEM(), nil
		})
		fetches, begin := src.count(), time.Now()
		var early sync.WaitGroup
		early.Go(func() { _ = store.Renew(t.Context()) })
		time.Sleep(time.Second)
		if err := store.Renew(t.Context()); err != nil || src.count()-fetches != 2 || time.Since(begin) != 10*time.Second {
			t.Errorf("%v, %d fetches in %v", err, src.count()-fetches, time.Since(begin))
		}
		early.Wait()
		src.fail(errors.New("down"))
		if err := store.Renew(t.Context()); !errors.Is(err, certs.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRunEndsTheFlightUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{}
		src.set(func(ctx context.Context) ([]byte, []byte, error) {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		})
		store := &certs.Store{Source: src}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- store.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		cancel()
		<-done
		if time.Since(begin) != 0 {
			t.Errorf("Run ended %v after its context", time.Since(begin))
		}
	})
}
