package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"go.mozilla.org/pkcs7"
)

// ReadCertificates reads a file of certificates that the operator put there: PEM, as ParseCertificates takes it, or a PKCS#7
// bundle, as CAs deliver chains (.p7b, DER or PEM). text is the file as it is to be given to verifiers: as it stands if it is
// PEM, so with the text around the certificates, else its certificates as PEM. Errors name the file.
func ReadCertificates(path string) (certs []*x509.Certificate, text []byte, err error) {
	if text, err = readPEM(path); err != nil {
		return nil, nil, err
	}
	if certs, err = ParseCertificates(text); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs, text, nil
}

// readPEM reads a file and makes PEM of a PKCS#7 bundle; whatever else it holds is left as it is.
func readPEM(path string) ([]byte, error) {
	text, err := readFile(path)
	if err != nil || !isPKCS7(text) {
		return text, err
	}
	certs, err := ParsePKCS7(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return encode(certs), nil
}

// maxPKCS7Size bounds a bundle: its reader takes time that grows with the square of the nesting (0.4 s for this much of it).
// Forty certificates fit.
const maxPKCS7Size = 64 << 10

// ParsePKCS7 reads the certificates of a PKCS#7 bundle (RFC 2315, 9.1), PEM or DER. It takes them for a list and nothing more:
// whether anything in the bundle is signed, by whom and what, is not looked at. It is for files of the operator: what comes
// over the network is PEM, which ParseCertificates reads.
func ParsePKCS7(text []byte) (certs []*x509.Certificate, err error) {
	if len(text) > maxPKCS7Size {
		return nil, fmt.Errorf("a PKCS#7 bundle of %d bytes, more than the %d that are allowed", len(text), maxPKCS7Size)
	}
	der := text
	if bytes.Contains(text, []byte(beginPKCS7)) {
		if bytes.Count(text, []byte("-----BEGIN ")) > 1 {
			return nil, errors.New("holds more than one PKCS#7 bundle, or other PEM beside it: leave only one, or convert it with " + convertPKCS7)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, errors.New("the PKCS#7 bundle is damaged: its PEM does not decode")
		}
		der = block.Bytes
	}
	defer func() { // the reader was written for friendlier input
		if p := recover(); p != nil {
			certs, err = nil, fmt.Errorf("the PKCS#7 bundle is damaged: %v", p)
		}
	}()
	bundle, err := pkcs7.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("the PKCS#7 bundle cannot be read: %w", err)
	}
	for _, c := range bundle.Certificates {
		if !slices.ContainsFunc(certs, c.Equal) {
			certs = append(certs, c)
		}
	}
	switch {
	case len(certs) == 0:
		return nil, errors.New("a PKCS#7 bundle without certificates")
	case len(certs) > maxCertificates:
		return nil, fmt.Errorf("more than %d certificates", maxCertificates)
	}
	return certs, nil
}

const (
	beginPKCS7   = "-----BEGIN PKCS7-----"
	convertPKCS7 = "openssl pkcs7 -print_certs -in FILE -out NEW"
)

// signedDataOID is the DER of 1.2.840.113549.1.7.2, which a bundle begins with after its outermost tag and length.
var signedDataOID = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")

func isPKCS7(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0x30}) && bytes.Contains(text[:min(len(text), 20)], signedDataOID) ||
		bytes.Contains(text, []byte(beginPKCS7))
}
