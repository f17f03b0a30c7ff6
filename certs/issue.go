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
	"fmt"
	"math/big"
	"time"
)

// KeyType is a kind of keys to make.
type KeyType string

// Kinds of keys. ECDSA is on P-256; OpenStack's own verifiers know it as well as RSA.
const (
	KeyRSA   KeyType = "rsa"
	KeyECDSA KeyType = "ecdsa"
)

// DefaultKeySize is that of keystone.conf, in bits of an RSA key.
const (
	DefaultKeySize = 2048
	maxKeySize     = 8192
)

func checkKeyOptions(kind KeyType, size int) error {
	switch {
	case kind != KeyRSA && kind != KeyECDSA:
		return fmt.Errorf("key type %q is not one of rsa, ecdsa", kind)
	case size < 2048 || size > maxKeySize || size%8 != 0:
		return fmt.Errorf("key_size %d is not a multiple of 8 from 2048 to %d", size, maxKeySize)
	}
	return nil
}

// newKey makes a key, and its PEM: PKCS#8, not encrypted. size matters for RSA.
func newKey(kind KeyType, size int) (key crypto.Signer, text []byte, err error) {
	if kind == KeyECDSA {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, size)
	}
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// newTemplate is what a certificate of ours begins with: a name, a random serial number, and a validity from five minutes ago.
func newTemplate(name pkix.RDNSequence, now time.Time, days int) (*x509.Certificate, error) {
	subject, err := asn1.Marshal(name)
	if err != nil {
		return nil, fmt.Errorf("cert_subject: %w", err)
	}
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive, and 127 bits long
	return &x509.Certificate{
		RawSubject: subject, SerialNumber: new(big.Int).SetBytes(serial),
		NotBefore: now.Add(-5 * time.Minute), NotAfter: now.AddDate(0, 0, days),
		BasicConstraintsValid: true,
	}, nil
}

// sign makes the certificate for a public key.
func sign(template *x509.Certificate, pub crypto.PublicKey, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	template.SubjectKeyId = id[:20]
	// With an issuer's SubjectKeyId crypto/x509 adds the authority key identifier.
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, pub, issuerKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
