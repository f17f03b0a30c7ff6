package revocation

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"authproxy/certs"
)

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
	// grace is how long a source may take to notice that its time is over.
	grace = time.Second
	// minRate is how many bytes of an answer must come in a second, on average, and mostTime how long they may come in all: a
	// list of a million entries has 200 MB, and a source that lets it drip must not hold the poller.
	minRate  = 128 << 10
	mostTime = 15 * time.Minute
	// rebuildAfter is how often entries whose time has passed are dropped from a list that stays the same.
	rebuildAfter = time.Hour
)

// Poller keeps a revocation list up to date. It starts nothing by itself: call Load, then Run.
//
// A list takes effect when it was fetched whole, a pinned signer signed it, it is well-formed, and by its sequence number it is
// not older than the one in force; a delta when it continues the list in force, too. If any of that fails, the list before it
// stays and grows old, and Status and Metrics say why. Source and Verifier must be set; for the rest zero values mean the
// defaults. The fields must not change once a method was called.
type Poller struct {
	Source   Source
	Verifier Verifier

	// Interval is the pause between two fetches (revocation_cache_time); up to a fifth less, at random. After a failure the
	// pauses begin at a second and double up to the interval, so an Identity service that is back is noticed within one.
	Interval time.Duration
	// LongPoll is how long a ConditionalSource may hold an answer back while it has nothing new, at most a third of MaxStale;
	// 0 for not at all. While the source does so, Run asks again as soon as it has an answer, whatever the interval.
	LongPoll time.Duration
	// MaxStale is the greatest age of a list that Fresh calls fresh.
	MaxStale time.Duration
	// Timeout bounds how long an answer may take to begin, and may then stand still, and one wait for newer signing
	// certificates. An answer that goes on coming may take longer, at no less than minRate and for mostTime.
	Timeout time.Duration
	// NoPKIInterval is the pause while the source says that it has no list, and no list is there from before.
	NoPKIInterval time.Duration
	// AllowExpiredWindow is how long after its end a token may still be let in along with a service token. Entries count
	// for that much longer than the tokens last.
	AllowExpiredWindow time.Duration

	// Dir is a directory that keeps the last good list over restarts; "" for none. It must belong to this process's user
	// and be writable by nobody else. See disk.go for what is in it.
	Dir string

	Log *slog.Logger
	Now func() time.Time
	// Monotonic is a clock that nobody can set, to tell when the one behind Now was. With neither it is the machine's; with
	// just a Now there is no telling.
	Monotonic func() time.Duration
	Rand      func() float64 // in [0, 1)
	Metrics   Metrics

	current atomic.Pointer[state]
	swap    sync.Mutex // held while current changes
	fixed   int        // how many layers of it are being folded; under swap
	folds   sync.WaitGroup

	once    sync.Once
	started time.Time
	clocks  clocks
	round   chan struct{} // holds a token while a round is going on

	// The rest up to mu belongs to the round.
	kept     keptList
	floor    uint64         // sequence number of a list on disk that could not be used
	fetching <-chan fetched // a fetch that has not returned
	whole    bool           // the next question is for the whole list
	waits    waiting

	absent atomic.Bool // as seen.noPKI

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
	longPoll    bool          // the source waits
	soon        time.Duration // pause before the next question; negative for the usual one
	lists       uint64
	deltas      uint64
	unmodified  uint64
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
	if err := p.poll(ctx, false); err != nil && (ctx.Err() != nil || p.current.Load() == nil) {
		return err
	}
	return nil
}

// Run polls until ctx ends, and then returns nil. Without a Load before it, it begins with one.
func (p *Poller) Run(ctx context.Context) error {
	defer p.folds.Wait()
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
			_ = p.inTurn(ctx, true)
		}
	}
}

// Poll does one round: fetch, verify, parse, swap, keep. It does not let the source wait. Rounds never overlap; a call during
// another one waits its turn.
func (p *Poller) Poll(ctx context.Context) error { return p.inTurn(ctx, false) }

func (p *Poller) inTurn(ctx context.Context, patient bool) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.end()
	return p.poll(ctx, patient)
}

func (p *Poller) begin(ctx context.Context) error {
	p.once.Do(func() {
		p.started = time.Now()
		p.round = make(chan struct{}, 1)
	})
	select {
	case p.round <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Poller) end() { <-p.round }

func (p *Poller) poll(ctx context.Context, patient bool) error {
	p.checkClock()
	started := p.now()
	have := p.have(started, patient)
	answer, u, err := p.ask(ctx, have)
	var unanswered *fetchError
	if err != nil && ctx.Err() == nil && have != (Have{}) && !errors.As(err, &unanswered) {
		// Whatever is wrong with what is said to be new, the whole list may be good.
		level := slog.LevelWarn
		if errors.Is(err, errGap) {
			level = slog.LevelInfo // as after the backend was restored or has forgotten old changes
		}
		p.log().Log(ctx, level, "revocation changes not used, asking for the whole list", "error", err)
		started, have = p.now(), Have{}
		answer, u, err = p.ask(ctx, have)
	}
	p.checkClock()
	if ctx.Err() != nil {
		return ctx.Err() // we are stopping: that says nothing about the list
	}
	if err != nil {
		p.gaveUp(have)
		p.whole = !errors.As(err, &unanswered)
		p.failed(ctx, started, err)
		return err
	}
	p.whole = false
	// The list may have been made at any time after the fetch began.
	vanished := p.accept(u, started)
	soon := p.answered(have, answer, u, max(p.now().Sub(started), 0))
	p.succeeded(started, u, vanished, soon)
	p.keep(u, started)
	p.foldLater(ctx)
	return nil
}

func (p *Poller) ask(ctx context.Context, have Have) (Answer, *update, error) {
	answer, err := p.fetch(ctx, have)
	if err != nil {
		return answer, nil, err
	}
	u, err := p.read(ctx, answer, have)
	return answer, u, err
}

func (p *Poller) succeeded(now time.Time, u *update, vanished int, soon time.Duration) {
	s := p.Current()
	p.mu.Lock()
	before := p.seen
	p.absent.Store(false)
	p.seen = progress{lastAttempt: now, lastSuccess: now, lastResult: ResultOK, vanished: vanished, diskError: before.diskError,
		longPoll: p.waits.good > 0, soon: soon, lists: before.lists, deltas: before.deltas, unmodified: before.unmodified}
	switch u.kind {
	case aDelta, emptyDelta:
		p.seen.deltas++
	case notModified:
		p.seen.unmodified++
	default:
		p.seen.lists++
	}
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
	p.swap.Lock()
	held := p.current.Load()
	if held != nil {
		held.disowned.Store(!held.owned(p.Verifier.Current()))
	}
	p.swap.Unlock()
	fresh := p.Fresh(p.now()) // also notes the age, should the clock be set back
	result := resultOf(err)
	p.mu.Lock()
	before := p.seen
	p.seen.lastAttempt = now
	p.seen.lastError = err
	p.seen.lastResult = result
	p.seen.noPKI = result == ResultNoPKI
	p.absent.Store(p.seen.noPKI)
	p.seen.failures++
	p.seen.stale = held != nil && !fresh
	p.seen.longPoll = false
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
