package revocation_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/revocation"
)

// shared gives the path of a file that lies beside the project, not in it.
func shared(t testing.TB, name ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "shared", "fixtures"}, name...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatalf("AUTHPROXY_REQUIRE_SHARED=1, but %v", err)
		}
		t.Skipf("fixtures are not beside the project: %v", err)
	}
	return path
}

// identity is an Identity service as far as lists go: its CA and its signer.
type identity struct {
	ca     *certstest.CA
	signer *certstest.Signer
}

func newIdentity(t testing.TB) identity {
	t.Helper()
	ca := certstest.New(t)
	return identity{ca, ca.Issue(t, certstest.RSA)}
}

// list signs a list of entries, each of the form "id", "id/audit id" or "/audit id".
func (i identity) list(t testing.TB, entries ...string) []byte {
	t.Helper()
	return sign(t, i.signer, listContent(t, entries...))
}

func (i identity) verifier(t testing.TB) *verifier {
	t.Helper()
	return newVerifier(bundle(t, i.ca, i.signer))
}

func listContent(t testing.TB, entries ...string) []byte {
	t.Helper()
	type entry struct {
		ID      string `json:"id,omitempty"`
		AuditID string `json:"audit_id,omitempty"`
		Expires string `json:"expires"`
	}
	doc := struct {
		Revoked []entry `json:"revoked"`
	}{Revoked: []entry{}}
	for _, e := range entries {
		e, expires, found := strings.Cut(e, "@")
		if !found {
			expires = "2037-01-01T00:00:00Z"
		}
		id, audit, _ := strings.Cut(e, "/")
		doc.Revoked = append(doc.Revoked, entry{id, audit, expires})
	}
	content, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func sign(t testing.TB, s *certstest.Signer, content []byte) []byte {
	t.Helper()
	der, err := cms.Sign(content, s.Cert, s.Key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return cms.EncodePEM(der)
}

func bundle(t testing.TB, ca *certstest.CA, signers ...*certstest.Signer) *certs.Bundle {
	t.Helper()
	var signing []*x509.Certificate
	for _, s := range signers {
		signing = append(signing, s.Cert)
	}
	b, err := certs.NewBundle(signing, []*x509.Certificate{ca.Cert}, certs.Policy{}, time.Now())
	if b == nil { // an error beside a bundle is about signers that the policy leaves out
		t.Fatal(err)
	}
	return b
}

// verifier is a certs.Store whose next fetch brings the bundle newer, or the error.
type verifier struct {
	current   atomic.Pointer[certs.Bundle]
	newer     *certs.Bundle
	err       error
	refreshed atomic.Int32
}

func newVerifier(b *certs.Bundle) *verifier {
	v := &verifier{}
	v.current.Store(b)
	return v
}

func (v *verifier) Current() *certs.Bundle { return v.current.Load() }

func (v *verifier) Refresh(context.Context, *certs.Bundle) (*certs.Bundle, error) {
	v.refreshed.Add(1)
	if v.newer != nil {
		v.current.Store(v.newer)
	}
	return v.current.Load(), v.err
}

// source is a Source that can change its mind. Two fetches at the same time are an error.
type source struct {
	t testing.TB

	mu      sync.Mutex
	fetch   func(context.Context) ([]byte, error)
	running int
	calls   int
}

func newSource(t testing.TB, fetch func(context.Context) ([]byte, error)) *source {
	return &source{t: t, fetch: fetch}
}

func (s *source) FetchRevocationList(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	fetch := s.fetch
	s.calls++
	if s.running++; s.running > 1 {
		s.t.Errorf("%d fetches at the same time", s.running)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	return fetch(ctx)
}

func (s *source) set(fetch func(context.Context) ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetch = fetch
}

// take gives the number of calls since it was last called.
func (s *source) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.calls
	s.calls = 0
	return n
}

var errDown = errors.New("connection refused")

func down(context.Context) ([]byte, error)  { return nil, errDown }
func noPKI(context.Context) ([]byte, error) { return nil, certs.ErrNoPKI }

func hang(ctx context.Context) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func sends(signed []byte) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return bytes.Clone(signed), nil }
}

// slow sends the list after d, unless ctx ends before that.
func slow(d time.Duration, signed []byte) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		select {
		case <-time.After(d):
			return signed, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// wait lets virtual time pass; for use in a bubble.
func wait(d time.Duration) { <-time.After(d) }

// clock is a Now that the test turns.
type clock struct{ nanos atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.nanos.Store(at.UnixNano())
	return c
}

func (c *clock) now() time.Time      { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.nanos.Add(int64(d)) }

var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// counts is a Metrics.
type counts struct {
	mu       sync.Mutex
	polls    map[revocation.Result]int
	entries  int
	without  int
	vanished int
}

func (c *counts) PollDone(r revocation.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.polls == nil {
		c.polls = map[revocation.Result]int{}
	}
	c.polls[r]++
}

func (c *counts) ListLoaded(entries, without int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.without = entries, without
}

func (c *counts) EntriesVanished(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vanished += n
}

// logBook keeps what is logged at Info and above, one line each.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count says how many lines hold all of the words, and forgets all lines when none are given.
func (l *logBook) count(words ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(words) == 0 {
		l.text.Reset()
	}
line:
	for line := range strings.Lines(l.text.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue line
			}
		}
		n++
	}
	return n
}
