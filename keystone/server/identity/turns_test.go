package identity

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestTurnsAreFair: the addresses from which somebody waits take turns, whoever came first.
func TestTurnsAreFair(t *testing.T) {
	for _, test := range []struct{ come, leave, want string }{
		{"aaaaab", "", "abaaaa"},
		{"aaaabbbc", "", "abcababa"},
		{"abababc", "", "abcabab"},
		{"aaaab", "b", "aaaa"},
		{"aaaabc", "a", "bc"},
		{"", "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			line := turns{most: 1, few: 1}
			first, err := line.take(t.Context(), "z")
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var order []string
			var group sync.WaitGroup
			leaving, leave := context.WithCancel(t.Context())
			defer leave()
			for address := range strings.SplitSeq(test.come, "") {
				ctx := t.Context()
				if test.leave == address {
					ctx = leaving
				}
				group.Go(func() {
					release, err := line.take(ctx, address)
					if err != nil {
						return
					}
					mu.Lock()
					order = append(order, address)
					mu.Unlock()
					release()
				})
				synctest.Wait() // so that they come in that order
			}
			leave()
			synctest.Wait()
			first()
			group.Wait()
			if got := strings.Join(order, ""); got != test.want {
				t.Errorf("%s came, %q left: served %s, want %s", test.come, test.leave, got, test.want)
			}
			if n, _ := line.count(); n != 0 || line.begun != 0 || len(line.lines) != 0 {
				t.Errorf("at the end %d wait, %d have begun, lines %v", n, line.begun, line.lines)
			}
		})
	}
}

// TestTurnGivenUp: a turn that comes to somebody who has just gone passes on.
func TestTurnGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := turns{most: 1, few: 1}
		first, err := line.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 1)
		go func() {
			release, err := line.take(ctx, "b")
			if err == nil {
				release()
			}
			results <- err
		}()
		synctest.Wait()
		cancel()
		first() // at the same moment
		<-results
		if line.begun != 0 || len(line.lines) != 0 {
			t.Errorf("%d have begun, lines %v", line.begun, line.lines)
		}
	})
}

// TestTurnsWhileBusy: all processors while there is nothing else to do, half of them while there is, and nobody is forgotten.
func TestTurnsWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := false
		line := turns{most: 4, few: 2, isBusy: func() bool { return busy }}
		var group sync.WaitGroup
		var releases []func()
		var mu sync.Mutex
		for range 10 {
			group.Go(func() {
				release, err := line.take(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				releases = append(releases, release)
				mu.Unlock()
			})
			synctest.Wait()
		}
		for i, step := range []struct {
			busy bool
			want int // have had their turn
		}{{false, 4}, {true, 4}, {true, 4}, {true, 5}, {true, 6}, {false, 9}, {false, 10}, {false, 10}} {
			busy = step.busy
			if i > 0 {
				releases[i-1]()
			}
			synctest.Wait()
			if len(releases) != step.want {
				t.Errorf("step %d: %d have begun, want %d", i, len(releases), step.want)
			}
		}
		group.Wait()
	})
}
