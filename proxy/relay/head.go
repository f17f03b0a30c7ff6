package relay

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
)

// Field is a header field: the name in the canonical spelling of net/http.
type Field struct{ Name, Value string }

var (
	errBareLF  = errors.New("a line of the answer does not end in CRLF")
	errTooLong = errors.New("the answer's head, or a line of its body's framing, is too long")
)

// maxFields bounds the fields of a head or of trailers.
const maxFields = 4096

// head is a parsed response head.
type head struct {
	code    int
	minor   int // of HTTP/1.x
	length  int64
	chunked bool
	close   bool
	upgrade string
	trailer []string // announced
}

// readHead receives and parses a head of at most limit bytes; it fills c.fields. size is what it took.
func (c *conn) readHead(limit int) (h head, size int, err error) {
	end := 0
	for line := 0; end == 0; {
		i := bytes.IndexByte(c.buf[c.r+line:c.w], '\n')
		switch {
		case i >= 0:
			next := line + i + 1
			switch {
			case i == 0 || c.buf[c.r+next-2] != '\r':
				return h, 0, errBareLF
			case i == 1:
				end = next
			}
			line = next
			continue
		case c.w-c.r > limit:
			return h, 0, errTooLong
		}
		if err := c.fill(); err != nil {
			if c.answered {
				err = unexpected(err)
			}
			return h, 0, err
		}
	}
	if end > limit {
		return h, 0, errTooLong
	}
	text := string(c.buf[c.r : c.r+end]) // all names and values are parts of it
	c.r += end
	status, rest, _ := strings.Cut(text, "\r\n")
	if h.minor, h.code, err = parseStatus(status); err != nil {
		return h, 0, err
	}
	if c.fields, err = parseFields(c.fields[:0], rest[:len(rest)-2]); err != nil {
		return h, 0, err
	}
	return h, end, h.framing(c.fields)
}

// parseStatus reads "HTTP/1.1 200 OK" (RFC 9112, section 4).
func parseStatus(line string) (minor, code int, err error) {
	rest, ok := strings.CutPrefix(line, "HTTP/1.")
	if !ok || len(rest) < 5 || rest[0] != '0' && rest[0] != '1' || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' || !isValue(rest) {
		return 0, 0, fmt.Errorf("the answer does not begin with a status line of HTTP/1.1 but with %.40q", line)
	}
	for _, digit := range rest[2:5] {
		if digit < '0' || digit > '9' {
			return 0, 0, fmt.Errorf("the answer has the status %q", rest[2:5])
		}
		code = 10*code + int(digit-'0')
	}
	if code < 100 {
		return 0, 0, fmt.Errorf("the answer has the status %q", rest[2:5])
	}
	return int(rest[0] - '0'), code, nil
}

// parseFields reads lines "Name: value", each ended by CRLF. Lines that continue the one before are refused (RFC 9112,
// section 5.2).
func parseFields(fields []Field, lines string) ([]Field, error) {
	for lines != "" {
		line, rest, _ := strings.Cut(lines, "\r\n")
		lines = rest
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return fields, fmt.Errorf("the answer has a header field without a proper name: %.40q", line)
		}
		value = strings.Trim(value, " \t")
		if !isValue(value) {
			return fields, fmt.Errorf("the answer's %s has a control character", name)
		}
		if len(fields) == maxFields {
			return fields, errTooLong
		}
		fields = append(fields, Field{textproto.CanonicalMIMEHeaderKey(name), value})
	}
	return fields, nil
}

// framing finds out how long the body is, by the strictest reading of RFC 9112, section 6: what two readers might understand
// differently is refused.
func (h *head) framing(fields []Field) error {
	h.length = -1
	h.close = h.minor == 0
	lengths, encodings := 0, 0
	for _, f := range fields {
		switch f.Name {
		case "Content-Length":
			lengths++
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || f.Value[0] == '+' {
				return fmt.Errorf("the answer has the Content-Length %.40q", f.Value)
			}
			h.length = int64(n)
		case "Transfer-Encoding":
			encodings++
			if !strings.EqualFold(f.Value, "chunked") {
				return fmt.Errorf("the answer has the Transfer-Encoding %.40q", f.Value)
			}
			h.chunked = true
		case "Connection":
			for option := range strings.SplitSeq(f.Value, ",") {
				switch option = strings.Trim(option, " \t"); {
				case strings.EqualFold(option, "close"):
					h.close = true
				case strings.EqualFold(option, "upgrade"):
					h.upgrade = "?"
				}
			}
		case "Trailer":
			for name := range strings.SplitSeq(f.Value, ",") {
				name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
				switch name {
				case "":
				case "Transfer-Encoding", "Trailer", "Content-Length":
					return fmt.Errorf("the answer announces the trailer %s", name)
				default:
					h.trailer = append(h.trailer, name)
				}
			}
		}
	}
	switch {
	case lengths > 1:
		return errors.New("the answer has more than one Content-Length")
	case encodings > 1:
		return errors.New("the answer has more than one Transfer-Encoding")
	case lengths > 0 && encodings > 0:
		return errors.New("the answer has both Content-Length and Transfer-Encoding")
	case encodings > 0 && h.minor == 0:
		return errors.New("the answer of HTTP/1.0 has a Transfer-Encoding")
	case h.code < 200 && (h.length > 0 || encodings > 0):
		return errors.New("an informational answer says that it has a body")
	}
	if !h.chunked {
		h.trailer = nil
	}
	if h.upgrade != "" {
		h.upgrade = ""
		for _, f := range fields {
			if f.Name == "Upgrade" {
				h.upgrade = f.Value
				break
			}
		}
	}
	return nil
}

// tokenBytes are those of a token (RFC 9110, section 5.6.2).
var tokenBytes = func() (t [256]bool) {
	for c := byte('!'); c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c))
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// isValue is false for control characters but the tab.
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
