package certs_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
)

// shared returns the path of shared test data; without it the test is skipped, or fails where that is demanded.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SHARED") == "1" {
			t.Fatalf("shared test data is required: %v", err)
		}
		t.Skipf("no shared test data: %v", err)
	}
	return path
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, text []byte) []*x509.Certificate {
	t.Helper()
	list, err := certs.ParseCertificates(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// signed makes a message of the signer.
func signed(t testing.TB, s *certstest.Signer) *cms.SignedData {
	t.Helper()
	return signedBy(t, s.Cert, s.Key, crypto.SHA256)
}

// signedBy makes a message that names cert, by whatever key and digest.
func signedBy(t testing.TB, cert *x509.Certificate, key crypto.Signer, h crypto.Hash) *cms.SignedData {
	t.Helper()
	sd := &cms.SignedData{
		Hash: h, Algorithm: cms.ECDSA, Content: []byte("content"),
		Issuer: cert.RawIssuer, SerialNumber: cms.SerialOctets(cert.SerialNumber),
	}
	if cert.PublicKeyAlgorithm == x509.RSA {
		sd.Algorithm = cms.RSA
	}
	digest := h.New()
	digest.Write(sd.Content)
	var err error
	if sd.Signature, err = key.Sign(rand.Reader, digest.Sum(nil), h); err != nil {
		t.Fatal(err)
	}
	return sd
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	a, b := ca.Issue(t, certstest.ECDSAP256), ca.Issue(t, certstest.ECDSAP256)
	both := slices.Concat(a.CertPEM, b.CertPEM)
	truncated := slices.Concat(a.CertPEM, b.CertPEM[:len(b.CertPEM)/2])
	var many []byte
	for range 65 {
		many = append(many, a.CertPEM...)
	}
	for _, tt := range []struct {
		name string
		text []byte
		want []*x509.Certificate
		err  string
	}{
		{"two in order", both, []*x509.Certificate{a.Cert, b.Cert}, ""},
		{"text around", slices.Concat([]byte("Certificate:\n    Data:\n"), a.CertPEM, []byte("subject=x\n"), b.CertPEM, []byte("end")), []*x509.Certificate{a.Cert, b.Cert}, ""},
		{"carriage returns", bytes.ReplaceAll(both, []byte("\n"), []byte("\r\n")), []*x509.Certificate{a.Cert, b.Cert}, ""},
		{"no final newline", bytes.TrimSpace(a.CertPEM), []*x509.Certificate{a.Cert}, ""},
		{"key beside it", slices.Concat(a.KeyPEM, a.CertPEM), []*x509.Certificate{a.Cert}, ""},
		{"empty", nil, nil, "empty"},
		{"blank", []byte(" \n"), nil, "empty"},
		{"text only", []byte("<html>404 not found</html>"), nil, "holds no certificate"},
		{"key only", a.KeyPEM, nil, "holds no certificate"},
		{"DER", a.Cert.Raw, nil, "openssl x509 -inform DER"},
		{"PKCS#7", []byte("-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"), nil, "openssl pkcs7"},
		{"second one truncated", truncated, nil, "1 of 2 certificates are damaged"},
		{"not a certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), nil, "certificate 1:"},
		{"bytes after", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(slices.Clone(a.Cert.Raw), 0)}), nil, "certificate 1:"},
		{"too many", many, nil, "more than 64"},
		{"too large", append(bytes.Repeat([]byte(" "), 1<<20), a.CertPEM...), nil, "1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := certs.ParseCertificates(tt.text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil || !slices.EqualFunc(got, tt.want, (*x509.Certificate).Equal) {
				t.Errorf("%d certificates, %v", len(got), err)
			}
		})
	}
}

func FuzzParseCertificates(f *testing.F) {
	ca := certstest.New(f)
	s := ca.Issue(f, certstest.ECDSAP256, certstest.Version1())
	f.Add(ca.CertPEM())
	f.Add(slices.Concat([]byte("text\n"), s.CertPEM, ca.CertPEM()))
	f.Add(s.Cert.Raw)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := certs.ParseCertificates(text)
		if (err == nil) != (len(list) > 0) {
			t.Fatalf("%d certificates, error %v", len(list), err)
		}
		// Whatever parses goes through the chain check without harm, and is no signer but by the CA.
		if b, _ := certs.NewBundle(list, []*x509.Certificate{ca.Cert}, certs.Policy{InsecureAllowSHA1: true, InsecureAllowWeakRSA: true}, s.Cert.NotBefore); b != nil {
			for _, signer := range b.Signers() {
				if !bytes.Equal(signer.Certificate.RawIssuer, ca.Cert.RawSubject) {
					t.Errorf("signer %v", signer.Certificate.Subject)
				}
			}
		}
	})
}
