package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // the digests of the form must be linked in
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
)

// ErrSignature says that a key does not verify a message.
var ErrSignature = errors.New("signature does not verify")

// maxContent keeps every length within the four octets that the form allows, with room for a revocation list of some ten
// million entries.
const maxContent = 1 << 30

// Sign makes a message over content in the one spelling, as DER. cert names the signer and must hold key's public half;
// key is RSA, or ECDSA on P-256 or P-384; h is SHA-256, SHA-384 or SHA-512. An ECDSA signature gets the lower of its two
// values of s, so that the message has one spelling by its signer's doing too.
func Sign(content []byte, cert *x509.Certificate, key crypto.Signer, h crypto.Hash) ([]byte, error) {
	if len(content) > maxContent {
		return nil, fmt.Errorf("content of %d bytes is larger than the %d that fit in a message", len(content), maxContent)
	}
	switch h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return nil, fmt.Errorf("digest %v is not one of SHA-256, SHA-384, SHA-512", h)
	}
	sd := SignedData{Hash: h, Issuer: cert.RawIssuer, SerialNumber: SerialOctets(cert.SerialNumber), Content: content}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, errors.New("the key does not belong to the certificate")
	}
	digest := h.New()
	digest.Write(content)
	sum := digest.Sum(nil)
	signature, err := key.Sign(rand.Reader, sum, h)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		sd.Algorithm, sd.Signature = RSA, signature
	case *ecdsa.PublicKey:
		sd.Algorithm, sd.Signature = ECDSA, signature
		if err := checkCurve(pub); err != nil {
			return nil, err
		}
		if r, s, ok := splitECDSASignature(signature); ok && s.Cmp(halfOrder(pub)) > 0 {
			sd.Signature = joinECDSASignature(r, s.Sub(pub.Params().N, s))
		}
	default:
		return nil, fmt.Errorf("a %T key cannot sign tokens: use RSA, or ECDSA on P-256 or P-384", pub)
	}
	return sd.Append(make([]byte, 0, len(content)+len(sd.Issuer)+len(sd.Signature)+160)), nil
}

// OtherSpelling gives the second message that pub verifies over the same content where there is one: for an ECDSA signature
// (r, s) it is (r, n−s). Anybody can make it from the first, so a revocation list must be asked about both.
func (sd *SignedData) OtherSpelling(pub crypto.PublicKey) (SignedData, bool) {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || sd.Algorithm != ECDSA {
		return SignedData{}, false
	}
	r, s, ok := splitECDSASignature(sd.Signature)
	if !ok || s.Sign() == 0 || s.Cmp(key.Params().N) >= 0 {
		return SignedData{}, false
	}
	other := *sd
	other.Signature = joinECDSASignature(r, s.Sub(key.Params().N, s))
	return other, true
}

// SerialOctets gives the content octets of a serial number's INTEGER, comparable to SignedData.SerialNumber.
func SerialOctets(n *big.Int) []byte {
	octets := n.Bytes()
	if len(octets) == 0 || octets[0] >= 0x80 {
		return append([]byte{0}, octets...)
	}
	return octets
}

func checkCurve(pub *ecdsa.PublicKey) error {
	if pub.Curve != elliptic.P256() && pub.Curve != elliptic.P384() {
		return fmt.Errorf("curve %s is not P-256 or P-384", pub.Params().Name)
	}
	return nil
}

func halfOrder(pub *ecdsa.PublicKey) *big.Int {
	return new(big.Int).Rsh(pub.Params().N, 1)
}

// validECDSASignature says whether der is Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279, 2.2.3) in DER.
func validECDSASignature(der []byte) bool {
	whole := reader(der)
	pair := whole.enter(tagSequence)
	whole.end("trailing bytes")
	r := pair.enter(tagInteger)
	s := pair.enter(tagInteger)
	pair.end("trailing bytes")
	return whole.failed == "" && pair.failed == "" && r.failed == "" && s.failed == "" && minimalPositive(r.in) && minimalPositive(s.in)
}

func splitECDSASignature(der []byte) (r, s *big.Int, ok bool) {
	if !validECDSASignature(der) {
		return nil, nil, false
	}
	whole := reader(der)
	pair := whole.enter(tagSequence)
	rOctets, sOctets := pair.enter(tagInteger), pair.enter(tagInteger)
	return new(big.Int).SetBytes(rOctets.in), new(big.Int).SetBytes(sOctets.in), true
}

func joinECDSASignature(r, s *big.Int) []byte {
	rOctets, sOctets := SerialOctets(r), SerialOctets(s)
	der := header(nil, tagSequence, size(len(rOctets))+size(len(sOctets)))
	der = append(header(der, tagInteger, len(rOctets)), rOctets...)
	return append(header(der, tagInteger, len(sOctets)), sOctets...)
}
