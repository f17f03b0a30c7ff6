package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file is the chain check. crypto/x509 has one too, but it refuses SHA-1 with no switch left, checks validity at the
// same time as all else, and does not take X.509 version 1 certificates for CAs. Here a chain from a signing certificate to
// a trust anchor is good if
//
//   - each certificate's issuer name is the next one's subject, byte for byte, and its signature verifies with the next
//     one's key, with an algorithm and key that the Policy allows;
//   - each issuer says CA:TRUE in its basicConstraints, has the keyCertSign bit if it has a keyUsage at all, and its path
//     length allows the chain (RFC 5280, 6.1.4). A version 1 certificate cannot say so: it counts as issuer only as a trust
//     anchor that the operator pinned;
//   - the signer is no CA, and has the digitalSignature or contentCommitment bit if it has a keyUsage at all. Without
//     extensions, as OpenStack's own samples are, it passes;
//   - no extendedKeyUsage excludes signing documents: where there is one it has to name emailProtection (which
//     "openssl cms -verify" asks for), documentSigning (RFC 9336) or any usage. A TLS certificate is no signer;
//   - no certificate has a critical extension beyond those looked at here. That refuses name and policy constraints.
//
// Validity is the intersection over the chain, anchor included, and is kept in the Signer. CRLs are not looked at: an
// operator takes a signer out by taking it out of the file.

// Limits on the search, for bundles that cross-sign in circles.
const (
	maxDepth = 8
	maxSteps = 500
)

var (
	oidKeyUsage            = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName      = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints    = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidCertificatePolicies = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidExtendedKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidDocumentSigning     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 36}
)

// window is a period of validity, both ends included (RFC 5280, 4.1.2.5). It is empty if notBefore is after notAfter.
type window struct{ notBefore, notAfter time.Time }

func (w window) contains(t time.Time) bool { return !t.Before(w.notBefore) && !t.After(w.notAfter) }

func (w window) equal(o window) bool {
	return w.notBefore.Equal(o.notBefore) && w.notAfter.Equal(o.notAfter)
}

func (w window) and(c *x509.Certificate) window {
	if c.NotBefore.After(w.notBefore) {
		w.notBefore = c.NotBefore
	}
	if c.NotAfter.Before(w.notAfter) {
		w.notAfter = c.NotAfter
	}
	return w
}

// chains finds chains to its anchors.
type chains struct {
	policy        Policy
	anchors       []*x509.Certificate
	intermediates []*x509.Certificate
	checked       map[link]error
}

// link is a certificate and its presumed issuer.
type link struct{ child, issuer *x509.Certificate }

// search is the state of one climb from a certificate to the anchors.
type search struct {
	windows  []window
	problems []error
	steps    int
}

// ofSigner returns the validity of each good chain from a signing certificate, or an error that says why there is none.
func (ch *chains) ofSigner(c *x509.Certificate) ([]window, error) {
	if err := signerProblem(c, ch.policy); err != nil {
		return nil, err
	}
	return ch.from(c, 0)
}

// ofCA is ofSigner for a CA certificate.
func (ch *chains) ofCA(c *x509.Certificate) ([]window, error) {
	if err := issuerProblem(c, ch.policy, false); err != nil {
		return nil, err
	}
	if selfIssued(c) {
		return ch.from(c, 0)
	}
	return ch.from(c, 1)
}

func (ch *chains) from(c *x509.Certificate, below int) ([]window, error) {
	if ch.checked == nil {
		ch.checked = map[link]error{}
	}
	var s search
	ch.climb(&s, []*x509.Certificate{c}, below, window{c.NotBefore, c.NotAfter})
	switch {
	case len(s.windows) > 0:
		return s.windows, nil
	case len(s.problems) > 0:
		return nil, errors.Join(s.problems...)
	default:
		return nil, fmt.Errorf("no CA certificate has the subject %q", c.Issuer)
	}
}

// climb looks for issuers of the last certificate in path. below counts the CAs in path that a path length constraint counts.
func (ch *chains) climb(s *search, path []*x509.Certificate, below int, w window) {
	child := path[len(path)-1]
	try := func(issuer *x509.Certificate, anchor bool) {
		if !bytes.Equal(child.RawIssuer, issuer.RawSubject) || slices.ContainsFunc(path, issuer.Equal) {
			return
		}
		if s.steps++; s.steps > maxSteps || len(path) > maxDepth {
			return
		}
		if err := ch.issued(link{child, issuer}, anchor, below); err != nil {
			s.problems = append(s.problems, fmt.Errorf("issuer %q: %w", issuer.Subject, err))
			return
		}
		if anchor {
			s.windows = append(s.windows, w.and(issuer))
			return
		}
		above := below
		if !selfIssued(issuer) {
			above++
		}
		ch.climb(s, append(slices.Clone(path), issuer), above, w.and(issuer))
	}
	for _, c := range ch.anchors {
		try(c, true)
	}
	for _, c := range ch.intermediates {
		try(c, false)
	}
}

func (ch *chains) issued(l link, anchor bool, below int) error {
	if limit := l.issuer.MaxPathLen; l.issuer.BasicConstraintsValid && (limit > 0 || limit == 0 && l.issuer.MaxPathLenZero) && below > limit {
		return fmt.Errorf("its path length constraint of %d does not allow %d CA certificates below it", limit, below)
	}
	err, known := ch.checked[l]
	if !known {
		if err = issuerProblem(l.issuer, ch.policy, anchor); err == nil {
			err = signatureProblem(l, ch.policy)
		}
		ch.checked[l] = err
	}
	return err
}

// signatureProblem says why the issuer's key does not vouch for the child.
func signatureProblem(l link, p Policy) error {
	switch a := l.child.SignatureAlgorithm; a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		if !p.InsecureAllowSHA1 {
			return fmt.Errorf("%w: certificate signed with SHA-1", ErrAlgorithm)
		}
	default:
		return fmt.Errorf("%w: certificate signed with %v", ErrAlgorithm, a)
	}
	if err := l.issuer.CheckSignature(l.child.SignatureAlgorithm, l.child.RawTBSCertificate, l.child.Signature); err != nil {
		return fmt.Errorf("signature on the certificate: %w", err)
	}
	return nil
}

// signerProblem says why a certificate cannot be a signer, whatever its chain.
func signerProblem(c *x509.Certificate, p Policy) error {
	if c.BasicConstraintsValid && c.IsCA {
		return errors.New("it is a CA certificate")
	}
	if hasExtension(c, oidKeyUsage) && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return errors.New("its keyUsage does not include digitalSignature")
	}
	return commonProblem(c, p)
}

// issuerProblem says why a certificate cannot be a CA.
func issuerProblem(c *x509.Certificate, p Policy, anchor bool) error {
	switch {
	case anchor && c.Version < 3:
		// Only operators can make one an anchor, see newTrust.
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("it is not a CA certificate (no CA:TRUE in basicConstraints)")
	case hasExtension(c, oidKeyUsage) && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its keyUsage does not include keyCertSign")
	}
	return commonProblem(c, p)
}

func commonProblem(c *x509.Certificate, p Policy) error {
	for _, e := range c.Extensions {
		if e.Critical && !slices.ContainsFunc([]asn1.ObjectIdentifier{
			oidKeyUsage, oidSubjectAltName, oidBasicConstraints, oidCertificatePolicies, oidExtendedKeyUsage,
		}, e.Id.Equal) {
			return fmt.Errorf("it has a critical extension that is not supported (%v)", e.Id)
		}
	}
	if hasExtension(c, oidExtendedKeyUsage) &&
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) &&
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageEmailProtection) &&
		!slices.ContainsFunc(c.UnknownExtKeyUsage, oidDocumentSigning.Equal) {
		return errors.New("its extendedKeyUsage includes neither emailProtection nor documentSigning")
	}
	return keyProblem(c.PublicKey, p)
}

// keyProblem says why a public key is not allowed.
func keyProblem(pub crypto.PublicKey, p Policy) error {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		least := 2048
		if p.InsecureAllowWeakRSA {
			least = 1024
		}
		if bits := pub.N.BitLen(); bits < least || bits > maxKeySize {
			return fmt.Errorf("%w: RSA key of %d bits, wanted %d to %d", ErrAlgorithm, bits, least, maxKeySize)
		}
		return nil
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() && pub.Curve != elliptic.P384() {
			return fmt.Errorf("%w: ECDSA key on %s, wanted P-256 or P-384", ErrAlgorithm, pub.Params().Name)
		}
		return nil
	default:
		return fmt.Errorf("%w: %T, wanted RSA or ECDSA", ErrAlgorithm, pub)
	}
}

func hasExtension(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}

// selfIssued says that issuer and subject have the same name; selfSigned that it is the same key, too.
func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

func selfSigned(c *x509.Certificate) bool {
	return selfIssued(c) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
