// Package paths tells the request paths that every server reads alike from those that one reads so and another one otherwise.
//
// What is decided here by a path is carried out by a service that reads the path by itself. Where the two can differ ("/a/../b",
// "//", "%2f", ";"), a rule that would let something pass must not be taken to fit.
package paths

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Plain gives the decoded path of a request, if there is one reading of it alone: it begins with "/", has no empty segment but
// perhaps the last, none of dots and blanks alone, no ";" and "\", and nothing but printable ASCII. Encoded ("%20") may be what
// means nothing in a path: neither "/", "\", ";", "%", "?", "#" nor ".".
func Plain(u *url.URL) (path string, ok bool) {
	raw := u.EscapedPath() // as it came
	if !strings.HasPrefix(raw, "/") || !plain(raw[1:]) {
		return "", false
	}
	return u.Path, true
}

func plain(raw string) bool {
	for {
		segment, rest, more := strings.Cut(raw, "/")
		if !more {
			return segment == "" || plainSegment(segment)
		}
		if !plainSegment(segment) {
			return false
		}
		raw = rest
	}
}

func plainSegment(raw string) bool {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '%':
			if i+2 >= len(raw) || !harmless(unhex(raw[i+1])<<4|unhex(raw[i+2])) {
				return false
			}
			i += 2
		case c == ';' || c == '\\' || c == '?' || c == '#' || c <= ' ' || c >= 0x7f:
			return false
		}
	}
	return strings.Trim(unescape(raw), ". ") != ""
}

// harmless says that a character means the same whether it is encoded or not, and whoever decodes it.
func harmless(c byte) bool {
	return c >= ' ' && c < 0x7f && !strings.ContainsRune(`/\;%?#.`, rune(c))
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff // makes what is no hexadecimal digit a character above ASCII
}

// Under says whether a path is prefix or lies beneath it, by whole segments: "/a" has "/a", "/a/" and "/a/b" beneath it, not
// "/ab". The prefix begins with "/" and does not end in one; "" has every path beneath it.
func Under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// Settled says whether every server agrees that a request's path lies beneath a prefix, or that it does not, whatever it makes of
// the rest: as far as the two go together the segments are as Plain wants them, and nothing after them climbs out of them again.
func Settled(u *url.URL, prefix string) bool {
	raw := u.EscapedPath()
	return strings.HasPrefix(raw, "/") && !climbs(raw) && !doubtful(raw[1:], strings.TrimPrefix(prefix, "/"))
}

// doubtful says that a raw path is to be compared with a prefix and has, where they are still the same, a segment that is not
// plain. Both are without their first slash.
func doubtful(raw, prefix string) bool {
	for {
		want, deeper, more := strings.Cut(prefix, "/")
		segment, rest, longer := strings.Cut(raw, "/")
		switch {
		case segment == "" && !longer:
			return false // it ends here, perhaps with a slash
		case !plainSegment(segment):
			return true
		case unescape(segment) != want || !more || !longer:
			return false
		}
		prefix, raw = deeper, rest
	}
}

// climbs says whether anybody could find a ".." in a raw path, however often it is decoded, with "\" for "/", and with
// what follows ";", "?", "#" or NUL left out.
func climbs(raw string) bool {
	text := raw
	for range 8 {
		decoded := unescape(text)
		if decoded == text {
			break
		}
		text = decoded
	}
	if unescape(text) != text || !utf8.ValidString(text) {
		return true // overlong spellings of "." and "/" are among what is not UTF-8
	}
	for segment := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == '/' || c == '\\' }) {
		if i := strings.IndexAny(segment, ";?#\x00"); i >= 0 {
			segment = segment[:i] // where some take it to end
		}
		dots := strings.TrimFunc(segment, func(c rune) bool { return c <= ' ' || c == 0x7f })
		if len(dots) > 1 && strings.Trim(dots, ".") == "" {
			return true
		}
	}
	return false
}

// unescape decodes what is encoded properly, once, and leaves the rest.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) < 16 && unhex(s[i+2]) < 16 {
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}
