package revocation_test

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/revocation"
)

// TestFoldInBackground puts so many deltas on a list that they are folded again and again, while others look up: what was
// revoked once stays so, and the layers stay few.
func TestFoldInBackground(t *testing.T) {
	t.Parallel()
	now := newClock(epoch)
	b := newBackend(t).at(now)
	p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Now: now.now}
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	const deltas, size = 60, 500
	var mu sync.Mutex
	known := 0
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				n := known
				mu.Unlock()
				s := p.Current()
				for i := max(0, n-3*size); i < n; i += 41 {
					if !s.ContainsID(numbered32(i)) {
						t.Errorf("%d of %d is not listed", i, n)
						return
					}
				}
				if s.Len() < n || s.ContainsID(numbered32(deltas*size)) {
					t.Errorf("%d entries, want %d", s.Len(), n)
					return
				}
			}
		})
	}
	most := 0
	for d := range deltas {
		many := make([]string, size)
		for i := range many {
			many[i] = numbered32(d*size + i)
		}
		b.revoke(many...)
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		known = (d + 1) * size
		mu.Unlock()
		most = max(most, p.Status().Layers)
	}
	close(stop)
	wg.Wait()
	if most > 8 || p.Current().Len() != deltas*size {
		t.Errorf("%d layers, %d entries", most, p.Current().Len())
	}
}

// TestExpiredEntriesWithoutLists wants entries to go when their tokens are of no use any more, though no whole list comes.
func TestExpiredEntriesWithoutLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Interval: time.Minute, AllowExpiredWindow: time.Hour}
		soon := "@" + time.Now().Add(2*time.Hour).Format(time.RFC3339)
		b.revoke("base" + soon)
		runs(t, p)
		wait(10 * time.Minute)
		b.revoke("delta"+soon, "lasting")
		for _, step := range []struct {
			until time.Duration
			want  int
		}{{2*time.Hour + 50*time.Minute, 3}, {time.Hour, 1}} {
			wait(step.until)
			synctest.Wait()
			s := p.Current()
			if s.Len() != step.want || s.ContainsID("base") != (step.want == 3) || s.ContainsID("delta") != (step.want == 3) || !s.ContainsID("lasting") {
				t.Errorf("%d entries, want %d", s.Len(), step.want)
			}
		}
		if s := p.Status(); s.Lists != 1 || s.Vanished != 0 || s.Layers != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestFoldForExpiryIsSeldom has an entry go each minute: a large list must not be copied for each.
func TestFoldForExpiryIsSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		var book logBook
		p := &revocation.Poller{Source: b, Verifier: b.verifier(t), Interval: time.Minute, AllowExpiredWindow: time.Minute,
			Log: slog.New(slog.NewTextHandler(&book, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		var entries []string
		for i := range 300 {
			entries = append(entries, fmt.Sprint("e", i, "@", time.Now().Add(time.Duration(i)*time.Minute).Format(time.RFC3339)))
		}
		b.revoke(entries...)
		runs(t, p)
		wait(7 * time.Hour)
		synctest.Wait()
		if n := book.count("level=DEBUG", "folded"); n < 4 || n > 7 || p.Current().Len() != 0 {
			t.Errorf("folded %d times in seven hours, %d entries left", n, p.Current().Len())
		}
	})
}

// BenchmarkRevokedToKnown is the time from a revocation at the backend to its being in force here, over a real socket with a
// long poll. What the backend needs to write and to sign a list of any size is not in it.
func BenchmarkRevokedToKnown(b *testing.B) {
	backend := newBackend(b)
	server := httptest.NewServer(backend)
	defer server.Close()
	c := newClient(b, server.URL, nil)
	defer c.Close()
	p := &revocation.Poller{Source: c, Verifier: backend.verifier(b), LongPoll: 30 * time.Second}
	ctx := b.Context()
	go func() { _ = p.Run(ctx) }()
	for !p.Status().LongPoll {
		if backend.revoke("begin"); true {
			wait(10 * time.Millisecond)
		}
	}
	var all []time.Duration
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("token ", i)
		began := time.Now()
		backend.revoke(id)
		for !p.Current().ContainsID(id) {
			wait(200 * time.Microsecond)
		}
		all = append(all, time.Since(began))
		wait(time.Duration(i%7) * 50 * time.Millisecond)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
}
