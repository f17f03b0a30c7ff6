// Package relay is the client side of HTTP/1.1 (RFC 9112) as a proxy needs it: one upstream, a head that is already written,
// and an answer that is handed on piece by piece as it comes.
//
// It does in the goroutine of the request what http.Transport does in three. Connections that wait for their next request
// have no goroutine either: before one is used again it is looked at, and one that the upstream has closed, or on which it
// spoke without being asked, carries no further request.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Client carries requests to one upstream. Its exported fields are set before the first request and not changed after it.
type Client struct {
	// Dial makes a connection: of TCP, of a unix socket, or of TLS after the handshake.
	Dial func(context.Context) (net.Conn, error)
	// DisableKeepAlives makes a new connection for each request.
	DisableKeepAlives bool
	// MaxIdle is how many connections may wait for their next request; 512 by default.
	MaxIdle int
	// IdleTimeout is how long each of them may wait; 60 s by default.
	IdleTimeout time.Duration
	// MaxHead is how long the head of an answer may be in bytes, with all informational answers before it; 1 MiB by default.
	MaxHead int
	// ContinueTimeout is how long a body waits for the upstream's "100 Continue" before it goes out unasked; 30 s by default.
	ContinueTimeout time.Duration

	mu    sync.Mutex
	idle  []*conn // the one that has waited longest first
	sweep *time.Timer
	epoch int // counts the calls of Renew
}

// Request is what goes to the upstream.
type Request struct {
	Method string
	// Head is the request line and the header fields, each ended by CRLF, without the fields of framing (Content-Length,
	// Transfer-Encoding, Connection, Upgrade) and without the blank line. Do appends
	// these behind its end.
	Head []byte
	// Body is nil for a request without one. Length is that of Body, -1 for one that is not known before.
	Body   io.Reader
	Length int64
	// Whole is a body that is in memory, instead of Body: it is sent in one piece with the head. Do appends it to Head, too.
	Whole []byte
	// Continue says that the request expects "100 Continue" before its body is sent.
	Continue bool
	// Upgrade is the protocol that the client asks to switch to, "" for none.
	Upgrade string
	// Idempotent says that the request may be sent again where nobody knows whether the upstream has acted on it.
	Idempotent bool
	Events     Events
}

// Events are what there is to do besides sending and answering. They come in the goroutine that called Do.
type Events interface {
	// Informational is called for each 1xx answer but 101; fields are valid until it returns.
	Informational(code int, fields []Field)
	// Waiting is called when what has come of the answer's body has been handed on, and more must be waited for.
	Waiting()
	// Abandoned is called when the rest of the request's body is of no use: a reader of it that is blocked should be freed.
	Abandoned()
}

// ErrStop ends a request's body without it being a failure: the rest is not for the upstream. Readers of bodies return it.
var ErrStop = errors.New("the rest of the body is not for the upstream")

// BodyError says that the body of a request could not be read.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return fmt.Sprintf("reading the body of the request: %v", e.Err) }
func (e *BodyError) Unwrap() error { return e.Err }

// errStale is a connection that was closed, or spoken on, before the request was sent.
var errStale = errors.New("the upstream closed the connection, or spoke on it without being asked")

// Do sends a request and gives the answer, which must be closed. Where a connection that was used before turns out to be
// closed, the request is sent once more on a new one: if nothing of it was sent, or if it is idempotent, has no Body and
// nothing came back (RFC 9110, section 9.2.2).
func (c *Client) Do(ctx context.Context, q *Request) (*Response, error) {
	for fresh := c.DisableKeepAlives; ; {
		var cn *conn
		if !fresh {
			cn = c.take()
		}
		reused := cn != nil
		if !reused {
			epoch := c.now()
			nc, err := c.Dial(ctx)
			if err != nil {
				return nil, err
			}
			cn = newConn(c, nc)
			cn.epoch = epoch
		}
		err := cn.do(ctx, q)
		if err == nil {
			return &cn.res, nil
		}
		cn.end(false)
		switch {
		case !reused || ctx.Err() != nil:
			return nil, err
		case errors.Is(err, errStale):
			// Nothing was sent. The next one that waits may be good.
		case !cn.answered && q.Body == nil && (cn.sent == 0 || q.Idempotent):
			fresh = true
		default:
			return nil, err
		}
	}
}

// take gives the connection that was used last of those that wait, nil for none.
func (c *Client) take() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle) - 1
	if n < 0 {
		return nil
	}
	cn := c.idle[n]
	c.idle[n] = nil
	c.idle = c.idle[:n]
	return cn
}

func (c *Client) now() (epoch int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// put keeps a connection for the next request; it is false where there is no room, and for one that was begun before Renew.
func (c *Client) put(cn *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.DisableKeepAlives || cn.epoch != c.epoch || len(c.idle) >= orElse(c.MaxIdle, 512) {
		return false
	}
	cn.since = cn.started // no later than it was used
	c.idle = append(c.idle, cn)
	if c.sweep == nil {
		c.sweep = time.AfterFunc(c.idleTimeout(), c.sweepIdle)
	}
	return true
}

func (c *Client) idleTimeout() time.Duration { return orElse(c.IdleTimeout, time.Minute) }

// sweepIdle closes the connections that have waited for too long, and comes again while there are any others.
func (c *Client) sweepIdle() {
	c.mu.Lock()
	limit := time.Now().Add(-c.idleTimeout())
	var kept, old []*conn
	for _, cn := range c.idle {
		if cn.since.After(limit) {
			kept = append(kept, cn)
		} else {
			old = append(old, cn)
		}
	}
	c.idle, c.sweep = kept, nil
	if len(kept) > 0 {
		c.sweep = time.AfterFunc(kept[0].since.Sub(limit), c.sweepIdle)
	}
	c.mu.Unlock()
	for _, cn := range old {
		_ = cn.nc.Close() // nothing is under way on it
	}
}

// CloseIdle closes the connections that wait for their next request. Requests under way go on.
func (c *Client) CloseIdle() {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	if c.sweep != nil {
		c.sweep.Stop()
		c.sweep = nil
	}
	c.mu.Unlock()
	for _, cn := range idle {
		_ = cn.nc.Close()
	}
}

// Renew sees to it that requests which begin from now on use connections that are made from now on. Requests under way go on.
func (c *Client) Renew() {
	c.mu.Lock()
	c.epoch++
	c.mu.Unlock()
	c.CloseIdle()
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
