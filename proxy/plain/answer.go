package plain

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// answer is the ResponseWriter of a plain request. What it writes is what net/http's does for a request of HTTP/1.1 whose
// body, if any, was read.
type answer struct {
	c      *conn
	r      *http.Request
	header http.Header

	room  *[outRoom]byte // nil before anything was written
	out   []byte         // what was not sent yet, up to its capacity
	held  []byte         // the beginning of a body for which the framing is not chosen yet; its capacity is used only then
	begun bool           // the head is complete, in out or sent
	over  bool           // the Handler has returned
	close bool           // the connection is not to be used again

	status  int // 0 before WriteHeader
	length  int64
	written int64
	chunked bool
	// Of the header when WriteHeader was called.
	hasType, hasDate, hasEncoding bool
	transferEncoding              string
	connection                    string // of ours, "" for none
	mayTrail                      bool
	trailers                      []string

	readDeadline, writeDeadline bool // were set by the Handler
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

var errOver = errors.New("the request is over")

// WriteHeader writes down status line and header as they are now. The fields that hang on the body come later.
func (a *answer) WriteHeader(code int) {
	switch {
	case a.over:
		return
	case a.status != 0:
		a.c.logf("http: superfluous response.WriteHeader call for status %d, after %d", code, a.status)
		return
	case code < 100 || code > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", code))
	case code < 200 && code != http.StatusSwitchingProtocols:
		a.statusLine(code)
		a.fields(a.header, false)
		a.out = append(a.out, "\r\n"...)
		_ = a.flush() // whether the client is there is noticed later
		return
	}
	a.status, a.length = code, -1
	h := a.header
	if text := first(h, "Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && n >= 0 {
			a.length = n
		} else {
			a.c.logf("http: invalid Content-Length of %q", text)
			delete(h, "Content-Length")
		}
	}
	_, a.hasType = h["Content-Type"]
	_, a.hasDate = h["Date"]
	a.hasEncoding = first(h, "Content-Encoding") != ""
	a.transferEncoding = first(h, "Transfer-Encoding")
	for _, list := range h["Trailer"] {
		a.mayTrail = true
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)); mayBeTrailer(name) {
				a.trailers = append(a.trailers, name)
			}
		}
	}
	for name := range h {
		a.mayTrail = a.mayTrail || strings.HasPrefix(name, http.TrailerPrefix)
	}
	if first(h, "Connection") == "close" {
		a.close = true
	}
	if a.c.l.isClosed.Load() && code != http.StatusSwitchingProtocols {
		a.close, a.connection = true, "close"
	}
	if a.transferEncoding == "identity" && a.length < 0 && a.hasBody() {
		a.close = true
		if !strings.EqualFold(first(h, "Connection"), "close") {
			a.connection = "close"
		}
	}
	a.statusLine(code)
	a.fields(h, true)
}

// bodyAllowed says whether an answer of this status may have a body (RFC 9110, section 6.4.1).
func (a *answer) bodyAllowed() bool {
	return a.status >= 200 && a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

func (a *answer) hasBody() bool { return a.bodyAllowed() && a.r.Method != http.MethodHead }

// outRoom is how much of an answer may wait for the rest of it, in bytes.
const outRoom = 8 << 10

// outs are lent to answers from their first byte on: a request that others work on needs none.
var outs = sync.Pool{New: func() any { return new([outRoom]byte) }}

func (a *answer) statusLine(code int) {
	if a.room == nil {
		a.room = outs.Get().(*[outRoom]byte)
		a.out = a.room[:0]
	}
	a.out = append(a.out, "HTTP/1.1 "...)
	if text := http.StatusText(code); text != "" {
		a.out = strconv.AppendInt(a.out, int64(code), 10)
		a.out = append(append(append(a.out, ' '), text...), "\r\n"...)
		return
	}
	a.out = fmt.Appendf(a.out, "%03d status code %d\r\n", code, code)
}

// fields writes a header, sorted by name, without what begin writes anew. final is false for informational answers.
func (a *answer) fields(h http.Header, final bool) {
	var room [24]string
	names := room[:0]
	for name := range h {
		if final && a.leftOut(name) || !final && (name == "Content-Length" || name == "Transfer-Encoding") {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !isToken(name) {
			continue
		}
		for _, value := range h[name] {
			a.field(name, value)
		}
	}
}

func (a *answer) field(name, value string) {
	a.out = append(append(a.out, name...), ": "...)
	value = textproto.TrimString(value)
	for i := range len(value) {
		if value[i] == '\r' || value[i] == '\n' {
			value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
			value = textproto.TrimString(value)
			break
		}
	}
	a.out = append(append(a.out, value...), "\r\n"...)
}

func (a *answer) leftOut(name string) bool {
	switch name {
	case "Content-Length":
		return !a.bodyAllowed() || a.length >= 0 && a.contradicts()
	case "Transfer-Encoding":
		if !a.hasBody() {
			return true
		}
		return a.length >= 0 && !a.contradicts() || a.transferEncoding == "identity" || a.transferEncoding == "chunked"
	case "Content-Type":
		return a.status == http.StatusNotModified
	case "Connection":
		return a.connection != ""
	}
	return strings.HasPrefix(name, http.TrailerPrefix)
}

// contradicts says whether a Handler has set both a length and another framing.
func (a *answer) contradicts() bool {
	return a.transferEncoding != "" && a.transferEncoding != "identity"
}

// holdBack is how much of a body may come before its framing is chosen: one that ends before is sent with its length.
const holdBack = 2 << 10

func (a *answer) Write(p []byte) (int, error) {
	if a.over {
		return 0, errOver
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !a.bodyAllowed() {
		return 0, http.ErrBodyNotAllowed
	}
	a.written += int64(len(p))
	if a.length >= 0 && a.written > a.length {
		return 0, http.ErrContentLength
	}
	if !a.begun {
		if len(a.held)+len(p) <= holdBack && a.length < 0 {
			a.held = append(a.held, p...)
			return len(p), nil
		}
		if err := a.begin(p, false); err != nil {
			return 0, err
		}
	}
	if err := a.body(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// begin completes the head; p is what of the body comes after that which is held. With whole, nothing more comes.
func (a *answer) begin(p []byte, whole bool) error {
	a.begun = true
	head := a.held
	if len(head) == 0 {
		head = p
	}
	contentLength := int64(-1)
	if whole && !a.mayTrail && a.transferEncoding == "" && a.bodyAllowed() && a.length < 0 && (a.r.Method != http.MethodHead || len(a.held) > 0) {
		contentLength = int64(len(a.held))
		a.length = contentLength
	}
	if !a.hasDate {
		a.out = append(append(append(a.out, "Date: "...), date(time.Now())...), "\r\n"...)
	}
	if contentLength >= 0 {
		a.out = append(a.out, "Content-Length: "...)
		a.out = append(strconv.AppendInt(a.out, contentLength, 10), "\r\n"...)
	}
	if a.bodyAllowed() && !a.hasType && !a.hasEncoding && a.transferEncoding == "" && len(head) > 0 {
		a.field("Content-Type", http.DetectContentType(head))
	}
	if a.connection != "" {
		a.field("Connection", a.connection)
	}
	if a.hasBody() && (a.length < 0 || a.contradicts()) && a.transferEncoding != "identity" {
		a.chunked = true
		a.out = append(a.out, "Transfer-Encoding: chunked\r\n"...)
	}
	a.out = append(a.out, "\r\n"...)
	held := a.held
	a.held = nil
	if len(held) == 0 {
		return nil
	}
	return a.body(held)
}

// body sends a part of a body, or keeps it where there is room.
func (a *answer) body(p []byte) error {
	if a.r.Method == http.MethodHead {
		return nil
	}
	if a.chunked {
		a.out = append(strconv.AppendInt(a.out, int64(len(p)), 16), "\r\n"...)
	}
	if room := cap(a.out) - len(a.out) - 2; len(p) > room {
		// Two system calls, whether or not the first takes as much as it can.
		if room > 0 {
			a.out = append(a.out, p[:room]...)
			p = p[room:]
		}
		if err := a.flush(); err != nil {
			return err
		}
		if len(p) > cap(a.out)/2 {
			if err := a.send(p); err != nil {
				return err
			}
			p = nil
		}
	}
	a.out = append(a.out, p...)
	if a.chunked {
		a.out = append(a.out, "\r\n"...)
	}
	return nil
}

func (a *answer) flush() error {
	if len(a.out) == 0 {
		return nil
	}
	b := a.out
	a.out = a.out[:0]
	return a.send(b)
}

func (a *answer) send(b []byte) error {
	_, err := a.c.nc.Write(b)
	if err != nil {
		a.close = true
		_ = a.c.nc.Close()
	}
	return err
}

func (a *answer) Flush() { _ = a.FlushError() } // of http.Flusher

// FlushError sends what there is.
func (a *answer) FlushError() error {
	if a.over {
		return errOver
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.begun {
		if err := a.begin(nil, false); err != nil {
			return err
		}
	}
	return a.flush()
}

// WriteString is Write, for io.WriteString.
func (a *answer) WriteString(s string) (int, error) { return a.Write([]byte(s)) }

// SetReadDeadline and SetWriteDeadline are for http.ResponseController; they count for this request.
func (a *answer) SetReadDeadline(t time.Time) error {
	a.readDeadline = true
	return a.c.nc.SetReadDeadline(t)
}

func (a *answer) SetWriteDeadline(t time.Time) error {
	a.writeDeadline = true
	return a.c.nc.SetWriteDeadline(t)
}

// finish sends the rest. Where the Handler has not come to its end, the answer is left as it is: it must not look whole.
func (a *answer) finish(whole bool) {
	defer func() {
		if a.room != nil {
			outs.Put(a.room)
		}
		a.over, a.room, a.out, a.held = true, nil, nil, nil
	}()
	if !whole {
		return
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.begun && a.begin(nil, true) != nil {
		return
	}
	if a.chunked {
		a.out = append(a.out, "0\r\n"...)
		a.writeTrailers()
		a.out = append(a.out, "\r\n"...)
	}
	_ = a.flush()
	if a.hasBody() && a.length >= 0 && a.length != a.written {
		a.close = true // or the next answer would be taken for the rest of this one
	}
}

func (a *answer) writeTrailers() {
	if !a.mayTrail && len(a.header) == 0 {
		return
	}
	var trailer http.Header
	add := func(name string, values []string) {
		if trailer == nil {
			trailer = http.Header{}
		}
		trailer[name] = append(trailer[name], values...)
	}
	for name, values := range a.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			add(name, values)
		}
	}
	for _, name := range a.trailers {
		add(name, a.header[name])
	}
	a.trailer(trailer)
}

func (a *answer) trailer(h http.Header) {
	names := make([]string, 0, len(h))
	for name := range h {
		if isToken(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			a.field(name, value)
		}
	}
}

// mayBeTrailer is false for fields that say something about the message before it is read (RFC 9110, section 6.5.1).
func mayBeTrailer(name string) bool {
	if strings.HasPrefix(name, "If-") {
		return false
	}
	switch name {
	case "", "Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
		"Expect", "Host", "Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Range", "Realm", "Te", "Trailer", "Transfer-Encoding", "Www-Authenticate":
		return false
	}
	return true
}

func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// isToken says whether a name is one (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; kinds[c] == 0 || kinds[c]&nameByte == 0 && strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

var _ io.StringWriter = (*answer)(nil)

// dated is a second as a Date says it.
type dated struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dated]

// date is the value of Date for a time (RFC 9110, section 5.6.7), made once a second.
func date(t time.Time) string {
	if d := lastDate.Load(); d != nil && d.second == t.Unix() {
		return d.text
	}
	d := &dated{t.Unix(), t.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}
