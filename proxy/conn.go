package proxy

import (
	"context"
	"net"
	"sync/atomic"
)

// patientConn is a connection to the upstream that outlives its own writing side. An upstream that refuses an upload
// answers and closes; the write that then fails would make the Transport close the connection, often before the answer
// was read from it. Here that write and later ones are taken for done, until the Transport closes the connection: what
// counts is what can still be read, be it the answer or the error of a connection that is gone.
type patientConn struct {
	net.Conn
	deaf, closed atomic.Bool
}

func (c *patientConn) Write(p []byte) (int, error) {
	if c.deaf.Load() && !c.closed.Load() {
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if err != nil && !c.closed.Load() {
		c.deaf.Store(true)
		return len(p), nil
	}
	return n, err
}

func (c *patientConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func patient(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c}, nil
	}
}
