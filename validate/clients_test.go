package validate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs/certstest"
)

// TestClientLimit: a client that floods the proxy with tokens that must be asked about leaves room for others, and has it back
// when its questions are answered.
func TestClientLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, certstest.RSA)
		gate := make(chan struct{})
		online := &slowIdentity{gate: gate, body: body("own", "")}
		v := f.validator(func(o *Options) { o.Online, o.OnlineLimit, o.OnlineLimitClient = online, 6, 4 })
		var mu sync.Mutex
		var group sync.WaitGroup
		got := map[string]map[Reason]int{"flood": {}, "other": {}, "": {}}
		ask := func(client string, from, n int) {
			for i := range n {
				group.Go(func() {
					_, err := v.Validate(context.Background(), Request{Token: fmt.Sprintf("%032x", from+i), Client: client})
					if err != nil && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					got[client][ReasonOf(err)]++
				})
			}
			synctest.Wait()
		}
		ask("flood", 0, 10)
		ask("other", 100, 1)
		ask("flood", 0, 4) // waits for answers that are under way, as anybody may
		ask("", 200, 2)    // one place is left for all; who has no name is not counted
		close(gate)
		group.Wait()
		if n := got["flood"]; n[""] < 4 || n[""] > 8 || n[ClientBusy] == 0 || n[""]+n[ClientBusy] != 14 {
			t.Errorf("the flood: %v", n)
		}
		if n := got["other"]; n[""] != 1 {
			t.Errorf("the other: %v", n)
		}
		if n := got[""]; n[""] != 1 || n[IdentityUnavailable] != 1 {
			t.Errorf("without a name: %v", n)
		}
		if _, err := v.Validate(context.Background(), Request{Token: fmt.Sprintf("%032x", 300), Client: "flood"}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if len(v.clients.busy) != 0 {
			t.Errorf("left behind: %v", v.clients.busy)
		}
	})
}

// TestBusyIsNotContagious: who waits for the same answer as a client that may not ask is not refused with it.
func TestBusyIsNotContagious(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, certstest.RSA)
		gate := make(chan struct{})
		cache := &slowShared{gate: make(chan struct{})}
		v := f.validator(func(o *Options) {
			o.Online, o.OnlineLimit, o.OnlineLimitClient, o.Shared = &slowIdentity{gate: gate, body: body("own", "")}, 6, 1, cache
		})
		ask := func(client, text string) chan error {
			result := make(chan error, 1)
			go func() {
				_, err := v.Validate(context.Background(), Request{Token: text, Client: client})
				result <- err
			}()
			synctest.Wait()
			return result
		}
		first := ask("flood", fmt.Sprintf("%032x", 1))
		cache.open()
		synctest.Wait() // the flood's one question is with the Identity service
		cache.gate = make(chan struct{})
		leads, joins := ask("flood", fmt.Sprintf("%032x", 2)), ask("other", fmt.Sprintf("%032x", 2))
		cache.open()
		if err := <-leads; ReasonOf(err) != ClientBusy {
			t.Errorf("the client that has a question under way: %v", err)
		}
		close(gate)
		if err := <-joins; err != nil {
			t.Errorf("the one that waited with it: %v", err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// slowShared has nothing, and says so late.
type slowShared struct{ gate chan struct{} }

func (s *slowShared) open() { close(s.gate) }

func (s *slowShared) Get(context.Context, string) ([]byte, time.Time, bool) {
	<-s.gate
	return nil, time.Time{}, false
}

func (s *slowShared) Set(context.Context, string, []byte, time.Time, time.Duration) {}
