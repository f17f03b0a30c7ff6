package revocation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/revocation"
)

// running runs p in a bubble until the test ends.
func runs(t *testing.T, p *revocation.Poller) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestLongPoll wants revocations to be known at once, and few questions while there are none.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Interval: time.Minute, LongPoll: 30 * time.Second}
		runs(t, p)
		wait(time.Second)
		b.take()
		wait(time.Hour)
		synctest.Wait()
		asked := b.take()
		if len(asked) < 115 || len(asked) > 140 { // one in 30 s, and one more for each list that is signed anew
			t.Errorf("%d questions in an hour", len(asked))
		}
		for _, have := range asked {
			if have.Wait <= 0 || have.Wait > 30*time.Second {
				t.Errorf("asked %+v", have)
			}
		}
		if s := p.Status(); !s.LongPoll || !s.Fresh || s.Lists != 1 {
			t.Errorf("status %+v", s)
		}
		longest := time.Duration(0)
		for i := range 200 {
			wait(time.Duration(i*i) * time.Millisecond) // soon after each other and far apart
			id := numbered32(i)
			began := time.Now()
			b.revoke(id)
			for !p.Current().ContainsID(id) && time.Since(began) < time.Minute {
				wait(time.Millisecond)
			}
			longest = max(longest, time.Since(began))
		}
		if longest > 225*time.Millisecond { // 200 ms between two questions, and a little chance
			t.Errorf("a revocation was not known for %v", longest)
		}
	})
}

func numbered32(n int) string {
	id := []byte("00000000000000000000000000000000")
	for i := len(id) - 1; n > 0; i, n = i-1, n/10 {
		id[i] = byte('0' + n%10)
	}
	return string(id)
}

// TestLongPollCrowd revokes all the time: that must not make a question of each revocation.
func TestLongPollCrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), LongPoll: 30 * time.Second}
		runs(t, p)
		wait(time.Second)
		b.take()
		for i := range 6000 {
			b.revoke(numbered32(i))
			wait(10 * time.Millisecond)
		}
		if n := len(b.take()); n > 310 {
			t.Errorf("%d questions in a minute", n)
		}
		wait(time.Second)
		if p.Current().Len() != 6000 {
			t.Errorf("%d entries", p.Current().Len())
		}
	})
}

// TestLongPollSources has sources that do not do as they should, and bounds how often they are asked.
func TestLongPollSources(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		set         func(*backend)
		off         bool // LongPoll
		maxStale    time.Duration
		interval    time.Duration
		most, least int           // questions in an hour
		known       time.Duration // until when a revocation is known
		longPoll    bool
	}{
		"does not wait": {set: func(b *backend) { b.noWait = true }, most: 76, least: 60, known: time.Minute},
		// It answers each question at once and says that it has waited. Pauses double from 200 ms to the interval.
		"lies": {set: func(b *backend) { b.lies = true }, most: 80, least: 60, known: time.Minute, longPoll: true},
		"fails when it waits": {set: func(b *backend) {
			b.answers = func(have revocation.Have) (revocation.Answer, error) {
				if have.Wait > 0 {
					return revocation.Answer{}, errDown
				}
				a, _ := b.answer(have)
				return a, nil
			}
		}, most: 100, least: 60, known: time.Minute + 2*time.Second},
		"cut off after 10 s": {set: func(b *backend) {
			b.answers = func(have revocation.Have) (revocation.Answer, error) {
				if have.Wait > 10*time.Second {
					wait(10 * time.Second)
					return revocation.Answer{}, errDown
				}
				a, isNew := b.answer(have)
				if !isNew {
					wait(have.Wait)
					a, _ = b.answer(have)
				}
				a.WaitApplied = have.Wait > 0
				return a, nil
			}
		}, most: 560, least: 300, known: 30 * time.Second, longPoll: true},
		"whole lists only": {set: func(b *backend) { b.oldest = 1 << 40 }, most: 140, least: 115,
			known: 225 * time.Millisecond, longPoll: true},
		"no ETag": {set: func(b *backend) {
			b.answers = func(have revocation.Have) (revocation.Answer, error) {
				a, _ := b.answer(have)
				a.ETag = ""
				return a, nil
			}
		}, most: 76, least: 60, known: time.Minute},
		"long poll is off":         {set: func(*backend) {}, off: true, most: 76, least: 60, known: time.Minute},
		"bounded by MaxStale":      {set: func(*backend) {}, maxStale: 6 * time.Second, most: 1900, least: 1750, known: 225 * time.Millisecond, longPoll: true},
		"MaxStale of two seconds":  {set: func(*backend) {}, maxStale: 2 * time.Second, interval: time.Second, most: 4600, least: 3500, known: time.Second},
		"signed anew each 10 s":    {set: func(b *backend) { b.life = 10 * time.Second }, most: 2000, least: 400, known: 2 * time.Second, longPoll: true},
		"its clock is an hour off": {set: func(b *backend) { b.now = func() time.Time { return time.Now().Add(4 * time.Minute) } }, most: 140, least: 110, known: 225 * time.Millisecond, longPoll: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend(t)
				tc.set(b)
				p := &revocation.Poller{Source: b, Verifier: b.verifier(t), LongPoll: 30 * time.Second, MaxStale: tc.maxStale, Interval: time.Minute}
				if tc.interval > 0 {
					p.Interval = tc.interval
				}
				if tc.off {
					p.LongPoll = 0
				}
				runs(t, p)
				wait(5 * time.Minute)
				b.take()
				for range 3600 {
					wait(time.Second)
					synctest.Wait()
					if !p.Fresh(time.Now()) {
						age, _ := p.Age(time.Now())
						t.Fatalf("not fresh at age %v: %+v", age, p.Status())
					}
				}
				if n := len(b.take()); n < tc.least || n > tc.most {
					t.Errorf("%d questions in an hour, want %d to %d", n, tc.least, tc.most)
				}
				if s := p.Status(); s.LongPoll != tc.longPoll {
					t.Errorf("status %+v", s)
				}
				began := time.Now()
				b.revoke(id1)
				for !p.Current().ContainsID(id1) && time.Since(began) < time.Hour {
					wait(time.Millisecond)
				}
				if took := time.Since(began); took > tc.known {
					t.Errorf("known after %v", took)
				}
			})
		})
	}
}

// TestLongPollRecovers wants a list that could not be renewed to be renewed as soon as the source is back, not after a wait.
func TestLongPollRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), LongPoll: 30 * time.Second, MaxStale: 2 * time.Minute}
		runs(t, p)
		for range 20 {
			wait(time.Minute + 7*time.Second)
			b.change(func() {
				b.answers = func(revocation.Have) (revocation.Answer, error) { return revocation.Answer{}, errDown }
				close(b.changed) // the connection breaks
				b.changed = make(chan struct{})
			})
			wait(5 * time.Minute)
			synctest.Wait()
			if p.Fresh(time.Now()) {
				t.Fatal("fresh during an outage")
			}
			b.change(func() { b.answers = nil })
			wait(10 * time.Second)
			synctest.Wait()
			if s := p.Status(); !s.Fresh || s.AgeSeconds > 10 {
				t.Fatalf("status %+v", s)
			}
		}
		wait(time.Minute)
		if !p.Status().LongPoll {
			t.Error("waits no more")
		}
	})
}

// TestNoWaitAfterFailure wants the first question after a failure to be answered at once: the list is growing old.
func TestNoWaitAfterFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), LongPoll: 30 * time.Second}
		if err := p.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.change(func() { b.answers = downNow })
		if err := p.Poll(t.Context()); err == nil {
			t.Fatal("no error")
		}
		b.change(func() { b.answers = nil })
		b.take()
		runs(t, p)
		wait(2 * time.Second)
		synctest.Wait()
		if asked := b.take(); len(asked) != 2 || asked[0].Wait != 0 || asked[1].Wait == 0 || p.Status().Failures != 0 {
			t.Errorf("asked %+v", asked)
		}
	})
}
