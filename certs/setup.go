package certs

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Defaults and bounds of Setup; the defaults are those of keystone.conf.
const (
	DefaultValidDays = 3650
	DefaultSubject   = "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com"

	maxValidDays = 36500
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
			return fmt.Errorf("%w; use rebuild to replace CA, signing certificate and keys", err)
		}
	}
	texts, err := o.make()
	if err != nil {
		return err
	}
	var files []newFile
	for i, path := range paths {
		mode := fs.FileMode(0o644)
		if path == o.CAKey || path == o.KeyFile {
			mode = 0o600
		}
		files = append(files, newFile{path, texts[i], mode})
	}
	return placeAll(files, o.Rebuild)
}

// complete fills in defaults and checks everything that can be checked before any work.
func (o *SetupOptions) complete() error {
	o.KeyType, o.KeySize = cmp.Or(o.KeyType, KeyRSA), cmp.Or(o.KeySize, DefaultKeySize)
	o.ValidDays, o.Subject = cmp.Or(o.ValidDays, DefaultValidDays), cmp.Or(o.Subject, DefaultSubject)
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
	if err := checkKeyOptions(o.KeyType, o.KeySize); err != nil {
		return err
	}
	if err := checkValidDays(o.ValidDays); err != nil {
		return err
	}
	_, err := parseSubject(o.Subject)
	if err != nil {
		return fmt.Errorf("cert_subject: %w", err)
	}
	return nil
}

func checkValidDays(days int) error {
	if days < 1 || days > maxValidDays {
		return fmt.Errorf("valid_days %d is not from 1 to %d", days, maxValidDays)
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
		return fmt.Errorf("%w: %s (nothing was written)",
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
	ca, err := newTemplate(caName, now, o.ValidDays)
	if err != nil {
		return nil, err
	}
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	leaf, err := newTemplate(name, now, o.ValidDays)
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

// issue makes a key and a certificate for it, self-signed without an issuer.
func (o *SetupOptions) issue(template, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, crypto.Signer, []byte, error) {
	key, keyPEM, err := newKey(o.KeyType, o.KeySize)
	if err != nil {
		return nil, nil, nil, err
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	cert, err := sign(template, key.Public(), issuer, issuerKey)
	return cert, key, keyPEM, err
}
