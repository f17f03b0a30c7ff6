package certstest_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

func TestChainsVerify(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t, certstest.WithKind(certstest.RSA))
	middle := ca.Intermediate(t)
	roots, pool := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.Cert)
	pool.AddCert(middle.Cert)
	for name, s := range map[string]*certstest.Signer{
		"rsa":        ca.Issue(t, certstest.RSA),
		"p256":       ca.Issue(t, certstest.ECDSAP256),
		"p384":       middle.Issue(t, certstest.ECDSAP384),
		"version 1":  ca.Issue(t, certstest.ECDSAP256, certstest.Version1()),
		"version 1b": middle.Issue(t, certstest.ECDSAP256, certstest.Version1()),
	} {
		_, err := s.Cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	from, to := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), time.Date(2002, 2, 3, 4, 5, 6, 0, time.UTC)
	ca := certstest.New(t, certstest.WithKind(certstest.RSA))
	s := ca.Issue(t, certstest.RSA, certstest.Subject("x"), certstest.Serial(17), certstest.Valid(from, to),
		certstest.SignedWith(x509.SHA1WithRSA), certstest.Version1())
	c := s.Cert
	if c.Subject.CommonName != "x" || c.SerialNumber.Int64() != 17 || !c.NotBefore.Equal(from) || !c.NotAfter.Equal(to) {
		t.Errorf("subject %v, serial %v, from %v to %v", c.Subject, c.SerialNumber, c.NotBefore, c.NotAfter)
	}
	if c.Version != 1 || len(c.Extensions) != 0 || c.SignatureAlgorithm != x509.SHA1WithRSA {
		t.Errorf("version %d, %d extensions, %v", c.Version, len(c.Extensions), c.SignatureAlgorithm)
	}
	if err := ca.Cert.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		t.Error(err)
	}
	again := ca.Issue(t, certstest.RSA, certstest.WithKey(s.Key))
	if !again.Key.Public().(*rsa.PublicKey).Equal(s.Key.Public()) {
		t.Error("WithKey: another key")
	}
	block, _ := pem.Decode(s.KeyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !s.Key.Public().(*rsa.PublicKey).Equal(&key.(*rsa.PrivateKey).PublicKey) {
		t.Errorf("KeyPEM: %v", err)
	}
}

func TestRSAKeysDifferWithinTest(t *testing.T) {
	t.Parallel()
	first := certstest.NewKey(t, certstest.RSA).(*rsa.PrivateKey)
	t.Run("sub", func(t *testing.T) {
		if certstest.NewKey(t, certstest.RSA).(*rsa.PrivateKey).Equal(first) {
			t.Error("a subtest got its parent's key")
		}
	})
}
