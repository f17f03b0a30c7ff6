package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"authproxy/proxy/socket"
)

// conn is a connection to the upstream, and the exchange that is under way on it.
type conn struct {
	client *Client
	nc     net.Conn
	// socket is what lies below nc; nil where it is not to be had. Where nc is it, requests are sent and answers received by
	// swap.
	socket syscall.RawConn
	plain  bool
	swap   socket.Swap
	step   func(fd uintptr) bool // swap.Step, bound once
	room   func() []byte         // makeRoom, bound once

	since time.Time // waiting in the pool since
	epoch int64     // of the Client when it was begun

	// Of the exchange under way.
	ctx      context.Context
	started  time.Time
	armed    time.Time   // the read deadline that is set; zero for none
	unwatch  func() bool // not nil: the end of ctx ends reads and writes
	sent     int         // bytes of the head
	answered bool        // a byte of the answer has come
	buf      []byte      // buf[r:w] is what was received and not yet used; nil before anything came
	r, w     int
	full     bool // the last read filled buf
	upload   *upload
	fields   []Field
	res      Response
	events   Events
}

func newConn(client *Client, nc net.Conn) *conn {
	c := &conn{client: client, nc: nc}
	c.socket, c.plain = socket.Of(nc)
	c.step, c.room = c.swap.Step, c.makeRoom
	return c
}

const (
	smallBuffer = 16 << 10
	largeBuffer = 64 << 10
)

// Buffers belong to answers, not to connections: one that waits for its next request has none, and neither has one without TLS that
// waits for the answer to a request in one piece.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// makeRoom is for the first bytes of an answer.
func (c *conn) makeRoom() []byte {
	c.buf = smallBuffers.Get().(*[smallBuffer]byte)[:]
	return c.buf
}

func release(b []byte) {
	switch cap(b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(b[:largeBuffer]))
	}
}

// do sends a request and reads the head of the answer into c.res.
func (c *conn) do(ctx context.Context, q *Request) error {
	c.ctx, c.events, c.started = ctx, q.Events, time.Now()
	c.buf, c.r, c.w, c.full = nil, 0, 0, false
	c.sent, c.answered, c.upload = 0, false, nil

	framed := c.frame(q.Head, q)
	q.Head = framed[:len(q.Head)] // for another attempt, with the room that was made
	if err := c.send(framed, q.Body == nil); err != nil {
		return err
	}
	var proceed func()
	if q.Body != nil {
		c.upload = newUpload(c, q)
		proceed = c.upload.start
		if q.Continue {
			timer := time.AfterFunc(orElse(c.client.ContinueTimeout, 30*time.Second), proceed)
			defer timer.Stop()
		} else {
			proceed()
		}
	}
	err := c.readAnswer(q, proceed)
	if err != nil && c.upload != nil {
		if failure := c.upload.failure(); failure != nil {
			return failure
		}
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	return err
}

// frame adds to a head what says where the body ends and what becomes of the connection, and the body that is in memory.
func (c *conn) frame(head []byte, q *Request) []byte {
	switch {
	case q.Body != nil && q.Length < 0:
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	case q.Body != nil:
		head = appendLength(head, q.Length)
	case len(q.Whole) > 0:
		head = appendLength(head, int64(len(q.Whole)))
	case q.Method == "POST" || q.Method == "PUT" || q.Method == "PATCH":
		head = append(head, "Content-Length: 0\r\n"...)
	}
	switch {
	case q.Upgrade != "":
		head = append(head, "Connection: Upgrade\r\nUpgrade: "...)
		head = append(head, q.Upgrade...)
		head = append(head, "\r\n"...)
	case c.client.DisableKeepAlives:
		head = append(head, "Connection: close\r\n"...)
	}
	return append(append(head, "\r\n"...), q.Whole...)
}

func appendLength(head []byte, n int64) []byte {
	return append(strconv.AppendInt(append(head, "Content-Length: "...), n, 10), "\r\n"...)
}

// send writes the head; with wait it also waits for the first bytes of the answer, which saves trying to read them too early.
func (c *conn) send(head []byte, wait bool) error {
	if !c.plain {
		if c.socket != nil && !socket.Quiet(c.socket) {
			return errStale
		}
		c.watch() // TLS has no step that can be interrupted without harm
		n, err := c.nc.Write(head)
		c.sent = n
		return err
	}
	c.swap = socket.Swap{Out: head, Wait: wait, Room: c.room}
	for {
		c.arm()
		err := c.socket.Read(c.step)
		c.sent = c.swap.Sent
		if err == nil {
			break
		}
		if !c.lapsed(err) {
			return err
		}
	}
	if c.swap.Stale {
		return errStale
	}
	if c.swap.Err != nil && c.sent == 0 {
		return c.swap.Err
	}
	// Whatever went wrong with the rest, an upstream that refuses what it reads may have answered all the same.
	if rest := head[c.sent:]; len(rest) > 0 && c.swap.Err == nil {
		c.watch()
		n, err := c.nc.Write(rest)
		c.sent += n
		if err != nil && c.ctx.Err() != nil {
			return err
		}
	}
	c.received(c.swap.Received)
	return nil
}

// received notes n more bytes behind c.w.
func (c *conn) received(n int) {
	c.w += n
	c.full = n > 0 && c.w == len(c.buf)
	c.answered = c.answered || n > 0
}

// fill receives more. Room is made for it up to the size of the largest buffer; a head, which must be in one piece, may be
// larger.
func (c *conn) fill() error {
	if c.buf == nil {
		c.makeRoom()
	}
	if c.r == c.w {
		c.r, c.w = 0, 0
		if c.full && len(c.buf) < largeBuffer {
			release(c.buf)
			c.buf = largeBuffers.Get().(*[largeBuffer]byte)[:]
		}
	}
	if c.w == len(c.buf) {
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		} else {
			larger := make([]byte, 2*len(c.buf))
			c.w = copy(larger, c.buf[:c.w])
			release(c.buf)
			c.buf = larger
		}
	}
	for {
		c.arm()
		n, err := c.nc.Read(c.buf[c.w:])
		if n > 0 {
			c.received(n)
			return nil
		}
		if err == nil {
			continue
		}
		if !c.lapsed(err) {
			return err
		}
	}
}

// grace is how long an upstream may take before somebody looks whether its client is still there. Most have answered by then,
// and to look costs as much as much of the rest.
const grace = 100 * time.Millisecond

// arm sets a deadline for reading, unless one is set: it costs something, so it is left in place for the next exchanges, and
// comes too early for them. The context is not asked for its Done before that: one of package plain begins to look after the client
// then.
func (c *conn) arm() {
	if c.unwatch != nil {
		return
	}
	now := time.Now()
	if now.Sub(c.started) >= grace { // also where something comes all the time, and no read ever waits
		c.watch()
		return
	}
	if c.armed.After(now) {
		return
	}
	c.armed = now.Add(2 * grace)
	_ = c.nc.SetReadDeadline(c.armed) // fails only where reading does
}

// lapsed says whether a read failed only because of the deadline that arm has set. If this exchange has taken so long, from now
// on the end of its context ends it.
func (c *conn) lapsed(err error) bool {
	if c.unwatch != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if time.Since(c.started) < grace {
		c.armed = c.started.Add(grace)
		_ = c.nc.SetReadDeadline(c.armed)
		return true
	}
	c.watch()
	return true
}

// watch lets the end of the context end reads and writes.
func (c *conn) watch() {
	if c.unwatch != nil {
		return
	}
	c.armed = time.Time{}
	_ = c.nc.SetReadDeadline(time.Time{})
	nc := c.nc
	c.unwatch = context.AfterFunc(c.ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// readLine gives the next line without its CRLF, valid until more is received.
func (c *conn) readLine(limit int) ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(c.buf[c.r+seen:c.w], '\n'); i >= 0 {
			i += seen
			line := c.buf[c.r : c.r+i]
			c.r += i + 1
			if i == 0 || line[i-1] != '\r' {
				return nil, errBareLF
			}
			if i > limit {
				return nil, errTooLong
			}
			return line[:i-1], nil
		}
		if seen = c.w - c.r; seen > limit {
			return nil, errTooLong
		}
		if err := c.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// end gives the connection back to the pool, or closes it. The upload has ended when it returns.
func (c *conn) end(reuse bool) {
	if c.upload != nil && !c.upload.finished() {
		reuse = false
	}
	if c.unwatch != nil {
		if !c.unwatch() {
			reuse = false // deadlines are being set, or have been
		}
		c.unwatch = nil
	}
	release(c.buf)
	c.buf, c.ctx = nil, nil
	events, up := c.events, c.upload
	c.events, c.upload, c.res.trailer = nil, nil, nil
	c.swap = socket.Swap{}
	if reuse && c.client.put(c) { // from here on another request may have it
		return
	}
	_ = c.nc.Close()
	if up != nil {
		up.abandon(events)
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var noDeadline time.Time

// taken is the place of a connection that was given away.
type taken struct{ net.Conn }

func (taken) Close() error { return nil }
