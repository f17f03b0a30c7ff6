package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
)

// upstream is the service behind the proxies. It answers everything with a few bytes, and /64k with as many, and has read what is
// posted. It is written by hand since it shares its core with the client: what it takes is missing there.
type upstream struct {
	Addr     string
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil when closed
}

func startUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{Addr: l.Addr().String(), listener: l, conns: map[net.Conn]bool{}}
	answer := func(body []byte) []byte {
		return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	}
	small, big := answer([]byte("hello\n")), answer(make([]byte, 64<<10))
	u.group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
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

// serve answers requests until the connection ends.
func serve(conn net.Conn, small, big []byte) {
	in := bufio.NewReaderSize(conn, 16<<10)
	for {
		answer, body := small, 0
		for first, whole := true, true; ; first = false {
			line, err := in.ReadSlice('\n')
			if err != nil && err != bufio.ErrBufferFull {
				return
			}
			isRest := !whole // of a line that is longer than the buffer
			whole = err == nil
			switch {
			case !first:
			case bytes.HasPrefix(line, []byte("GET /64k ")):
				answer = big
			case bytes.HasPrefix(line, []byte("POST ")):
				body = postedBody
			}
			if whole && !isRest && len(line) <= 2 {
				break
			}
		}
		if _, err := in.Discard(body); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (u *upstream) keep(conn net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conns == nil {
		_ = conn.Close()
		return false
	}
	u.conns[conn] = true
	return true
}

func (u *upstream) drop(conn net.Conn) {
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
		_ = conn.(*net.TCPConn).SetLinger(0) // no port waits for what may still come by it
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
