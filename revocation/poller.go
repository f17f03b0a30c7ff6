package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"authproxy/certs"
)

// Source is where signed revocation lists come from. keystone/client has the one that asks the Identity service.
type Source interface {
	// FetchRevocationList returns a CMS message as PEM: the "signed" member of what the Identity service answers. The error
	// is certs.ErrNoPKI when this Keystone says that it has no list. The call ends when ctx does.
	FetchRevocationList(ctx context.Context) (signed []byte, err error)
}

// Verifier knows whose signature counts on a list. *certs.Store is one.
type Verifier interface {
	Current() *certs.Bundle
	Refresh(ctx context.Context, seen *certs.Bundle) (*certs.Bundle, error)
}

// Defaults of a Poller.
const (
	DefaultInterval           = 10 * time.Second
	DefaultMaxStale           = 5 * time.Minute
	DefaultAllowExpiredWindow = 48 * time.Hour
	DefaultTimeout            = 10 * time.Second
	DefaultNoPKIInterval      = 5 * time.Minute
)

const (
	// firstRetry is the pause after the first failure. Each further one doubles it, up to the interval.
	firstRetry = time.Second
	// jitter is the part of a pause that is left to chance, so that a thousand proxies do not ask at the same moment.
	jitter = 0.2
	// grace is how long a source may take to notice that its time is over.
	grace = time.Second
	// rebuildAfter is how often entries whose time has passed are dropped from a list that stays the same.
	rebuildAfter = time.Hour
)

// Poller keeps a revocation list up to date. It starts nothing by itself: call Load, then Run.
//
// A list takes effect when it was fetched whole, a pinned signer signed it and it is well-formed. If any of that fails, the
// list before it stays and grows old, and Status and Metrics say why. Source and Verifier must be set; for the rest zero
// values mean the defaults. The fields must not change once a method was called.
type Poller struct {
	Source   Source
	Verifier Verifier

	// Interval is the pause between two fetches (revocation_cache_time); up to a fifth less, at random. After a failure the
	// pauses begin at a second and double up to the interval, so an Identity service that is back is noticed within one.
	Interval time.Duration
	// MaxStale is the greatest age of a list that Fresh calls fresh.
	MaxStale time.Duration
	// Timeout bounds one fetch, and one wait for newer signing certificates.
	Timeout time.Duration
	// NoPKIInterval is the pause while the source says that it has no list, and no list is there from before.
	NoPKIInterval time.Duration
	// AllowExpiredWindow is how long after its end a token may still be let in along with a service token. Entries count
	// for that much longer than the tokens last.
	AllowExpiredWindow time.Duration

	// Dir is a directory that keeps the last good list over restarts; "" for none. It must belong to this process's user
	// and be writable by nobody else. See disk.go for what is in it.
	Dir string

	Log     *slog.Logger
	Now     func() time.Time
	Rand    func() float64 // in [0, 1)
	Metrics Metrics

	current atomic.Pointer[state]

	once     sync.Once
	round    chan struct{}  // holds a token while a round is going on
	kept     keptList       // belongs to the round, as does the next
	fetching <-chan fetched // a fetch that has not returned

	mu   sync.Mutex
	seen progress
}

// progress is what the rounds led to, for Status and for the next pause.
type progress struct {
	lastAttempt time.Time
	lastSuccess time.Time
	failures    int // in a row
	lastResult  Result
	lastError   error
	noPKI       bool
	stale       bool // said so
	vanished    int
	diskError   error
}

// Current returns the list in force, nil before there is one. It never waits.
func (p *Poller) Current() *Snapshot {
	if st := p.current.Load(); st != nil {
		return st.snapshot
	}
	return nil
}

// Load gets a first list: the one kept in Dir, if there is a good one, and then a newer one from the source. It fails only
// if there is no list after that; the error is certs.ErrNoPKI if the source says that it has none.
func (p *Poller) Load(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.end()
	if p.Dir != "" && p.current.Load() == nil {
		p.loadKept(ctx)
	}
	if err := p.poll(ctx); err != nil && (ctx.Err() != nil || p.current.Load() == nil) {
		return err
	}
	return nil
}

// Run polls until ctx ends, and then returns nil. Without a Load before it, it begins with one.
func (p *Poller) Run(ctx context.Context) error {
	if p.progress().lastAttempt.IsZero() {
		_ = p.Load(ctx) // its error is logged and in Status, and tried again like any other
	}
	for {
		timer := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			_ = p.Poll(ctx)
		}
	}
}

// Poll does one round: fetch, verify, parse, swap, keep. Rounds never overlap; a call during another one waits its turn.
func (p *Poller) Poll(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.end()
	return p.poll(ctx)
}

func (p *Poller) begin(ctx context.Context) error {
	p.once.Do(func() { p.round = make(chan struct{}, 1) })
	select {
	case p.round <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Poller) end() { <-p.round }

func (p *Poller) poll(ctx context.Context) error {
	started := p.now()
	signed, err := p.fetch(ctx)
	var next *state
	if err == nil {
		next, err = p.read(ctx, signed)
	}
	if ctx.Err() != nil {
		return ctx.Err() // we are stopping: that says nothing about the list
	}
	if err != nil {
		p.failed(ctx, started, err)
		return err
	}
	// The list may have been made at any time after the fetch began.
	next.begin(started, 0, true)
	vanished := p.accept(next, started)
	p.succeeded(started, next, vanished)
	p.keep(signed, next, started)
	return nil
}

// fetch asks the source, and gives up on one that does not come back (a file on a dead network drive): Status has to say so.
// There is no second fetch before the first one has returned.
func (p *Poller) fetch(ctx context.Context) ([]byte, error) {
	timeout := or(p.Timeout, DefaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if p.fetching != nil {
		select {
		case <-p.fetching: // too late to be of use
		case <-ctx.Done():
			return nil, &fetchError{errors.New("an earlier fetch has not returned")}
		}
	}
	result := make(chan fetched, 1)
	go func() {
		signed, err := p.Source.FetchRevocationList(ctx)
		result <- fetched{signed, err}
	}()
	p.fetching = result
	var f fetched
	select {
	case f = <-result:
	case <-ctx.Done():
		select {
		case f = <-result: // as a Source should
		case <-time.After(grace):
			return nil, &fetchError{fmt.Errorf("no answer within %v, and the source did not stop", timeout)}
		}
	}
	p.fetching = nil
	if f.err != nil && ctx.Err() != nil {
		f.err = fmt.Errorf("no answer within %v: %w", timeout, f.err)
	}
	if f.err != nil {
		return nil, &fetchError{f.err}
	}
	return f.signed, nil
}

type fetched struct {
	signed []byte
	err    error
}

// fetchError tells what went wrong at the source from what is wrong with a list.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return "fetching the revocation list: " + e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

// accept puts next in force and returns how many entries are gone that should still be there.
func (p *Poller) accept(next *state, now time.Time) (vanished int) {
	if old := p.current.Load(); old != nil && old.sum != next.sum {
		// The signer's clock may be ahead of ours: what is about to expire may be gone already.
		vanished = old.snapshot.missing(next.snapshot, now.Add(5*time.Minute))
	}
	p.current.Store(next)
	return vanished
}

func (p *Poller) succeeded(now time.Time, next *state, vanished int) {
	s := next.snapshot
	p.mu.Lock()
	before := p.seen
	p.seen = progress{lastAttempt: now, lastSuccess: now, lastResult: ResultOK, vanished: vanished, diskError: before.diskError}
	p.mu.Unlock()

	switch {
	case before.failures > 0:
		p.log().Info("revocation list is up to date again", "failures", before.failures, "entries", s.Len())
	case before.lastSuccess.IsZero():
		p.log().Info("revocation list loaded", "entries", s.Len(), "without_audit_id", s.nameless)
	}
	if vanished > 0 {
		p.log().Warn("revocation list has lost entries of tokens that have not expired: was an older list replayed?",
			"vanished", vanished, "entries", s.Len())
	}
	if p.Metrics != nil {
		p.Metrics.PollDone(ResultOK)
		p.Metrics.ListLoaded(s.Len(), s.nameless)
		p.Metrics.EntriesVanished(vanished)
	}
}

func (p *Poller) failed(ctx context.Context, now time.Time, err error) {
	held := p.current.Load()
	if held != nil {
		held.setDisowned(!p.Verifier.Current().Contains(held.signer))
	}
	fresh := p.Fresh(p.now()) // also notes the age, should the clock be set back
	result := resultOf(err)
	p.mu.Lock()
	before := p.seen
	p.seen.lastAttempt = now
	p.seen.lastError = err
	p.seen.lastResult = result
	p.seen.noPKI = result == ResultNoPKI
	p.seen.failures++
	p.seen.stale = held != nil && !fresh
	after := p.seen
	p.mu.Unlock()

	level := slog.LevelWarn
	if before.lastResult == result {
		level = slog.LevelDebug // said before, and Status goes on saying it
	}
	if result == ResultNoPKI && held == nil {
		p.log().Log(ctx, min(level, slog.LevelInfo), "the Identity service offers no revocation list")
	} else {
		p.log().Log(ctx, level, "revocation list not renewed", "reason", string(result), "error", err, "failures", after.failures)
	}
	if after.stale && !before.stale {
		p.log().Error("revocation list is stale", "fetched", held.snapshot.fetchedAt, "max_stale", p.maxStale())
	}
	if p.Metrics != nil {
		p.Metrics.PollDone(result)
	}
}

// pause is how long to wait for the next round.
func (p *Poller) pause() time.Duration {
	pause := or(p.Interval, DefaultInterval)
	seen := p.progress()
	switch {
	case seen.noPKI && p.current.Load() == nil:
		pause = or(p.NoPKIInterval, DefaultNoPKIInterval)
	case seen.failures > 0:
		pause = min(pause, firstRetry<<min(seen.failures-1, 20))
	}
	random := rand.Float64
	if p.Rand != nil {
		random = p.Rand
	}
	return pause - time.Duration(jitter*random()*float64(pause))
}

func (p *Poller) progress() progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *Poller) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

func (p *Poller) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (p *Poller) maxStale() time.Duration { return or(p.MaxStale, DefaultMaxStale) }

// or returns d, or the default where d is not set.
func or(d, byDefault time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return byDefault
}
