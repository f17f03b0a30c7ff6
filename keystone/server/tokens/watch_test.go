package tokens

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// waiter is one Wait under way.
type waiter struct {
	done    chan struct{}
	outcome Outcome
	err     error
	took    time.Duration
}

func wait(ctx context.Context, w *Watch, seen ListState, d time.Duration) *waiter {
	one := &waiter{done: make(chan struct{})}
	start := time.Now()
	go func() {
		defer close(one.done)
		one.outcome, one.err = w.Wait(ctx, seen, d)
		one.took = time.Since(start)
	}()
	return one
}

func (one *waiter) want(t *testing.T, outcome Outcome, took time.Duration, err error) {
	t.Helper()
	<-one.done
	if one.outcome != outcome || one.took != took || !errors.Is(one.err, err) || err == nil && one.err != nil {
		t.Errorf("got %s after %s, %v, want %s after %s, %v", one.outcome, one.took, one.err, outcome, took, err)
	}
}

var first, second = ListState{Sequence: 1, Issued: noon}, ListState{Sequence: 2, Issued: noon}

func inBubble(t *testing.T, name string, f func(t *testing.T, s *listStore, w *Watch)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &listStore{state: first}
			w := &Watch{Store: s}
			f(t, s, w)
			synctest.Wait()
			if n := w.Waiting(); n != 0 || len(w.turn) != 0 {
				t.Errorf("%d still wait, %d have the turn", n, len(w.turn))
			}
		})
	})
}

func TestWatch(t *testing.T) {
	ctx := context.Background()
	inBubble(t, "nothing happens", func(t *testing.T, s *listStore, w *Watch) {
		wait(ctx, w, first, 30*time.Second).want(t, TimedOut, 30*time.Second, nil)
	})
	inBubble(t, "changed before", func(t *testing.T, s *listStore, w *Watch) {
		wait(ctx, w, second, time.Second).want(t, Changed, 0, nil)
	})
	inBubble(t, "woken", func(t *testing.T, s *listStore, w *Watch) {
		a, b := wait(ctx, w, first, time.Minute), wait(ctx, w, first, time.Minute)
		time.Sleep(1234567 * time.Microsecond)
		s.set(second)
		w.Wake()
		a.want(t, Changed, 1234567*time.Microsecond, nil)
		b.want(t, Changed, 1234567*time.Microsecond, nil)
	})
	inBubble(t, "woken for nothing", func(t *testing.T, s *listStore, w *Watch) {
		a := wait(ctx, w, first, time.Second)
		time.Sleep(time.Millisecond)
		w.Wake()
		a.want(t, TimedOut, time.Second, nil)
	})
	inBubble(t, "changed by another server", func(t *testing.T, s *listStore, w *Watch) {
		var all []*waiter
		for range 100 {
			all = append(all, wait(ctx, w, first, time.Minute))
		}
		time.Sleep(1050 * time.Millisecond)
		s.set(second)
		for _, one := range all {
			one.want(t, Changed, 1200*time.Millisecond, nil)
		}
		// Each looked as it came and as it went, and one looked for all in between.
		if s.looks > 100+6+100 {
			t.Errorf("looked %d times", s.looks)
		}
	})
	inBubble(t, "the one that looks leaves", func(t *testing.T, s *listStore, w *Watch) {
		one, cancel := context.WithCancel(ctx)
		a := wait(one, w, first, time.Minute)
		synctest.Wait()
		b := wait(ctx, w, first, 300*time.Millisecond)
		synctest.Wait()
		c := wait(ctx, w, first, time.Minute)
		time.Sleep(100 * time.Millisecond)
		cancel()
		a.want(t, Gone, 100*time.Millisecond, context.Canceled)
		b.want(t, TimedOut, 300*time.Millisecond, nil)
		s.set(second) // after the look at 200 ms
		c.want(t, Changed, 400*time.Millisecond, nil)
	})
	inBubble(t, "many short waits", func(t *testing.T, s *listStore, w *Watch) {
		// Whoever has the turn leaves before it is time to look: the next must not begin to count anew.
		for i := range 50 {
			d := time.Duration(i+1) * 50 * time.Millisecond
			go func() { w.Wait(ctx, first, d) }()
			synctest.Wait()
		}
		time.Sleep(time.Second + 10*time.Millisecond)
		s.set(second)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := w.Waiting(); n != 0 {
			t.Errorf("%d wait 200 ms after the change", n)
		}
	})
	inBubble(t, "too many", func(t *testing.T, s *listStore, w *Watch) {
		w.Most = 1
		a := wait(ctx, w, first, time.Second)
		synctest.Wait()
		wait(ctx, w, first, time.Second).want(t, Refused, 0, nil)
		a.want(t, TimedOut, time.Second, nil)
		wait(ctx, w, first, time.Second).want(t, TimedOut, time.Second, nil)
	})
	inBubble(t, "shutdown", func(t *testing.T, s *listStore, w *Watch) {
		a, b := wait(ctx, w, first, time.Minute), wait(ctx, w, first, time.Minute)
		time.Sleep(time.Second)
		w.Stop()
		w.Stop()
		a.want(t, Stopped, time.Second, nil)
		b.want(t, Stopped, time.Second, nil)
		wait(ctx, w, first, time.Minute).want(t, Stopped, 0, nil)
	})
	inBubble(t, "database gone", func(t *testing.T, s *listStore, w *Watch) {
		a := wait(ctx, w, first, time.Minute)
		synctest.Wait()
		s.mu.Lock()
		s.err = errDisk
		s.mu.Unlock()
		a.want(t, Failed, 200*time.Millisecond, errDisk)
	})
}
