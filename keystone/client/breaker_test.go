package client

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestBreaker: a service that does not answer is asked less and less, and is asked as before once it answers.
func TestBreaker(t *testing.T) {
	id := newIdentity(t)
	down := fails(http.StatusBadGateway)
	id.routes["/v3/auth/tokens"] = down
	c := newClient(t, id.options(t))
	token(t, c)
	asked := func() int { return len(id.requests()) - id.count() }
	ask := func() error {
		_, err := c.Validate(t.Context(), "5e", false)
		if err != nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		return err
	}
	// asks asks often and wants so many questions to reach the service.
	asks := func(want int, when string) {
		t.Helper()
		before := asked()
		for range 20 {
			if ask() == nil {
				t.Fatalf("%s: answered", when)
			}
		}
		if got := asked() - before; got != want {
			t.Errorf("%s: %d questions came, want %d", when, got, want)
		}
	}
	asks(breakAfter, "down")
	if !c.Broken() || !errors.Is(ask(), errBroken) {
		t.Error("the way is not closed")
	}
	pause := firstBreak
	for range 8 {
		id.clock.add(pause - time.Millisecond)
		asks(0, "before the end of the pause")
		id.clock.add(time.Millisecond)
		asks(1, "after the pause")
		pause = min(2*pause, longestBreak)
	}
	id.set(func() { id.routes["/v3/auth/tokens"] = fails(http.StatusNotFound) })
	id.clock.add(pause)
	before := asked()
	for range 20 {
		if err := ask(); !errors.Is(err, ErrNotFound) {
			t.Fatalf("up again: %v", err)
		}
	}
	if got := asked() - before; got != 20 || c.Broken() {
		t.Errorf("up again: %d questions came", got)
	}
	id.set(func() { id.routes["/v3/auth/tokens"] = down })
	asks(breakAfter, "down again")
}

// TestBreakerTriesOnce: of many who wait for the end of a pause one gets through, and after one who left, another.
func TestBreakerTriesOnce(t *testing.T) {
	var b breaker
	now := newClock().Now()
	var under []question
	for range 3 * breakAfter {
		q, err := b.pass(now)
		if err != nil {
			t.Fatal(err)
		}
		under = append(under, q)
	}
	for _, q := range under {
		q.failed(now)
	}
	if b.pause != firstBreak {
		t.Errorf("those under way made the pause %v", b.pause)
	}
	now = now.Add(firstBreak)
	for range 3 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		through := []question{}
		for range 50 {
			wg.Go(func() {
				if q, err := b.pass(now); err == nil {
					mu.Lock()
					defer mu.Unlock()
					through = append(through, q)
				}
			})
		}
		wg.Wait()
		if len(through) != 1 {
			t.Fatalf("%d went through", len(through))
		}
		through[0].abandoned()
	}
}
