package main

import (
	"context"
	"log/slog"
	"time"
)

const (
	flushInterval = time.Hour
	// maxStep is how far the clock may be set without anybody minding, and mistrust how long nothing is removed after more.
	maxStep  = 5 * time.Minute
	mistrust = 24 * time.Hour
)

// flusher removes long expired tokens and the like from time to time, so that a database that nobody looks after does not grow
// without end.
//
// A clock that was set far ahead by mistake would make it forget which tokens were revoked, and they would be valid again once the
// clock is right. So it compares the clock with the time that has passed.
type flusher struct {
	remove func(ctx context.Context) (int, error)
	// now is the clock that says what has expired.
	now func() time.Time
	log *slog.Logger
}

func (f *flusher) run(ctx context.Context) error {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	passed, clock := time.Now(), f.now()
	var trusted time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		step := f.now().Round(0).Sub(clock.Round(0)) - time.Since(passed) // Round leaves the clock alone of a time
		passed, clock = time.Now(), f.now()
		if step.Abs() > maxStep {
			trusted = passed.Add(mistrust)
			f.log.Warn("the clock was set: what has expired by it is not removed for a day", slog.Duration("step", step))
		}
		if passed.Before(trusted) {
			continue
		}
		switch n, err := f.remove(ctx); {
		case err != nil && ctx.Err() == nil:
			f.log.Error("removing what has expired", slog.Any("error", err))
		case n > 0:
			f.log.Info("expired tokens removed", slog.Int("count", n))
		}
	}
}
