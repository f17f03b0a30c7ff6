package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"authproxy/proxy/headers"
	"authproxy/proxy/plain"
	"authproxy/proxy/relay"
)

// direct is the forwarder over a relay.Client: heads are written from the client's request as it stands, and answers into the
// ResponseWriter as they come.
type direct struct {
	h *Handler
	// base is put before each path; host is the Host of requests that have none.
	base, host string
	flights    sync.Pool
}

func newDirect(h *Handler) *direct {
	d := &direct{h: h, host: h.host}
	if u := h.Upstream; u.Scheme != "unix" {
		d.base = strings.TrimSuffix(u.EscapedPath(), "/")
	}
	d.flights.New = func() any { return new(flight) }
	return d
}

// flight is what an exchange needs on this way, used again for another one when it is over.
type flight struct {
	d       *direct
	x       *exchange
	request relay.Request
	lines   int  // in request.Head
	unsent  bool // something was given to the ResponseWriter that it may hold back
}

var (
	errHead   = errors.New("the request cannot be written: it has a line end, or a NUL, where none may be")
	errClient = errors.New("the answer could not be written to the client")
)

func (d *direct) forward(w http.ResponseWriter, r *http.Request, x *exchange) {
	f := d.flights.Get().(*flight)
	f.d, f.x = d, x
	defer func() {
		*f = flight{request: relay.Request{Head: f.request.Head[:0]}}
		d.flights.Put(f)
	}()
	upgrade, ok := upgradeOf(r)
	if !ok {
		d.h.upstreamFailed(w, r, x, errors.New("the client asks for a protocol that is no name"))
		return
	}
	q := &f.request
	q.Method, q.Upgrade, q.Events = r.Method, upgrade, f
	q.Idempotent = idempotent(r)
	if x.upload != nil {
		q.Body, q.Length, q.Continue = x.upload, r.ContentLength, hasToken(r.Header["Expect"], "100-continue")
	} else if body, ok := r.Body.(*plain.Body); ok {
		q.Whole = body.Whole()
	}
	f.writeHead(r)
	x.sent = time.Now()
	if !f.sound() {
		d.h.upstreamFailed(w, r, x, errHead)
		return
	}
	res, err := d.h.Relay.Do(r.Context(), q)
	if err != nil {
		d.h.upstreamFailed(w, r, x, err)
		return
	}
	defer res.Close()
	if res.Code == http.StatusSwitchingProtocols {
		f.tunnel(w, r, res)
		return
	}
	if err := f.answer(w, res); err != nil {
		panic(http.ErrAbortHandler) // what was sent must not look whole
	}
}

// idempotent says whether a request may be sent twice, by its method (RFC 9110, section 9.2.2) or since the client says so. Of
// the methods, only those count that net/http takes for such: what services make of PUT and DELETE varies.
func idempotent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

// writeHead writes request line and fields: the client's own, but for the identity headers and the base path. Path and query go
// on as they came, since services give meaning to "//", "..", %2F and ";", and so does Host, of which they make links.
func (f *flight) writeHead(r *http.Request) {
	b := append(f.request.Head[:0], r.Method...)
	b = append(b, ' ')
	if opaque := r.URL.Opaque; opaque != "" { // "GET mailto:x HTTP/1.1"
		if strings.HasPrefix(opaque, "//") {
			b = append(append(b, f.d.h.scheme...), ':')
		}
		b = append(b, opaque...)
	} else {
		b = append(b, f.d.base...)
		path := r.URL.EscapedPath()
		if path == "" && f.d.base == "" {
			path = "/"
		}
		b = append(b, path...)
	}
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		b = append(b, '?')
		b = append(b, r.URL.RawQuery...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if host := withoutZone(r.Host); host != "" && isASCII(host) {
		b = append(b, host...)
	} else {
		b = append(b, f.d.host...)
	}
	b = append(b, "\r\n"...)
	f.request.Head, f.lines = b, 2
	f.d.h.pass(r, f.x.verdict.anonymous != "", f)

	var n int
	switch v := &f.x.verdict; {
	case v.anonymous != "":
	case v.user != nil:
		f.request.Head, n = v.user.Append(f.request.Head)
		f.lines += n
	default:
		f.request.Head, n = headers.AppendInvalid(f.request.Head)
		f.lines += n
	}
	switch v := &f.x.verdict; {
	case v.service != nil:
		f.request.Head, n = v.service.Append(f.request.Head)
		f.lines += n
	case v.serviceErr != nil:
		f.request.Head, n = headers.AppendServiceInvalid(f.request.Head)
		f.lines += n
	}
}

// withoutZone takes the zone off an IPv6 address, which means something on the machine of the client alone.
func withoutZone(host string) string {
	if !strings.HasPrefix(host, "[") {
		return host
	}
	zone, end := strings.LastIndexByte(host, '%'), strings.LastIndexByte(host, ']')
	if zone < 0 || end < zone {
		return host
	}
	return host[:zone] + host[end:]
}

// isASCII is false for what may stand in a URL as a host, but not in a Host header.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// add writes a field of the head.
func (f *flight) add(name, value string) {
	b := append(f.request.Head, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	f.request.Head = append(b, "\r\n"...)
	f.lines++
}

// sound says whether the head has as many lines as were written, so that no value has made one of its own. What the server in
// front has parsed cannot have; nothing of this is left to it alone.
func (f *flight) sound() bool {
	b := f.request.Head
	return bytes.Count(b, []byte{'\n'}) == f.lines && bytes.Count(b, []byte{'\r'}) == f.lines && bytes.IndexByte(b, 0) < 0
}

// answer passes an answer on.
func (f *flight) answer(w http.ResponseWriter, res *relay.Response) error {
	x, header := f.x, w.Header()
	setFields(header, res.Fields)
	f.d.h.answered(x, res.Code, header)
	if res.Code >= 400 && x.upload != nil && x.upload.stalls() {
		res.Prefetch(heldBody)
		f.d.h.drop(x)
	}
	if len(res.Announced) > 0 {
		header.Add("Trailer", strings.Join(res.Announced, ", "))
	}
	w.WriteHeader(res.Code)
	f.unsent = true
	for {
		piece, err := res.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(piece); err != nil {
			return errClient
		}
		f.unsent = true
	}
	if trailer := res.Trailer(); len(trailer) > 0 {
		// By this the body is chunked, short as it may be: others have no trailers.
		if err := http.NewResponseController(w).Flush(); err != nil {
			return errClient
		}
		prefix := http.TrailerPrefix
		if announcedAll(res.Announced, trailer) {
			prefix = ""
		}
		for _, t := range trailer {
			header[prefix+t.Name] = append(header[prefix+t.Name], t.Value)
		}
	}
	return nil
}

func announcedAll(names []string, trailer []relay.Field) bool {
next:
	for _, t := range trailer {
		for _, name := range names {
			if name == t.Name {
				continue next
			}
		}
		return false
	}
	return true
}

// setFields writes the fields of an answer, but for those of the connection that it came by.
func setFields(header http.Header, fields []relay.Field) {
	values := make([]string, len(fields))
	listed := []string(nil)
	for _, field := range fields {
		if field.Name == "Connection" {
			listed = append(listed, field.Value)
		}
	}
	for i, field := range fields {
		switch field.Name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
			"Transfer-Encoding", "Upgrade":
			continue
		}
		if len(listed) > 0 && isListed(listed, field.Name) {
			continue
		}
		if before, ok := header[field.Name]; ok {
			header[field.Name] = append(before, field.Value)
			continue
		}
		values[i] = field.Value
		header[field.Name] = values[i : i+1 : i+1]
	}
}

// Informational passes a 1xx answer on.
func (f *flight) Informational(code int, fields []relay.Field) {
	header := f.x.w.Header()
	setFields(header, fields)
	f.x.w.WriteHeader(code)
	clear(header) // they are not for the answer that follows
}

// Waiting sends the client what there is.
func (f *flight) Waiting() {
	if f.unsent {
		f.unsent = false
		_ = http.NewResponseController(f.x.w).Flush() // a client that is gone is noticed when it is next written to
	}
}

// Abandoned frees a reader of the client's body, in the end.
func (f *flight) Abandoned() {
	_ = http.NewResponseController(f.x.w).SetReadDeadline(time.Now().Add(f.d.h.DrainTime))
}

// tunnel hands a connection that has switched protocols through, until one side is done with it.
func (f *flight) tunnel(w http.ResponseWriter, r *http.Request, res *relay.Response) {
	header := w.Header()
	for _, field := range res.Fields {
		header.Add(field.Name, field.Value)
	}
	f.d.h.answered(f.x, res.Code, header)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		f.d.h.upstreamFailed(w, r, f.x, err)
		return
	}
	back, received := res.Hijack()
	closeBoth := func() { _, _ = client.Close(), back.Close() }
	defer closeBoth()
	stop := context.AfterFunc(r.Context(), closeBoth)
	defer stop()

	_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = header.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	if _, err := buffered.Write(received); err != nil || buffered.Flush() != nil {
		return
	}
	ends := make(chan error, 2)
	var copies sync.WaitGroup
	copies.Go(func() { ends <- passOn(back, buffered.Reader) })
	copies.Go(func() { ends <- passOn(client, back) })
	if err := <-ends; err == nil {
		<-ends
	}
	closeBoth()
	copies.Wait()
}

var errHalfOpen = errors.New("one side is done, and there is no way to tell the other")

// passOn copies to the end, and passes the end on. An error says that the other direction has no use any more.
func passOn(to net.Conn, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errHalfOpen
}
