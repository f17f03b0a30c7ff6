// Package pace bounds work by its progress: what goes on may take long, what stands still or merely drips may not.
package pace

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limit says how slow a transfer may be.
type Limit struct {
	// First is how long the first byte may take, Quiet how long any further one.
	First, Quiet time.Duration
	// Rate is how many bytes a second must come on average, once Quiet is over since the first.
	Rate int64
	// Most bounds the whole, whatever comes.
	Most time.Duration
}

// SlowError is the cause of a context's end by its Limit.
type SlowError struct {
	After time.Duration
	Bytes int64
}

func (e *SlowError) Error() string {
	if e.Bytes == 0 {
		return fmt.Sprintf("no answer within %v", e.After)
	}
	return fmt.Sprintf("too slow: %d bytes in %v", e.Bytes, e.After)
}

type key struct{}

type transfer struct {
	limit  Limit
	cancel context.CancelCauseFunc
	begun  time.Time

	mu    sync.Mutex
	timer *time.Timer
	bytes int64
	first time.Time // when a byte came, and the last time that one did
	last  time.Time
}

// WithLimit gives a context that ends, with a *SlowError as its cause, when what is told to Progress is slower than the
// limit. The function must be called when the work is done.
func WithLimit(ctx context.Context, limit Limit) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &transfer{limit: limit, cancel: cancel, begun: time.Now()}
	t.mu.Lock()
	t.timer = time.AfterFunc(time.Until(t.end()), t.look)
	t.mu.Unlock()
	return context.WithValue(ctx, key{}, t), func() {
		t.mu.Lock()
		t.timer.Stop()
		t.mu.Unlock()
		cancel(context.Canceled)
	}
}

// Progress tells that so many bytes have come. Without a limit on ctx it does nothing.
func Progress(ctx context.Context, bytes int) {
	if t, ok := ctx.Value(key{}).(*transfer); ok && bytes > 0 {
		t.mu.Lock()
		t.last = time.Now()
		if t.bytes == 0 {
			t.first = t.last
		}
		if t.bytes += int64(bytes); t.first == t.last && ctx.Err() == nil {
			t.timer.Reset(time.Until(t.end())) // another limit begins
		}
		t.mu.Unlock()
	}
}

// end is when the transfer is too slow if nothing comes until then. t.mu is held.
func (t *transfer) end() time.Time {
	l := t.limit
	if t.bytes == 0 {
		return t.begun.Add(min(l.First, l.Most))
	}
	end := t.last.Add(l.Quiet)
	if l.Rate > 0 {
		average := t.first.Add(l.Quiet + time.Duration(float64(t.bytes)/float64(l.Rate)*float64(time.Second)))
		if average.Before(end) {
			end = average
		}
	}
	if most := t.begun.Add(l.Most); most.Before(end) {
		end = most
	}
	return end
}

// look ends the context, or sees to it that somebody looks again. It need not be asked at each byte, since all but the first
// only move the end further away.
func (t *transfer) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := time.Until(t.end()); left > 0 {
		t.timer.Reset(left)
		return
	}
	t.cancel(&SlowError{time.Since(t.begun), t.bytes})
}
