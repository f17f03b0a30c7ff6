package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"authproxy/revocation/pace"
)

// ErrNotOffered says that this Identity service has no revocation events.
var ErrNotOffered = errors.New("the Identity service offers no revocation events")

// Source is where events come from. keystone/client has the one that asks the Identity service, which must be a connection that
// proves whom it leads to.
type Source interface {
	// FetchRevocationEvents gives the answer to GET /v3/OS-REVOKE/events: events that happened after since, all of them for the
	// zero Time. The error is ErrNotOffered when this Identity service says that it has none. The call ends when ctx does.
	FetchRevocationEvents(ctx context.Context, since time.Time) ([]byte, error)
}

// Defaults of a Poller.
const (
	DefaultInterval           = 10 * time.Second
	DefaultMaxStale           = 5 * time.Minute
	DefaultTimeout            = 10 * time.Second
	DefaultWholeInterval      = 10 * time.Minute
	DefaultNotOfferedInterval = 5 * time.Minute
)

const (
	// overlap is how far each question reaches back behind the latest event known: the servers of a cloud have clocks of their
	// own, and an event is seen only when its transaction has ended.
	overlap = 2 * time.Minute
	// keptAtLeast is for how long an event counts though the whole list has it no more. Keystone forgets an event when
	// the tokens of its time have expired, an hour later at the earliest; one that is gone before was lost by it, or never
	// reached the one of its databases that answered.
	keptAtLeast = time.Hour
	firstRetry  = time.Second
	jitter      = 0.2
	minRate     = 128 << 10
	mostTime    = 15 * time.Minute
)

// Poller keeps revocation events up to date. It starts nothing by itself: call Run.
//
// Events take effect when an answer was fetched whole and is well-formed. If not, those before it stay and grow old, and Status
// says why. Source must be set; for the rest zero values mean the defaults. The fields must not change once a method was called.
type Poller struct {
	Source Source

	// Interval is the pause between two fetches; up to a fifth less, at random. After a failure the pauses begin at a second
	// and double up to the interval.
	Interval time.Duration
	// WholeInterval is how often all events are fetched instead of the new ones, so that those which can matter to no token any
	// more are let go.
	WholeInterval time.Duration
	// MaxStale is the greatest age of what was fetched that Fresh calls fresh.
	MaxStale time.Duration
	// Timeout bounds how long an answer may take to begin, and may then stand still.
	Timeout time.Duration
	// NotOfferedInterval is the pause while the Identity service says that it has no events.
	NotOfferedInterval time.Duration
	// Dir keeps the events over restarts; "" for none. It must belong to this process's user and be writable by nobody else.
	Dir string

	Log  *slog.Logger
	Now  func() time.Time
	Rand func() float64 // in [0, 1)

	current atomic.Pointer[state]

	turn sync.Mutex // held by the round

	mu   sync.Mutex
	seen progress
	kept kept // under turn
}

// state is what is in force.
type state struct {
	set *Set
	// It was offset old at since.
	since  time.Time
	offset time.Duration
	known  bool
	whole  time.Time // when all were fetched last
}

// Result is how a round ended: a closed set, fit for a metric's label.
type Result string

// All results.
const (
	ResultOK          Result = "ok"
	ResultNotOffered  Result = "not_offered"
	ResultUnavailable Result = "unavailable"
	ResultMalformed   Result = "malformed"
)

// Results returns all of them.
func Results() []Result {
	return []Result{ResultOK, ResultNotOffered, ResultUnavailable, ResultMalformed}
}

type progress struct {
	asked      bool // a round has ended
	attempt    time.Time
	success    time.Time
	result     Result
	err        error
	failures   int // in a row
	notOffered bool
	stale      bool // said so
	diskError  error
	counts     map[Result]uint64
}

// Current gives the events in force, nil before there are any. It never waits.
func (p *Poller) Current() *Set {
	if st := p.current.Load(); st != nil {
		return st.set
	}
	return nil
}

// Offered says whether the Identity service has ever given out events, as far as is known here.
func (p *Poller) Offered() bool { return p.current.Load() != nil }

// Asked says whether the Identity service has been asked, with whatever outcome.
func (p *Poller) Asked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.asked
}

// Fresh says whether events are in force that are at most MaxStale old. It never waits and does not allocate.
func (p *Poller) Fresh(now time.Time) bool {
	st := p.current.Load()
	return st != nil && st.known && st.age(now) <= or(p.MaxStale, DefaultMaxStale)
}

// age counts on whichever clock went further, the monotonic one (the wall clock may have been set back) or the wall clock (the
// machine may have slept).
func (st *state) age(now time.Time) time.Duration {
	return st.offset + max(now.Sub(st.since), now.Round(0).Sub(st.since.Round(0)), 0)
}

// Run polls until ctx ends, and then returns nil.
func (p *Poller) Run(ctx context.Context) error {
	for pause := time.Duration(0); ; pause = p.pause() {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
			_ = p.Poll(ctx) // its error is logged and in Status
		}
	}
}

// Poll does one round: fetch, parse, swap, keep. The first one also reads what is kept in Dir. Rounds never overlap.
func (p *Poller) Poll(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	first := p.seen.attempt.IsZero()
	p.mu.Unlock()
	if first && p.Dir != "" {
		p.loadKept()
	}
	started := p.now()
	old := p.current.Load()
	whole := old == nil || !old.known || old.whole.IsZero() || started.Sub(old.whole) >= or(p.WholeInterval, DefaultWholeInterval) || started.Before(old.whole)
	var since time.Time
	if !whole && !old.set.Newest().IsZero() {
		since = old.set.Newest().Add(-overlap)
	}
	fetched, err := p.fetch(ctx, since)
	if ctx.Err() != nil {
		return ctx.Err() // we are stopping: that says nothing about the events
	}
	if err != nil {
		p.failed(ctx, started, err)
		return err
	}
	next := &state{since: started, known: true, whole: started}
	switch {
	case since.IsZero():
		next.set = NewSet(fetched)
		if old != nil {
			next.set = next.set.With(younger(old.set, started.Add(-keptAtLeast)))
		}
	default:
		next.set, next.whole = old.set.With(fetched), old.whole
	}
	p.current.Store(next)
	p.succeeded(started, old, next)
	p.keep(next)
	return nil
}

// younger are the events after a time.
func younger(s *Set, than time.Time) (events []Event) {
	s.Each(func(e Event) {
		if e.IssuedBefore.After(than) {
			events = append(events, e)
		}
	})
	return events
}

// fetchError tells what went wrong at the source from what is wrong with its answer.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return "fetching revocation events: " + e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

func (p *Poller) fetch(ctx context.Context, since time.Time) ([]Event, error) {
	timeout := or(p.Timeout, DefaultTimeout)
	limited, cancel := pace.WithLimit(ctx, pace.Limit{First: timeout, Quiet: timeout, Rate: minRate, Most: mostTime})
	defer cancel()
	body, err := p.Source.FetchRevocationEvents(limited, since)
	if slow := (*pace.SlowError)(nil); err != nil && errors.As(context.Cause(limited), &slow) {
		err = fmt.Errorf("%w (%w)", slow, err)
	}
	if err != nil {
		return nil, &fetchError{err}
	}
	return Parse(body)
}

func (p *Poller) succeeded(now time.Time, old, next *state) {
	p.mu.Lock()
	before := p.seen
	p.seen = progress{asked: true, attempt: now, success: now, result: ResultOK, diskError: before.diskError, counts: before.counts}
	p.count(ResultOK)
	p.mu.Unlock()
	switch {
	case old == nil:
		p.log().Info("revocation events loaded", "events", next.set.Len())
	case before.failures > 0:
		p.log().Info("revocation events are up to date again", "failures", before.failures, "events", next.set.Len())
	}
}

func (p *Poller) failed(ctx context.Context, now time.Time, err error) {
	result := ResultMalformed
	if fetch := (*fetchError)(nil); errors.As(err, &fetch) {
		result = ResultUnavailable
		if errors.Is(err, ErrNotOffered) {
			result = ResultNotOffered
		}
	}
	held := p.current.Load() != nil
	fresh := p.Fresh(p.now())
	p.mu.Lock()
	before := p.seen
	s := &p.seen
	s.asked, s.attempt, s.result, s.err, s.stale = true, now, result, err, held && !fresh
	s.failures++
	s.notOffered = result == ResultNotOffered && !held
	p.count(result)
	after := p.seen
	p.mu.Unlock()

	level := slog.LevelWarn
	if before.result == result {
		level = slog.LevelDebug // said before, and Status goes on saying it
	}
	if after.notOffered {
		p.log().Log(ctx, min(level, slog.LevelInfo), "the Identity service offers no revocation events", "answer", err)
	} else {
		p.log().Log(ctx, level, "revocation events not renewed", "reason", string(result), "error", err, "failures", after.failures)
	}
	if after.stale && !before.stale {
		p.log().Error("revocation events are stale")
	}
}

// count is called with mu held.
func (p *Poller) count(r Result) {
	if p.seen.counts == nil {
		p.seen.counts = map[Result]uint64{}
	}
	p.seen.counts[r]++
}

func (p *Poller) pause() time.Duration {
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	pause := or(p.Interval, DefaultInterval)
	switch {
	case seen.notOffered:
		pause = or(p.NotOfferedInterval, DefaultNotOfferedInterval)
	case seen.failures > 0:
		pause = min(pause, firstRetry<<min(seen.failures-1, 20))
	}
	random := rand.Float64
	if p.Rand != nil {
		random = p.Rand
	}
	return pause - time.Duration(jitter*random()*float64(pause))
}

// Status is how things stand, for operators.
type Status struct {
	// Offered says that the Identity service has events; the next ones are about them.
	Offered    bool      `json:"offered"`
	Events     int       `json:"events"`
	Newest     time.Time `json:"newest,omitzero"`
	AgeKnown   bool      `json:"age_known"`
	AgeSeconds float64   `json:"age_seconds"`
	Fresh      bool      `json:"fresh"`

	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastResult  Result    `json:"last_result,omitempty"`
	LastError   string    `json:"last_error,omitempty"`
	Failures    int       `json:"failures"`
	DiskError   string    `json:"disk_error,omitempty"`
	// Polls counts rounds by how they ended.
	Polls map[Result]uint64 `json:"polls"`
}

// Status tells how things stand.
func (p *Poller) Status() Status {
	p.mu.Lock()
	seen := p.seen
	s := Status{LastAttempt: seen.attempt, LastSuccess: seen.success, LastResult: seen.result, Failures: seen.failures, Polls: map[Result]uint64{}}
	for _, r := range Results() {
		s.Polls[r] = seen.counts[r]
	}
	p.mu.Unlock()
	if seen.err != nil {
		s.LastError = seen.err.Error()
	}
	if seen.diskError != nil {
		s.DiskError = seen.diskError.Error()
	}
	if st := p.current.Load(); st != nil {
		now := p.now()
		s.Offered, s.Events, s.Newest, s.AgeKnown, s.Fresh = true, st.set.Len(), st.set.Newest(), st.known, p.Fresh(now)
		if st.known {
			s.AgeSeconds = st.age(now).Seconds()
		}
	}
	return s
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

// or returns d, or the default where d is not set.
func or(d, byDefault time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return byDefault
}
