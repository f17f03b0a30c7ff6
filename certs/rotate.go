package certs

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Rotation changes the signing certificate and its key while tokens are issued and validated, in OpenStack's seven steps:
//
//	Prepare   1 new key, 2 request, 3 certificate (by the CA key at hand, or by whoever gets the request)
//	Publish   4 the new certificate is appended to the old one; 5 verifiers fetch both
//	Switch    6 the new key takes the place of the old one, and the new certificate the one above the old one
//	Finish    7 the old certificate goes, once no token needs it any more
//
// and Rollback leads back from anywhere before Finish. Each is safe to repeat, and to repeat after it was killed: what there is
// to do is read from the files themselves, each of which is put in place as a whole. At every instant certfile holds a
// certificate for the key in keyfile, and no certificate leaves it that tokens in use need.
//
// Beside keyfile and certfile are, as long as a rotation goes on,
//
//	keyfile.next      the key that will sign, mode as keyfile
//	certfile.next     its certificate, with those of CAs that came along
//	certfile.csr      the request for that, where another CA is to sign it
//	keyfile.old       the key that signed before
//	keyfile.rotation  until when tokens by the key that left may be in use
type Rotation struct {
	CertFile, KeyFile string // certfile, keyfile; symbolic links are followed
	CACerts, CAKey    string // ca_certs, ca_key; the latter need not exist

	// TokenLife is for how long after it was made a token may be in use, for Finish.
	TokenLife time.Duration
	Now       func() time.Time

	// before is called before each change of the file system, for tests. With an error all stops there and nothing is tidied
	// up, as if the process were killed.
	before func(what, path string) error
}

// Stage is how far a rotation has come.
type Stage string

// Stages.
const (
	StageIdle      Stage = "idle"      // none is under way
	StageRequested Stage = "requested" // there is a new key, and no certificate for it yet
	StagePrepared  Stage = "prepared"  // there is, but verifiers have not heard of it
	StagePublished Stage = "published" // certfile has both certificates, the old key signs
	StageSwitched  Stage = "switched"  // the new key signs
)

// RotationStatus is where a rotation stands.
type RotationStatus struct {
	Stage   Stage
	Current *x509.Certificate // signs now
	// Next is the certificate that will sign, from StagePrepared to StagePublished.
	Next *x509.Certificate
	// Retired are other signing certificates in certfile, which only verify.
	Retired []*x509.Certificate
	// TokensUntil is until when tokens by a key that signed before, and does not now, may be in use; zero if not known.
	TokensUntil time.Time
	// Published is since when certfile is as it is.
	Published time.Time
	// Request is the file of the request, if there is one.
	Request string
}

// PrepareOptions say what key and certificate Prepare makes.
type PrepareOptions struct {
	KeyType   KeyType // "" is that of the key that signs now
	KeySize   int     // bits of an RSA key; 0 is DefaultKeySize
	ValidDays int     // 0 is DefaultValidDays; no certificate outlives the CA's
	Subject   string  // cert_subject; "" is DefaultSubject
	// Request makes a request although the CA key is at hand.
	Request bool
}

// position is what the files say.
type position struct {
	pair     *SigningPair
	ca       []*x509.Certificate
	next     crypto.Signer // the key in keyfile.next, unless it is that in keyfile
	prepared []*x509.Certificate
	request  bool          // certfile.csr fits next
	old      crypto.Signer // the key in keyfile.old, unless it is that in keyfile
	record   record
}

func (r *Rotation) nextKey() string  { return r.KeyFile + ".next" }
func (r *Rotation) nextCert() string { return r.CertFile + ".next" }
func (r *Rotation) csr() string      { return r.CertFile + ".csr" }
func (r *Rotation) oldKey() string   { return r.KeyFile + ".old" }

// look reads the position.
func (r *Rotation) look() (p *position, err error) {
	p = &position{}
	if p.pair, err = LoadSigner(r.CertFile, r.KeyFile); err != nil {
		return nil, err
	}
	if p.ca, _, err = ReadCertificates(r.CACerts); err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	if p.next, err = r.otherKey(r.nextKey(), p.pair.Key); err != nil {
		return nil, err
	}
	if p.old, err = r.otherKey(r.oldKey(), p.pair.Key); err != nil {
		return nil, err
	}
	if p.next != nil {
		switch list, _, err := ReadCertificates(r.nextCert()); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("new signing certificate: %w (remove that file to begin anew)", err)
		case certFor(list, p.next.Public()) != nil:
			p.prepared = list
		}
		text, err := readFile(r.csr())
		p.request = err == nil && requestFits(text, p.next)
	}
	p.record = r.readRecord()
	return p, nil
}

// otherKey reads a key file beside keyfile. No file is no key, and neither is one with the key that signs.
func (r *Rotation) otherKey(path string, current crypto.Signer) (crypto.Signer, error) {
	var p SigningPair
	switch err := p.readKey(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("key beside the signing key: %w (remove that file to begin anew)", err)
	case sameKey(p.Key.Public(), current.Public()):
		return nil, nil
	}
	return p.Key, nil
}

// certFor is the first certificate for a key.
func certFor(list []*x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	for _, c := range list {
		if sameKey(c.PublicKey, pub) {
			return c
		}
	}
	return nil
}

func isCA(c *x509.Certificate) bool { return c.BasicConstraintsValid && c.IsCA }

func (p *position) stage() Stage {
	switch {
	case p.next != nil && certFor(p.pair.Certificates, p.next.Public()) != nil:
		return StagePublished
	case p.next != nil && p.prepared != nil:
		return StagePrepared
	case p.next != nil:
		return StageRequested
	case p.old != nil:
		return StageSwitched
	default:
		return StageIdle
	}
}

// retired are the signing certificates in certfile that neither sign now nor are to sign next.
func (p *position) retired() []*x509.Certificate {
	var list []*x509.Certificate
	for _, c := range p.pair.Certificates {
		if !isCA(c) && !sameKey(c.PublicKey, p.pair.Key.Public()) && (p.next == nil || !sameKey(c.PublicKey, p.next.Public())) {
			list = append(list, c)
		}
	}
	return list
}

// ordered is certfile with the certificates for the key pub above those of all other signers, and those of CAs below.
func ordered(list []*x509.Certificate, pub crypto.PublicKey) []*x509.Certificate {
	rank := func(c *x509.Certificate) int {
		switch {
		case sameKey(c.PublicKey, pub):
			return 0
		case isCA(c):
			return 2
		default:
			return 1
		}
	}
	return slices.SortedStableFunc(slices.Values(list), func(a, b *x509.Certificate) int { return cmp.Compare(rank(a), rank(b)) })
}

// Status says where the rotation stands. It changes nothing.
func (r *Rotation) Status() (*RotationStatus, error) {
	resolved, err := r.resolve()
	if err != nil {
		return nil, err
	}
	p, err := resolved.look()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(resolved.CertFile)
	if err != nil {
		return nil, err
	}
	st := &RotationStatus{Stage: p.stage(), Current: p.pair.Leaf, Retired: p.retired(), Published: info.ModTime(), TokensUntil: p.record.TokensUntil}
	if st.Stage == StagePublished {
		st.Next = certFor(p.pair.Certificates, p.next.Public())
	}
	if st.Stage == StagePrepared {
		st.Next = certFor(p.prepared, p.next.Public())
	}
	if p.request {
		st.Request = resolved.csr()
	}
	return st, nil
}

// change runs f on the present position, alone.
func (r *Rotation) change(f func(r *Rotation, p *position) error) (*RotationStatus, error) {
	resolved, err := r.resolve()
	if err != nil {
		return nil, err
	}
	unlock, err := resolved.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := resolved.sweep(); err != nil {
		return nil, err
	}
	p, err := resolved.look()
	if err == nil {
		err = f(resolved, p)
	}
	if err != nil {
		return nil, err
	}
	return resolved.Status()
}

// Prepare makes a new key and a certificate for it, or a request for one where the CA key is not at hand.
func (r *Rotation) Prepare(o PrepareOptions) (*RotationStatus, error) {
	return r.change(func(r *Rotation, p *position) error {
		switch p.stage() {
		case StagePrepared, StagePublished:
			return p.fits(o)
		case StageSwitched:
			return errors.New("the last rotation is not finished: the old certificate still serves tokens that it signed (see status)")
		case StageRequested:
			if err := p.fits(o); err != nil {
				return err
			}
		}
		o.KeyType = cmp.Or(o.KeyType, kindOf(p.pair.Key.Public()))
		o.KeySize, o.ValidDays, o.Subject = cmp.Or(o.KeySize, DefaultKeySize), cmp.Or(o.ValidDays, DefaultValidDays), cmp.Or(o.Subject, DefaultSubject)
		if err := cmp.Or(checkKeyOptions(o.KeyType, o.KeySize), checkValidDays(o.ValidDays)); err != nil {
			return err
		}
		var by *authority
		if !o.Request {
			var err error
			if by, err = r.authority(p.ca); err != nil {
				return err
			}
		}
		if p.next == nil {
			key, text, err := newKey(o.KeyType, o.KeySize)
			if err != nil {
				return err
			}
			if err := r.write(r.nextKey(), text, r.KeyFile, 0o640, 0o600); err != nil {
				return err
			}
			p.next = key
		}
		if by == nil {
			if p.request {
				return nil
			}
			text, err := newRequest(o.Subject, p.next)
			if err != nil {
				return err
			}
			return r.write(r.csr(), text, r.CertFile, 0o644, 0o644)
		}
		cert, err := by.issue(o.Subject, p.next.Public(), r.now(), o.ValidDays)
		if err != nil {
			return fmt.Errorf("new signing certificate: %w", err)
		}
		if err := usable(cert, p.pair.Certificates, p.ca, r.now()); err != nil {
			return fmt.Errorf("new signing certificate: %w", err)
		}
		return r.write(r.nextCert(), encode([]*x509.Certificate{cert}), r.CertFile, 0o644, 0o644)
	})
}

func kindOf(pub crypto.PublicKey) KeyType {
	if _, ok := pub.(*ecdsa.PublicKey); ok {
		return KeyECDSA
	}
	return KeyRSA
}

// fits says whether the key that is prepared is what the options ask for.
func (p *position) fits(o PrepareOptions) error {
	if have := kindOf(p.next.Public()); o.KeyType != "" && o.KeyType != have {
		return fmt.Errorf("a new key of type %s is prepared already: roll back first to make one of type %s", have, o.KeyType)
	}
	return nil
}

// usable says what keeps a certificate from signing now.
func usable(c *x509.Certificate, file, ca []*x509.Certificate, now time.Time) error {
	if err := signerProblem(c, Policy{}); err != nil {
		return fmt.Errorf("%s: %w", name(c), err)
	}
	pair := &SigningPair{Leaf: c, Certificates: file}
	return pair.Check(ca, now)
}
