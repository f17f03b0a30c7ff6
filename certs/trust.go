package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// This file says which CA certificates count for a Store.
//
//  1. The operator's: Store.CAFile, or the CAFile of a FileSource. Read again with every fetch, so that it can be changed.
//     Each certificate in it that is self-signed, or whose issuer is not in it, is a trust anchor.
//  2. Else the kept ones: cacert.pem in Store.Dir, or in memory without a Dir. An operator may put the file there.
//  3. Else, only with AllowFetchedCA, those of the first fetch, which are kept from then on.
//
// Of certificates that were fetched only self-signed ones are trust anchors: an intermediate alone would be trusted for
// nothing but its arrival. When a later fetch brings other CA certificates than the kept ones, they take the place of those
// kept if each is vouched for by a kept one that is valid at that time: by a chain of signatures, or, for a new root, by a
// chain to another certificate with its name and key, which is how one CA hands over to the next (RFC 4210, 4.4). Otherwise
// all stays as it was and Metrics hears of it.

// trust is a set of CA certificates, by what they are good for.
type trust struct {
	anchors       []*x509.Certificate
	intermediates []*x509.Certificate
}

// newTrust sorts CA certificates. pinned says that the operator vouches for them.
func newTrust(ca []*x509.Certificate, pinned bool) trust {
	var tr trust
	for _, c := range ca {
		issuedBy := func(o *x509.Certificate) bool {
			return o != c && bytes.Equal(o.RawSubject, c.RawIssuer) && o.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
		}
		switch {
		case pinned && (selfSigned(c) || !slices.ContainsFunc(ca, issuedBy)),
			!pinned && selfSigned(c) && c.Version >= 3:
			tr.anchors = append(tr.anchors, c)
		default:
			tr.intermediates = append(tr.intermediates, c)
		}
	}
	return tr
}

func (tr trust) has(c *x509.Certificate) bool {
	return slices.ContainsFunc(tr.anchors, c.Equal) || slices.ContainsFunc(tr.intermediates, c.Equal)
}

// vouches says whether the kept CA certificates vouch for all those that came.
func vouches(kept, came []*x509.Certificate, p Policy, now time.Time) error {
	tr := newTrust(kept, false)
	ch := chains{policy: p, anchors: tr.anchors, intermediates: slices.Concat(tr.intermediates, came)}
	good := func(c *x509.Certificate) error {
		windows, err := []window{{c.NotBefore, c.NotAfter}}, issuerProblem(c, p, true)
		if err == nil && !slices.ContainsFunc(tr.anchors, c.Equal) {
			windows, err = ch.ofCA(c)
		}
		if err == nil && !slices.ContainsFunc(windows, func(w window) bool { return w.contains(now) }) {
			err = errors.New("a kept CA certificate vouches for it, but not all of the chain is valid at this time")
		}
		return err
	}
	for _, c := range came {
		if slices.ContainsFunc(kept, c.Equal) || !c.IsCA {
			continue // what is no CA certificate has no say in any chain
		}
		err := good(c)
		if err != nil && selfSigned(c) && slices.ContainsFunc(slices.Concat(kept, came), func(o *x509.Certificate) bool {
			return !o.Equal(c) && bytes.Equal(o.RawSubject, c.RawSubject) && bytes.Equal(o.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) && good(o) == nil
		}) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("CA certificate %s: %w", name(c), err)
		}
	}
	return nil
}

// authorities returns the CA certificates that count, given those that the source sent. newlyKept says that they are to be
// kept once they have proven good for something.
func (s *Store) authorities(sent []byte, now time.Time) (ca []*x509.Certificate, pinned, newlyKept bool, err error) {
	if s.CAFile != "" {
		if ca, _, err = ReadCertificates(s.CAFile); err != nil {
			return nil, false, false, fmt.Errorf("CA file: %w", err)
		}
		return ca, true, false, nil
	}
	came, err := ParseCertificates(sent)
	if err != nil {
		_, what := s.origin()
		err = fmt.Errorf("%s: %w", what, err)
	}
	switch {
	case s.fromFiles():
		return came, true, false, err
	case s.kept == nil && !s.AllowFetchedCA:
		return nil, false, false, errors.New("no CA certificate is configured, and one that comes over an unverified connection is not trusted: " +
			"configure the CA file, or reach the Identity service over https")
	case s.kept == nil:
		return came, false, true, err
	case err == nil:
		err = vouches(s.kept, came, s.Policy, now)
	}
	if err != nil {
		s.complain(EventCARefused, topicCA, "fetched CA certificates are not trusted, the kept ones stay", err)
		return s.kept, false, false, nil
	}
	s.settled(topicCA)
	if len(newTrust(came, false).anchors) == 0 {
		came = slices.Concat(came, s.kept) // intermediates alone: they still need the kept root
	}
	return came, false, true, nil
}

// readKeptCA takes over cacert.pem when it is there and is not what was last written: at start, or when the operator put
// another one there. One that cannot be used is an error, so that nobody's first use is trusted in its place.
func (s *Store) readKeptCA(dir *signingDir) error {
	if dir == nil || s.CAFile != "" || s.fromFiles() {
		return nil
	}
	text, err := dir.read(keptCAFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.unsaved = s.kept != nil
		return nil
	case err == nil && bytes.Equal(text, s.keptText):
		return nil
	case err == nil:
		var ca []*x509.Certificate
		if ca, err = ParseCertificates(text); err == nil {
			s.kept, s.keptText, s.unsaved = ca, text, false
			return nil
		}
	}
	return fmt.Errorf("kept CA %s in %s: %w (put the right CA certificate there, or remove the file to trust the next one fetched)", keptCAFile, s.Dir, err)
}

// origin names what a fetch brings, for errors.
func (s *Store) origin() (signing, ca string) {
	f, ok := s.Source.(FileSource)
	if p, is := s.Source.(*FileSource); is {
		f, ok = *p, true
	}
	if ok {
		return "signing certificate file " + f.SigningFile, "CA file " + f.CAFile
	}
	return "fetched signing certificates", "fetched CA certificates"
}

// readFile reads a file of certificates, which has a bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f)
}
