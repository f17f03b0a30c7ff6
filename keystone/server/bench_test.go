package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/store/sql"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/token"
)

// bench is a backend with many revoked tokens, asked without a network in between.
type bench struct {
	db      *sql.Store
	server  *server.Server
	tokens  *tokens.Manager
	handler http.Handler
	next    int
}

// bodySize is about that of the record of a PKI token with a small catalog.
const bodySize = 2000

func newBench(b *testing.B, revoked int) *bench {
	b.Helper()
	dir := b.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, text []byte) {
		if err := os.WriteFile(in(name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write("keystone.conf", fmt.Appendf(nil, "[token]\nprovider = pki\n[database]\nconnection = sqlite:///%s\n[signing]\ncertfile = %s\nkeyfile = %s\n",
		in("keystone.db"), in("cert"), in("key")))
	signer := certstest.New(b).Issue(b, certstest.RSA)
	write("cert", signer.CertPEM)
	write("key", signer.KeyPEM)
	settings, err := app.Load([]string{in("keystone.conf")}, nil, func(string) string { return "" })
	if err != nil {
		b.Fatal(err)
	}
	db, err := settings.OpenAnyStore(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	if err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	s := settings.Build(db, app.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}).Server
	s.AdminToken = "a-token-that-needs-no-look-up"
	w := &bench{db: db, server: s, tokens: s.Tokens, handler: s.Handler(server.Listener{})}
	w.add(b, revoked, "old")
	if n, err := db.RevokeTokens(b.Context(), tokens.Tokens{UserID: "old"}, time.Now(), time.Now()); err != nil || n != revoked {
		b.Fatal(n, err)
	}
	return w
}

// add stores valid tokens of a user.
func (w *bench) add(b *testing.B, n int, userID string) {
	b.Helper()
	now := time.Now()
	body := []byte(strings.Repeat("x", bodySize))
	if err := w.db.Write(b.Context(), func(ctx context.Context) error {
		for range n {
			w.next++
			if err := w.db.AddToken(ctx, tokens.Record{ID: fmt.Sprintf("%032x", uint64(w.next)*0x9e3779b97f4a7c15), Form: token.PKI,
				AuditID: fmt.Sprintf("%022d", w.next), UserID: userID, IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour), Body: body}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

func (w *bench) get(b *testing.B, query, ifNoneMatch string, status int) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(b.Context(), "GET", listPath+query, nil)
	r.Header.Set("X-Auth-Token", "a-token-that-needs-no-look-up")
	if ifNoneMatch != "" {
		r.Header.Set("If-None-Match", ifNoneMatch)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code != status {
		b.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return rec
}

// step revokes n tokens at once and returns the sequence after it.
func (w *bench) step(b *testing.B, n int) int64 {
	b.Helper()
	userID := strconv.Itoa(w.next)
	w.add(b, n, userID)
	if got, err := w.db.RevokeTokens(b.Context(), tokens.Tokens{UserID: userID}, time.Now(), time.Now()); err != nil || got != n {
		b.Fatal(got, err)
	}
	state, err := w.db.ListState(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return state.Sequence
}

// BenchmarkRevocations is what revoked tokens cost the backend, against how many there are: "unchanged" is a poll that finds
// nothing new, "cached" one by a client that knows nothing, "whole" the making of the list, "delta100" the making of a delta
// of 100 entries, "revoke" one revocation (with its fsync).
func BenchmarkRevocations(b *testing.B) {
	for _, revoked := range []int{1e3, 1e4, 1e5} {
		b.Run(fmt.Sprint(revoked), func(b *testing.B) {
			w := newBench(b, revoked)
			b.Run("unchanged", func(b *testing.B) {
				etag := w.get(b, "", "", 200).Header().Get("ETag")
				for b.Loop() {
					w.get(b, "", etag, 304)
				}
			})
			b.Run("cached", func(b *testing.B) {
				for b.Loop() {
					w.get(b, "", "", 200)
				}
			})
			b.Run("whole", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					w.step(b, 1)
					b.StartTimer()
					w.get(b, "", "", 200)
				}
			})
			b.Run("delta100", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					sequence := w.step(b, 100)
					b.StartTimer()
					w.get(b, "?since="+strconv.FormatInt(sequence-1, 10), "", 200)
				}
			})
			b.Run("revoke", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					userID := strconv.Itoa(w.next)
					w.add(b, 1, userID)
					b.StartTimer()
					if err := w.tokens.Revoker.RevokeUser(b.Context(), userID); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
