package certs

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"authproxy/certs/cms"
)

// Signer is a signing certificate whose chain to the CA was found good. It does not change.
type Signer struct {
	Certificate *x509.Certificate

	fingerprint [sha256.Size]byte
	verifier    *cms.Verifier
	windows     []window // of each good chain, in no order; never empty
}

// Fingerprint is the SHA-256 of the certificate.
func (s *Signer) Fingerprint() [sha256.Size]byte { return s.fingerprint }

// ValidAt says whether the certificate and all others in its chain are valid at t. With several good chains, as in the
// roll-over of a CA, one that is valid is enough.
func (s *Signer) ValidAt(t time.Time) bool {
	for _, w := range s.windows {
		if w.contains(t) {
			return true
		}
	}
	return false
}

// NotBefore is when the validity begins: that of the certificate cut to that of its chain.
func (s *Signer) NotBefore() time.Time {
	return slices.MinFunc(s.windows, func(a, b window) int { return a.notBefore.Compare(b.notBefore) }).notBefore
}

// NotAfter is when the validity ends: that of the certificate cut to that of its chain.
func (s *Signer) NotAfter() time.Time {
	return slices.MaxFunc(s.windows, func(a, b window) int { return a.notAfter.Compare(b.notAfter) }).notAfter
}

// Bundle is an immutable set of signers. A nil *Bundle is one without signers.
type Bundle struct {
	generation uint64
	policy     Policy
	signers    []*Signer
	bySerial   map[string][]candidate // by the content octets of the serial number
	refused    [][sha256.Size]byte    // fingerprints of those that only the policy keeps out
}

// candidate is a signing certificate to try. signer is nil for one that only the policy keeps out.
type candidate struct {
	issuer []byte
	signer *Signer
}

// NewBundle makes a bundle of the certificates in signing whose chain to the CA is good.
//
// ca is what the operator configured: a certificate in it that is self-signed, or whose issuer is not in it, is a trust
// anchor; the others are intermediates. CA certificates in signing are intermediates as well, never signers.
//
// Certificates that are left out are in the error, which comes along with the bundle as long as that has a signer; without
// any there is no bundle. The time changes nothing: an expired signer is loaded and stays of no use, see Verify.
func NewBundle(signing, ca []*x509.Certificate, p Policy, _ time.Time) (*Bundle, error) {
	return newBundle(signing, newTrust(ca, true), p)
}

func newBundle(signing []*x509.Certificate, tr trust, p Policy) (*Bundle, error) {
	ch := chains{policy: p, anchors: tr.anchors, intermediates: slices.Clone(tr.intermediates)}
	for _, c := range signing {
		if c.BasicConstraintsValid && c.IsCA {
			ch.intermediates = append(ch.intermediates, c)
		}
	}
	b := &Bundle{generation: 1, policy: p, bySerial: map[string][]candidate{}}
	var problems []error
	for i, c := range signing {
		if c.BasicConstraintsValid && c.IsCA || slices.ContainsFunc(signing[:i], c.Equal) {
			continue
		}
		var windows []window
		err := errors.New("it is one of the CA certificates")
		if !tr.has(c) {
			windows, err = ch.ofSigner(c)
		}
		entry := candidate{issuer: c.RawIssuer}
		switch {
		case err == nil:
			entry.signer = &Signer{Certificate: c, fingerprint: sha256.Sum256(c.Raw), verifier: cms.NewVerifier(c.PublicKey), windows: windows}
			b.signers = append(b.signers, entry.signer)
		case errors.Is(err, ErrAlgorithm):
			b.refused = append(b.refused, sha256.Sum256(c.Raw))
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("signing certificate %s: %w", name(c), err))
		}
		if err == nil || errors.Is(err, ErrAlgorithm) {
			serial := string(cms.SerialOctets(c.SerialNumber))
			b.bySerial[serial] = append(b.bySerial[serial], entry)
		}
	}
	if len(b.signers) == 0 {
		return nil, fmt.Errorf("no usable signing certificate: %w", cmp.Or(errors.Join(problems...), errors.New("only CA certificates given")))
	}
	return b, errors.Join(problems...)
}

// name names a certificate in errors and logs.
func name(c *x509.Certificate) string {
	return fmt.Sprintf("%q (issuer %q, serial number %#x)", c.Subject, c.Issuer, c.SerialNumber)
}

// problem says that a signer is of no use at now.
func (s *Signer) problem(now time.Time) error {
	if s.ValidAt(now) {
		return nil
	}
	return fmt.Errorf("signing certificate %s: %w: with its chain it is valid from %s to %s", name(s.Certificate), ErrSignerExpired,
		s.NotBefore().UTC().Format(time.RFC3339), s.NotAfter().UTC().Format(time.RFC3339))
}

// Generation tells bundles apart: it grows when a Store's set of signers or their validity changes, and only then. It is 0 for
// a nil Bundle.
func (b *Bundle) Generation() uint64 {
	if b == nil {
		return 0
	}
	return b.generation
}

// Signers returns the signers in the order of the file, usable at this time or not.
func (b *Bundle) Signers() []*Signer {
	if b == nil {
		return nil
	}
	return slices.Clone(b.signers)
}

// Contains says whether s, or another Signer for the same certificate, is in the bundle.
func (b *Bundle) Contains(s *Signer) bool { return b.Find(s) != nil }

// Find returns the Signer in the bundle for the certificate that s is for, nil if there is none. Its chain, and so its validity,
// may be another than that of s.
func (b *Bundle) Find(s *Signer) *Signer {
	if b == nil || s == nil {
		return nil
	}
	for _, have := range b.signers {
		if have == s || have.fingerprint == s.fingerprint {
			return have
		}
	}
	return nil
}

// Verify says which signer signed sd. It tries every signer with the issuer and serial number that sd names: rotated and
// re-made certificates share them (all of OpenStack's samples do).
//
// The error wraps, in this order of precedence: ErrUnknownSigner, ErrAlgorithm (before any signature is checked),
// ErrSignature, ErrSignerExpired.
func (b *Bundle) Verify(sd *cms.SignedData, now time.Time) (*Signer, error) {
	if b == nil {
		return nil, ErrUnknownSigner
	}
	var known, usable, expired bool
	for _, c := range b.bySerial[string(sd.SerialNumber)] {
		if !bytes.Equal(c.issuer, sd.Issuer) {
			continue
		}
		known = true
		if !b.allows(sd.Hash) {
			return nil, ErrAlgorithm
		}
		if c.signer == nil {
			continue
		}
		usable = true
		if c.signer.verifier.Check(sd) != nil {
			continue
		}
		if c.signer.ValidAt(now) {
			return c.signer, nil
		}
		expired = true
	}
	switch {
	case !known:
		return nil, ErrUnknownSigner
	case !usable:
		return nil, ErrAlgorithm
	case expired:
		return nil, ErrSignerExpired
	default:
		return nil, ErrSignature
	}
}

func (b *Bundle) allows(h crypto.Hash) bool {
	switch h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
		return true
	case crypto.SHA1:
		return b.policy.InsecureAllowSHA1
	default:
		return false
	}
}

// sameSigners says whether b and other have the same signers with the same validity, in any order.
func (b *Bundle) sameSigners(other *Bundle) bool {
	if b == nil || other == nil || len(b.signers) != len(other.signers) {
		return false
	}
	for _, s := range b.signers {
		if !slices.ContainsFunc(other.signers, func(o *Signer) bool {
			return s.fingerprint == o.fingerprint && sameWindows(s.windows, o.windows)
		}) {
			return false
		}
	}
	return true
}

func sameWindows(a, b []window) bool {
	within := func(a, b []window) bool {
		return !slices.ContainsFunc(a, func(w window) bool { return !slices.ContainsFunc(b, w.equal) })
	}
	return within(a, b) && within(b, a)
}
