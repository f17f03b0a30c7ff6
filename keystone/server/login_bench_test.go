package server_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"authproxy/certs/certstest"
	"authproxy/keystone/server"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/bootstrap"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/store/sql"
	"authproxy/keystone/token"
)

// issuer is a backend that issues tokens of one kind, with the real costs of passwords and a catalog of five services, which makes
// a PKI token of 4.9 KB.
type issuer struct {
	db      *sql.Store
	parts   *app.Parts
	handler http.Handler
	key     crypto.Signer // nil for provider uuid
}

func newIssuer(b *testing.B, provider string, kind certstest.Kind) *issuer {
	b.Helper()
	dir := b.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, text []byte) {
		if err := os.WriteFile(in(name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	write("keystone.conf", fmt.Appendf(nil, "[token]\nprovider = %s\n[database]\nconnection = sqlite:///%s\n[signing]\ncertfile = %s\nkeyfile = %s\n",
		provider, in("keystone.db"), in("cert"), in("key")))
	i := &issuer{}
	if provider != "uuid" {
		signer := certstest.New(b).Issue(b, kind)
		write("cert", signer.CertPEM)
		write("key", signer.KeyPEM)
		i.key = signer.Key
	}
	settings, err := app.Load([]string{in("keystone.conf")}, nil, func(string) string { return "" })
	must(err)
	i.db, err = settings.OpenAnyStore(b.Context())
	must(err)
	b.Cleanup(func() { i.db.Close() })
	must(i.db.Migrate(b.Context()))
	i.parts = settings.Build(i.db, app.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(i.parts.Policy.Load())
	must(bootstrap.Run(b.Context(), i.parts.Server, bootstrap.Options{Password: adminPassword, RegionID: "RegionOne",
		PublicURL: "http://controller.example.com:5000/v3", InternalURL: "http://controller.example.com:5000/v3", AdminURL: "http://controller.example.com:35357/v3"}))
	i.handler = i.parts.Server.Handler(server.Listener{})

	admin := i.login(b, byPassword("admin", adminPassword, onProject("admin")))
	for _, name := range []string{"compute", "image", "network", "volumev3"} {
		made := i.ask(b, "POST", "/v3/services", admin, obj{"service": obj{"type": name, "name": name}}, 201)
		var service struct{ Service struct{ ID string } }
		must(json.Unmarshal(made.Body.Bytes(), &service))
		for _, face := range []string{"public", "internal", "admin"} {
			i.ask(b, "POST", "/v3/endpoints", admin, obj{"endpoint": obj{"service_id": service.Service.ID, "interface": face, "region_id": "RegionOne",
				"url": "http://controller.example.com:8774/v2.1"}}, 201)
		}
	}
	return i
}

func (i *issuer) ask(b *testing.B, method, path, text string, body any, status int) *httptest.ResponseRecorder {
	b.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	rec := i.send(method, path, text, encoded)
	if rec.Code != status {
		b.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	return rec
}

func (i *issuer) send(method, path, text string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", text)
	r.Header.Set("X-Subject-Token", text)
	rec := httptest.NewRecorder()
	i.handler.ServeHTTP(rec, r)
	return rec
}

func (i *issuer) login(b *testing.B, request any) string {
	b.Helper()
	return i.ask(b, "POST", "/v3/auth/tokens", "", request, 201).Header().Get("X-Subject-Token")
}

// processor is the processor time of this process.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// withProcessor runs once many times, on as many goroutines as there are processors, and reports the processor time of each and how
// many there are in a second.
func withProcessor(b *testing.B, once func() error) {
	b.ReportAllocs()
	used := processor(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := once(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((processor(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// BenchmarkLogin is what a login costs, from the request to the answer without a network in between, beside what of it nobody can
// save: the KDF, the signature, and the row in the database. With -cpu 1,2 it shows what a second processor adds.
func BenchmarkLogin(b *testing.B) {
	b.Run("raw/kdf", func(b *testing.B) {
		p := identity.DefaultParams
		withProcessor(b, func() error {
			argon2.IDKey([]byte(adminPassword), make([]byte, 16), p.Time, p.Memory, p.Threads, 32)
			return nil
		})
	})
	for _, kind := range []struct {
		name, provider string
		key            certstest.Kind
	}{{"rsa", "pki", certstest.RSA}, {"ecdsa", "pki", certstest.ECDSAP256}, {"uuid", "uuid", 0}} {
		b.Run(kind.name, func(b *testing.B) {
			i := newIssuer(b, kind.provider, kind.key)
			first := i.login(b, byPassword("admin", adminPassword, onProject("admin")))
			b.Logf("token of %d bytes", len(first))
			if i.key != nil {
				i.rawSign(b)
				b.Run("raw/cms", func(b *testing.B) {
					content := []byte(strings.Repeat("x", 3000))
					withProcessor(b, func() error {
						der, err := i.parts.Server.Tokens.Keys.Sign(content)
						_ = token.EncodePKI(der)
						return err
					})
				})
			}
			for name, request := range map[string]obj{
				"password": byPassword("admin", adminPassword, onProject("admin")), "token": byToken(first, onProject("admin")),
			} {
				body, err := json.Marshal(request)
				if err != nil {
					b.Fatal(err)
				}
				b.Run(name, func(b *testing.B) {
					withProcessor(b, func() error {
						if rec := i.send("POST", "/v3/auth/tokens", "", body); rec.Code != 201 {
							return fmt.Errorf("%d %s", rec.Code, rec.Body)
						}
						return nil
					})
				})
			}
		})
	}
}

// rawSign is one signature with the key of the backend.
func (i *issuer) rawSign(b *testing.B) {
	b.Run("raw/sign", func(b *testing.B) {
		sum := sha256.Sum256([]byte(b.Name()))
		withProcessor(b, func() error {
			_, err := i.key.Sign(rand.Reader, sum[:], crypto.SHA256)
			return err
		})
	})
}

// BenchmarkValidate is what the validation of a token costs the backend, from the request to the answer without a network in between:
// by both APIs, and without the catalog, beside one signature.
func BenchmarkValidate(b *testing.B) {
	for _, kind := range []struct {
		name, provider string
		key            certstest.Kind
	}{{"rsa", "pki", certstest.RSA}, {"uuid", "uuid", 0}} {
		b.Run(kind.name, func(b *testing.B) {
			i := newIssuer(b, kind.provider, kind.key)
			if i.key != nil {
				i.rawSign(b)
			}
			text := i.login(b, byPassword("admin", adminPassword, onProject("admin")))
			for name, path := range map[string]string{"v3": "/v3/auth/tokens", "v3,nocatalog": "/v3/auth/tokens?nocatalog", "v2.0": "/v2.0/tokens/" + text} {
				b.Run(name, func(b *testing.B) {
					withProcessor(b, func() error {
						if rec := i.send("GET", path, text, nil); rec.Code != 200 {
							return fmt.Errorf("%d %s", rec.Code, rec.Body)
						}
						return nil
					})
				})
			}
		})
	}
}

// BenchmarkValidateInFlood is what the validation of a token takes, alone and while more logins with bad passwords wait than are let in.
func BenchmarkValidateInFlood(b *testing.B) {
	i := newIssuer(b, "uuid", 0)
	admin := i.login(b, byPassword("admin", adminPassword, onProject("admin")))
	validate := func(b *testing.B) {
		for b.Loop() {
			if rec := i.send("GET", "/v3/auth/tokens", admin, nil); rec.Code != 200 {
				b.Fatal(rec.Code, rec.Body)
			}
		}
	}
	b.Run("quiet", validate)
	b.Run("flood", func(b *testing.B) {
		var over atomic.Bool
		var group sync.WaitGroup
		defer group.Wait()
		defer over.Store(true)
		for g := range 16 {
			group.Go(func() {
				for n := 0; !over.Load(); n++ {
					i.send("POST", "/v3/auth/tokens", "", fmt.Appendf(nil, `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"nobody-%d-%d","domain":{"id":"default"},"password":"guess"}}}}}`, g, n))
				}
			})
		}
		awaitLogins(i.parts, 8)
		validate(b)
	})
}

// awaitLogins returns when so many logins wait for the check of their passwords.
func awaitLogins(parts *app.Parts, n int) {
	for {
		if waiting, _ := parts.Server.Identity.Hasher.Waiting(); waiting >= n {
			return
		}
		runtime.Gosched()
	}
}
