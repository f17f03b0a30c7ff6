package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Listener gives connections that read ahead. A server that reads in small steps, as net/http does with its 4 KiB, then needs one
// system call for a head of any size that came in one go.
type Listener struct{ net.Listener }

// Accept waits for the next connection.
func (l Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	socket, plain := Of(nc)
	if !plain {
		return nc, nil
	}
	c := &Conn{Conn: nc, socket: socket}
	c.readStep, c.fillStep, c.writeStep = c.stepRead, c.stepFill, c.stepWrite
	return c, nil
}

const (
	ahead     = 16 << 10
	mostAhead = 64 << 10 // for heads with a token that is longer than most
)

// aheads lend connections their buffers, for as long as these hold something that was not yet asked for. A connection that waits
// has none.
var (
	aheads     = sync.Pool{New: func() any { return new([ahead]byte) }}
	mostAheads = sync.Pool{New: func() any { return new([mostAhead]byte) }}
)

// Conn is a connection of a Listener.
type Conn struct {
	net.Conn
	socket syscall.RawConn

	reading  sync.Mutex
	readStep func(fd uintptr) bool // stepRead, bound once
	fillStep func(fd uintptr) bool
	buf      []byte // nil: nothing was read ahead
	r, w     int
	in       []byte
	inN      int
	inErr    syscall.Errno

	writing   sync.Mutex
	writeStep func(fd uintptr) bool
	out       []byte
	outN      int
	outErr    syscall.Errno
}

func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.buf == nil {
		c.in = p
		err := c.socket.Read(c.readStep)
		c.in = nil
		switch {
		case err != nil:
			return 0, c.wrap("read", err)
		case c.inErr != 0:
			return 0, c.wrap("read", os.NewSyscallError("read", c.inErr))
		case c.inN == 0:
			return 0, io.EOF
		case c.buf == nil:
			return c.inN, nil
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	if c.r += n; c.r == c.w {
		c.drop()
	}
	return n, nil
}

// stepRead reads into what was asked to be filled, or if that is small, ahead.
func (c *Conn) stepRead(fd uintptr) bool {
	if len(c.in) >= ahead {
		c.inN, c.inErr = read(fd, c.in)
		return c.inErr != syscall.EAGAIN
	}
	c.buf = aheads.Get().(*[ahead]byte)[:]
	c.inN, c.inErr = read(fd, c.buf)
	if c.inErr != 0 || c.inN == 0 {
		c.drop()
		return c.inErr != syscall.EAGAIN
	}
	c.r, c.w = 0, c.inN
	return true
}

func (c *Conn) drop() {
	if len(c.buf) == ahead {
		aheads.Put((*[ahead]byte)(c.buf))
	} else {
		mostAheads.Put((*[mostAhead]byte)(c.buf))
	}
	c.buf = nil
}

// ErrFull says that no more can be read ahead.
var ErrFull = errors.New("as much has been read ahead as there is room for")

// Fill waits for more bytes, up to 64 KiB in all, and gives all that were read ahead. They can be read, or looked at and skipped;
// what is given is valid until then, or until Fill is called again.
func (c *Conn) Fill() ([]byte, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.buf != nil && c.w == len(c.buf) {
		switch {
		case c.r > 0:
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		case c.w == mostAhead:
			return nil, ErrFull
		default:
			larger := mostAheads.Get().(*[mostAhead]byte)[:]
			copy(larger, c.buf)
			c.drop()
			c.buf = larger
		}
	}
	err := c.socket.Read(c.fillStep)
	switch {
	case err != nil:
		return nil, c.wrap("read", err)
	case c.inErr != 0:
		return nil, c.wrap("read", os.NewSyscallError("read", c.inErr))
	case c.inN == 0:
		return nil, io.EOF
	}
	return c.buf[c.r:c.w], nil
}

// stepFill reads behind what was read ahead.
func (c *Conn) stepFill(fd uintptr) bool {
	empty := c.buf == nil
	if empty {
		c.buf, c.r, c.w = aheads.Get().(*[ahead]byte)[:], 0, 0
	}
	c.inN, c.inErr = read(fd, c.buf[c.w:])
	if c.inErr != 0 || c.inN == 0 {
		if empty {
			c.drop()
		}
		return c.inErr != syscall.EAGAIN
	}
	c.w += c.inN
	return true
}

// Ahead gives what was read ahead, as Fill does, without waiting.
func (c *Conn) Ahead() []byte {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.buf == nil {
		return nil
	}
	return c.buf[c.r:c.w]
}

// Skip leaves out the first n of the bytes that were read ahead.
func (c *Conn) Skip(n int) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.buf == nil {
		return
	}
	if c.r = min(c.r+n, c.w); c.r == c.w {
		c.drop()
	}
}

func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	c.out, c.outN, c.outErr = p, 0, 0
	err := c.socket.Write(c.writeStep)
	c.out = nil
	switch {
	case err != nil:
		err = c.wrap("write", err)
	case c.outErr != 0:
		err = c.wrap("write", os.NewSyscallError("write", c.outErr))
	}
	return c.outN, err
}

func (c *Conn) stepWrite(fd uintptr) bool {
	for c.outN < len(c.out) {
		n, errno := write(fd, c.out[c.outN:])
		switch errno {
		case 0:
			c.outN += n
		case syscall.EAGAIN:
			return false
		default:
			c.outErr = errno
			return true
		}
	}
	return true
}

// CloseWrite tells the other side that nothing more will come.
func (c *Conn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// wrap makes errors look as those of package net do, which says what a RawConn was asked for.
func (c *Conn) wrap(op string, err error) error {
	if inner, ok := err.(*net.OpError); ok {
		err = inner.Err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
