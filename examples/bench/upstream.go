package main

import (
	"bytes"
	"fmt"
	"net"
	"sync"

	"authproxy/proxy/socket"
)

// upstream is the service behind the proxies. It answers everything with a few bytes, and /64k with as many, and has read what is
// posted. It is written by hand since it shares its core with the client: what it takes is missing there.
type upstream struct {
	Addr     string
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[*socket.Conn]bool // nil when closed
}

func startUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{Addr: l.Addr().String(), listener: l, conns: map[*socket.Conn]bool{}}
	answer := func(body []byte) []byte {
		return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	}
	small, big := answer([]byte("hello\n")), answer(make([]byte, 64<<10))
	u.group.Go(func() {
		for {
			nc, err := socket.Listener{Listener: l}.Accept()
			if err != nil {
				return
			}
			conn := nc.(*socket.Conn)
			if !u.keep(conn) {
				return
			}
			u.group.Go(func() {
				defer u.drop(conn)
				serve(conn, small, big)
			})
		}
	})
	return u, nil
}

// serve answers requests until the connection ends. A connection that waits has no buffer, so that thousands of them share a few
// which the processor has at hand.
func serve(conn *socket.Conn, small, big []byte) {
	for {
		data := conn.Ahead()
		n := requestLength(data)
		if n == 0 {
			if _, err := conn.Fill(); err != nil {
				return
			}
			continue
		}
		answer := small
		if bytes.HasPrefix(data, []byte("GET /64k ")) {
			answer = big
		}
		conn.Skip(n)
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// requestLength is 0 for a request that is not all there.
func requestLength(data []byte) int {
	head, _, ended := bytes.Cut(data, []byte("\r\n\r\n"))
	n := len(head) + 4
	if bytes.HasPrefix(data, []byte("POST ")) {
		n += postedBody
	}
	if !ended || len(data) < n {
		return 0
	}
	return n
}

func (u *upstream) keep(conn *socket.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conns == nil {
		_ = conn.Close()
		return false
	}
	u.conns[conn] = true
	return true
}

func (u *upstream) drop(conn *socket.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = conn.Close()
	delete(u.conns, conn)
}

// disconnect ends all connections, which were left without a request: so each proxy finds as many open files and ports as the one
// before.
func (u *upstream) disconnect() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for conn := range u.conns {
		_ = conn.Conn.(*net.TCPConn).SetLinger(0) // no port waits for what may still come by it
		_ = conn.Close()
	}
}

// Close ends the upstream and waits for it.
func (u *upstream) Close() {
	_ = u.listener.Close()
	u.mu.Lock()
	for conn := range u.conns {
		_ = conn.Close()
	}
	u.conns = nil
	u.mu.Unlock()
	u.group.Wait()
}
