package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"authproxy/certs"
	"authproxy/certs/certstest"
)

func TestLoadSigner(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	rsaSigner, ec := ca.Issue(t, certstest.RSA), ca.Issue(t, certstest.ECDSAP384)
	next := ca.Issue(t, certstest.ECDSAP256)
	weak, p521 := ca.Issue(t, certstest.RSA1024), ca.Issue(t, certstest.ECDSAP521)
	caSigner := &certstest.Signer{CertPEM: ca.CertPEM(), Key: ca.Key}
	tls := ca.Issue(t, certstest.ECDSAP256, keyUsage(x509.KeyUsageKeyEncipherment))
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaSigner.Key.(*rsa.PrivateKey))})
	sec1 := ecPEM(t, ec.Key)
	der, _ := pem.Decode(ec.KeyPEM)

	for _, tt := range []struct {
		name      string
		cert, key []byte
		mode      fs.FileMode
		want      *x509.Certificate
		err       string
	}{
		{"PKCS#8 RSA", rsaSigner.CertPEM, rsaSigner.KeyPEM, 0o600, rsaSigner.Cert, ""},
		{"PKCS#8 ECDSA", ec.CertPEM, ec.KeyPEM, 0o400, ec.Cert, ""},
		{"PKCS#1", rsaSigner.CertPEM, pkcs1, 0o600, rsaSigner.Cert, ""},
		{"SEC 1 with parameters", ec.CertPEM, slices.Concat([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), sec1), 0o600, ec.Cert, ""},
		{"roll-over, old above", slices.Concat(ec.CertPEM, next.CertPEM), ec.KeyPEM, 0o600, ec.Cert, ""},
		{"roll-over, new above", slices.Concat(next.CertPEM, ec.CertPEM), ec.KeyPEM, 0o600, ec.Cert, ""},
		{"with the chain below", slices.Concat(ec.CertPEM, ca.CertPEM()), ec.KeyPEM, 0o600, ec.Cert, ""},

		{"other key", ec.CertPEM, next.KeyPEM, 0o600, nil, "no certificate in"},
		{"world-readable", ec.CertPEM, ec.KeyPEM, 0o644, nil, "chmod 600"},
		{"world-writable", ec.CertPEM, ec.KeyPEM, 0o602, nil, "chmod 600"},
		{"encrypted PKCS#8", ec.CertPEM, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600, nil, "is encrypted"},
		{"encrypted PKCS#1", rsaSigner.CertPEM, []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n"), 0o600, nil, "is encrypted"},
		{"encrypted SEC 1", ec.CertPEM, []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n-----END EC PRIVATE KEY-----\n"), 0o600, nil, "is encrypted"},
		{"DER key", ec.CertPEM, der.Bytes, 0o600, nil, "openssl pkey -inform DER"},
		{"DER certificate", ec.Cert.Raw, ec.KeyPEM, 0o600, nil, "openssl x509 -inform DER"},
		{"empty key file", ec.CertPEM, nil, 0o600, nil, "empty, wanted a private key"},
		{"certificate for a key", ec.CertPEM, ec.CertPEM, 0o600, nil, "holds no private key"},
		{"key for a certificate", ec.KeyPEM, ec.KeyPEM, 0o600, nil, "holds no certificate"},
		{"damaged key", ec.CertPEM, ec.KeyPEM[:len(ec.KeyPEM)/2], 0o600, nil, "is damaged"},
		{"garbage in a key", ec.CertPEM, []byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"), 0o600, nil, "cannot be read"},
		{"two keys", ec.CertPEM, slices.Concat(ec.KeyPEM, next.KeyPEM), 0o600, nil, "more than one private key"},
		{"weak key", weak.CertPEM, weak.KeyPEM, 0o600, nil, "RSA key of 1024 bits"},
		{"P-521", p521.CertPEM, p521.KeyPEM, 0o600, nil, "P-521"},
		{"CA key", caSigner.CertPEM, ecPEM(t, caSigner.Key), 0o600, nil, "it is a CA certificate"},
		{"keyUsage", tls.CertPEM, tls.KeyPEM, 0o600, nil, "digitalSignature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			writeFile(t, certFile, tt.cert)
			writeFile(t, keyFile, tt.key)
			chmod(t, keyFile, tt.mode)
			pair, err := certs.LoadSigner(certFile, keyFile)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || pair != nil {
					t.Errorf("%v, want %q", err, tt.err)
				} else if !strings.Contains(err.Error(), dir) {
					t.Errorf("%q does not name the file", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !pair.Leaf.Equal(tt.want) || !pair.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(tt.want.PublicKey) || len(pair.Warnings) != 0 {
				t.Errorf("leaf %v, warnings %v", pair.Leaf.Subject, pair.Warnings)
			}
			if len(pair.Certificates) != strings.Count(string(tt.cert), "BEGIN CERTIFICATE") {
				t.Errorf("%d certificates", len(pair.Certificates))
			}
		})
	}
}

func ecPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func TestLoadSignerWarnsOfGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := certstest.New(t).Issue(t, certstest.ECDSAP256)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, certFile, s.CertPEM)
	writeFile(t, keyFile, s.KeyPEM)
	chmod(t, keyFile, 0o640)
	pair, err := certs.LoadSigner(certFile, keyFile)
	if err != nil || len(pair.Warnings) != 1 || !strings.Contains(pair.Warnings[0], "chmod 600") {
		t.Errorf("%v, %+v", err, pair)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := certs.LoadSigner(certFile, keyFile); err == nil || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("missing: %v", err)
	}
}
