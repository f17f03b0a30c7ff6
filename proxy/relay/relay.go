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
	"sync/atomic"
	"time"

	"authproxy/validate/stripe"
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

	// idle are the connections that wait, in shards, so that processors do not wait for one another: a request looks where its
	// goroutine put the last one, and then elsewhere.
	_     [stripe.Line]byte
	idle  [stripe.Count]shard
	epoch atomic.Int64 // counts the calls of Renew

	isSwept atomic.Bool // a sweep will come
	mu      sync.Mutex
	sweep   *time.Timer
}

// shard is a part of the connections that wait.
type shard struct {
	mu    sync.Mutex
	conns []*conn      // the one that was used last is last
	n     atomic.Int64 // how many there are, for a look without the lock
	_     [stripe.Line]byte
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
			epoch := c.epoch.Load()
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

// shards are those in use, each for so many connections that they have MaxIdle together, at most.
func (c *Client) shards() (shards []shard, room int) {
	most := orElse(c.MaxIdle, 512)
	shards = c.idle[:min(len(c.idle), most)]
	return shards, most / len(shards)
}

// take gives one of the connections that wait, nil for none: of those in a shard the one that was used last.
func (c *Client) take() *conn {
	shards, _ := c.shards()
	first := stripe.Here()
	for i := range shards {
		if cn := shards[(first+i)%len(shards)].take(); cn != nil {
			return cn
		}
	}
	return nil
}

func (s *shard) take() *conn {
	if s.n.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.conns) - 1
	if n < 0 {
		return nil
	}
	cn := s.conns[n]
	s.conns[n] = nil
	s.conns = s.conns[:n]
	s.n.Store(int64(n))
	return cn
}

// put keeps a connection for the next request; it is false where there is no room, and for one that was begun before Renew.
func (c *Client) put(cn *conn) bool {
	if c.DisableKeepAlives {
		return false
	}
	cn.since = cn.started // no later than it was used
	shards, room := c.shards()
	first := stripe.Here()
	for i := range shards {
		if shards[(first+i)%len(shards)].put(cn, room, &c.epoch) {
			if c.isSwept.CompareAndSwap(false, true) {
				c.sweepIn(c.idleTimeout())
			}
			return true
		}
	}
	return false
}

// put looks at the epoch under the lock: CloseIdle, which comes after a new one, either finds the connection, or has been here before.
func (s *shard) put(cn *conn, room int, epoch *atomic.Int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= room || cn.epoch != epoch.Load() {
		return false
	}
	s.conns = append(s.conns, cn)
	s.n.Store(int64(len(s.conns)))
	return true
}

// takeIf takes the connections out for which it is so.
func (s *shard) takeIf(is func(*conn) bool) (taken []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []*conn
	for _, cn := range s.conns {
		if is(cn) {
			taken = append(taken, cn)
		} else {
			kept = append(kept, cn)
		}
	}
	s.conns = kept
	s.n.Store(int64(len(kept)))
	return taken
}

func (c *Client) idleTimeout() time.Duration { return orElse(c.IdleTimeout, time.Minute) }

func (c *Client) sweepIn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep = time.AfterFunc(d, c.sweepIdle)
}

// sweepIdle closes the connections that have waited for too long, and comes again while there are any others.
func (c *Client) sweepIdle() {
	c.isSwept.Store(false) // before the look: what is put behind it sees to the next one
	limit := time.Now().Add(-c.idleTimeout())
	var next time.Time
	for i := range c.idle {
		old := c.idle[i].takeIf(func(cn *conn) bool {
			if cn.since.After(limit) && (next.IsZero() || cn.since.Before(next)) {
				next = cn.since
			}
			return !cn.since.After(limit)
		})
		for _, cn := range old {
			_ = cn.nc.Close() // nothing is under way on it
		}
	}
	if !next.IsZero() && c.isSwept.CompareAndSwap(false, true) {
		c.sweepIn(next.Sub(limit))
	}
}

// CloseIdle closes the connections that wait for their next request. Requests under way go on.
func (c *Client) CloseIdle() {
	c.mu.Lock()
	if c.sweep != nil && c.sweep.Stop() {
		c.isSwept.Store(false)
	}
	c.mu.Unlock()
	for i := range c.idle {
		for _, cn := range c.idle[i].takeIf(func(*conn) bool { return true }) {
			_ = cn.nc.Close()
		}
	}
}

// Renew sees to it that requests which begin from now on use connections that are made from now on. Requests under way go on.
func (c *Client) Renew() {
	c.epoch.Add(1)
	c.CloseIdle()
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
