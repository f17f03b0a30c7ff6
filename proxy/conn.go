package proxy

import (
	"context"
	"net"
	"sync/atomic"
)

// patientConn is a connection to the upstream that outlives its own writing side. An upstream that refuses an upload
// answers and closes; the write that then fails would make the Transport close the connection, often before the answer
// was read from it. Here that write and later ones are taken for done: what counts is what can still be read, be it the
// answer or the error of a connection that is gone.
type patientConn struct {
	net.Conn
	deaf atomic.Bool
}

func (c *patientConn) Write(p []byte) (int, error) {
	if c.deaf.Load() {
		return len(p), nil
	}
	if _, err := c.Conn.Write(p); err != nil {
		c.deaf.Store(true)
	}
	return len(p), nil
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
