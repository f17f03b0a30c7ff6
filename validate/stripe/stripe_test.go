package stripe

import (
	"sync"
	"testing"
)

// Whatever stripes they fall on, all additions are in the sum, and goroutines do not all fall on one.
func TestCounter(t *testing.T) {
	var c Counter
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]bool{}
	looked, done := sync.WaitGroup{}, make(chan struct{})
	for g := range 64 {
		looked.Add(1)
		wg.Go(func() {
			for range 1000 {
				c.Add(int64(g))
				c.Add(-1)
			}
			at := Here()
			mu.Lock()
			seen[at] = true
			mu.Unlock()
			looked.Done()
			<-done // so that no two of them have one stack after the other
		})
	}
	looked.Wait()
	close(done)
	wg.Wait()
	if got, want := c.Load(), int64(1000*(63*64/2-64)); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	for at := range seen {
		if at < 0 || at >= Count {
			t.Errorf("stripe %d", at)
		}
	}
	if len(seen) < Count/4 {
		t.Errorf("64 goroutines fall on %d stripes", len(seen))
	}
}

func BenchmarkCounter(b *testing.B) {
	var c Counter
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Add(1)
		}
	})
}
