package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

func TestTLS(t *testing.T) {
	id := newIdentity(t)
	other := newIdentity(t) // httptest gives both the same certificate, so a wrong CA has to be another one
	strange := filepath.Join(t.TempDir(), "strange.pem")
	if err := os.WriteFile(strange, certstest.New(t).CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	good := id.options(t)

	t.Run("its CA", func(t *testing.T) { token(t, newClient(t, good)) })
	for name, change := range map[string]func(*Options){
		"wrong CA":   func(o *Options) { o.CAFile = strange },
		"system CAs": func(o *Options) { o.CAFile = "" },
		"host name":  func(o *Options) { o.AuthURL = strings.Replace(other.URL, "127.0.0.1", "localhost", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			o.AuthURL = other.URL
			change(&o)
			_, err := newClient(t, o).Token(t.Context())
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "x509") {
				t.Errorf("got %v", err)
			}
			if got := other.requests(); len(got) != 0 {
				t.Errorf("an unverified server got %q", got)
			}
		})
	}
	t.Run("insecure", func(t *testing.T) {
		o := good
		o.CAFile, o.Insecure = "", true
		token(t, newClient(t, o))
	})
	t.Run("plain server", func(t *testing.T) {
		plain := httptest.NewServer(other)
		defer plain.Close()
		o := good
		o.AuthURL = strings.Replace(plain.URL, "http", "https", 1)
		if _, err := newClient(t, o).Token(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
			t.Errorf("got %v", err)
		}
	})
}

func TestClientCertificate(t *testing.T) {
	ca := certstest.New(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	id := &identity{clock: newClock(), life: time.Hour}
	id.Server = httptest.NewUnstartedServer(id)
	id.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	id.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	id.StartTLS()
	defer id.Close()

	dir := t.TempDir()
	file := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := func(ca *certstest.CA) (cert, key, both []byte) {
		t.Helper()
		s := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))
		return s.CertPEM, s.KeyPEM, slices.Concat(s.KeyPEM, s.CertPEM)
	}
	cert, key, both := pair(ca)
	_, _, strange := pair(certstest.New(t))

	for name, files := range map[string][2]string{"two files": {file("cert.pem", cert), file("key.pem", key)}, "one file": {file("both.pem", both), ""}} {
		t.Run(name, func(t *testing.T) {
			o := id.options(t)
			o.CertFile, o.KeyFile = files[0], files[1]
			token(t, newClient(t, o))
		})
	}
	t.Run("none", func(t *testing.T) {
		if _, err := newClient(t, id.options(t)).Token(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("renewed while in use", func(t *testing.T) {
		o := id.options(t)
		o.CertFile = file("renewed.pem", strange)
		c := newClient(t, o)
		if _, err := c.Token(t.Context()); err == nil {
			t.Fatal("a certificate of another CA was accepted")
		}
		id.clock.add(time.Minute)
		file("renewed.pem", both)
		token(t, c)
		// In the middle of the next renewal the file is empty. The first pair is used then, which this server refuses.
		file("renewed.pem", nil)
		c.Close()
		id.clock.add(2 * time.Hour)
		if _, err := c.Token(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}
