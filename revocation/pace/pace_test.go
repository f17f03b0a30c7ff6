package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimit(t *testing.T) {
	limit := Limit{First: 10 * time.Second, Quiet: 5 * time.Second, Rate: 1000, Most: time.Minute}
	for name, tt := range map[string]struct {
		pause  time.Duration // between two pieces
		piece  int
		pieces int // then nothing more comes
		want   time.Duration
	}{
		"nothing":              {time.Second, 0, 100, 10 * time.Second},
		"stands still":         {time.Second, 1 << 20, 3, 8 * time.Second},
		"drips":                {time.Second, 1, 100, 6 * time.Second},
		"below the rate":       {time.Second, 500, 100, 12 * time.Second},
		"pieces too far apart": {6 * time.Second, 1 << 20, 100, 11 * time.Second},
		"goes on":              {time.Second, 2000, 1000, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := WithLimit(t.Context(), limit)
				defer cancel()
				begin := time.Now()
				for range tt.pieces {
					time.Sleep(tt.pause) // virtual
					if ctx.Err() != nil {
						break
					}
					Progress(ctx, tt.piece)
				}
				<-ctx.Done()
				slow := (*SlowError)(nil)
				if !errors.As(context.Cause(ctx), &slow) || slow.After < tt.want-time.Second || slow.After > tt.want+time.Second || time.Since(begin) < slow.After {
					t.Errorf("%v, want the end after %s", context.Cause(ctx), tt.want)
				}
			})
		})
	}
}

// TestDone: who has done his work is not ended, and nothing is left.
func TestDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := WithLimit(t.Context(), Limit{First: time.Second, Quiet: time.Second, Most: time.Second})
		cancel()
		time.Sleep(time.Minute) // virtual
		if slow := (*SlowError)(nil); errors.As(context.Cause(ctx), &slow) {
			t.Error(slow)
		}
		parent, stop := context.WithCancelCause(t.Context())
		ctx, cancel = WithLimit(parent, Limit{First: time.Hour, Quiet: time.Hour, Most: time.Hour})
		defer cancel()
		gone := errors.New("gone")
		stop(gone)
		<-ctx.Done()
		if context.Cause(ctx) != gone {
			t.Error(context.Cause(ctx))
		}
	})
	Progress(t.Context(), 1) // without a limit: nothing happens
}
