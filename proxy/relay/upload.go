package relay

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"time"
)

// upload is a request's body on its way to the upstream, in a goroutine of its own, since the answer may come before it is
// through. conn.end waits for it.
type upload struct {
	c      *conn
	body   io.Reader
	length int64

	mu       sync.Mutex
	started  bool
	over     bool  // must not be started any more
	complete bool  // all of the body was sent
	err      error // the body could not be read
	done     chan struct{}
}

func newUpload(c *conn, q *Request) *upload {
	return &upload{c: c, body: q.Body, length: q.Length, done: make(chan struct{})}
}

func (u *upload) start() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.started || u.over {
		return
	}
	u.started = true
	go u.run(u.c)
}

// run must not touch more of c than its net.Conn.
func (u *upload) run(c *conn) {
	defer close(u.done)
	nc := c.nc
	buf := largeBuffers.Get().(*[largeBuffer]byte)
	defer largeBuffers.Put(buf)
	send := func(b []byte) bool {
		_, err := nc.Write(b)
		// An upstream that has had enough may have answered, and the answer counts; if it has not, reading will fail.
		return err == nil
	}
	const sizeRoom, endRoom = 8, 2 // "ffff\r\n" before a chunk, CRLF behind it
	var sent int64
	for u.length < 0 || sent < u.length {
		part := buf[sizeRoom : largeBuffer-endRoom]
		if u.length >= 0 {
			part = part[:min(int64(len(part)), u.length-sent)]
		}
		n, err := u.body.Read(part)
		if n > 0 {
			sent += int64(n)
			out := part[:n]
			if u.length < 0 {
				var size [sizeRoom]byte
				hex := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
				from := sizeRoom - len(hex)
				copy(buf[from:], hex)
				out = append(buf[from:sizeRoom+n], "\r\n"...)
			}
			if !send(out) {
				return
			}
		}
		switch {
		case err == io.EOF && u.length >= 0 && sent < u.length:
			err = io.ErrUnexpectedEOF
			fallthrough
		case err != nil && err != io.EOF:
			u.fail(err)
			return
		case err == io.EOF:
			if u.length < 0 && !send([]byte("0\r\n\r\n")) {
				return
			}
			u.through()
			return
		}
	}
	u.through()
}

func (u *upload) through() {
	u.mu.Lock()
	u.complete = true
	u.mu.Unlock()
}

// fail ends the exchange: the upstream must not take half a body for a whole one. Not so where the rest is not for it.
func (u *upload) fail(err error) {
	if errors.Is(err, ErrStop) {
		return
	}
	u.mu.Lock()
	u.err = &BodyError{err}
	u.mu.Unlock()
	_ = u.c.nc.Close()
}

// failure is why the body could not be read, if that is so.
func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// afterAnswer is how long the last bytes of a body may be on their way when all of the answer has come.
const afterAnswer = 50 * time.Millisecond

// finished says whether all was sent.
func (u *upload) finished() bool {
	u.mu.Lock()
	started, complete := u.started, u.complete
	u.over = true
	u.mu.Unlock()
	if !started || complete {
		return complete
	}
	timer := time.NewTimer(afterAnswer)
	defer timer.Stop()
	select {
	case <-u.done:
	case <-timer.C:
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.complete
}

// abandon waits for the goroutine of an upload whose connection is closed.
func (u *upload) abandon(events Events) {
	u.mu.Lock()
	started, complete := u.started, u.complete
	u.over = true
	u.mu.Unlock()
	if !started {
		return
	}
	if !complete {
		events.Abandoned()
	}
	<-u.done
}
