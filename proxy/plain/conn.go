package plain

import (
	"bytes"
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"authproxy/proxy/socket"
)

// conn is a connection whose requests have all been plain so far.
type conn struct {
	l      *Listener
	nc     *socket.Conn
	remote string
	ctx    context.Context
	state  atomic.Int32
	armed  time.Time // the read deadline that is set; zero for none
	last   string    // the token of the request before, if it is long
}

const (
	fresh   int32 = iota // no request has begun yet
	waiting              // for the next request
	busy
	gone // closed, or about to be
)

func newConn(l *Listener, nc *socket.Conn) *conn {
	return &conn{l: l, nc: nc, remote: nc.RemoteAddr().String(), ctx: context.WithValue(l.ctx, http.LocalAddrContextKey, nc.LocalAddr())}
}

// heads are lent to connections while they read a request.
var heads = sync.Pool{New: func() any { return new(head) }}

// serve ends with the connection, or when it has been handed over.
func (c *conn) serve() {
	after := c.requests()
	c.l.remove(c)
	if after != handItOver {
		_ = c.nc.Close()
		return
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	c.l.handOver(c.nc)
}

// next says what becomes of a connection.
type next int

const (
	closeIt next = iota
	handItOver
	keepIt
)

func (c *conn) requests() next {
	limit := within(orElse(c.l.server.ReadHeaderTimeout, c.l.server.ReadTimeout))
	for {
		data := c.nc.Ahead()
		if len(data) == 0 {
			var err error
			if data, err = c.await(limit); err != nil {
				return closeIt
			}
		}
		if !c.state.CompareAndSwap(fresh, busy) && !c.state.CompareAndSwap(waiting, busy) {
			return closeIt
		}
		if after := c.request(data); after != keepIt {
			return after
		}
		c.state.Store(waiting)
		if c.l.isClosed.Load() {
			return closeIt
		}
		limit = within(orElse(c.l.server.IdleTimeout, c.l.server.ReadTimeout))
	}
}

// await waits for the first bytes of a request. A deadline costs something, so one that is set already is left in place if it comes
// no later, and set again if it then was too early.
func (c *conn) await(limit time.Time) ([]byte, error) {
	for {
		if !limit.IsZero() && (c.armed.IsZero() || c.armed.After(limit)) {
			c.arm(limit)
		}
		data, err := c.nc.Fill()
		if err == nil || !isTimeout(err) || limit.IsZero() || !time.Now().Before(limit) {
			return data, err
		}
		c.armed = time.Time{}
	}
}

func (c *conn) arm(t time.Time) {
	c.armed = t
	_ = c.nc.SetReadDeadline(t) // fails only where reading does
}

// wind closes the connection if it waits, soon if it is fresh. One that is busy closes itself.
func (c *conn) wind() {
	switch {
	case c.state.CompareAndSwap(waiting, gone):
		_ = c.nc.Close()
	case c.state.Load() == fresh:
		time.AfterFunc(newConnGrace, func() {
			if c.state.CompareAndSwap(fresh, gone) {
				_ = c.nc.Close()
			}
		})
	}
}

// maxPieces bounds in how many pieces a request may come. Each makes for another look at all of its head.
const maxPieces = 16

// bodyWait is how long a body may take to come. Handlers that would begin before it is there are for net/http.
const bodyWait = 500 * time.Millisecond

// request answers the request that data begins with, if it is plain.
func (c *conn) request(data []byte) next {
	x := &exchange{}
	x.ctx.base, x.ctx.nc = c.ctx, c.nc
	r := blank.WithContext(&x.ctx)
	if after := c.read(r, x, data); after != keepIt {
		return after
	}
	a := &x.answer
	a.c, a.r = c, r
	whole := c.handle(a, r)
	a.finish(whole)
	if x.ctx.end() || a.readDeadline {
		c.armed = time.Time{}
		if a.readDeadline {
			_ = c.nc.SetReadDeadline(time.Time{})
		}
	}
	if a.writeDeadline {
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
	if !whole || a.close {
		return closeIt
	}
	return keepIt
}

// read makes the request that data begins with, which may have to be waited for.
func (c *conn) read(r *http.Request, x *exchange, data []byte) next {
	h := heads.Get().(*head)
	defer heads.Put(h)
	found := h.parse(data, c.last)
	for before, pieces := plainHead, 1; found == partial || found == partialBody; pieces++ {
		if pieces == maxPieces {
			return handItOver
		}
		if found != before {
			before = found
			if found == partial {
				c.arm(within(orElse(c.l.server.ReadHeaderTimeout, c.l.server.ReadTimeout)))
			} else {
				c.arm(within(bodyWait))
			}
		}
		var err error
		data, err = c.nc.Fill()
		switch {
		case err == nil:
			found = h.parse(data, c.last)
		case isTimeout(err) && found == partial:
			return closeIt
		default: // the end, no room for more, or a body that takes its time
			return handItOver
		}
	}
	if most := c.l.server.MaxHeaderBytes; found == other || most > 0 && h.size > most {
		return handItOver
	}
	longest, ok := h.fill(r, &x.url, x.values[:], c.l.Near)
	if !ok {
		return handItOver
	}
	c.last = longest
	r.RemoteAddr = c.remote
	size := h.size + h.body
	if h.body > 0 {
		r.Body = &Body{all: bytes.Clone(data[h.size:size])}
	}
	c.nc.Skip(size)
	return keepIt
}

// exchange is a request and its answer. It is not used again, since nobody knows who keeps some of it.
type exchange struct {
	url    url.URL
	values [12]string
	ctx    requestContext
	answer answer
}

var blank http.Request

// handle is false where the Handler has panicked, as it does where an answer must not look whole.
func (c *conn) handle(a *answer, r *http.Request) (whole bool) {
	defer func() {
		if whole {
			return
		}
		if reason := recover(); reason != http.ErrAbortHandler {
			stack := make([]byte, 64<<10)
			stack = stack[:runtime.Stack(stack, false)]
			c.logf("http: panic serving %v: %v\n%s", c.remote, reason, stack)
		}
	}()
	c.l.server.Handler.ServeHTTP(a, r)
	return true
}

func (c *conn) logf(format string, args ...any) {
	if c.l.server.ErrorLog != nil {
		c.l.server.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}

// within is zero, for no limit, where d is.
func within(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
