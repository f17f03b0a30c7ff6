package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Defaults and bounds of Setup; the defaults are those of keystone.conf.
const (
	DefaultKeySize   = 2048
	DefaultValidDays = 3650
	DefaultSubject   = "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com"

	maxKeySize   = 8192
	maxValidDays = 36500
)

// KeyType is the kind of keys that Setup makes.
type KeyType string

// Kinds of keys. ECDSA is on P-256; OpenStack's own verifiers know it as well as RSA.
const (
	KeyRSA   KeyType = "rsa"
	KeyECDSA KeyType = "ecdsa"
)

// SetupOptions are the [signing] section of keystone.conf, as far as Setup is concerned.
type SetupOptions struct {
	CertFile string // certfile: the signing certificate, by convention signing_cert.pem
	KeyFile  string // keyfile: its key, signing_key.pem
	CACerts  string // ca_certs: the CA certificate, ca.pem
	CAKey    string // ca_key: its key, cakey.pem

	KeySize   int    // bits of the RSA keys, 2048 to 8192; 0 is DefaultKeySize
	ValidDays int    // 1 to 36500; 0 is DefaultValidDays
	Subject   string // cert_subject, as openssl -subj takes it; "" is DefaultSubject
	KeyType   KeyType

	// Rebuild replaces files that exist. Everything that the old CA signed is worth nothing then.
	Rebuild bool
	Now     func() time.Time
}

// Setup makes a self-signed CA and a signing certificate, each with its key: what "keystone-manage pki_setup" does.
//
// The signing certificate has the subject asked for. The CA has the same with OU=Certificate Authority added: with the
// same name for both, openssl takes the signing certificate for self-signed. The CA has no path length constraint, so that
// it can vouch for its successor. Both are valid from five minutes ago, for hosts whose clocks are behind.
//
// Keys are PKCS#8, not encrypted, mode 0600; certificates have mode 0644, directories that are missing 0750. Without
// Rebuild nothing is written if any of the four files exists, and the error names those. Each file is put in place as a
// whole; with Rebuild, a crash in between may leave some old and some new ones, which another Rebuild mends.
func Setup(o SetupOptions) error {
	if err := o.complete(); err != nil {
		return err
	}
	paths := []string{o.CAKey, o.CACerts, o.KeyFile, o.CertFile}
	if !o.Rebuild {
		if err := refuseExisting(paths); err != nil {
			return err
		}
	}
	texts, err := o.make()
	if err != nil {
		return err
	}
	var files []staged
	defer func() {
		for _, f := range files {
			os.Remove(f.temporary) // gone already where it was put in place
		}
	}()
	for i, path := range paths {
		mode := fs.FileMode(0o644)
		if path == o.CAKey || path == o.KeyFile {
			mode = 0o600
		}
		f, err := stage(path, texts[i], mode)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	return putInPlace(files, o.Rebuild)
}

// complete fills in defaults and checks everything that can be checked before any work.
func (o *SetupOptions) complete() error {
	if o.KeySize == 0 {
		o.KeySize = DefaultKeySize
	}
	if o.ValidDays == 0 {
		o.ValidDays = DefaultValidDays
	}
	if o.Subject == "" {
		o.Subject = DefaultSubject
	}
	if o.KeyType == "" {
		o.KeyType = KeyRSA
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	seen := map[string]string{}
	for _, f := range []struct{ option, path string }{{"certfile", o.CertFile}, {"keyfile", o.KeyFile}, {"ca_certs", o.CACerts}, {"ca_key", o.CAKey}} {
		if f.path == "" {
			return fmt.Errorf("%s is not set", f.option)
		}
		clean := filepath.Clean(f.path)
		if other, twice := seen[clean]; twice {
			return fmt.Errorf("%s and %s are the same file %s", other, f.option, clean)
		}
		seen[clean] = f.option
	}
	switch {
	case o.KeyType != KeyRSA && o.KeyType != KeyECDSA:
		return fmt.Errorf("key type %q is not one of rsa, ecdsa", o.KeyType)
	case o.KeySize < 2048 || o.KeySize > maxKeySize || o.KeySize%8 != 0:
		return fmt.Errorf("key_size %d is not a multiple of 8 from 2048 to %d", o.KeySize, maxKeySize)
	case o.ValidDays < 1 || o.ValidDays > maxValidDays:
		return fmt.Errorf("valid_days %d is not from 1 to %d", o.ValidDays, maxValidDays)
	}
	_, err := parseSubject(o.Subject)
	if err != nil {
		return fmt.Errorf("cert_subject: %w", err)
	}
	return nil
}

func refuseExisting(paths []string) error {
	var existing []string
	for _, path := range paths {
		switch _, err := os.Lstat(path); {
		case err == nil:
			existing = append(existing, path)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if len(existing) > 0 {
		return fmt.Errorf("%w: %s (nothing was written; use rebuild to replace CA, signing certificate and keys)",
			fs.ErrExist, strings.Join(existing, ", "))
	}
	return nil
}

// make returns the PEM of CA key, CA certificate, signing key and signing certificate.
func (o *SetupOptions) make() ([][]byte, error) {
	name, err := parseSubject(o.Subject)
	if err != nil {
		return nil, err
	}
	caName := append(name[:len(name):len(name)], pkix.RelativeDistinguishedNameSET{
		{Type: attributes["ou"].oid, Value: "Certificate Authority"},
	})
	now := o.Now()
	ca, err := o.template(caName, now)
	if err != nil {
		return nil, err
	}
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	leaf, err := o.template(name, now)
	if err != nil {
		return nil, err
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature

	caCert, caKey, caKeyPEM, err := o.issue(ca, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	cert, _, keyPEM, err := o.issue(leaf, caCert, caKey)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	if _, err := NewBundle([]*x509.Certificate{cert}, []*x509.Certificate{caCert}, Policy{}, now); err != nil {
		return nil, fmt.Errorf("the certificates just made do not pass their own check: %w", err)
	}
	return [][]byte{caKeyPEM, encode([]*x509.Certificate{caCert}), keyPEM, encode([]*x509.Certificate{cert})}, nil
}

func (o *SetupOptions) template(name pkix.RDNSequence, now time.Time) (*x509.Certificate, error) {
	subject, err := asn1.Marshal(name)
	if err != nil {
		return nil, fmt.Errorf("cert_subject: %w", err)
	}
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive, and 127 bits long
	return &x509.Certificate{
		RawSubject: subject, SerialNumber: new(big.Int).SetBytes(serial),
		NotBefore: now.Add(-5 * time.Minute), NotAfter: now.AddDate(0, 0, o.ValidDays),
		BasicConstraintsValid: true,
	}, nil
}

// issue makes a key and a certificate for it, self-signed without an issuer.
func (o *SetupOptions) issue(template, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, crypto.Signer, []byte, error) {
	var key crypto.Signer
	var err error
	if o.KeyType == KeyECDSA {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, o.KeySize)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, nil, err
	}
	id := sha256.Sum256(spki)
	template.SubjectKeyId = id[:20]
	// With an issuer's SubjectKeyId crypto/x509 adds the authority key identifier.
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return nil, nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, nil, err
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
