package relay

import (
	"net"
	"syscall"
)

// socketOf gives the socket below a connection; plain says that the connection is that socket and nothing more.
func socketOf(nc net.Conn) (socket syscall.RawConn, plain bool) {
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

// quiet says whether there is nothing to be read from a socket: neither bytes nor its end.
func quiet(socket syscall.RawConn) bool {
	is := false
	err := socket.Read(func(fd uintptr) bool {
		is = isQuiet(fd)
		return true
	})
	return err == nil && is
}

func isQuiet(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err == syscall.EAGAIN
		}
	}
}

// swap sends a request and receives the first bytes of the answer, with one system call each and one that looks whether the
// connection is still good.
//
// It runs below syscall.RawConn.Read, which forgets what it knew of the socket's being readable before it calls step, and waits
// where step is false. So whatever comes after the look is noticed; what came before makes the connection stale.
type swap struct {
	out  []byte
	in   []byte
	wait bool

	asked, stale   bool
	sent, received int
	err            error // of sending
}

// step is true when nothing is to be waited for: the rest, if any, is for ordinary reading and writing.
func (s *swap) step(fd uintptr) bool {
	if !s.asked {
		s.asked = true
		if s.stale = !isQuiet(fd); s.stale {
			return true
		}
		for {
			s.sent, s.err = syscall.Write(int(fd), s.out)
			if s.err != syscall.EINTR {
				break
			}
		}
		s.sent = max(s.sent, 0)
		if s.err == syscall.EAGAIN {
			s.err = nil
		}
		return !s.wait || s.err != nil || s.sent < len(s.out)
	}
	for {
		n, err := syscall.Read(int(fd), s.in)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		}
		s.received = max(n, 0) // an error, or the end, comes again with the next read
		return true
	}
}
