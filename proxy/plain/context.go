package plain

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"authproxy/proxy/socket"
)

// requestContext is the context of a request. It ends with the request, with the listener's, and when the client goes away; but only
// once somebody asks for Done does anybody look whether the client is there, which costs more than most requests take otherwise.
type requestContext struct {
	base context.Context
	nc   watched

	mu      sync.Mutex
	inner   context.Context // nil: nobody has asked
	cancel  context.CancelFunc
	watcher chan struct{} // closed when nobody looks any more
	over    bool
}

// watched is a connection that can be read ahead.
type watched interface {
	Fill() ([]byte, error)
	SetReadDeadline(time.Time) error
}

func (c *requestContext) Deadline() (time.Time, bool) { return c.base.Deadline() }

func (c *requestContext) Done() <-chan struct{} { return c.context().Done() }

func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
	case c.over:
		return context.Canceled
	}
	return c.base.Err()
}

func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.base.Value(key)
}

// context is the one that can end, from now on.
func (c *requestContext) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner
	}
	c.inner, c.cancel = context.WithCancel(c.base)
	if c.over {
		c.cancel()
		return c.inner
	}
	_ = c.nc.SetReadDeadline(time.Time{}) // that of an idle connection, left in place
	c.watcher = make(chan struct{})
	go c.watch(c.watcher, c.cancel)
	return c.inner
}

// watch ends the context when the client goes away. What it sends meanwhile is the next request, and stays where it was read to;
// then nobody looks any more, as with net/http.
func (c *requestContext) watch(done chan<- struct{}, cancel context.CancelFunc) {
	defer close(done)
	_, err := c.nc.Fill()
	if err == nil || err == socket.ErrFull {
		return
	}
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	if timeout := net.Error(nil); over && errors.As(err, &timeout) && timeout.Timeout() {
		return
	}
	cancel()
}

// end ends the context, and says whether the connection's read deadline was changed meanwhile.
func (c *requestContext) end() (touched bool) {
	c.mu.Lock()
	c.over = true
	cancel, watcher := c.cancel, c.watcher
	c.mu.Unlock()
	if cancel == nil {
		return false
	}
	cancel()
	if watcher == nil {
		return false
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	<-watcher
	_ = c.nc.SetReadDeadline(time.Time{})
	return true
}
