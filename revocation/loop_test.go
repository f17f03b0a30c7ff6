package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs"
	"authproxy/revocation"
)

// TestDays runs the loop for days of virtual time through all kinds of trouble.
func TestDays(t *testing.T) {
	t.Parallel()
	const interval, timeout, maxStale = time.Minute, 20 * time.Second, 10 * time.Minute
	keystone := newIdentity(t)
	good := keystone.list(t, id1)
	troubles := []struct {
		name  string
		fetch func(context.Context) ([]byte, error)
	}{
		{"down", down},
		{"hanging", hang},
		{"garbage", sends([]byte("<html>busy</html>"))},
		{"empty", sends(nil)},
		{"bad signature", sends(newIdentity(t).list(t))},
		{"token", sends(sign(t, keystone.signer, []byte(`{"token":{}}`)))},
		{"no PKI all of a sudden", noPKI},
	}
	for _, trouble := range troubles {
		for _, length := range []time.Duration{time.Second, 3 * time.Minute, time.Hour, 24 * time.Hour} {
			t.Run(fmt.Sprint(trouble.name, " ", length), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					src := newSource(t, sends(good))
					var book logBook
					p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Log: book.logger(),
						Interval: interval, Timeout: timeout, MaxStale: maxStale}
					ctx, stop := context.WithCancel(t.Context())
					done := make(chan error)
					go func() { done <- p.Run(ctx) }()

					check := func(when string, fresh bool) {
						t.Helper()
						synctest.Wait()
						if !p.Current().ContainsID(id1) {
							t.Fatalf("%s: revoked token not on the list", when)
						}
						if got := p.Fresh(time.Now()); got != fresh {
							age, _ := p.Age(time.Now())
							t.Fatalf("%s: fresh %v at age %v", when, got, age)
						}
					}
					wait(time.Hour)
					check("all well", true)
					if n := src.take(); n < 60 || n > 76 { // pauses of 48 to 60 s
						t.Errorf("%d fetches in an hour", n)
					}

					book.count()
					src.set(trouble.fetch)
					wait(length)
					check("trouble", length < maxStale)
					// one at first, then pauses of 1, 2, 4 … s up to the interval
					if n, most := src.take(), 10+int(length/(48*time.Second)); n > most {
						t.Errorf("%d fetches in %v, want at most %d", n, length, most)
					}
					if n := book.count("level=WARN", "not renewed"); n > 1 {
						t.Errorf("%d warnings about one trouble", n)
					}
					if n := book.count("level=ERROR", "stale"); (n == 1) != (length >= maxStale) {
						t.Errorf("said %d times that the list is stale", n)
					}

					src.set(sends(good))
					wait(interval + timeout)
					check("well again", true)
					if s := p.Status(); s.Failures != 0 || s.LastError != "" || s.NoPKI || s.LastResult != revocation.ResultOK {
						t.Errorf("status %+v", s)
					}
					stop()
					if err := <-done; err != nil {
						t.Errorf("Run: %v", err)
					}
				})
			})
		}
	}
}

// TestDeafSource has a source that does not care for its context: rounds go on and fail, without a second fetch beside it.
func TestDeafSource(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t, id1)
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, func(context.Context) ([]byte, error) {
			wait(time.Hour)
			return good, nil
		})
		p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t)}
		if err := p.Load(t.Context()); err == nil {
			t.Fatal("Load: no error")
		}
		src.set(sends(good))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		wait(50 * time.Minute)
		if s := p.Status(); s.Held || s.Failures < 100 || s.LastResult != revocation.ResultUnavailable || src.take() != 1 {
			t.Errorf("status %+v", s)
		}
		wait(10 * time.Minute)
		synctest.Wait()
		if !p.Fresh(time.Now()) || !p.Current().ContainsID(id1) {
			t.Errorf("status %+v", p.Status())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestStaleInFlight looks at each second of an outage: the list is fresh to the last moment of MaxStale, and no longer.
func TestStaleInFlight(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t, id1)
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, slow(4*time.Second, good)) // which does not make a list younger
		p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), MaxStale: time.Minute}
		began := time.Now()
		if err := p.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if age, known := p.Age(time.Now()); !known || age != 4*time.Second || !p.Current().FetchedAt().Equal(began) {
			t.Errorf("age %v, fetched at %v, began at %v", age, p.Current().FetchedAt(), began)
		}
		src.set(hang)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		for range 100 {
			wait(time.Second)
			synctest.Wait()
			age := time.Since(began)
			if got, want := p.Fresh(time.Now()), age <= time.Minute; got != want {
				t.Errorf("age %v: fresh %v", age, got)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNoPKI(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t, id1)
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, noPKI)
		var book logBook
		p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Log: book.logger(), NoPKIInterval: 10 * time.Minute}
		if err := p.Load(t.Context()); !errors.Is(err, certs.ErrNoPKI) {
			t.Fatalf("Load: %v", err)
		}
		if s := p.Status(); !s.NoPKI || s.Held || s.LastResult != revocation.ResultNoPKI {
			t.Errorf("status %+v", s)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		wait(24 * time.Hour)
		if n := src.take(); n < 24*6 || n > 24*8 {
			t.Errorf("%d fetches in a day", n)
		}
		if n := book.count("level=INFO", "no revocation list"); n != 1 || book.count("level=WARN") != 0 {
			t.Errorf("logged:\n%s", book.text.String())
		}
		src.set(sends(good))
		wait(10 * time.Minute)
		synctest.Wait()
		if !p.Current().ContainsID(id1) || p.Status().NoPKI {
			t.Errorf("status %+v", p.Status())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestStopping ends ctx in the middle of a fetch: all calls return, and it does not count as a failure.
func TestStopping(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t, id1)
	for _, tc := range []struct {
		name string
		call func(*revocation.Poller, context.Context) error
		when time.Duration // then the call is in a fetch
		want error
	}{
		{"Run", (*revocation.Poller).Run, 12 * time.Second, nil},
		{"Load", (*revocation.Poller).Load, 5 * time.Second, context.Canceled},
		{"Poll", (*revocation.Poller).Poll, 5 * time.Second, context.Canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource(t, sends(good))
				p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t)}
				if err := p.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
				src.set(hang)
				src.take()
				ctx, stop := context.WithCancel(t.Context())
				done, second := make(chan error), make(chan error)
				go func() { done <- tc.call(p, ctx) }()
				wait(tc.when)
				go func() { second <- p.Poll(ctx) }() // waits its turn
				synctest.Wait()
				if src.take() != 1 {
					t.Fatal("not in a fetch")
				}
				stop()
				if err := <-done; !errors.Is(err, tc.want) {
					t.Errorf("%s: %v", tc.name, err)
				}
				if err := <-second; !errors.Is(err, context.Canceled) {
					t.Errorf("second Poll: %v", err)
				}
				if s := p.Status(); s.Failures != 0 || s.LastResult != revocation.ResultOK {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// TestOneFetchAtATime calls Poll from all sides while Run runs; the source complains if two fetches meet.
func TestOneFetchAtATime(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t, id1)
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, slow(3*time.Second, good))
		p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t)}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() { _ = p.Run(ctx) })
		for range 5 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = p.Poll(ctx)
				}
			})
		}
		wg.Wait()
		if n := src.take(); n < 150 {
			t.Errorf("only %d fetches in ten minutes", n)
		}
	})
}

func TestJitter(t *testing.T) {
	t.Parallel()
	keystone := newIdentity(t)
	good := keystone.list(t)
	for random, want := range map[float64]time.Duration{0: 10 * time.Second, 0.5: 9 * time.Second, 0.999999: 8 * time.Second} {
		t.Run(fmt.Sprint(random), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				src := newSource(t, func(context.Context) ([]byte, error) {
					at = append(at, time.Now())
					return good, nil
				})
				p := &revocation.Poller{Source: src, Verifier: keystone.verifier(t), Rand: func() float64 { return random }}
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				if err := p.Run(ctx); err != nil {
					t.Fatal(err)
				}
				for i := range at[1:] {
					if got := at[i+1].Sub(at[i]).Round(time.Millisecond); got != want {
						t.Fatalf("pause %v, want %v", got, want)
					}
				}
			})
		})
	}
}
