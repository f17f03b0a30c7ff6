package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// Response is the upstream's answer. It and all that it gives are valid until Close.
type Response struct {
	Code int
	// Fields are those of the head, as they came, with the fields of framing.
	Fields []Field
	// Announced are the names of the trailers that the head announces.
	Announced []string

	c       *conn
	left    int64 // of the body, or of the chunk; -1 up to the end of the connection
	chunked bool
	started bool // a chunk has been read
	reuse   bool
	done    bool // all of the body was received
	held    []byte
	heldErr error
	trailer []Field
}

// readAnswer reads heads until the final one. proceed lets the body go out, where it waits for leave.
func (c *conn) readAnswer(q *Request, proceed func()) error {
	limit := orElse(c.client.MaxHead, 1<<20)
	for {
		h, size, err := c.readHead(limit)
		if err != nil {
			return err
		}
		limit -= size
		switch {
		case h.code == 101:
			// A body on its way would become the first bytes of the other protocol.
			if q.Upgrade == "" || q.Body != nil || len(q.Whole) > 0 || !strings.EqualFold(h.upgrade, q.Upgrade) {
				return fmt.Errorf("the upstream switches to protocol %q, and %q was asked for", h.upgrade, q.Upgrade)
			}
			c.res = Response{Code: h.code, Fields: c.fields, c: c}
			return nil
		case h.code < 200:
			c.events.Informational(h.code, c.fields)
			if h.code == 100 && proceed != nil {
				proceed()
			}
			continue
		}
		c.res = Response{Code: h.code, Fields: c.fields, Announced: h.trailer, c: c, left: h.length, chunked: h.chunked, reuse: !h.close}
		switch {
		case q.Method == "HEAD" || h.code == 204 || h.code == 304:
			// A 204 that speaks of a body may well be followed by one.
			if h.code == 204 && (h.chunked || h.length > 0) {
				c.res.reuse = false
			}
			c.res.done = true
		case h.chunked:
			c.res.left = 0
		case h.length < 0:
			c.res.reuse = false
		case h.length == 0:
			c.res.done = true
		}
		return nil
	}
}

// Next gives the next piece of the body, valid until the next call, or io.EOF at its end. A body that breaks off is another
// error.
func (r *Response) Next() ([]byte, error) {
	if len(r.held) > 0 {
		piece := r.held
		r.held = nil
		return piece, nil
	}
	if r.heldErr != nil {
		return nil, r.heldErr
	}
	return r.next()
}

func (r *Response) next() ([]byte, error) {
	c := r.c
	if r.done {
		return nil, io.EOF
	}
	if r.chunked && r.left == 0 {
		if err := r.nextChunk(); err != nil {
			return nil, err
		}
		if r.done {
			return nil, io.EOF
		}
	}
	if c.r == c.w {
		c.events.Waiting()
		err := c.fill()
		if err == io.EOF && r.left < 0 {
			r.done = true
			return nil, io.EOF
		}
		if err != nil {
			return nil, unexpected(err)
		}
	}
	piece := c.buf[c.r:c.w]
	if r.left >= 0 {
		piece = piece[:min(int64(len(piece)), r.left)]
		r.left -= int64(len(piece))
		r.done = r.left == 0 && !r.chunked
	}
	c.r += len(piece)
	return piece, nil
}

const (
	maxChunkLine = 1 << 10
	maxTrailer   = 64 << 10
)

// nextChunk reads up to the data of the next chunk, or to the end of the body (RFC 9112, section 7.1).
func (r *Response) nextChunk() error {
	c := r.c
	line := func(limit int) ([]byte, error) {
		if bytes.IndexByte(c.buf[c.r:c.w], '\n') < 0 {
			c.events.Waiting()
		}
		return c.readLine(limit)
	}
	if r.started {
		if end, err := line(maxChunkLine); err != nil || len(end) > 0 {
			return errors.Join(errors.New("a chunk of the answer is longer than it says"), err)
		}
	}
	r.started = true
	text, err := line(maxChunkLine)
	if err != nil {
		return err
	}
	if r.left, err = chunkSize(text); err != nil || r.left > 0 {
		return err
	}
	var trailer strings.Builder
	for {
		text, err := line(maxTrailer - trailer.Len())
		if err != nil {
			return err
		}
		if len(text) == 0 {
			break
		}
		trailer.Write(text)
		trailer.WriteString("\r\n")
		if trailer.Len() > maxTrailer {
			return errTooLong
		}
	}
	r.trailer, err = parseFields(nil, trailer.String())
	r.done = err == nil
	return err
}

// chunkSize reads "1a" or "1a;extension".
func chunkSize(line []byte) (size int64, err error) {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	if len(digits) == 0 || len(digits) > 15 || !isValue(string(extension)) {
		return 0, fmt.Errorf("the answer has the chunk size %.40q", line)
	}
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, fmt.Errorf("the answer has the chunk size %.40q", line)
		}
		size = size<<4 | int64(c)
	}
	return size, nil
}

// Prefetch receives up to n bytes of the body and keeps them for Next. A body that ends with its connection ends where that
// broke, if it did so in this.
func (r *Response) Prefetch(n int) {
	for len(r.held) < n && r.heldErr == nil {
		piece, err := r.next()
		r.held = append(r.held, piece...)
		if r.heldErr = err; err != nil && err != io.EOF && r.left < 0 {
			r.heldErr, r.reuse = io.EOF, false
		}
	}
}

// Trailer gives the trailers after the end of the body.
func (r *Response) Trailer() []Field { return r.trailer }

// Hijack gives the connection of an answer 101, and what was received on it after the head. Close then leaves the connection
// alone.
func (r *Response) Hijack() (nc net.Conn, received []byte) {
	c := r.c
	received = bytes.Clone(c.buf[c.r:c.w])
	if c.unwatch == nil || c.unwatch() {
		c.unwatch = nil
		_ = c.nc.SetDeadline(noDeadline)
	}
	nc, c.nc = c.nc, taken{c.nc}
	return nc, received
}

// Close ends the exchange: the connection is kept for another one if all of the answer was received.
func (r *Response) Close() {
	c := r.c
	c.end(r.reuse && r.done && c.r == c.w)
}
