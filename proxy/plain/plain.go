// Package plain answers plain HTTP/1.1 requests at less cost than net/http's server, and leaves all others to it.
//
// A plain request is one that can be read in one way only (see head.parse) and is all in the buffer that it was received into, with
// its body, if it has one. The first request on a connection that is anything else hands the connection, with every byte that was not yet
// used, to net/http for the rest of its life. So nothing difficult is judged here, and what is accepted here is accepted there as
// the same request, as a fuzz test says.
package plain

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"authproxy/proxy/socket"
)

// Listener stands between a net.Listener and an http.Server: it answers plain requests with the server's Handler and limits, and
// its Accept gives connections on which another request has come. The server's Serve is to be called with it, and after the
// server's Shutdown, Wait, or Abort.
type Listener struct {
	// Near gives a string that may be the token in text, "" for none; nil never does. If it is the same, it is taken instead of another
	// copy: one token on many connections is then in memory once. It is set before the first Accept.
	Near func(text []byte) string

	below  net.Listener
	server *http.Server

	once     sync.Once // of the start
	ctx      context.Context
	handed   chan net.Conn
	closing  chan struct{}
	isClosed atomic.Bool
	tasks    sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]struct{}
	err   error // why nothing more is accepted
	ended chan struct{}
}

// NewListener makes a Listener of one that gives a *socket.Conn for each connection that can be plain. Connections of another
// kind are handed over as they are.
func NewListener(below net.Listener, server *http.Server) *Listener {
	return &Listener{
		below: below, server: server, conns: map[*conn]struct{}{},
		handed: make(chan net.Conn), closing: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (l *Listener) Addr() net.Addr { return l.below.Addr() }

// Accept waits for the next connection that is not plain, or not any more.
func (l *Listener) Accept() (net.Conn, error) {
	l.once.Do(l.start)
	select {
	case nc := <-l.handed:
		return nc, nil
	case <-l.closing:
		return nil, net.ErrClosed
	case <-l.ended:
		return nil, l.err
	}
}

func (l *Listener) start() {
	l.ctx = context.Background()
	if l.server.BaseContext != nil {
		l.ctx = l.server.BaseContext(l.below)
	}
	l.ctx = context.WithValue(l.ctx, http.ServerContextKey, l.server)
	l.ctx = context.WithValue(l.ctx, http.LocalAddrContextKey, l.below.Addr())
	l.tasks.Go(l.accept)
}

// accept takes connections until the listener below fails for good.
func (l *Listener) accept() {
	defer close(l.ended)
	for pause := time.Duration(0); ; {
		nc, err := l.below.Accept()
		if err == nil {
			pause = 0
			l.take(nc)
			continue
		}
		if !passes(err) {
			l.err = err
			return
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-l.closing:
		}
	}
}

// passes says whether accepting may go on after an error: the connection was gone before it was accepted, or there is no room for
// another one now.
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (l *Listener) take(nc net.Conn) {
	sc, ok := nc.(*socket.Conn)
	if !ok {
		l.tasks.Go(func() { l.handOver(nc) })
		return
	}
	c := newConn(l, sc)
	l.mu.Lock()
	closed := l.isClosed.Load()
	if !closed {
		l.conns[c] = struct{}{}
		l.tasks.Add(1)
	}
	l.mu.Unlock()
	if closed {
		_ = nc.Close()
		return
	}
	go func() {
		defer l.tasks.Done()
		c.serve()
	}()
}

// handOver gives a connection to whoever calls Accept.
func (l *Listener) handOver(nc net.Conn) {
	select {
	case l.handed <- nc:
	case <-l.closing:
		_ = nc.Close()
	case <-l.ended:
		_ = nc.Close()
	}
}

func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// newConnGrace is how long a connection that has not carried a request yet is still let do so when the listener is closed: the
// client may have sent one. It is that of net/http.
const newConnGrace = 5 * time.Second

// Close ends accepting, and the connections that wait for a request. Requests under way are answered, as their connections' last.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.isClosed.Swap(true) {
		l.mu.Unlock()
		return nil
	}
	close(l.closing)
	for c := range l.conns {
		c.wind()
	}
	l.mu.Unlock()
	return l.below.Close()
}

// Wait waits, after Close, until all connections that were not handed over have ended, or ctx has. Like Abort it does nothing on
// nil.
func (l *Listener) Wait(ctx context.Context) error {
	if l == nil {
		return nil
	}
	done := make(chan struct{})
	go func() { // ends with the last connection
		l.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Abort closes everything, whatever is under way.
func (l *Listener) Abort() {
	if l == nil {
		return
	}
	_ = l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.nc.Close()
	}
}
