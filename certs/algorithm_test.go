package certs_test

import (
	"bytes"
	"crypto"
	"testing"
	"time"

	"crypto/x509"

	"authproxy/certs"
	"authproxy/certs/certstest"
	"authproxy/certs/cms"
	"authproxy/keystone/token"
)

// BenchmarkAlgorithm is what certs/ROTATION.md tells about RSA and ECDSA: the cost of signing a token of usual size, of
// finding its signer, and how long its text is.
func BenchmarkAlgorithm(b *testing.B) {
	content := bytes.Repeat([]byte("x"), 3500)
	ca := certstest.New(b)
	for _, kind := range []struct {
		name string
		kind certstest.Kind
	}{{"rsa2048", certstest.RSA}, {"p256", certstest.ECDSAP256}} {
		s := ca.Issue(b, kind.kind)
		der, err := cms.Sign(content, s.Cert, s.Key, crypto.SHA256)
		if err != nil {
			b.Fatal(err)
		}
		message, err := cms.Parse(der)
		if err != nil {
			b.Fatal(err)
		}
		bundle, err := certs.NewBundle([]*x509.Certificate{s.Cert}, []*x509.Certificate{ca.Cert}, certs.Policy{}, time.Time{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("sign/"+kind.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := cms.Sign(content, s.Cert, s.Key, crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(token.EncodePKI(der))), "text-bytes")
		})
		now := time.Now()
		b.Run("verify/"+kind.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := bundle.Verify(&message, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
