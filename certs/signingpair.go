package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// SigningPair is what a signer of tokens needs.
type SigningPair struct {
	// Certificates are all that the certificate file holds, in its order: what verifiers are to fetch.
	Certificates []*x509.Certificate
	// Leaf is the one that goes with Key.
	Leaf *x509.Certificate
	Key  crypto.Signer
	// Warnings are for the operator: what works, but should not stay so.
	Warnings []string
}

// LoadSigner reads a signing certificate and its key, both PEM, the key not encrypted (PKCS#8, PKCS#1 or SEC 1).
//
// The certificate file may hold several, as it does while one signing certificate takes over from another; the first one
// that goes with the key counts. A key file that others than its owner and group can read is refused; one that its group
// can read, as pki_setup of OpenStack made it, is a warning.
func LoadSigner(certFile, keyFile string) (*SigningPair, error) {
	text, err := readFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	pair := &SigningPair{}
	if pair.Certificates, err = ParseCertificates(text); err != nil {
		return nil, fmt.Errorf("signing certificate %s: %w", certFile, err)
	}
	if err := pair.readKey(keyFile); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	for _, c := range pair.Certificates {
		if pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(pair.Key.Public()) {
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
