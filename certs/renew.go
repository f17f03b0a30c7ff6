package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"
)

// Topics of complaints.
const (
	topicFailed   = "failed"
	topicCA       = "ca"
	topicSigners  = "signers"
	topicValidity = "validity"
	topicKeep     = "keep"
)

// fetched is what a Source returned.
type fetched struct {
	signing, ca []byte
	err         error
}

// renew fetches certificates and swaps them in. Without any so far, those kept in Dir serve when the fetch fails.
func (s *Store) renew(ctx context.Context, now time.Time) error {
	dir, err := s.openDir()
	if err != nil {
		return err
	}
	defer dir.close()
	if err := s.readKeptCA(dir); err != nil {
		return err
	}
	if err = s.fetchAndSwap(ctx, dir, now); err != nil && s.Current() == nil {
		err = errors.Join(err, s.restore(dir, now))
	}
	var useless []error
	for _, signer := range s.Current().Signers() {
		useless = append(useless, signer.problem(now))
	}
	s.sayIf(topicValidity, "some signing certificates are of no use at this time", errors.Join(useless...))
	return err
}

// openDir returns nil without a Dir. One that is not private stops a Store that has nothing yet; one that turns bad later
// only ends the keeping.
func (s *Store) openDir() (*signingDir, error) {
	if s.Dir == "" || s.fromFiles() {
		return nil, nil
	}
	dir, err := openSigningDir(s.Dir)
	if err != nil && s.Current() == nil {
		return nil, err
	}
	if err != nil {
		s.complain(EventKeepFailed, topicKeep, "signing_dir cannot be used, certificates are not kept", err)
	}
	return dir, nil
}

func (s *Store) fetchAndSwap(ctx context.Context, dir *signingDir, now time.Time) error {
	signingText, caText, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	signing, err := ParseCertificates(signingText)
	if err != nil {
		what, _ := s.origin()
		return fmt.Errorf("%s: %w", what, err)
	}
	ca, pinned, keep, err := s.authorities(caText, now)
	if err != nil {
		return err
	}
	b, refused := newBundle(signing, newTrust(ca, pinned), s.Policy)
	if b == nil {
		return refused
	}
	if refused != nil {
		s.complain(EventSignerRefused, topicSigners, "some signing certificates are left out", refused)
	} else {
		s.settled(topicSigners)
	}
	if keep && !slices.EqualFunc(ca, s.kept, (*x509.Certificate).Equal) {
		s.kept, s.unsaved = ca, true
	}
	s.swap(b)
	s.keep(dir, signing)
	return nil
}

// fetch asks the Source. Should that not return in time, the store goes on without it, and asks it again only once it has
// returned.
func (s *Store) fetch(ctx context.Context) (signing, ca []byte, err error) {
	if s.Source == nil {
		return nil, nil, errors.New("no source of certificates is configured")
	}
	if s.stuck != nil {
		select {
		case <-s.stuck:
			s.stuck = nil
		default:
			return nil, nil, errors.New("an earlier fetch has still not returned")
		}
	}
	done := make(chan fetched, 1)
	go func() {
		var f fetched
		err := s.guarded(func() error {
			f.signing, f.ca, f.err = s.Source.Fetch(ctx)
			return f.err
		})
		f.err = err
		done <- f
	}()
	select {
	case f := <-done:
		return f.signing, f.ca, f.err
	case <-ctx.Done():
		s.stuck = done
		return nil, nil, fmt.Errorf("gave up on the fetch (timeout %v): %w", s.timeout(), ctx.Err())
	}
}

// swap makes b the current bundle, unless it is the same as that.
func (s *Store) swap(b *Bundle) {
	old := s.Current()
	same := old.sameSigners(b)
	if same && slices.Equal(old.refused, b.refused) {
		return
	}
	b.generation = old.Generation()
	if !same {
		b.generation++
		for _, signer := range b.signers {
			if !old.Contains(signer) {
				s.log().Info("signing certificate added", "certificate", name(signer.Certificate), "not_after", signer.NotAfter(), "generation", b.generation)
			}
		}
		for _, signer := range old.Signers() {
			if !b.Contains(signer) {
				s.log().Info("signing certificate gone, its tokens are no longer accepted", "certificate", name(signer.Certificate), "generation", b.generation)
			}
		}
	}
	s.current.Store(b)
}

// keep writes the certificates to Dir where that holds others. Failure is no reason not to use them.
func (s *Store) keep(dir *signingDir, signing []*x509.Certificate) {
	if dir == nil {
		return
	}
	var errs []error
	if text := encode(s.kept); s.unsaved {
		err := dir.write(keptCAFile, text)
		if err == nil {
			s.keptText, s.unsaved = text, false
		}
		errs = append(errs, err)
	}
	text := encode(signing)
	if have, err := dir.read(keptSignersFile); err != nil || !bytes.Equal(have, text) {
		errs = append(errs, dir.write(keptSignersFile, text))
	}
	if err := errors.Join(errs...); err != nil {
		s.complain(EventKeepFailed, topicKeep, "certificates could not be kept in signing_dir, a restart without the Identity service will miss them", err)
	} else {
		s.settled(topicKeep)
	}
}

// restore makes a bundle of what Dir keeps, checked as if it had just been fetched.
func (s *Store) restore(dir *signingDir, now time.Time) error {
	if dir == nil {
		return nil
	}
	text, err := dir.read(keptSignersFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b, err := s.fromKept(text, err, now)
	if b == nil {
		return fmt.Errorf("kept %s in %s: %w", keptSignersFile, s.Dir, err)
	}
	s.log().Warn("using the signing certificates kept in signing_dir")
	s.swap(b)
	return nil
}

func (s *Store) fromKept(text []byte, err error, now time.Time) (*Bundle, error) {
	if err != nil {
		return nil, err
	}
	signing, err := ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	ca, pinned := s.kept, false
	if s.CAFile != "" {
		if ca, pinned, _, err = s.authorities(nil, now); err != nil {
			return nil, err
		}
	}
	return newBundle(signing, newTrust(ca, pinned), s.Policy)
}

func (s *Store) count(e Event) {
	if s.Metrics != nil {
		s.Metrics.CertificateEvent(e)
	}
}

func (s *Store) complain(e Event, topic, message string, err error) {
	s.count(e)
	s.say(slog.LevelWarn, topic, message, err)
}

// say logs a complaint; one that was the last on its topic already, for debugging only.
func (s *Store) say(level slog.Level, topic, message string, err error) {
	if s.said == nil {
		s.said = map[string]string{}
	}
	if s.said[topic] == err.Error() {
		level = slog.LevelDebug
	}
	s.said[topic] = err.Error()
	s.log().Log(context.Background(), level, message, "err", err)
}

func (s *Store) sayIf(topic, message string, err error) {
	if err == nil {
		s.settled(topic)
		return
	}
	s.say(slog.LevelWarn, topic, message, err)
}

// settled forgets a complaint, so that the next of its kind is news.
func (s *Store) settled(topic string) { delete(s.said, topic) }

func (s *Store) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}
