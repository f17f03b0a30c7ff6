package certs

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// RequestOptions say what Request makes.
type RequestOptions struct {
	KeyFile     string // for the new key
	RequestFile string // for the request

	Subject string  // cert_subject, as openssl -subj takes it; "" is DefaultSubject
	KeyType KeyType // "" is KeyRSA
	KeySize int     // bits of an RSA key, 2048 to 8192; 0 is DefaultKeySize
}

// Request makes a key (PKCS#8, not encrypted, mode 0600) and the request for a certificate that an external CA takes (PKCS#10,
// PEM). It writes nothing if one of the two files exists.
func Request(o RequestOptions) error {
	o.KeyType, o.KeySize, o.Subject = cmp.Or(o.KeyType, KeyRSA), cmp.Or(o.KeySize, DefaultKeySize), cmp.Or(o.Subject, DefaultSubject)
	switch {
	case o.KeyFile == "" || o.RequestFile == "":
		return errors.New("file for the key or file for the request is not set")
	case filepath.Clean(o.KeyFile) == filepath.Clean(o.RequestFile):
		return fmt.Errorf("key and request are the same file %s", o.KeyFile)
	}
	if err := checkKeyOptions(o.KeyType, o.KeySize); err != nil {
		return err
	}
	if err := refuseExisting([]string{o.KeyFile, o.RequestFile}); err != nil {
		return err
	}
	key, keyPEM, err := newKey(o.KeyType, o.KeySize)
	if err != nil {
		return err
	}
	request, err := newRequest(o.Subject, key)
	if err != nil {
		return err
	}
	keyFile, err := stage(o.KeyFile, keyPEM, 0o600, nil)
	if err != nil {
		return err
	}
	defer os.Remove(keyFile.temporary) // gone already where it was put in place
	requestFile, err := stage(o.RequestFile, request, 0o644, nil)
	if err != nil {
		return err
	}
	defer os.Remove(requestFile.temporary)
	return putInPlace([]staged{keyFile, requestFile}, false)
}

// newRequest makes a PKCS#10 request (RFC 2986) as PEM. It asks for what a signer of tokens needs: CA:FALSE, digitalSignature.
func newRequest(subject string, key crypto.Signer) ([]byte, error) {
	name, err := parseSubject(subject)
	if err != nil {
		return nil, fmt.Errorf("cert_subject: %w", err)
	}
	rawName, err := asn1.Marshal(name)
	if err != nil {
		return nil, fmt.Errorf("cert_subject: %w", err)
	}
	// An empty sequence is CA:FALSE, and the first bit of keyUsage is digitalSignature (RFC 5280, 4.2.1.3 and 4.2.1.9).
	template := &x509.CertificateRequest{RawSubject: rawName, ExtraExtensions: []pkix.Extension{
		{Id: oidBasicConstraints, Critical: true, Value: []byte{0x30, 0}},
		{Id: oidKeyUsage, Critical: true, Value: []byte{0x03, 2, 7, 0x80}},
	}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// requestFits says whether text is a request for key.
func requestFits(text []byte, key crypto.Signer) bool {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return false
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	return err == nil && sameKey(request.PublicKey, key.Public())
}
