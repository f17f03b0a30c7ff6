package token

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a payload: real ones use six levels.
const maxDepth = 32

// manyKeys is from how many keys on an object's keys are told apart by a map instead of by comparing each with each.
const manyKeys = 16

// jsonReader is a strict reader of one JSON text (RFC 8259): UTF-8 only, no duplicate names in any object, bounded nesting.
// It takes values off the front, in order; strings without escapes are cut out of the text, not copied. The first thing that
// is wrong stays in err, and from then on every step is a no-op.
//
// encoding/json lets the last of two equal names win and folds their case, so it can read another token than a second
// reader of the same bytes; it also takes about as long as the RSA signature check.
type jsonReader struct {
	s     string
	i     int
	depth int
	err   error
}

func (r *jsonReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: at byte %d: %s", ErrMalformed, r.i, fmt.Sprintf(format, args...))
	}
}

// peek skips white space and gives the next byte, 0 at the end or after a failure.
func (r *jsonReader) peek() byte {
	if r.err != nil {
		return 0
	}
	for r.i < len(r.s) {
		switch c := r.s[r.i]; c {
		case ' ', '\n', '\r', '\t':
			r.i++
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) take(c byte) bool {
	if r.peek() != c {
		r.fail("want %q", c)
		return false
	}
	r.i++
	return true
}

// object calls member with each name in turn; member must take the value. A name that comes twice is an error.
func (r *jsonReader) object(member func(name string)) {
	if !r.take('{') || !r.down() {
		return
	}
	defer r.up()
	if r.peek() == '}' {
		r.i++
		return
	}
	var seen names
	for {
		name := r.str()
		if r.err != nil || !r.take(':') {
			return
		}
		if !seen.add(name) {
			r.fail("name %q stands twice in one object", printable(name))
			return
		}
		member(name)
		if r.peek() == ',' {
			r.i++
			continue
		}
		r.take('}')
		return
	}
}

// array calls element once for each element; element must take it.
func (r *jsonReader) array(element func()) {
	if !r.take('[') || !r.down() {
		return
	}
	defer r.up()
	if r.peek() == ']' {
		r.i++
		return
	}
	for {
		element()
		if r.peek() == ',' {
			r.i++
			continue
		}
		r.take(']')
		return
	}
}

func (r *jsonReader) down() bool {
	r.depth++
	if r.depth > maxDepth {
		r.fail("nested deeper than %d levels", maxDepth)
	}
	return r.err == nil
}

func (r *jsonReader) up() { r.depth-- }

// plain marks the bytes that stand for themselves inside a string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\'
	}
	return t
}()

// str takes a string and gives its value.
func (r *jsonReader) str() string {
	if !r.take('"') {
		return ""
	}
	start := r.i
	for r.i < len(r.s) && plain[r.s[r.i]] {
		r.i++
	}
	if r.i < len(r.s) && r.s[r.i] == '"' {
		value := r.s[start:r.i]
		r.i++
		return value
	}
	return r.longStr(start)
}

// longStr goes on with a string that holds escapes or bytes beyond ASCII.
func (r *jsonReader) longStr(start int) string {
	var b strings.Builder
	b.WriteString(r.s[start:r.i])
	for r.i < len(r.s) {
		c := r.s[r.i]
		switch {
		case c == '"':
			r.i++
			return b.String()
		case c == '\\':
			r.escape(&b)
			if r.err != nil {
				return ""
			}
		case c < 0x20:
			r.fail("control character in a string")
			return ""
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			r.i++
		default:
			char, n := utf8.DecodeRuneInString(r.s[r.i:])
			if char == utf8.RuneError && n == 1 {
				r.fail("not UTF-8")
				return ""
			}
			b.WriteString(r.s[r.i : r.i+n])
			r.i += n
		}
	}
	r.fail("string without an end")
	return ""
}

func (r *jsonReader) escape(b *strings.Builder) {
	if r.i+1 >= len(r.s) {
		r.fail("string without an end")
		return
	}
	c := r.s[r.i+1]
	if c == 'u' {
		high := r.hex4(r.i + 2)
		if r.err != nil {
			return
		}
		r.i += 6
		if !utf16.IsSurrogate(high) {
			b.WriteRune(high)
			return
		}
		if !strings.HasPrefix(r.s[r.i:], `\u`) {
			r.fail("half of a surrogate pair")
			return
		}
		char := utf16.DecodeRune(high, r.hex4(r.i+2))
		if char == utf8.RuneError {
			r.fail("half of a surrogate pair")
			return
		}
		r.i += 6
		b.WriteRune(char)
		return
	}
	at := strings.IndexByte(`"\/bfnrt`, c)
	if at < 0 {
		r.fail("unknown escape")
		return
	}
	b.WriteByte("\"\\/\b\f\n\r\t"[at])
	r.i += 2
}

func (r *jsonReader) hex4(at int) (char rune) {
	if at+4 > len(r.s) {
		r.fail("string without an end")
		return 0
	}
	for _, c := range []byte(r.s[at : at+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			r.fail("unknown escape")
			return 0
		}
		char = char<<4 | rune(c)
	}
	return char
}

// null takes a null if there is one.
func (r *jsonReader) null() bool {
	if r.peek() != 'n' {
		return false
	}
	r.literal("null")
	return true
}

func (r *jsonReader) literal(word string) {
	if !strings.HasPrefix(r.s[r.i:], word) {
		r.fail("want a value")
		return
	}
	r.i += len(word)
}

// boolean takes true or false.
func (r *jsonReader) boolean() bool {
	switch r.peek() {
	case 't':
		r.literal("true")
		return true
	case 'f':
		r.literal("false")
	default:
		r.fail("want true or false")
	}
	return false
}

// skip takes any value; it is checked like the rest, but not built.
func (r *jsonReader) skip() {
	switch c := r.peek(); {
	case c == '{':
		r.object(func(string) { r.skip() })
	case c == '[':
		r.array(r.skip)
	case c == '"':
		r.str()
	case c == 't' || c == 'f':
		r.boolean()
	case c == 'n':
		r.null()
	case c == '-' || '0' <= c && c <= '9':
		r.number()
	default:
		r.fail("want a value")
	}
}

func (r *jsonReader) number() {
	if r.s[r.i] == '-' {
		r.i++
	}
	if r.i < len(r.s) && r.s[r.i] == '0' {
		r.i++
	} else {
		r.digits()
	}
	if r.i < len(r.s) && r.s[r.i] == '.' {
		r.i++
		r.digits()
	}
	if r.i < len(r.s) && (r.s[r.i] == 'e' || r.s[r.i] == 'E') {
		r.i++
		if r.i < len(r.s) && (r.s[r.i] == '+' || r.s[r.i] == '-') {
			r.i++
		}
		r.digits()
	}
}

func (r *jsonReader) digits() {
	start := r.i
	for r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' {
		r.i++
	}
	if r.i == start {
		r.fail("want a digit")
	}
}

// end says that nothing may follow.
func (r *jsonReader) end() {
	if r.peek(); r.err == nil && r.i != len(r.s) {
		r.fail("text after the value")
	}
}

// names is a set of an object's names, cheap for the usual few.
type names struct {
	few  [manyKeys]string
	n    int
	many map[string]struct{}
}

func (s *names) add(name string) bool {
	if s.many != nil {
		if _, ok := s.many[name]; ok {
			return false
		}
		s.many[name] = struct{}{}
		return true
	}
	for _, seen := range s.few[:s.n] {
		if seen == name {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	s.many = make(map[string]struct{}, 2*manyKeys)
	for _, seen := range s.few {
		s.many[seen] = struct{}{}
	}
	s.many[name] = struct{}{}
	return true
}

// printable shortens a name from a payload for an error text.
func printable(name string) string {
	if len(name) > 40 {
		return name[:40] + "…"
	}
	return name
}
