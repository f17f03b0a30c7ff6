package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/subtle"
	"fmt"
	"math"

	"filippo.io/bigmod"
)

// Verifier checks signatures with one public key. It is made once for a key and safe for concurrent use: what has to be worked
// out from an RSA modulus before the first multiplication takes half as long as the check itself, and crypto/rsa does it
// each time.
type Verifier struct {
	pub     crypto.PublicKey
	modulus *bigmod.Modulus // nil: crypto/rsa does the work
}

// NewVerifier makes the Verifier of an RSA key, or of an ECDSA key on P-256 or P-384; one of another key verifies nothing.
func NewVerifier(pub crypto.PublicKey) *Verifier {
	v := &Verifier{pub: pub}
	// Keys that crypto/rsa might refuse, and programs that may use nothing but its validated module, are left to it.
	if key, ok := pub.(*rsa.PublicKey); ok && !fips140.Enabled() &&
		key.N != nil && key.N.Sign() > 0 && key.N.Bit(0) == 1 && key.N.BitLen() >= 2048 && key.E >= 3 && key.E&1 == 1 && key.E <= math.MaxInt32 {
		v.modulus, _ = bigmod.NewModulus(key.N.Bytes()) // without one crypto/rsa does the work
	}
	return v
}

// CheckSignature says whether pub made the signature, as a Verifier for it would.
func (sd *SignedData) CheckSignature(pub crypto.PublicKey) error { return NewVerifier(pub).Check(sd) }

// Check says whether the key made the signature of a message: nil, or an error that wraps ErrSignature. It checks nothing about
// the certificate that the key comes from.
func (v *Verifier) Check(sd *SignedData) error {
	var scratch [64]byte
	digest := sd.Hash.New()
	digest.Write(sd.Content)
	sum := digest.Sum(scratch[:0])
	switch pub := v.pub.(type) {
	case *rsa.PublicKey:
		if sd.Algorithm != RSA {
			return fmt.Errorf("%w: message names %v, the key is RSA", ErrSignature, sd.Algorithm)
		}
		return v.checkRSA(pub, sd.Hash, sum, sd.Signature)
	case *ecdsa.PublicKey:
		if sd.Algorithm != ECDSA {
			return fmt.Errorf("%w: message names %v, the key is ECDSA", ErrSignature, sd.Algorithm)
		}
		if err := checkCurve(pub); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		if !ecdsa.VerifyASN1(pub, sum, sd.Signature) {
			return fmt.Errorf("%w: ECDSA verification error", ErrSignature)
		}
		return nil
	}
	return fmt.Errorf("%w: a %T key is not supported", ErrSignature, v.pub)
}

// digestInfo is the DER of a DigestInfo up to the digest (RFC 8017, section 9.2, note 1).
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// errRSA is made once: forged tokens are many, and what is wrong with them is the same.
var errRSA = fmt.Errorf("%w: %w", ErrSignature, rsa.ErrVerification)

// checkRSA is RSASSA-PKCS1-v1_5 verification (RFC 8017, section 8.2.2): the one encoded message that the digest has is made and
// compared whole with what the signature opens to; nothing of the latter is parsed.
func (v *Verifier) checkRSA(pub *rsa.PublicKey, hash crypto.Hash, sum, signature []byte) error {
	info, ok := digestInfo[hash]
	if v.modulus == nil || !ok {
		if err := rsa.VerifyPKCS1v15(pub, hash, sum, signature); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil
	}
	k := v.modulus.Size()
	if len(signature) != k {
		return errRSA
	}
	s, err := bigmod.NewNat().SetBytes(signature, v.modulus)
	if err != nil { // not below the modulus
		return errRSA
	}
	opened := bigmod.NewNat().ExpShortVarTime(s, uint(pub.E), v.modulus).Bytes(v.modulus)

	// EM = 0x00 || 0x01 || PS || 0x00 || T
	want := make([]byte, 0, 512)
	want = append(want, 0x00, 0x01)
	want = append(want, bytes.Repeat([]byte{0xff}, k-3-len(info)-len(sum))...)
	want = append(want, 0x00)
	want = append(append(want, info...), sum...)
	if subtle.ConstantTimeCompare(opened, want) != 1 {
		return errRSA
	}
	return nil
}
