package tokens

import (
	"context"
	"sync"
	"time"
)

// Defaults of Watch.
const (
	DefaultWatchInterval = 200 * time.Millisecond
	DefaultMaxWaiting    = 1024
)

// Watch lets callers wait for a change of the revocation list. What this process changes it is told of (Wake); what other
// servers on the same database change it sees by reading the state from time to time. That is done by one of those who wait,
// for all of them: so nothing runs where nobody waits.
type Watch struct {
	Store interface {
		ListState(ctx context.Context) (ListState, error)
	}
	// Interval is the time from one reading of the state to the next; DefaultWatchInterval where it is 0.
	Interval time.Duration
	// Most is how many may wait at a time; DefaultMaxWaiting where it is 0.
	Most int

	once    sync.Once
	turn    chan struct{} // holds one while somebody reads for all
	stopped chan struct{} // closed by Stop
	stop    sync.Once

	mu      sync.Mutex
	waiting int
	changed chan struct{} // closed and replaced at each change
	known   ListState     // what the list was at when it was read last
	read    time.Time     // when that was
}

// Outcome is how a wait ended.
type Outcome string

const (
	Changed  Outcome = "changed"  // the list is at another state than the one that was seen
	TimedOut Outcome = "timeout"  // it is not
	Refused  Outcome = "refused"  // too many wait already
	Stopped  Outcome = "shutdown" // the server is being shut down
	Gone     Outcome = "gone"     // the context ended; the error says why
	Failed   Outcome = "failed"   // the state cannot be read; the error says why
)

func (w *Watch) init() {
	w.once.Do(func() {
		w.turn, w.stopped, w.changed = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	})
}

// Wake tells those who wait to look again.
func (w *Watch) Wake() {
	w.init()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
}

func (w *Watch) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Stop ends all waiting, and lets nobody wait any more.
func (w *Watch) Stop() {
	w.init()
	w.stop.Do(func() { close(w.stopped) })
}

// Waiting is how many wait now.
func (w *Watch) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting
}

// Wait waits until the list is at another state than seen, for at most d. The error is nil but for Gone and Failed.
func (w *Watch) Wait(ctx context.Context, seen ListState, d time.Duration) (Outcome, error) {
	w.init()
	select {
	case <-w.stopped:
		return Stopped, nil
	default:
	}
	if !w.enter() {
		return Refused, nil
	}
	defer w.leave()
	end := time.NewTimer(d)
	defer end.Stop()
	turn, tick := w.turn, (<-chan time.Time)(nil)
	for {
		changed := w.next() // before looking, so that no change is missed in between
		switch state, err := w.look(ctx); {
		case err != nil && ctx.Err() != nil:
			return Gone, ctx.Err()
		case err != nil:
			return Failed, err
		case state != seen:
			return Changed, nil
		}
		if turn == nil {
			tick = time.After(w.pause())
		}
		for look := false; !look; {
			select {
			case <-changed:
				look = true
			case <-tick:
				look = true
			case turn <- struct{}{}: // from now on this one reads for all
				defer func() { <-w.turn }()
				turn, tick = nil, time.After(w.pause())
			case <-end.C:
				return TimedOut, nil
			case <-ctx.Done():
				return Gone, ctx.Err()
			case <-w.stopped:
				return Stopped, nil
			}
		}
	}
}

func (w *Watch) enter() bool {
	most := w.Most
	if most == 0 {
		most = DefaultMaxWaiting
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting >= most {
		return false
	}
	w.waiting++
	return true
}

func (w *Watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

func (w *Watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// look reads the state, and wakes the others where it is not what it was.
func (w *Watch) look(ctx context.Context) (ListState, error) {
	state, err := w.Store.ListState(ctx)
	if err != nil {
		return state, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = time.Now()
	if state != w.known {
		w.known = state
		w.wake()
	}
	return state, nil
}

// pause is the time until the next reading is due.
func (w *Watch) pause() time.Duration {
	interval := w.Interval
	if interval == 0 {
		interval = DefaultWatchInterval
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return interval - time.Since(w.read)
}
