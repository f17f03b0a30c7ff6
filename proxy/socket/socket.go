// Package socket makes the system calls of connections fewer and cheaper than package net does on its own: it reads ahead, tells
// whether a connection is still good, and sends a request and waits for its answer in one step.
//
// It works on what package net opened, by way of syscall.RawConn, and waits in package net's poller like everyone else;
// deadlines, addresses and closing are package net's own.
package socket

import (
	"net"
	"syscall"
)

// Of gives the socket below a connection, nil where there is none; plain says that the connection is that socket and nothing
// more, as one of TLS is not.
func Of(nc net.Conn) (socket syscall.RawConn, plain bool) {
	lower := nc
	if tls, ok := nc.(interface{ NetConn() net.Conn }); ok {
		lower = tls.NetConn()
	}
	switch lower.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil, false
	}
	socket, err := lower.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, false
	}
	return socket, lower == nc
}

// Quiet says whether there is nothing to be read: neither bytes nor the end.
func Quiet(socket syscall.RawConn) bool {
	is := false
	err := socket.Read(func(fd uintptr) bool {
		is = quiet(fd)
		return true
	})
	return err == nil && is
}

func quiet(fd uintptr) bool {
	var b [1]byte
	_, errno := peek(fd, b[:])
	return errno == syscall.EAGAIN
}

// Swap sends a request and receives the first bytes of the answer, with one system call each and one that looks whether the
// connection is still good.
//
// Its Step runs below the Read of a syscall.RawConn, which forgets what it knew of the socket's being readable before it calls
// Step, and waits where Step is false. So whatever comes after the look is noticed; what came before makes the connection stale.
type Swap struct {
	Out []byte // the request
	// Room gives the place for the answer, when there is one: a request that waits needs none.
	Room func() []byte
	// Wait says that the answer is waited for. Step is over without it where not all could be sent.
	Wait bool

	// Stale: there was something to be read already, or the end. Nothing was sent.
	Stale          bool
	Sent, Received int
	Err            error // of sending

	asked bool
	in    []byte
}

// Step is true when nothing is to be waited for: the rest, if any, is for ordinary reading and writing.
func (s *Swap) Step(fd uintptr) bool {
	if !s.asked {
		s.asked = true
		if s.Stale = !quiet(fd); s.Stale {
			return true
		}
		switch n, errno := write(fd, s.Out); errno {
		case 0:
			s.Sent = n
		case syscall.EAGAIN:
		default:
			s.Err = errno
		}
		return !s.Wait || s.Err != nil || s.Sent < len(s.Out)
	}
	if s.in == nil {
		s.in = s.Room()
	}
	n, errno := read(fd, s.in)
	if errno == syscall.EAGAIN {
		return false
	}
	if errno == 0 {
		s.Received = n
	}
	return true // an error, or the end, comes again with the next read
}
