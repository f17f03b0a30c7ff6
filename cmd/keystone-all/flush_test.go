package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFlushAndTheClock: what has expired is removed every hour, but not while the clock is not to be trusted.
func TestFlushAndTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset, removed atomic.Int64
		var log strings.Builder
		f := flusher{
			remove: func(context.Context) (int, error) { removed.Add(1); return 1, errors.New("no database") },
			now:    func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
			log:    slog.New(slog.NewTextHandler(&log, nil)),
		}
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		defer group.Wait()
		defer stop()
		group.Go(func() {
			if err := f.run(ctx); err != nil {
				t.Error(err)
			}
		})
		after := func(d time.Duration, want int64) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := removed.Load(); got != want {
				t.Errorf("removed %d times, want %d", got, want)
			}
		}
		after(3*time.Hour+time.Minute, 3)
		offset.Add(int64(4 * time.Minute)) // as NTP may
		after(time.Hour, 4)
		offset.Add(int64(30 * 24 * time.Hour))
		after(12*time.Hour, 4)
		offset.Add(-int64(30 * 24 * time.Hour)) // and right again
		after(12*time.Hour, 4)                  // of which one hour is that of the second step
		after(12*time.Hour, 4)
		after(time.Hour, 5)
		after(time.Hour, 6)
		if n := strings.Count(log.String(), "the clock was set"); n != 2 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
	})
}
