package revocation

import (
	"sync"
	"time"
)

// jumpLeast is how far the wall clock must have left the monotonic one between two looks to count as a jump. Clocks that are
// disciplined drift by half a millisecond a second at most.
const jumpLeast = time.Second

// clocks compares the wall clock with the monotonic one, which nobody sets and which stands still while the machine sleeps.
type clocks struct {
	mu    sync.Mutex
	begun bool
	wall  time.Time
	mono  time.Duration
	jumps jumps
}

// jumps is what the clock did.
type jumps struct {
	n    int
	last time.Duration // how far, positive is forward
	at   time.Time     // when it was noticed, by the new time
}

// look notes how the clocks stand and says how far the wall clock has jumped since the last look, 0 for not at all.
func (c *clocks) look(wall time.Time, mono time.Duration) time.Duration {
	wall = wall.Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	jump := wall.Sub(c.wall) - (mono - c.mono)
	first := !c.begun
	c.begun, c.wall, c.mono = true, wall, mono
	if first || jump.Abs() < jumpLeast {
		return 0
	}
	c.jumps = jumps{c.jumps.n + 1, jump, wall}
	return jump
}

func (c *clocks) seen() jumps {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jumps
}

// checkClock says so if the wall clock was set. Expiry and the age of the list go by it.
func (p *Poller) checkClock() {
	monotonic := p.Monotonic
	if monotonic == nil {
		if p.Now != nil {
			return // a clock of its own, which the real one tells nothing about
		}
		monotonic = func() time.Duration { return time.Since(p.started) }
	}
	jump := p.clocks.look(p.now(), monotonic())
	if jump == 0 {
		return
	}
	p.log().Warn("the clock has jumped: it was set, or the machine has slept", "by", jump.Round(time.Millisecond))
}
