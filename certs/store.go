package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a Store.
const (
	DefaultInterval     = time.Hour
	DefaultFileInterval = 10 * time.Second // with a FileSource: reading two files costs next to nothing
	DefaultCooldown     = 30 * time.Second
	DefaultTimeout      = 10 * time.Second
)

// Event is something that Metrics counts.
type Event string

// All events.
const (
	EventFetched       Event = "fetched"        // certificates came and are good
	EventNoPKI         Event = "no_pki"         // the Identity service said that it has none
	EventFailed        Event = "failed"         // nothing usable came; the last good ones stay
	EventCARefused     Event = "ca_refused"     // CA certificates came that the kept ones do not vouch for
	EventSignerRefused Event = "signer_refused" // some of the signing certificates were left out
	EventKeepFailed    Event = "keep_failed"    // certificates could not be written to Dir
)

// Metrics counts events. It is called from one goroutine at a time.
type Metrics interface{ CertificateEvent(Event) }

// Store holds the current bundle and renews it: periodically in Run, and in Refresh for a signer that is not known. Set the
// fields before first use. A new bundle is built and checked as a whole and then swapped in by one atomic pointer; on any
// failure the last good one stays.
//
// That the Source says ErrNoPKI is remembered in Status, and is no reason to drop the bundle: a wrong answer in the middle of
// an upgrade must not turn into an outage, and the tokens of a signer that is gone end by themselves.
type Store struct {
	Source Source
	Policy Policy
	// CAFile is the operator's CA. Without one it is the FileSource's, the one kept in Dir, or the first one fetched (trust.go).
	CAFile string
	// AllowFetchedCA allows to trust the CA of the first fetch. Set it if the connection proves where that comes from, or if
	// the operator insists.
	AllowFetchedCA bool
	// Dir keeps the certificates over restarts (signing_dir); "" keeps them in memory only. With a FileSource it is not used.
	Dir string

	Interval time.Duration // between two fetches in Run, ±10 %; sooner after a failure
	Cooldown time.Duration // within which Refresh does not fetch again
	Timeout  time.Duration // of one fetch

	Log     *slog.Logger
	Now     func() time.Time
	Metrics Metrics

	current atomic.Pointer[Bundle]

	mu     sync.Mutex
	flight *flight // the renewal under way, nil without one
	last   outcome

	renewal // what only the one flight touches
}

// renewal is what a Store remembers from one fetch to the next.
type renewal struct {
	kept     []*x509.Certificate // CA certificates that were fetched, or read from Dir
	keptText []byte              // the file in Dir that kept was last read from or written to
	unsaved  bool                // kept is newer than that file
	stuck    <-chan fetched      // an earlier fetch that has not returned though its time is over
	said     map[string]string   // the last complaint by topic, so that each is a warning once
}

// flight is one renewal that all who want one share.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // to be read after done
}

// outcome is what the last renewals came to.
type outcome struct {
	attempt  time.Time // when the last one began
	success  time.Time // when the last good one began
	counted  time.Time // from when the cooldown counts: the begin of a good one, the end of a failed one
	answer   error     // for those who ask within the cooldown; nil after a good one
	noPKI    bool
	failures int // in a row
}

// Current returns the bundle; nil before there is one, which a *Bundle copes with. It never waits.
func (s *Store) Current() *Bundle { return s.current.Load() }

// Load fetches the certificates for the first time, and falls back to those kept in Dir. The error is nil once there are
// signers, wherever they come from. It wraps ErrNoPKI if there are none since the Identity service has no PKI, ErrUnavailable
// otherwise, and besides that ErrUnsafeDir if Dir is not private to this user.
func (s *Store) Load(ctx context.Context) error {
	err := s.wait(ctx, s.takeOff())
	if s.Current() != nil {
		return nil
	}
	return err
}

// Refresh is for a message whose signer is not in seen, the bundle that was asked. With a bundle other than seen in the
// answer and no error, ask that one, and Refresh again if it does not know the signer either. With seen in the answer and no
// error it is certain that the signer does not count: certificates were fetched within the Cooldown. An error that wraps
// ErrUnavailable says that they could not be fetched; one that wraps ErrNoPKI that there are none.
//
// Whatever the number of callers, there is one fetch at a time and at most one within the Cooldown. It has its own Timeout;
// each caller waits for it no longer than its ctx lasts.
func (s *Store) Refresh(ctx context.Context, seen *Bundle) (*Bundle, error) {
	if cur := s.Current(); cur != seen {
		return cur, nil
	}
	s.mu.Lock()
	if cur := s.Current(); cur != seen {
		s.mu.Unlock()
		return cur, nil
	}
	if s.flight == nil && s.coolingDown() {
		err := s.last.answer
		s.mu.Unlock()
		return seen, err
	}
	f := s.join()
	s.mu.Unlock()
	err := s.wait(ctx, f)
	return s.Current(), err
}

// Renew fetches the certificates now, for an operator who has just changed them, whatever the Cooldown says: how often that may
// be is for the caller to bound. A fetch under way may have begun before the change, so another one follows it.
func (s *Store) Renew(ctx context.Context) error {
	s.mu.Lock()
	before := s.flight
	s.mu.Unlock()
	if before != nil {
		_ = s.wait(ctx, before) // what comes of it is said elsewhere
	}
	return s.wait(ctx, s.takeOff())
}

// Run fetches the certificates again each Interval, and sooner after a failure, until ctx ends. Without an earlier Load it
// begins with one.
func (s *Store) Run(ctx context.Context) error {
	defer s.land()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.pause()):
		}
		// What comes of it is in the log, in Metrics and in Status.
		_ = s.wait(ctx, s.takeOff())
	}
}

// pause says how long Run waits: not at all before the first fetch, else the Interval; after failures the Cooldown, doubled
// each time up to the Interval. A tenth up or down keeps replicas from asking in step.
func (s *Store) pause() time.Duration {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	if last.attempt.IsZero() {
		return 0
	}
	pause := s.interval()
	if last.failures > 0 {
		pause = min(pause, s.cooldown()<<min(last.failures-1, 16))
	}
	return pause + time.Duration((rand.Float64()-0.5)*0.2*float64(pause))
}

// land ends the flight under way, so that nothing is left of a Store whose Run has returned.
func (s *Store) land() {
	s.mu.Lock()
	f := s.flight
	s.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

// coolingDown says whether the last answer still counts. A clock that was set back ends the cooldown. s.mu is held.
func (s *Store) coolingDown() bool {
	age := s.now().Sub(s.last.counted)
	return !s.last.counted.IsZero() && age >= 0 && age < s.cooldown()
}

func (s *Store) takeOff() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.join()
}

// join returns the flight under way, and starts one where there is none. s.mu is held.
func (s *Store) join() *flight {
	if s.flight != nil {
		return s.flight
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout())
	f := &flight{cancel: cancel, done: make(chan struct{})}
	s.flight = f
	go func() {
		defer cancel()
		begin := s.now()
		err := s.guarded(func() error { return s.renew(ctx, begin) })
		s.finish(f, begin, err)
	}()
	return f
}

// finish notes what a flight came to and tells those who wait.
func (s *Store) finish(f *flight, begin time.Time, err error) {
	switch {
	case err == nil:
		s.count(EventFetched)
		s.settled(topicFailed)
	case errors.Is(err, ErrNoPKI):
		s.count(EventNoPKI)
		s.say(slog.LevelInfo, topicFailed, "the Identity service has no PKI: tokens cannot be validated offline", err)
	default:
		s.count(EventFailed)
		s.say(slog.LevelWarn, topicFailed, "signing certificates could not be renewed, the last good ones stay", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.attempt = begin
	switch {
	case err == nil:
		s.last.success, s.last.counted, s.last.failures = begin, begin, 0
		s.last.noPKI = false
	case errors.Is(err, ErrNoPKI):
		s.last.counted, s.last.failures = begin, 0
		s.last.noPKI = true
	default:
		s.last.counted = s.now()
		s.last.failures++
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.last.answer, f.err = err, err
	s.flight = nil
	close(f.done)
}

func (s *Store) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Store) interval() time.Duration {
	switch {
	case s.Interval > 0:
		return s.Interval
	case s.fromFiles():
		return DefaultFileInterval
	default:
		return DefaultInterval
	}
}

func (s *Store) cooldown() time.Duration {
	if s.Cooldown > 0 {
		return s.Cooldown
	}
	return DefaultCooldown
}

func (s *Store) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return DefaultTimeout
}

// fromFiles says whether the certificates come from the operator's files.
func (s *Store) fromFiles() bool {
	switch s.Source.(type) {
	case FileSource, *FileSource:
		return true
	default:
		return false
	}
}

// guarded turns a panic into an error: a Source that panics must not stop the renewal for good.
func (s *Store) guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("panic while fetching certificates", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}
