package tokens

import (
	"fmt"
	"time"
)

const (
	// listLife is how long a signed list may be relied upon: next_update is that long after issued.
	listLife = 10 * time.Minute
	// renewAfter is the age at which a list that did not change is signed anew.
	renewAfter = listLife / 2
	// clockTolerance is how far in the future a list may be issued; clients refuse more.
	clockTolerance = 5 * time.Minute
)

// ListState is what the revocation list is at. It is kept in the database, so all that share one make the same list of a state.
type ListState struct {
	// Sequence counts the changes of the list, from 1. It never goes back.
	Sequence int64
	// Issued is when the list was last changed or renewed, in whole seconds. Of two states of one database the later is never
	// issued before the earlier, whatever the clocks of those who write it say.
	Issued time.Time
}

// Step is the state after a change of the list at that time.
func (s ListState) Step(at time.Time) ListState {
	return ListState{Sequence: s.Sequence + 1, Issued: s.notBefore(at, 0)}
}

// Advance is the state at the step beyond past, which is not behind s.
func (s ListState) Advance(past int64, at time.Time) ListState {
	return ListState{Sequence: past + 1, Issued: s.notBefore(at, 0)}
}

// AdvancePast is a step that no list can have come to by revocations, one step each, that were made before now: as many as there
// were milliseconds since 1970.
func AdvancePast(s ListState, now time.Time) int64 {
	const least = 1_000_000 // should the clock be wrong
	return max(now.UnixMilli(), s.Sequence+least)
}

// Renew is the state in which the same list is signed anew.
func (s ListState) Renew(at time.Time) ListState {
	return ListState{Sequence: s.Sequence, Issued: s.notBefore(at, time.Second)}
}

// notBefore is a time to issue a list at: now, or else so long after the last one. A last one that is too far in the future to
// be believed by any client with a clock that is right does not count.
func (s ListState) notBefore(now time.Time, after time.Duration) time.Time {
	now = now.UTC().Truncate(time.Second)
	if last := s.Issued.Add(after); last.After(now) && !s.ahead(now) {
		return last
	}
	return now
}

func (s ListState) ahead(now time.Time) bool { return s.Issued.After(now.Add(clockTolerance)) }

// due says whether a list of this state is to be signed anew.
func (s ListState) due(now time.Time) bool {
	return !now.Before(s.Issued.Add(renewAfter)) || s.ahead(now)
}

// NextUpdate is when a list of this state is not to be relied upon any more.
func (s ListState) NextUpdate() time.Time { return s.Issued.Add(listLife) }

// ETag is the entity tag of all that is signed for this state: the list, and the deltas that lead to it.
func (s ListState) ETag() string { return fmt.Sprintf(`"%d-%d"`, s.Sequence, s.Issued.Unix()) }

// Steps are the steps of the list after one and up to another, and Most limits how many tokens are wanted of them (0: all).
type Steps struct {
	After, UpTo int64
	Most        int
}
