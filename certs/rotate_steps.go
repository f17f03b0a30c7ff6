package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Publish appends the new certificate to certfile, for verifiers to fetch. certificate names the file that a CA answered the
// request with (PEM or PKCS#7, with its chain if need be); "" if Prepare has made one.
func (r *Rotation) Publish(certificate string) (*RotationStatus, error) {
	return r.change(func(r *Rotation, p *position) error {
		switch p.stage() {
		case StageIdle:
			return errors.New("nothing is prepared: prepare a new key first")
		case StageSwitched:
			return nil
		}
		if certificate != "" {
			list, _, err := ReadCertificates(certificate)
			if err != nil {
				return fmt.Errorf("new signing certificate: %w", err)
			}
			leaf := certFor(list, p.next.Public())
			if leaf == nil {
				return fmt.Errorf("no certificate in %s goes with the new key %s: was it made from the request %s?", certificate, r.nextKey(), r.csr())
			}
			if there := certFor(p.pair.Certificates, p.next.Public()); there != nil && !there.Equal(leaf) {
				return errors.New("another certificate for the new key is published already: roll back first")
			}
			p.prepared = slices.DeleteFunc(list, func(c *x509.Certificate) bool { return !c.Equal(leaf) && !isCA(c) })
		}
		if p.prepared == nil && p.stage() != StagePublished {
			return fmt.Errorf("the new key has no certificate yet: send %s to the CA and name the file that it answers with", r.csr())
		}
		if p.stage() == StagePublished {
			return nil
		}
		leaf := certFor(p.prepared, p.next.Public())
		if err := usable(leaf, slices.Concat(p.prepared, p.pair.Certificates), p.ca, r.now()); err != nil {
			return fmt.Errorf("new signing certificate: %w", err)
		}
		if certificate != "" {
			if err := r.write(r.nextCert(), encode(p.prepared), r.CertFile, 0o644, 0o644); err != nil {
				return err
			}
		}
		text := slices.Clone(p.pair.Text)
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		for _, c := range p.prepared {
			if !slices.ContainsFunc(p.pair.Certificates, c.Equal) {
				text = append(text, encode([]*x509.Certificate{c})...)
			}
		}
		if _, err := ParseCertificates(text); err != nil {
			return fmt.Errorf("%s with the new certificate: %w", r.CertFile, err)
		}
		return r.write(r.CertFile, text, r.CertFile, 0o777, 0o644)
	})
}

// Switch lets the new key sign. wait is for how long certfile must have been as it is, so that verifiers have the new
// certificate or are free to fetch it at once.
func (r *Rotation) Switch(wait time.Duration) (*RotationStatus, error) {
	return r.change(func(r *Rotation, p *position) error {
		switch p.stage() {
		case StageIdle, StageRequested, StagePrepared:
			return errors.New("the new certificate is not published yet: verifiers would refuse what it signs")
		case StageSwitched:
			return r.reorder(p)
		}
		info, err := os.Stat(r.CertFile)
		if err != nil {
			return err
		}
		if from := info.ModTime().Add(wait); wait > 0 && r.now().Before(from) {
			return fmt.Errorf("the new certificate was published at %s only: switch from %s on, so that every verifier can have it",
				info.ModTime().UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339))
		}
		if err := usable(certFor(p.pair.Certificates, p.next.Public()), p.pair.Certificates, p.ca, r.now()); err != nil {
			return fmt.Errorf("new signing certificate: %w", err)
		}
		if err := r.copyKey(r.KeyFile, r.oldKey()); err != nil {
			return err
		}
		return r.replaceKey(p, r.nextKey())
	})
}

// replaceKey puts the key file from in the place of keyfile, and the certificate for it above the others. certfile holds
// certificates for both keys, so a server that reads the files at any time in between finds a pair.
func (r *Rotation) replaceKey(p *position, from string) error {
	if err := r.writeRecord(record{Key: keyID(p.pair.Key.Public()), TokensUntil: r.now().Add(r.TokenLife)}); err != nil {
		return err
	}
	if err := r.rename(from, r.KeyFile); err != nil {
		return err
	}
	p, err := r.look()
	if err != nil {
		return err
	}
	return r.reorder(p)
}

// reorder puts the certificate that signs above the others.
func (r *Rotation) reorder(p *position) error {
	list := ordered(p.pair.Certificates, p.pair.Key.Public())
	if slices.EqualFunc(list, p.pair.Certificates, (*x509.Certificate).Equal) {
		return nil
	}
	return r.write(r.CertFile, encode(list), r.CertFile, 0o777, 0o644)
}

// Finish drops the old certificate, and the old key. It refuses to as long as tokens that the certificate vouches for may be in
// use; compromised drops it all the same, and each of those tokens with it.
func (r *Rotation) Finish(compromised bool) (*RotationStatus, error) {
	return r.change(func(r *Rotation, p *position) error {
		if s := p.stage(); s != StageSwitched && s != StageIdle {
			return errors.New("the new key does not sign yet: switch first (at once, with no wait, if the old one is compromised), or roll back")
		}
		retired := p.retired()
		for _, c := range retired {
			if err := r.needed(p, c); err != nil && !compromised {
				return err
			}
		}
		if len(retired) > 0 {
			left := slices.DeleteFunc(slices.Clone(p.pair.Certificates), func(c *x509.Certificate) bool { return slices.ContainsFunc(retired, c.Equal) })
			if err := r.write(r.CertFile, encode(ordered(left, p.pair.Key.Public())), r.CertFile, 0o777, 0o644); err != nil {
				return err
			}
		}
		return r.removeAll(r.nextKey(), r.nextCert(), r.csr(), r.recordFile(), r.oldKey())
	})
}

// needed says why tokens may still need a certificate whose key does not sign.
func (r *Rotation) needed(p *position, c *x509.Certificate) error {
	now := r.now()
	switch {
	case now.After(c.NotAfter): // its tokens have ended with it
		return nil
	case p.record.Key != keyID(c.PublicKey):
		return fmt.Errorf("%s expires on %s, and there is no record of when its key was last used: wait until then (or, if that key was stolen, --force-compromised)",
			name(c), c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(p.record.TokensUntil):
		return fmt.Errorf("tokens signed by %s may be in use until %s: wait until then (or, if that key was stolen, --force-compromised)",
			name(c), p.record.TokensUntil.UTC().Format(time.RFC3339))
	}
	return nil
}

// Rollback goes back. From StageSwitched on the old key signs again, while the new certificate stays published, for the tokens
// that it signed; once these are over another Rollback takes it out. compromised takes it out at once.
func (r *Rotation) Rollback(compromised bool) (*RotationStatus, error) {
	return r.change(func(r *Rotation, p *position) error {
		if p.stage() == StageSwitched {
			back := certFor(p.pair.Certificates, p.old.Public())
			if back == nil {
				return fmt.Errorf("%s has no certificate for the old key any more: finish instead", r.CertFile)
			}
			if err := usable(back, p.pair.Certificates, p.ca, r.now()); err != nil {
				return fmt.Errorf("there is no way back to the old certificate: %w", err)
			}
			if err := r.copyKey(r.KeyFile, r.nextKey()); err != nil {
				return err
			}
			if err := r.replaceKey(p, r.oldKey()); err != nil || !compromised {
				return err
			}
			if p, err := r.look(); err != nil {
				return err
			} else {
				return r.withdraw(p, true)
			}
		}
		return r.withdraw(p, compromised)
	})
}

// withdraw takes back what was prepared and published.
func (r *Rotation) withdraw(p *position, compromised bool) error {
	if next := p.next; p.stage() == StagePublished {
		list := ordered(p.pair.Certificates, p.pair.Key.Public())
		fits := func(c *x509.Certificate) bool { return !isCA(c) && sameKey(c.PublicKey, next.Public()) }
		c := list[slices.IndexFunc(list, fits)]
		if p.record.Key == keyID(c.PublicKey) && !compromised { // it has signed
			if !slices.EqualFunc(list, p.pair.Certificates, (*x509.Certificate).Equal) {
				return r.reorder(p) // and this Rollback has only now made it stop
			}
			if err := r.needed(p, c); err != nil {
				return err
			}
		}
		if err := r.write(r.CertFile, encode(slices.DeleteFunc(list, fits)), r.CertFile, 0o777, 0o644); err != nil {
			return err
		}
	}
	if p.old != nil {
		return r.removeAll(r.nextCert(), r.csr(), r.nextKey())
	}
	return r.removeAll(r.nextCert(), r.csr(), r.nextKey(), r.recordFile(), r.oldKey())
}
