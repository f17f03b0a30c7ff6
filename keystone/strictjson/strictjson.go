// Package strictjson reads JSON (RFC 8259) in such a way that no two readers can take the same bytes for different things: a
// text of valid UTF-8, no name twice in an object, nothing behind the end, bounded nesting.
package strictjson

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits bound what a text may hold.
type Limits struct {
	Nesting int // how deep a value may be nested; 16 by default
	Members int // of one object; 0 is no limit
}

const defaultNesting = 16

// Reader reads one JSON text from front to back in one pass. Strings without escapes are cut out of the text. encoding/json
// is not used since it lets the last of two equal names win, takes names in any case, mends text that is not UTF-8, and is
// slow on a document of a million entries. After an error a Reader is of no more use.
type Reader struct {
	s      string
	i      int
	depth  int
	limits Limits
}

// New makes a Reader of a text.
func New(text string, limits Limits) Reader {
	limits.Nesting = cmp.Or(limits.Nesting, defaultNesting)
	return Reader{s: text, limits: limits}
}

// Offset is how many bytes have been taken.
func (r *Reader) Offset() int { return r.i }

// Since is the text that was taken since the offset was at.
func (r *Reader) Since(at int) string { return r.s[at:r.i] }

// Next skips white space and returns the byte behind it without taking it, 0 at the end.
func (r *Reader) Next() byte {
	if r.i < len(r.s) && r.s[r.i] > ' ' {
		return r.s[r.i]
	}
	return r.skipBlanks()
}

func (r *Reader) skipBlanks() byte {
	for ; r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// Rest is the text that has not been taken.
func (r *Reader) Rest() string { return r.s[r.i:] }

// Take takes n bytes that the caller knows to be whole values.
func (r *Reader) Take(n int) { r.i += n }

func (r *Reader) expect(c byte, what string) error {
	if r.Next() != c {
		return errors.New("expected " + what)
	}
	r.i++
	return nil
}

// Object calls member for each name; member must take the value behind it.
func (r *Reader) Object(member func(name string) error) error {
	if err := r.expect('{', "an object"); err != nil {
		return err
	}
	var seen names
	return r.sequence('}', func(n int) error {
		if n == r.limits.Members && n > 0 {
			return fmt.Errorf("an object of more than %d members", n)
		}
		name, err := r.Text()
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return fmt.Errorf("duplicate name %q", name[:min(len(name), 40)])
		}
		if err := r.expect(':', "a colon"); err != nil {
			return err
		}
		return member(name)
	})
}

// Array calls element for each element; element must take it.
func (r *Reader) Array(element func() error) error {
	if err := r.expect('[', "an array"); err != nil {
		return err
	}
	return r.sequence(']', func(int) error { return element() })
}

// sequence reads what an opening bracket began: items between commas, up to the closing one.
func (r *Reader) sequence(closing byte, item func(n int) error) error {
	if r.depth++; r.depth > r.limits.Nesting {
		return fmt.Errorf("nested deeper than %d levels", r.limits.Nesting)
	}
	for n := 0; ; n++ {
		c := r.Next()
		switch {
		case c == closing:
			r.i++
			r.depth--
			return nil
		case n > 0 && c != ',':
			return fmt.Errorf("expected a comma or %q", closing)
		case n > 0:
			r.i++
			if r.Next() == closing {
				return errors.New("a comma with nothing behind it")
			}
		}
		if err := item(n); err != nil {
			return err
		}
	}
}

// Text reads a string.
func (r *Reader) Text() (string, error) {
	if err := r.expect('"', "a string"); err != nil {
		return "", err
	}
	start, escaped, ascii := r.i, false, true
	for r.i += Plain(r.s[r.i:]); r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; {
		case c == '"':
			raw := r.s[start:r.i]
			r.i++
			if !ascii && !utf8.ValidString(raw) {
				return "", errors.New("a string that is not UTF-8")
			}
			if escaped {
				return unescape(raw)
			}
			return raw, nil
		case c == '\\':
			escaped = true
			r.i++ // whatever it is, it does not end the string
		case c < ' ':
			return "", errors.New("a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.i = len(r.s)
	return "", errors.New("a string without an end")
}

// Plain counts the bytes at the front of s that stand for themselves within a JSON string, however it is written: printable ASCII
// but for the quotation mark and the backslash. (Eight at a time: byte by byte this was a third of what it takes to read a token's payload.)
func Plain(s string) int {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		word := s[i : i+8]
		w := uint64(word[0]) | uint64(word[1])<<8 | uint64(word[2])<<16 | uint64(word[3])<<24 |
			uint64(word[4])<<32 | uint64(word[5])<<40 | uint64(word[6])<<48 | uint64(word[7])<<56
		// The top bit of a byte of (v - n*ones) &^ v says that the byte is below n, and that of v + ones that it is 0x7F or more.
		// Borrows and carries can make that untrue of a byte only behind one of which it is true.
		quote, backslash := w^'"'*ones, w^'\\'*ones
		special := (w-' '*ones)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash | (w + ones) | w
		if special &= tops; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// unescape takes the rare way for the inside of a string with escapes; raw is valid UTF-8.
func unescape(raw string) (string, error) {
	// encoding/json puts U+FFFD for half a surrogate pair: that would be a second spelling of a name.
	for rest := raw; ; {
		at := strings.IndexByte(rest, '\\')
		if at < 0 || at+1 == len(rest) {
			break
		}
		rest = rest[at+1:]
		first, ok := codeUnit(rest)
		if !ok || !utf16.IsSurrogate(first) {
			rest = rest[1:]
			continue
		}
		var second rune
		if rest = rest[len("uXXXX"):]; strings.HasPrefix(rest, `\`) {
			second, _ = codeUnit(rest[1:])
		}
		if utf16.DecodeRune(first, second) == utf8.RuneError {
			return "", errors.New("half of a surrogate pair")
		}
		rest = rest[len(`\uXXXX`):]
	}
	var s string
	if err := json.Unmarshal([]byte(`"`+raw+`"`), &s); err != nil {
		return "", errors.New("a bad escape in a string")
	}
	return s, nil
}

// codeUnit reads the uXXXX of an escape.
func codeUnit(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	var unit rune
	for _, c := range []byte(s[1:5]) {
		v := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < '0' || v < 0 {
			return 0, false
		}
		unit = unit<<4 | rune(v)
	}
	return unit, true
}

// OptionalText reads a string, or null for "".
func (r *Reader) OptionalText() (string, error) {
	if r.Next() == 'n' {
		return "", r.literal("null")
	}
	return r.Text()
}

// Unsigned reads a whole number without sign, fraction or exponent, or null for 0.
func (r *Reader) Unsigned() (uint64, error) {
	if r.Next() == 'n' {
		return 0, r.literal("null")
	}
	start := r.i
	if err := r.number(); err != nil {
		return 0, err
	}
	var n uint64
	for _, c := range []byte(r.s[start:r.i]) {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, errors.New("expected a whole number below 2^63")
		}
		n = 10*n + d
	}
	return n, nil
}

func (r *Reader) literal(word string) error {
	if !strings.HasPrefix(r.s[r.i:], word) {
		return errors.New("expected a value")
	}
	r.i += len(word)
	return nil
}

func (r *Reader) number() error {
	r.optional("-")
	if !r.optional("0") && !r.digits() {
		return errors.New("expected a number")
	}
	if r.optional(".") && !r.digits() {
		return errors.New("expected a digit")
	}
	if r.optional("eE") {
		r.optional("+-")
		if !r.digits() {
			return errors.New("expected a digit")
		}
	}
	return nil
}

// optional takes one byte if it is any of set.
func (r *Reader) optional(set string) bool {
	if r.i < len(r.s) && strings.IndexByte(set, r.s[r.i]) >= 0 {
		r.i++
		return true
	}
	return false
}

func (r *Reader) digits() bool {
	start := r.i
	for r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' {
		r.i++
	}
	return r.i > start
}

// Skip takes a value of any kind. Its grammar is checked like that of the rest.
func (r *Reader) Skip() error {
	switch r.Next() {
	case '{':
		return r.Object(func(string) error { return r.Skip() })
	case '[':
		return r.Array(r.Skip)
	case '"':
		_, err := r.Text()
		return err
	case 't':
		return r.literal("true")
	case 'f':
		return r.literal("false")
	case 'n':
		return r.literal("null")
	}
	return r.number()
}

// End wants nothing but white space to be left.
func (r *Reader) End() error {
	if r.Next(); r.i != len(r.s) {
		return errors.New("bytes after the end of the text")
	}
	return nil
}

// manyNames is from how many names on those of an object are told apart by a map instead of by comparing each with each.
const manyNames = 16

// names is a set of an object's names, cheap for the usual few.
type names struct {
	few  [manyNames]string
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
	s.many = make(map[string]struct{}, 2*manyNames)
	for _, seen := range s.few {
		s.many[seen] = struct{}{}
	}
	s.many[name] = struct{}{}
	return true
}
