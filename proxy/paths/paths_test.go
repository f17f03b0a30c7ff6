package paths

import (
	"net/url"
	pathpkg "path"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"/":                        "/",
		"/a":                       "/a",
		"/a/":                      "/a/",
		"/a/b.c/..d/e..":           "/a/b.c/..d/e..",
		"/v2.1/":                   "/v2.1/",
		"/%61b":                    "/ab",
		"/a%20b/~c!$&'()*+,-_=:@x": "/a b/~c!$&'()*+,-_=:@x",
		"/a?x=/../b;c":             "/a",
		"http://h/a":               "/a",

		"":                "",
		"*":               "",
		"http://h":        "",
		"opaque:a":        "",
		"//":              "",
		"//a":             "",
		"/a//":            "",
		"/a//b":           "",
		"/a/.":            "",
		"/a/./b":          "",
		"/..":             "",
		"/a/../b":         "",
		"/a/%2e%2e/b":     "",
		"/a/.%2E/b":       "",
		"/a%2ec":          "",
		"/a/.../b":        "",
		"/a/..%20/b":      "",
		"/%20/b":          "",
		"/a;x":            "",
		"/a/..;/b":        "",
		"/a%3bx":          "",
		"/a%2fb":          "",
		"/a%2Fb":          "",
		"/a%5cb":          "",
		`/a\b`:            "",
		`/a\..\b`:         "",
		"/a%252e%252e/b":  "",
		"/a%25":           "",
		"/a%3fb":          "",
		"/a%23b":          "",
		"/a%00":           "",
		"/a%0d%0ab":       "",
		"/a%7f":           "",
		"/caf%C3%A9":      "",
		"/café":           "",
		"/a/%c0%ae/b":     "",
		"/a/%ef%bc%8f..b": "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok := Plain(u); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", text, got, ok, want)
		}
	}
}

// More of what Settled is asked stands in the tests of the Router.
func TestSettled(t *testing.T) {
	for _, tt := range []struct {
		text, prefix string
		want         bool
	}{
		{"/", "/a", true}, {"/a", "/a/b/c", true}, {"/a/", "/a", true}, {"/a/", "/a/b", true}, {"/a//", "/a", true}, {"/a//", "/a/b", false},
		{"/a/b;c", "/a", true}, {"/a/b;c", "/a/b", false}, {"/a;b", "/a", false}, {"*", "/a", false}, {"/a/...", "/a", false}, {"/a/.", "/a", true},
		{"/a/b/..", "/a", false}, {"/a/x..", "/a", true}, {"/a/%ff", "/a", false}, {"/a/%zz", "/a", true}, {"/a/b%2520c", "/a", true},
		{"/x//y", "/a/b", true}, {"/x//y", "/x/b", false}, {"/x%2fy", "/a", false}, {"/%61//", "/a/b", false},
	} {
		u := &url.URL{Path: tt.text, RawPath: tt.text}
		if parsed, err := url.ParseRequestURI(tt.text); err == nil {
			u = parsed
		}
		if got := Settled(u, tt.prefix); got != tt.want {
			t.Errorf("%s beneath %s: %v", tt.text, tt.prefix, got)
		}
	}
}

func TestUnder(t *testing.T) {
	for _, tt := range []struct {
		path, prefix string
		want         bool
	}{
		{"/a", "/a", true}, {"/a/", "/a", true}, {"/a/b", "/a", true}, {"/", "", true}, {"/x", "", true},
		{"/ab", "/a", false}, {"/b/a", "/a", false}, {"/A", "/a", false}, {"/", "/a", false},
	} {
		if got := Under(tt.path, tt.prefix); got != tt.want {
			t.Errorf("%s under %s: %v", tt.path, tt.prefix, got)
		}
	}
}

// FuzzPlain: what is called plain reads the same with every habit of reading paths that servers have.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"/", "/a/b/", "/a/../b", "/a%2fb", "/a;b/..", "/%2e%2e/a", "//a", "/a%20b", "/%25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.ParseRequestURI(text)
		if err != nil {
			return
		}
		path, ok := Plain(u)
		if !ok {
			return
		}
		again, err := url.PathUnescape(path)
		if err != nil || again != path {
			t.Errorf("%q: decoded twice it is %q (%v)", path, again, err)
		}
		for _, mark := range []string{"//", "/../", "/./", ";", `\`, "?", "#", "\x00"} {
			if strings.Contains(path+"/", mark) && !(mark == "//" && strings.HasSuffix(path, "/") && !strings.Contains(path, "//")) {
				t.Errorf("%q from %q has %q", path, text, mark)
			}
		}
		clean := pathpkg.Clean(path)
		if strings.HasSuffix(path, "/") && path != "/" {
			clean += "/"
		}
		if clean != path {
			t.Errorf("%q is cleaned to %q", path, clean)
		}
	})
}

// FuzzSettled: where a path is called settled, every combination of habits of reading paths puts it on the same side of a prefix.
func FuzzSettled(f *testing.F) {
	for _, s := range []string{"/a/b/c", "/a/bc", "/a/../b", "/a/b%2f..", "/a;x/b", "/x//a/b", "/a/b/%2e%2e", "/a%2fb", `/a\b`, "/a/b;/../c", "/a/b/..%3fx", "/%61/b/%25", "/a/b%00"} {
		f.Add(s)
	}
	cutAt := func(text, marks string) string {
		segments := strings.Split(text, "/")
		for i, segment := range segments {
			if at := strings.IndexAny(segment, marks); at >= 0 {
				segments[i] = segment[:at]
			}
		}
		return strings.Join(segments, "/")
	}
	habits := []func(string) string{
		unescape,
		unescape,
		func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
		func(s string) string { return cutAt(s, ";") },
		func(s string) string { s, _, _ = strings.Cut(s, "?"); return s },
		func(s string) string { s, _, _ = strings.Cut(s, "#"); return s },
		func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s },
		func(s string) string { return pathpkg.Clean("/" + s) },
	}
	f.Fuzz(func(t *testing.T, text string) {
		const prefix = "/a/b"
		u, err := url.ParseRequestURI(text)
		if err != nil || !Settled(u, prefix) {
			return
		}
		want := Under(u.Path, prefix)
		for combination := range 1 << len(habits) {
			path := u.Path
			for i, habit := range habits {
				if combination>>i&1 == 1 {
					path = habit(path)
				}
			}
			if Under(path, prefix) != want {
				t.Fatalf("%q is beneath %s: %v; read as %q: %v", text, prefix, want, path, !want)
			}
		}
	})
}
