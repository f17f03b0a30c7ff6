package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// SigningPair is what a signer of tokens needs.
type SigningPair struct {
	// Certificates are all that the certificate file holds, in its order: what verifiers are to fetch.
	Certificates []*x509.Certificate
	// Text is that file as it is to be given to verifiers: PEM.
	Text []byte
	// Leaf is the one that goes with Key.
	Leaf *x509.Certificate
	Key  crypto.Signer
	// Warnings are for the operator: what works, but should not stay so.
	Warnings []string
}

// LoadSigner reads a signing certificate (PEM, or a PKCS#7 bundle) and its key (PEM, not encrypted: PKCS#8, PKCS#1 or SEC 1).
// It does not look at the time, nor for who vouches for the certificate: see Check.
//
// The certificate file may hold several, as it does while one signing certificate takes over from another; the first one
// that goes with the key counts. A key file that others than its owner and group can read is refused; one that its group
// can read, as pki_setup of OpenStack made it, is a warning.
func LoadSigner(certFile, keyFile string) (*SigningPair, error) {
	list, text, err := ReadCertificates(certFile)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	pair := &SigningPair{Certificates: list, Text: text}
	if err := pair.readKey(keyFile); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	for _, c := range pair.Certificates {
		if !sameKey(c.PublicKey, pair.Key.Public()) {
			continue
		}
		if err := signerProblem(c, Policy{}); err != nil {
			return nil, fmt.Errorf("signing certificate %s: %s: %w", certFile, name(c), err)
		}
		pair.Leaf = c
		return pair, nil
	}
	return nil, fmt.Errorf("no certificate in %s goes with the key in %s: after a change of keys, both files have to be changed", certFile, keyFile)
}

// Check says what keeps a verifier that trusts these CA certificates from accepting at now what the pair signs. ca is what the
// operator configured, see NewBundle; without any, only the certificate's own period of validity is looked at.
func (p *SigningPair) Check(ca []*x509.Certificate, now time.Time) error {
	switch c := p.Leaf; {
	case now.After(c.NotAfter):
		return fmt.Errorf("%s expired on %s: tokens that it signs are worth nothing, renew it", name(c), c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%s is not valid before %s: wait until then, or set the clock right if it is wrong", name(c), c.NotBefore.UTC().Format(time.RFC3339))
	case len(ca) == 0:
		return nil
	}
	return vouchedFor(p.Leaf, p.Certificates, ca, now)
}

// vouchedFor says why c, out of a file with others, has no chain to the operator's CA certificates that is valid at now.
func vouchedFor(c *x509.Certificate, file, ca []*x509.Certificate, now time.Time) error {
	others := slices.DeleteFunc(slices.Clone(file), func(o *x509.Certificate) bool { return !o.IsCA })
	b, err := newBundle(append([]*x509.Certificate{c}, others...), newTrust(ca, true), Policy{})
	if b == nil {
		return fmt.Errorf("no verifier will accept it by the CA certificates given: %w", err)
	}
	if s := b.signers[0]; !s.ValidAt(now) {
		return fmt.Errorf("%s: with the CA certificates above it, it is valid from %s to %s only", name(c),
			s.NotBefore().UTC().Format(time.RFC3339), s.NotAfter().UTC().Format(time.RFC3339))
	}
	return nil
}

func sameKey(a, b crypto.PublicKey) bool {
	pub, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(b)
}

func (p *SigningPair) readKey(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o007 != 0:
		return fmt.Errorf("%s can be read or changed by every user (mode %#o): chmod 600 %s", path, mode, path)
	case mode&0o070 != 0:
		p.Warnings = append(p.Warnings, fmt.Sprintf("signing key %s is open to its group (mode %#o): chmod 600 %s", path, mode, path))
	}
	text, err := readBounded(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if p.Key, err = parseKey(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// parseKey reads the one private key in PEM text. Errors never hold any of it.
func parseKey(text []byte) (crypto.Signer, error) {
	var key crypto.Signer
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var parsed any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncrypted
			}
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncrypted
			}
			parsed, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errEncrypted
		default:
			continue // openssl puts EC PARAMETERS before a key
		}
		if err != nil {
			return nil, fmt.Errorf("private key cannot be read: %w", err)
		}
		if key != nil {
			return nil, errors.New("more than one private key: leave only the one to sign with")
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("a %T cannot sign", parsed)
		}
		if err := keyProblem(signer.Public(), Policy{}); err != nil {
			return nil, err
		}
		key = signer
	}
	if key == nil && bytes.Contains(text, []byte("PRIVATE KEY-----")) {
		return nil, errors.New("private key is damaged: its PEM does not decode")
	}
	if key == nil {
		return nil, errors.New(notPEM(text, "a private key", "openssl pkey -inform DER -in FILE -out NEW"))
	}
	return key, nil
}

var errEncrypted = errors.New("private key is encrypted, which is not supported: take the password off with openssl pkey -in FILE -out NEW")
