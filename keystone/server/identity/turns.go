package identity

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"authproxy/keystone/server/fault"
)

// maxWait is how long a log-in waits for its turn before it is told to come back.
const maxWait = 10 * time.Second

// How many may wait for their turn, and how many of them from one address.
const (
	maxWaiting     = 256
	maxWaitingFrom = 16
)

// turns lets a few do something slow at a time. The rest wait, so many and no more, of them a few from one address. The addresses
// from which somebody waits take turns, and those from one address go in the order in which they came: so a flood from one address
// gets no more turns than a single log-in from elsewhere.
type turns struct {
	// most may do it at a time, but only few while isBusy, which may be nil, says that there is other work as well.
	most, few int
	isBusy    func() bool

	mu    sync.Mutex
	begun int // and not done
	// lines are those who wait, one for each address, never empty; the first is next.
	lines   []line
	waiting int
	refused int64
}

type line struct {
	address string
	// who wait: each channel is closed when the turn comes.
	who []chan struct{}
}

// count is how many wait now and how many were refused.
func (t *turns) count() (waiting int, refused int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting, t.refused
}

// take waits for a turn, for a client at an address ("" for none). Who has it calls release when done. It returns fault.ErrBusy where
// too many are waiting, and after maxWait.
func (t *turns) take(ctx context.Context, address string) (release func(), err error) {
	mine, err := t.join(address)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-mine:
		return t.next, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("waiting to check a password: %w", fault.ErrBusy)
	}
	if !t.leave(address, mine) { // it came meanwhile
		t.next()
	}
	return nil, err
}

// join takes a place among those who wait, or begins at once.
func (t *turns) join(address string) (mine chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine = make(chan struct{})
	if t.waiting == 0 && t.mayBegin() {
		t.begun++
		close(mine)
		return mine, nil
	}
	at := t.find(address)
	if t.waiting >= maxWaiting || address != "" && at >= 0 && len(t.lines[at].who) >= maxWaitingFrom {
		t.refused++
		return nil, fmt.Errorf("too many wait to have a password checked: %w", fault.ErrBusy)
	}
	if at < 0 {
		at = len(t.lines)
		t.lines = append(t.lines, line{address: address})
	}
	t.lines[at].who = append(t.lines[at].who, mine)
	t.waiting++
	return mine, nil
}

// mayBegin says whether one more may begin now. One always may where nobody has: whoever waits is let in by one that is done.
func (t *turns) mayBegin() bool {
	return t.begun < t.few || t.begun < t.most && (t.isBusy == nil || !t.isBusy())
}

// next ends a turn. Those who may begin now are the first of the first line, and so on; each time that line goes to the end.
func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun--
	for len(t.lines) > 0 && t.mayBegin() {
		t.begun++
		first := t.lines[0]
		t.lines = slices.Delete(t.lines, 0, 1)
		close(first.who[0])
		t.waiting--
		if first.who = first.who[1:]; len(first.who) > 0 {
			t.lines = append(t.lines, first)
		}
	}
}

// leave gives a place up; false where it is none any more, since the turn came.
func (t *turns) leave(address string, mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.find(address)
	if at < 0 {
		return false
	}
	place := slices.Index(t.lines[at].who, mine)
	if place < 0 {
		return false
	}
	t.waiting--
	if t.lines[at].who = slices.Delete(t.lines[at].who, place, place+1); len(t.lines[at].who) == 0 {
		t.lines = slices.Delete(t.lines, at, at+1)
	}
	return true
}

// find is the place of an address among the lines, -1 for none.
func (t *turns) find(address string) int {
	return slices.IndexFunc(t.lines, func(l line) bool { return l.address == address })
}
