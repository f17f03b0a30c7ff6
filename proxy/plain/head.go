package plain

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

const (
	// maxFields bounds the fields of a plain request.
	maxFields = 32
	// ownString is the length from which a value is a string of its own. What is kept of a request for long, a token, then holds
	// no more memory than it has bytes.
	ownString = 128
)

// head is the head of a plain request as it stands in the buffer that it was read into.
type head struct {
	method, target, host []byte
	size                 int // in bytes, with the blank line
	body                 int // Content-Length; the body stands behind the head
	fields               [maxFields]field
	n                    int // of fields
	small                int // bytes of target, host and fields that share a string
}

// field is a header field other than Host, without the blanks around its value.
type field struct {
	name, text []byte
	known      string // text as a string, where there is one from the request before
}

type finding int

const (
	plainHead   finding = iota // and all of the body, if it has one
	partial                    // a head that has no end yet
	partialBody                // a head, and not yet all of the body
	other                      // for net/http to judge
)

// maxBody bounds the body of a plain request, which is handed on in one piece, in bytes.
const maxBody = 8 << 10

// authToken begins the line of which the value is looked at only once where it comes again: it is most of a head.
const authToken = "X-Auth-Token: "

// parse looks for a plain head at the beginning of data, which last, the longest value of the request before, may stand in again.
//
// It accepts less than net/http does, and nothing that net/http does not: HTTP/1.1, a common method, a path for a target, one
// Host, lines ended by CRLF, names of letters, digits and dashes, values of visible ASCII, blanks and tabs. No field may be one
// that says how the body is framed or what becomes of the connection, but for "Connection: keep-alive" and one Content-Length: of
// at most maxBody where the method has a body, in digits without a zero in front, and of 0 elsewhere.
func (h *head) parse(data []byte, last string) finding {
	h.n, h.small, h.host, h.body = 0, 0, nil, 0
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return partial
	}
	if !h.requestLine(data[:end]) {
		return other
	}
	framed := false
	for at := end + 1; ; at += end + 1 {
		rest, same := data[at:], 0
		if last != "" && len(rest) > len(authToken)+len(last) && string(rest[:len(authToken)]) == authToken &&
			string(rest[len(authToken):len(authToken)+len(last)]) == last {
			same = len(authToken) + len(last)
		}
		if end = bytes.IndexByte(rest[same:], '\n'); end < 0 {
			return partial
		}
		if end += same; end == 0 || rest[end-1] != '\r' {
			return other
		}
		if end == 1 {
			h.size = at + 2
			break
		}
		if h.n == maxFields {
			return other
		}
		line := rest[:end-1]
		if same > 0 && same == len(line) {
			h.fields[h.n] = field{name: line[:len(authToken)-2], text: line[len(authToken):], known: last}
			h.n++
			continue
		}
		name, text, ok := bytes.Cut(line, []byte{':'})
		if !ok || !isName(name) {
			return other
		}
		if text = trim(text); !isValue(text) {
			return other
		}
		switch kindOf(name) {
		case hostField:
			if h.host != nil || !isHost(text) {
				return other
			}
			h.host = text
			h.small += len(text)
			continue
		case connectionField:
			if !equalFold(text, "keep-alive") {
				return other
			}
		case lengthField:
			var ok bool
			if h.body, ok = parseLength(text); !ok || framed || h.body > 0 && !mayHaveBody(h.method) {
				return other
			}
			framed = true
		case difficultField:
			return other
		}
		h.fields[h.n] = field{name: name, text: text}
		h.n++
		h.small += len(name)
		if len(text) < ownString {
			h.small += len(text)
		}
	}
	switch {
	case h.host == nil:
		return other
	case len(data)-h.size < h.body:
		return partialBody
	}
	return plainHead
}

// parseLength reads a Content-Length of at most maxBody.
func parseLength(text []byte) (n int, ok bool) {
	if len(text) == 0 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = 10*n + int(c-'0'); n > maxBody {
			return 0, false
		}
	}
	return n, true
}

// mayHaveBody is false for the methods of which bodies mean nothing (RFC 9110, section 9.3), so that servers treat them differently.
func mayHaveBody(method []byte) bool {
	switch string(method) {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return false
}

// requestLine takes a line with its CR.
func (h *head) requestLine(line []byte) bool {
	line, ok := bytes.CutSuffix(line, []byte(" HTTP/1.1\r"))
	if !ok {
		return false
	}
	h.method, h.target, ok = bytes.Cut(line, []byte{' '})
	if !ok || methodOf(h.method) == "" || len(h.target) == 0 || h.target[0] != '/' || !isTarget(h.target) {
		return false
	}
	h.small += len(h.target)
	return true
}

// methodOf is "" for a method that is not common.
func methodOf(b []byte) string {
	switch string(b) {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPost:
		return http.MethodPost
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPatch:
		return http.MethodPatch
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodOptions:
		return http.MethodOptions
	}
	return ""
}

type fieldKind int

const (
	common fieldKind = iota
	hostField
	connectionField
	lengthField
	difficultField
)

// kindOf knows the names that say something to a server of HTTP/1.1.
func kindOf(name []byte) fieldKind {
	var folded [len("transfer-encoding")]byte
	if len(name) > len(folded) {
		return common
	}
	for i, c := range name {
		folded[i] = c | 0x20 // of letters; digits and dashes have this bit
	}
	switch string(folded[:len(name)]) {
	case "host":
		return hostField
	case "connection":
		return connectionField
	case "content-length":
		return lengthField
	case "transfer-encoding", "trailer", "te", "expect", "upgrade", "http2-settings", "keep-alive", "proxy-connection",
		"pragma": // of which net/http makes a Cache-Control
		return difficultField
	}
	return common
}

const (
	nameByte   = 1 << iota // letters, digits, dash
	hostByte               // those of names and addresses, with port
	pathByte               // what a path has as it is
	targetByte             // what else a target may have
)

var kinds = func() (t [256]byte) {
	for c := byte('!'); c <= '~'; c++ {
		t[c] = targetByte
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if digit := '0' <= c && c <= '9'; letter || digit || c == '-' {
			t[c] |= nameByte | hostByte | pathByte
		}
		if strings.IndexByte(".:[]", c) >= 0 {
			t[c] |= hostByte
		}
		if strings.IndexByte("._~/", c) >= 0 {
			t[c] |= pathByte
		}
	}
	return t
}()

func all(b []byte, kind byte) bool {
	for _, c := range b {
		if kinds[c]&kind == 0 {
			return false
		}
	}
	return true
}

func isName(b []byte) bool   { return len(b) > 0 && all(b, nameByte) }
func isHost(b []byte) bool   { return len(b) > 0 && all(b, hostByte) }
func isTarget(b []byte) bool { return all(b, targetByte) }

// isValue says whether there is nothing but visible ASCII, blanks and tabs: 8 bytes at a time, as far as these have no tab.
func isValue(b []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		// A byte below 0x20 borrows in the first difference, one of 0x7f in the second, which has a zero where it stands.
		if d := w ^ ones*0x7f; ((w-ones*0x20)|(d-ones)|w)&tops != 0 && !visible(b[:8]) {
			return false
		}
	}
	return visible(b)
}

func visible(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c != lower[i] && (c < 'A' || c > 'Z' || c|0x20 != lower[i]) {
			return false
		}
	}
	return true
}

// fill makes the request of a head. It is false for one that is not plain after all: with a field that comes twice, or a target
// that is no URL. longest is the token, if it is long; near, which may be nil, is Listener.Near.
func (h *head) fill(r *http.Request, u *url.URL, values []string, near func([]byte) string) (longest string, ok bool) {
	// The small parts share one string, since each allocation costs as much as much of the parsing.
	var b strings.Builder
	b.Grow(h.small)
	b.Write(h.target)
	b.Write(h.host)
	for i := range h.n {
		f := &h.fields[i]
		if f.known != "" {
			continue
		}
		b.Write(f.name)
		if len(f.text) < ownString {
			b.Write(f.text)
		}
	}
	rest := b.String()
	cut := func(n int) string {
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	r.Method, r.RequestURI = methodOf(h.method), cut(len(h.target))
	if r.URL, ok = parseTarget(r.RequestURI, u); !ok {
		return "", false
	}
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Host, r.Body, r.ContentLength = cut(len(h.host)), http.NoBody, int64(h.body)
	r.Header = make(http.Header, h.n)
	if h.n > len(values) {
		values = make([]string, h.n)
	}
	for i := range h.n {
		f := &h.fields[i]
		var name string
		switch value := &values[i]; {
		case f.known != "":
			name, *value = "X-Auth-Token", f.known
		case len(f.text) < ownString:
			name = canonical(cut(len(f.name)))
			*value = cut(len(f.text))
		default:
			name = canonical(cut(len(f.name)))
			if near != nil && name == "X-Auth-Token" {
				*value = near(f.text)
			}
			if *value != string(f.text) {
				*value = string(f.text)
			}
		}
		if name == "X-Auth-Token" && len(f.text) >= ownString {
			longest = values[i]
		}
		if _, twice := r.Header[name]; twice {
			return "", false
		}
		r.Header[name] = values[i : i+1 : i+1]
	}
	return longest, true
}

// canonical is textproto.CanonicalMIMEHeaderKey, at less cost for the names of this proxy.
func canonical(name string) string {
	if name == "X-Auth-Token" {
		return "X-Auth-Token"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// parseTarget is url.ParseRequestURI for a target that begins with a slash. It takes u for what it makes by itself.
func parseTarget(target string, u *url.URL) (*url.URL, bool) {
	path, query, asked := strings.Cut(target, "?")
	for i := range len(path) {
		if kinds[path[i]]&pathByte == 0 || path[i] == '/' && i == 1 {
			parsed, err := url.ParseRequestURI(target)
			return parsed, err == nil
		}
	}
	*u = url.URL{Path: path, RawQuery: query, ForceQuery: asked && query == ""}
	return u, true
}
