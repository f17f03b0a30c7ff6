// Package certs decides which signing certificates count: it checks their chains to the CA, keeps the good ones in
// immutable bundles, and renews the bundle from files or from the Identity service while requests go on.
//
// Signers are pinned. Only a certificate that was configured or fetched as a signing certificate can have signed a token;
// certificates inside a token and other certificates of the same CA count for nothing. A chain is checked once, when the
// certificate is loaded; validity periods are checked at each use.
//
// What makes a chain good is in chain.go, where the CA comes from is in trust.go.
package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"authproxy/certs/cms"
	"authproxy/certs/privatedir"
)

var (
	// ErrUnknownSigner says that no pinned certificate has the issuer and serial number that the message names. A newer
	// bundle may know it: see Store.Refresh.
	ErrUnknownSigner = errors.New("no signing certificate has this issuer and serial number")
	// ErrSignature says that certificates with the issuer and serial number are pinned, but that none of their keys
	// verifies the message. It wraps cms.ErrSignature.
	ErrSignature = fmt.Errorf("no key of the signing certificates with this issuer and serial number fits: %w", cms.ErrSignature)
	// ErrSignerExpired says that the signature is good, but that the signing certificate or its chain is not valid at the time.
	ErrSignerExpired = errors.New("signing certificate is not valid at this time")
	// ErrAlgorithm says that a digest, a signature algorithm or a key is not allowed by the Policy.
	ErrAlgorithm = errors.New("algorithm not allowed")
	// ErrUnavailable says that newer certificates were wanted and could not be had.
	ErrUnavailable = errors.New("signing certificates cannot be fetched")
	// ErrUnsafeDir says that somebody else could have written to the Store's Dir. No later try mends that: do not start.
	ErrUnsafeDir = privatedir.ErrUnsafe
	// ErrNoPKI is what a Source returns when this Keystone says that it has no certificates.
	ErrNoPKI = errors.New("the Identity service has no PKI")
)

// Policy says which weak algorithms count all the same. The zero Policy allows SHA-256, SHA-384 and SHA-512, RSA from 2048
// to 8192 bits, and ECDSA on P-256 and P-384.
type Policy struct {
	// InsecureAllowSHA1 allows SHA-1 as digest of a message and in the signatures on the certificates of a chain.
	InsecureAllowSHA1 bool
	// InsecureAllowWeakRSA allows RSA keys from 1024 bits in signers and CAs.
	InsecureAllowWeakRSA bool
}

// Limits on one file of certificates, well above what an Identity service can have.
const (
	maxFileSize     = 1 << 20
	maxCertificates = 64
)

// ParseCertificates reads the certificates of a PEM file in their order. Text around them is skipped, as "openssl x509 -text"
// prints it, and so are PEM blocks of other types. A damaged certificate is an error and so is a file without any.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%d bytes of certificates are more than the %d that are allowed", len(text), maxFileSize)
	}
	var certs []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(certs) == maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	// pem.Decode passes over what it cannot read, and a signer that is silently missing is the harder thing to find.
	if begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")); begun != len(certs) {
		return nil, fmt.Errorf("%d of %d certificates are damaged: their PEM does not decode", begun-len(certs), begun)
	}
	if len(certs) == 0 {
		return nil, errors.New(notPEM(text, "a certificate", "openssl x509 -inform DER -in FILE -out NEW"))
	}
	return certs, nil
}

// notPEM says what text holds instead of the PEM that was looked for, and what to do about it.
func notPEM(text []byte, what, convertDER string) string {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return "empty, wanted " + what + " as PEM"
	case bytes.Contains(text, []byte(beginPKCS7)), bytes.HasPrefix(text, []byte{0x30}) && isPKCS7(text):
		return "a PKCS#7 bundle, wanted " + what + " as PEM: convert it with " + convertPKCS7
	case text[0] == 0x30: // an ASN.1 SEQUENCE
		return "looks like DER, wanted " + what + " as PEM: convert it with " + convertDER
	default:
		return "holds no " + what[len("a "):] + " as PEM"
	}
}

// encode writes certificates as PEM.
func encode(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
