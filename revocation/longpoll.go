package revocation

import (
	"math/rand/v2"
	"time"
)

// This file says when to ask again, and what for. A source that is ready to wait is asked again as soon as it has answered, so
// that it can tell of a revocation at once. All others are asked once in an interval.

const (
	// firstRetry is the pause after the first failure. Each further one doubles it, up to the interval.
	firstRetry = time.Second
	// jitter is the part of a pause that is left to chance, so that a thousand proxies do not ask at the same moment.
	jitter = 0.2
	// firstPause is the least time between the beginnings of two questions that are answered late. Each answer that comes
	// sooner than leastPause doubles it, up to that while there are revocations all the time, and up to the interval where a
	// source says "wait applied" and yet answers at once with nothing new.
	firstPause = 50 * time.Millisecond
	leastPause = 200 * time.Millisecond
	// scatter is how long at most the next question follows behind an answer that was waited for: all proxies get it together.
	scatter = 20 * time.Millisecond
	// inTime is how long before next_update a question is to be answered, so that a list that is signed anew is not late.
	inTime = 2 * time.Second
	// wholeAgain is the least time between two questions for a whole list whose only purpose is the disk.
	wholeAgain = 10 * time.Minute
	// waitsToGrow is after how many good waits a shortened one gets longer again.
	waitsToGrow = 100
)

// waiting is how the source has taken questions that it may answer late. It belongs to the round.
type waiting struct {
	refused bool          // it answered the last one at once, without a word on waiting
	quick   int           // answers in a row that came sooner than leastPause
	hasty   int           // answers in a row that came early, with nothing new, though it said that it waits
	bound   time.Duration // of the wait, where longer ones have failed; 0 for none
	good    int           // waits in a row
	failed  int           // waits in a row that ended in an error
	skip    int           // rounds without waiting
}

// have is what the next question says. A zero one asks for the whole list.
func (p *Poller) have(now time.Time, patient bool) Have {
	st := p.current.Load()
	if st == nil || p.whole || !st.owned(p.Verifier.Current()) {
		return Have{}
	}
	if _, ok := p.Source.(ConditionalSource); !ok {
		return Have{}
	}
	if now.Round(0).Before(st.built.Round(0).Add(-maxAhead)) {
		return Have{} // the clock has been set back, so entries may have been left out too early
	}
	if p.kept.wantsList() && now.Sub(p.kept.asked) >= wholeAgain {
		p.kept.asked = now
		return Have{}
	}
	h := Have{Sequence: st.sequence, ETag: st.etag}
	if patient && p.progress().failures == 0 && p.waits.skip == 0 {
		h.Wait = p.patience(st, now)
	}
	return h
}

// patience is how long the next answer may take, at most.
func (p *Poller) patience(st *state, now time.Time) time.Duration {
	if _, ok := p.Source.(ConditionalSource); !ok || st.etag == "" {
		return 0
	}
	// A list that is waited for grows old: by one wait until the answer comes, and by another one until the next does.
	wait := min(p.LongPoll, p.maxStale()/3)
	if p.waits.bound > 0 {
		wait = min(wait, p.waits.bound)
	}
	if !st.nextUpdate.IsZero() {
		wait = min(wait, st.nextUpdate.Sub(now.Round(0))-inTime)
	}
	return max(wait.Truncate(time.Second), 0)
}

// answered notes what came of a question that might be answered late, and gives the pause before the next one; negative for
// the usual one.
func (p *Poller) answered(have Have, a Answer, u *update, took time.Duration) (pause time.Duration) {
	w := &p.waits
	switch {
	case have.Wait == 0:
		w.skip = max(w.skip-1, 0)
		if w.refused || w.skip > 0 || p.patience(u.next, p.now()) == 0 {
			return -1
		}
		return leastPause // it may be one that waits: see
	case !a.WaitApplied:
		*w = waiting{refused: true, bound: w.bound}
		return -1
	}
	w.refused, w.failed = false, 0
	if w.good++; w.bound > 0 && w.good%waitsToGrow == 0 {
		if w.bound *= 2; w.bound >= p.LongPoll {
			w.bound = 0
		}
	}
	if u.kind == aDelta || took >= have.Wait/2 {
		w.hasty = 0
	} else {
		w.hasty++
	}
	floor := min(firstPause<<min(w.quick, 2), leastPause)
	if w.quick++; took >= leastPause {
		w.quick = 0
	}
	if w.hasty > 0 {
		floor = min(leastPause<<min(w.hasty-1, 20), max(p.interval(), leastPause))
	}
	return max(floor-took, time.Duration(p.random()*float64(scatter)))
}

// gaveUp notes that a question that might be answered late has failed. What stands between may cut off who is silent for long.
func (p *Poller) gaveUp(have Have) {
	if have.Wait == 0 {
		return
	}
	w := &p.waits
	w.good, w.quick, w.hasty = 0, 0, 0
	w.skip = 1 << min(w.failed, 6)
	w.failed++
	w.bound = max(have.Wait/2, time.Second)
}

// pause is how long to wait for the next round.
func (p *Poller) pause() time.Duration {
	pause := p.interval()
	seen := p.progress()
	st := p.current.Load()
	switch {
	case seen.noPKI && st == nil:
		pause = or(p.NoPKIInterval, DefaultNoPKIInterval)
	case seen.failures > 0:
		pause = min(pause, firstRetry<<min(seen.failures-1, 20))
	case !seen.lastSuccess.IsZero() && seen.soon >= 0:
		return seen.soon
	case st != nil && st.known:
		if left := st.limit - st.age(p.now()); left > 0 {
			pause = min(pause, max(left/2, firstRetry)) // the signer makes a new one before that
		}
	}
	return pause - time.Duration(jitter*p.random()*float64(pause))
}

func (p *Poller) interval() time.Duration { return or(p.Interval, DefaultInterval) }

func (p *Poller) random() float64 {
	if p.Rand != nil {
		return p.Rand()
	}
	return rand.Float64()
}
