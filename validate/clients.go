package validate

import (
	"fmt"
	"sync"
)

// clients counts the questions to the Identity service that each client has under way, so that one cannot take the places of all.
type clients struct {
	most int
	mu   sync.Mutex
	busy map[string]int // clients without any are not there
}

func newClients(most int) *clients { return &clients{most: most, busy: map[string]int{}} }

// errClientBusy is a question that was not asked since its client has as many under way as one may. It is about that client: who
// only waits for the same answer asks by himself.
type errClientBusy struct{ most int }

func (e errClientBusy) Error() string {
	return fmt.Sprintf("this client has %d questions to the Identity service under way, which is what one may have", e.most)
}

// enter takes a place; leave gives it back. A client without a name is nobody to be counted.
func (c *clients) enter(name string) error {
	if name == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[name] >= c.most {
		return errClientBusy{c.most}
	}
	c.busy[name]++
	return nil
}

func (c *clients) leave(name string) {
	if name == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[name]--; c.busy[name] == 0 {
		delete(c.busy, name)
	}
}
