// Package certstest makes throw-away certificate authorities and signing certificates for tests.
//
// All certificates are valid from 1999 to 2099 unless Valid says otherwise, so that they also serve tests whose clock is
// that of a testing/synctest bubble (which starts in the year 2000).
package certstest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// Kind is a kind of key.
type Kind int

// RSA is a 2048 bit key. RSA1024, ECDSAP521 and Ed25519 are what a default policy refuses.
const (
	RSA Kind = iota
	ECDSAP256
	ECDSAP384
	RSA1024
	ECDSAP521
	Ed25519
)

// Option changes a certificate from the default.
type Option func(*options)

type options struct {
	key      crypto.Signer
	kind     Kind
	template x509.Certificate
	version1 bool
}

// WithKind says what kind of key a CA has; an ECDSA P-256 one by default.
func WithKind(k Kind) Option { return func(o *options) { o.kind = k } }

// WithKey gives the certificate this key instead of a fresh one, as in the renewal of a certificate.
func WithKey(key crypto.Signer) Option { return func(o *options) { o.key = key } }

// Subject sets the subject's common name. The default is "Test CA", "Test intermediate CA" or "Keystone".
func Subject(commonName string) Option {
	return func(o *options) { o.template.Subject.CommonName = commonName }
}

// Serial sets the serial number; a random one by default.
func Serial(n int64) Option { return func(o *options) { o.template.SerialNumber = big.NewInt(n) } }

// Valid sets the validity period, whole seconds at both ends.
func Valid(from, to time.Time) Option {
	return func(o *options) { o.template.NotBefore, o.template.NotAfter = from, to }
}

// SignedWith sets the algorithm of the signature on the certificate, for example x509.SHA1WithRSA. It must fit the key of
// the issuer.
func SignedWith(a x509.SignatureAlgorithm) Option {
	return func(o *options) { o.template.SignatureAlgorithm = a }
}

// Version1 makes an X.509 version 1 certificate, which has no extensions: what OpenStack's own samples are.
func Version1() Option { return func(o *options) { o.version1 = true } }

// Template changes anything else in the template that crypto/x509 makes the certificate of.
func Template(change func(*x509.Certificate)) Option {
	return func(o *options) { change(&o.template) }
}

// CA is a certificate authority.
type CA struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// New makes a self-signed CA.
func New(tb testing.TB, opts ...Option) *CA {
	tb.Helper()
	o := caOptions(tb, "Test CA", opts)
	return &CA{Cert: create(tb, o, &o.template, o.key), Key: o.key}
}

// Intermediate makes a CA whose certificate c signs. With the Subject and WithKey of another CA it is a cross certificate.
func (c *CA) Intermediate(tb testing.TB, opts ...Option) *CA {
	tb.Helper()
	o := caOptions(tb, "Test intermediate CA", opts)
	return &CA{Cert: create(tb, o, c.Cert, c.Key), Key: o.key}
}

// CertPEM returns the certificate of c as PEM.
func (c *CA) CertPEM() []byte { return certPEM(c.Cert) }

// Signer is a certificate with its key.
type Signer struct {
	Cert    *x509.Certificate
	Key     crypto.Signer
	CertPEM []byte // CERTIFICATE
	KeyPEM  []byte // PRIVATE KEY: PKCS#8, not encrypted
}

// Issue makes a token signing certificate: CA:FALSE, digitalSignature, SHA-256 unless the options say otherwise.
//
// RSA keys are shared between tests, since making one takes long; each six in a row within one test differ.
func (c *CA) Issue(tb testing.TB, kind Kind, opts ...Option) *Signer {
	tb.Helper()
	o := newOptions(tb, "Keystone", opts, func(o *options) {
		o.kind = kind
		o.template.KeyUsage = x509.KeyUsageDigitalSignature
	})
	cert := create(tb, o, c.Cert, c.Key)
	return &Signer{Cert: cert, Key: o.key, CertPEM: certPEM(cert), KeyPEM: keyPEM(tb, o.key)}
}

func caOptions(tb testing.TB, name string, opts []Option) *options {
	tb.Helper()
	return newOptions(tb, name, opts, func(o *options) {
		o.kind = ECDSAP256
		o.template.IsCA = true
		o.template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	})
}

func newOptions(tb testing.TB, name string, opts []Option, defaults Option) *options {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	o := &options{template: x509.Certificate{
		Subject:               pkix.Name{Country: []string{"US"}, Organization: []string{"certstest"}, CommonName: name},
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
	}}
	defaults(o)
	for _, opt := range opts {
		opt(o)
	}
	if o.key == nil {
		o.key = newKey(tb, o.kind)
	}
	return o
}

func create(tb testing.TB, o *options, parent *x509.Certificate, parentKey crypto.Signer) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &o.template, parent, o.key.Public(), parentKey)
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("certstest: %v", err)
	}
	if o.version1 {
		return version1(tb, cert, parentKey)
	}
	return cert
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
