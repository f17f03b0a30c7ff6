package revocation

import (
	"errors"
	"fmt"
	"time"

	"authproxy/certs"
)

// Policy says what becomes of tokens that would be decided offline while no list is fresh (revocation_stale_policy).
type Policy string

const (
	// PolicyReject answers that it cannot say: 503. The default.
	PolicyReject Policy = "reject"
	// PolicyOnline asks the Identity service about each.
	PolicyOnline Policy = "online"
	// PolicyAccept goes on with the last list, however old.
	PolicyAccept Policy = "accept"
)

// ParsePolicy reads a Policy as the configuration has it; "" is the default.
func ParsePolicy(text string) (Policy, error) {
	switch p := Policy(text); p {
	case "":
		return PolicyReject, nil
	case PolicyReject, PolicyOnline, PolicyAccept:
		return p, nil
	}
	return "", fmt.Errorf("%q is no policy: use %s, %s or %s", text, PolicyReject, PolicyOnline, PolicyAccept)
}

// Result is how a round ended: a closed set, fit for a metric's label.
type Result string

const (
	ResultOK                Result = "ok"
	ResultNoPKI             Result = "no_pki"      // the source says that it has no list
	ResultUnavailable       Result = "unavailable" // the source gave no answer
	ResultMalformed         Result = "malformed"
	ResultNotAList          Result = "not_a_list" // a token in place of the list
	ResultUnknownSigner     Result = "unknown_signer"
	ResultBadSignature      Result = "bad_signature"
	ResultSignerExpired     Result = "signer_expired"
	ResultAlgorithm         Result = "algorithm"
	ResultSignerUnavailable Result = "signer_unavailable" // newer signing certificates could not be had
	ResultReplayed          Result = "replayed"           // an older list, or one without a number after those that had one
	ResultFuture            Result = "future"             // a list that was issued later than now
	ResultDeltaGap          Result = "delta_gap"          // a delta that does not continue the list, and no list after it
	ResultDeltaForList      Result = "delta_for_list"     // a delta in place of the whole list
)

// Results returns all of them.
func Results() []Result {
	return []Result{ResultOK, ResultNoPKI, ResultUnavailable, ResultMalformed, ResultNotAList, ResultUnknownSigner,
		ResultBadSignature, ResultSignerExpired, ResultAlgorithm, ResultSignerUnavailable,
		ResultReplayed, ResultFuture, ResultDeltaGap, ResultDeltaForList}
}

func resultOf(err error) Result {
	var fetch *fetchError
	switch {
	case errors.As(err, &fetch) && errors.Is(err, certs.ErrNoPKI):
		return ResultNoPKI
	case errors.As(err, &fetch):
		return ResultUnavailable
	case errors.Is(err, ErrNotAList):
		return ResultNotAList
	case errors.Is(err, errReplayed):
		return ResultReplayed
	case errors.Is(err, errFuture):
		return ResultFuture
	case errors.Is(err, errGap):
		return ResultDeltaGap
	case errors.Is(err, errDelta):
		return ResultDeltaForList
	case errors.Is(err, certs.ErrUnavailable):
		return ResultSignerUnavailable
	case errors.Is(err, certs.ErrUnknownSigner):
		return ResultUnknownSigner
	case errors.Is(err, certs.ErrAlgorithm):
		return ResultAlgorithm
	case errors.Is(err, certs.ErrSignature):
		return ResultBadSignature
	case errors.Is(err, certs.ErrSignerExpired):
		return ResultSignerExpired
	}
	return ResultMalformed
}

// Metrics counts what a Poller does. It is called from one goroutine at a time. Age and freshness are for whoever collects metrics to ask for, when it does.
type Metrics interface {
	// PollDone counts rounds by how they ended.
	PollDone(Result)
	// ListLoaded tells the size of the list that came into force, and how many of its entries have no audit id.
	ListLoaded(entries, withoutAuditID int)
	// EntriesVanished counts entries that were gone from a list before their tokens expired.
	EntriesVanished(n int)
}

// Status is how things stand, for operators.
type Status struct {
	// Held says that there is a list; the next ones are about it.
	Held           bool      `json:"held"`
	Entries        int       `json:"entries"`
	WithoutAuditID int       `json:"without_audit_id"`
	Signer         string    `json:"signer,omitempty"`
	FetchedAt      time.Time `json:"fetched_at,omitzero"`
	AgeKnown       bool      `json:"age_known"`
	AgeSeconds     float64   `json:"age_seconds"`
	Fresh          bool      `json:"fresh"`
	// FromDisk says that the list is the one that was kept, and no newer one came since the start.
	FromDisk bool `json:"from_disk"`
	// SignerGone says that a certificate that signed the list, or a delta since, is not pinned any more.
	SignerGone bool `json:"signer_gone"`
	// Sequence, Issued and NextUpdate are the signer's words; absent where he does not number his lists. Overdue says that
	// next_update has passed.
	Sequence   uint64    `json:"sequence,omitempty"`
	Issued     time.Time `json:"issued,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	Overdue    bool      `json:"overdue"`
	// Layers is in how many pieces the list is searched.
	Layers int `json:"layers"`

	// NoPKI says that the last answer of the source was that it has no list.
	NoPKI       bool      `json:"no_pki"`
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	// LastResult and LastError are about the last round; Failures counts those in a row up to it.
	LastResult Result `json:"last_result,omitempty"`
	LastError  string `json:"last_error,omitempty"`
	Failures   int    `json:"failures"`
	// Vanished is how many entries the last list that came had lost before their time.
	Vanished int `json:"vanished"`
	// DiskError says why the list that was kept is not used, or why the present one could not be kept.
	DiskError string `json:"disk_error,omitempty"`

	// LongPoll says that the source holds its answers back until there is something new.
	LongPoll bool `json:"long_poll"`
	// Lists, Deltas and NotModified count answers.
	Lists       uint64 `json:"lists"`
	Deltas      uint64 `json:"deltas"`
	NotModified uint64 `json:"not_modified"`
	// ClockJumps is how often the wall clock has left the monotonic one, LastClockJump how far in seconds it went the last
	// time (negative: back), and LastClockJumpAt when that was noticed.
	ClockJumps      int       `json:"clock_jumps"`
	LastClockJump   float64   `json:"last_clock_jump_seconds,omitempty"`
	LastClockJumpAt time.Time `json:"last_clock_jump_at,omitzero"`
}

// Absent says that there is no list, since the Identity service has told that it keeps none. It never waits.
func (p *Poller) Absent() bool { return p.absent.Load() && p.current.Load() == nil }

// Status tells how things stand.
func (p *Poller) Status() Status {
	seen := p.progress()
	s := Status{
		NoPKI: seen.noPKI, LastAttempt: seen.lastAttempt, LastSuccess: seen.lastSuccess,
		LastResult: seen.lastResult, Failures: seen.failures, Vanished: seen.vanished,
		LongPoll: seen.longPoll, Lists: seen.lists, Deltas: seen.deltas, NotModified: seen.unmodified,
	}
	jumps := p.clocks.seen()
	s.ClockJumps, s.LastClockJump, s.LastClockJumpAt = jumps.n, jumps.last.Seconds(), jumps.at
	if seen.lastError != nil {
		s.LastError = seen.lastError.Error()
	}
	if seen.diskError != nil {
		s.DiskError = seen.diskError.Error()
	}
	st := p.current.Load()
	if st == nil {
		return s
	}
	now := p.now()
	age, known := p.Age(now)
	s.Held, s.Entries, s.WithoutAuditID = true, st.snapshot.Len(), st.snapshot.nameless
	s.Signer = st.signer().Certificate.Subject.String()
	s.FetchedAt, s.AgeKnown, s.AgeSeconds, s.Fresh = st.snapshot.fetchedAt, known, age.Seconds(), p.Fresh(now)
	s.FromDisk, s.SignerGone = st.fromDisk, st.disowned.Load()
	s.Sequence, s.Issued, s.NextUpdate, s.Overdue = st.sequence, st.issued, st.nextUpdate, st.overdue(now)
	s.Layers = len(st.snapshot.layers)
	return s
}
