package tokens_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone/server/tokens"
)

// keyFiles are the files of a KeyPair.
type keyFiles struct {
	t    *testing.T
	pair *tokens.KeyPair
	log  bytes.Buffer
	now  time.Time
}

func newKeyFiles(t *testing.T) *keyFiles {
	dir := t.TempDir()
	f := &keyFiles{t: t, now: time.Now()}
	f.pair = &tokens.KeyPair{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), CAFile: filepath.Join(dir, "ca.pem"),
		Now: func() time.Time { return f.now }, Log: slog.New(slog.NewTextHandler(&f.log, nil)),
	}
	return f
}

// put writes the files as a careful operator does, each as a whole. nil leaves one as it is.
func (f *keyFiles) put(cert, key, ca []byte) {
	f.t.Helper()
	for path, text := range map[string][]byte{f.pair.CertFile: cert, f.pair.KeyFile: key, f.pair.CAFile: ca} {
		if text == nil {
			continue
		}
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			f.t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			f.t.Fatal(err)
		}
	}
}

// signs says whether the pair signs with the key of c.
func (f *keyFiles) signs(c *x509.Certificate) bool {
	f.t.Helper()
	der, err := f.pair.Sign([]byte("content"))
	if err != nil {
		f.t.Fatal(err)
	}
	message, err := cms.Parse(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return message.CheckSignature(c.PublicKey) == nil
}

// TestBadKeysAreRefused puts each wrong thing there, at the start and while a good pair signs.
func TestBadKeysAreRefused(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t, certstest.Subject("Another CA"))
	good := ca.Issue(t, certstest.RSA)
	now := time.Now()
	hour, day := now.Add(time.Hour), 24*time.Hour
	usage := certstest.Template(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	oldCA := certstest.New(t, certstest.Subject("Old CA"), certstest.Valid(now.Add(-2*day), now.Add(-day)))
	sha1 := certstest.New(t, certstest.WithKind(certstest.RSA))
	next := ca.Issue(t, certstest.ECDSAP256)
	issue := func(from *certstest.CA, kind certstest.Kind, o ...certstest.Option) *certstest.Signer {
		return from.Issue(t, kind, o...)
	}
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})

	for _, tt := range []struct {
		name string
		s    *certstest.Signer
		cert []byte // instead of that of s
		key  []byte // likewise
		ca   []byte // instead of ca
		err  string
	}{
		{"expired", issue(ca, certstest.ECDSAP256, certstest.Valid(now.Add(-2*day), now.Add(-day))), nil, nil, nil, "expired on"},
		{"not yet valid", issue(ca, certstest.ECDSAP256, certstest.Valid(hour, now.Add(day))), nil, nil, nil, "is not valid before"},
		{"wrong pair", next, nil, good.KeyPEM, nil, "goes with the key in"},
		{"key with a password", next, nil, encrypted, nil, "private key is encrypted"},
		{"wrong key usage", issue(ca, certstest.ECDSAP256, usage), nil, nil, nil, "keyUsage does not include digitalSignature"},
		{"weak key", issue(ca, certstest.RSA1024), nil, nil, nil, "RSA key of 1024 bits"},
		{"odd curve", issue(ca, certstest.ECDSAP521), nil, nil, nil, "ECDSA key on P-521"},
		{"another CA", issue(other, certstest.ECDSAP256), nil, nil, nil, "no verifier will accept it"},
		{"missing intermediate", issue(ca.Intermediate(t), certstest.ECDSAP256), nil, nil, nil, "no CA certificate has the subject"},
		{"expired CA", issue(oldCA, certstest.ECDSAP256), nil, nil, oldCA.CertPEM(), "with the CA certificates above it, it is valid"},
		{"SHA-1", issue(sha1, certstest.ECDSAP256, certstest.SignedWith(x509.SHA1WithRSA)), nil, nil, sha1.CertPEM(), "certificate signed with SHA-1"},
		{"damaged CA", next, nil, nil, ca.CertPEM()[:100], "are damaged"},
		{"key among the CAs", next, nil, nil, slices.Concat(ca.CertPEM(), next.KeyPEM), "holds a private key"},
		{"key among the certificates", next, slices.Concat(next.CertPEM, next.KeyPEM), nil, nil, "holds a private key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cert == nil {
				tt.cert = tt.s.CertPEM
			}
			if tt.key == nil {
				tt.key = tt.s.KeyPEM
			}
			if tt.ca == nil {
				tt.ca = ca.CertPEM()
			}
			start := newKeyFiles(t)
			start.put(tt.cert, tt.key, tt.ca)
			if _, err := start.pair.Load(); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("at start: %v, want %q", err, tt.err)
			}

			f := newKeyFiles(t)
			f.put(good.CertPEM, good.KeyPEM, ca.CertPEM())
			if !f.signs(good.Cert) {
				t.Fatal("the good key does not sign")
			}
			f.put(tt.cert, tt.key, tt.ca)
			for range 3 {
				if !f.signs(good.Cert) {
					t.Error("the last good key does not sign")
				}
			}
			if text, err := f.pair.Certificates(); err != nil || !bytes.Equal(text, good.CertPEM) {
				t.Errorf("what verifiers get is not the last good certificate: %v\n%s", err, text)
			}
			if text, err := f.pair.Authorities(); err != nil || !bytes.Equal(text, ca.CertPEM()) {
				t.Errorf("what verifiers get is not the last good CA: %v\n%s", err, text)
			}
			said := f.log.String()
			if strings.Count(said, "the last good pair goes on signing") != 1 || !strings.Contains(said, tt.err) {
				t.Errorf("the log does not say %q, once:\n%s", tt.err, said)
			}
			// What is put right counts again.
			f.put(next.CertPEM, next.KeyPEM, ca.CertPEM())
			if !f.signs(next.Cert) {
				t.Error("the right pair does not sign")
			}
		})
	}
}

// TestRefusedKeysAreTriedAgain: a certificate that is not valid yet counts once it is, and a key whose mode was wrong once that
// is right, though the files have not changed.
func TestRefusedKeysAreTriedAgain(t *testing.T) {
	ca := certstest.New(t)
	good := ca.Issue(t, certstest.ECDSAP256)
	f := newKeyFiles(t)
	f.put(good.CertPEM, good.KeyPEM, ca.CertPEM())
	if !f.signs(good.Cert) {
		t.Fatal("the good key does not sign")
	}
	early := ca.Issue(t, certstest.ECDSAP256, certstest.Valid(f.now.Add(5*time.Second), f.now.Add(time.Hour)))
	f.put(early.CertPEM, early.KeyPEM, nil)
	if f.signs(early.Cert) {
		t.Error("a certificate signs before it is valid")
	}
	f.now = f.now.Add(9 * time.Second)
	if f.signs(early.Cert) {
		t.Error("the files are read again all the time")
	}
	f.now = f.now.Add(time.Second)
	if !f.signs(early.Cert) {
		t.Errorf("the certificate is valid now\n%s", &f.log)
	}

	f.put(good.CertPEM, nil, nil)
	f.put(nil, good.KeyPEM, nil)
	if err := os.Chmod(f.pair.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if f.signs(good.Cert) || !strings.Contains(f.log.String(), "chmod 600") {
		t.Errorf("a key that all can read signs\n%s", &f.log)
	}
	if err := os.Chmod(f.pair.KeyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(10 * time.Second)
	if !f.signs(good.Cert) {
		t.Errorf("the mode is right now\n%s", &f.log)
	}
}

// TestCertificatesWithoutKey: a server that issues no signed tokens still tells verifiers what it has, and says what is missing.
func TestCertificatesWithoutKey(t *testing.T) {
	f := newKeyFiles(t)
	for name, read := range map[string]func() ([]byte, error){"certificates": f.pair.Certificates, "authorities": f.pair.Authorities} {
		if _, err := read(); !errors.Is(err, tokens.ErrNoCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ca := certstest.New(t)
	s := ca.Issue(t, certstest.ECDSAP256)
	f.put(s.CertPEM, nil, ca.CertPEM())
	if text, err := f.pair.Certificates(); err != nil || !bytes.Equal(text, s.CertPEM) {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err := f.pair.Authorities(); err != nil || !bytes.Equal(text, ca.CertPEM()) {
		t.Errorf("%v\n%s", err, text)
	}
}
