// Package paths tells the request paths that every server reads alike from those that one reads so and another one otherwise.
//
// What is decided here by a path is carried out by a service that reads the path by itself. Where the two can differ ("/a/../b",
// "//", "%2f", ";"), a rule that would let something pass must not be taken to fit.
package paths

import (
	"net/url"
	"strings"
)

// Plain gives the decoded path of a request, if there is one reading of it alone: it begins with "/", has no empty segment but
// perhaps the last, none of dots and blanks alone, no ";" and "\", and nothing but printable ASCII. Encoded ("%20") may be what
// means nothing in a path: neither "/", "\", ";", "%", "?", "#" nor ".".
func Plain(u *url.URL) (path string, ok bool) {
	raw := u.EscapedPath() // as it came
	if !strings.HasPrefix(raw, "/") || u.Opaque != "" {
		return "", false
	}
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '%':
			if i+2 >= len(raw) || !harmless(unhex(raw[i+1])<<4|unhex(raw[i+2])) {
				return "", false
			}
			i += 2
		case c == ';' || c == '\\' || c <= ' ' || c >= 0x7f:
			return "", false
		}
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(u.Path[1:], "/"), "/") {
		if strings.Trim(segment, ". ") == "" && u.Path != "/" {
			return "", false
		}
	}
	return u.Path, true
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
