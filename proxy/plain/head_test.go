package plain

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// check compares a head that was taken for plain with what net/http makes of the same bytes.
func check(t *testing.T, data []byte, last string) finding {
	t.Helper()
	var h head
	found := h.parse(data, last)
	if found != plainHead {
		return found
	}
	var r http.Request
	var u url.URL
	// What is near may be another value.
	longest, ok := h.fill(&r, &u, make([]string, 4), func([]byte) string { return last })
	if !ok {
		return other
	}
	in := bufio.NewReader(strings.NewReader(string(data)))
	want, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("%q is refused by net/http: %v", data, err)
	}
	if r.Method != want.Method || r.RequestURI != want.RequestURI || r.Host != want.Host || r.Proto != want.Proto ||
		r.ProtoMajor != want.ProtoMajor || r.ProtoMinor != want.ProtoMinor || r.Close != want.Close {
		t.Errorf("%q: got %+v, want %+v", data, &r, want)
	}
	if !reflect.DeepEqual(r.URL, want.URL) || r.URL.String() != want.URL.String() {
		t.Errorf("%q: got URL %#v, want %#v", data, r.URL, want.URL)
	}
	if !reflect.DeepEqual(r.Header, want.Header) {
		t.Errorf("%q: got header %q, want %q", data, r.Header, want.Header)
	}
	body, err := io.ReadAll(want.Body)
	if err != nil || string(body) != string(data[h.size:h.size+h.body]) || want.ContentLength != r.ContentLength || r.ContentLength != int64(h.body) ||
		len(want.TransferEncoding) > 0 || want.Trailer != nil {
		t.Errorf("%q: %d bytes of body, for net/http %d: %q (%v)", data, h.body, want.ContentLength, body, err)
	}
	rest := make([]byte, in.Buffered())
	if _, err := in.Read(rest); len(rest) > 0 && err != nil {
		t.Fatal(err)
	}
	if len(data) < 4096 && string(rest) != string(data[h.size+h.body:]) {
		t.Errorf("%q: the next request begins at %q, for net/http at %q", data, data[h.size+h.body:], rest)
	}
	if len(longest) > 0 && longest != want.Header.Get("X-Auth-Token") {
		t.Errorf("%q: %q is not the token", data, longest)
	}
	return plainHead
}

// TestNear: a token that is kept is taken for the one that was received where both are the same, and nowhere else.
func TestNear(t *testing.T) {
	kept := strings.Clone(token)
	for name, tt := range map[string]struct {
		received string
		near     func([]byte) string
		isKept   bool
	}{
		"the same":        {token, func([]byte) string { return kept }, true},
		"another":         {token[:len(token)-1] + "!", func([]byte) string { return kept }, false},
		"a longer one":    {token + "!", func([]byte) string { return kept }, false},
		"none":            {token, func([]byte) string { return "" }, false},
		"nobody to ask":   {token, nil, false},
		"short":           {"short", func([]byte) string { return kept }, false},
		"not the token's": {token, func(text []byte) string { t.Errorf("asked for %q", text); return kept }, false},
	} {
		field := "x-auth-token"
		if name == "not the token's" {
			field = "X-Other"
		}
		var h head
		var r http.Request
		if found := h.parse(fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: h\r\n%s: %s\r\n\r\n", field, tt.received), ""); found != plainHead {
			t.Fatalf("%s: found %d", name, found)
		}
		if _, ok := h.fill(&r, new(url.URL), make([]string, 1), tt.near); !ok {
			t.Fatalf("%s: not plain", name)
		}
		got := r.Header.Get(field)
		if got != tt.received || (unsafe.StringData(got) == unsafe.StringData(kept)) != tt.isKept {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

var token = strings.Repeat("MIIK-token", 20)

func TestHeads(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: h\r\n"
	tests := map[string]struct {
		text string
		want finding
	}{
		"the least":                {get + "\r\n", plainHead},
		"with another behind it":   {get + "\r\nGET /2 HTTP/1.1\r\n", plainHead},
		"a token":                  {get + "X-Auth-Token: " + token + "\r\nAccept: */*\r\n\r\n", plainHead},
		"a token in lower case":    {get + "x-auth-token: " + token + "\r\n\r\n", plainHead},
		"a token without blank":    {get + "X-Auth-Token:" + token + "\r\n\r\n", plainHead},
		"a token and more":         {get + "X-Auth-Token: " + token + "x\r\n\r\n", plainHead},
		"a token and a blank":      {get + "X-Auth-Token: " + token + " \r\n\r\n", plainHead},
		"a token and a CR":         {get + "X-Auth-Token: " + token + "\r\r\n\r\n", other},
		"a token and a line feed":  {get + "X-Auth-Token: " + token + "\n\r\n", other},
		"two tokens":               {get + "X-Auth-Token: " + token + "\r\nX-Auth-Token: " + token + "\r\n\r\n", other},
		"two tokens, one in lower": {get + "X-Auth-Token: " + token + "\r\nx-auth-token: a\r\n\r\n", other},
		"a name that comes twice":  {get + "X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n\r\n", other},
		"blanks around a value":    {get + "X-A: \t a b\tc \t\r\n\r\n", plainHead},
		"an empty value":           {get + "X-A:\r\nX-B: \t\r\n\r\n", plainHead},
		"a colon in a value":       {get + "X-A: a:b: c\r\n\r\n", plainHead},
		"no name":                  {get + ": a\r\n\r\n", other},
		"no colon":                 {get + "X-A\r\n\r\n", other},
		"a blank before the colon": {get + "X-A : a\r\n\r\n", other},
		"a fold":                   {get + "X-A: a\r\n b\r\n\r\n", other},
		"a fold by tab":            {get + "X-A: a\r\n\tb\r\n\r\n", other},
		"a fold at once":           {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", other},
		"an underscore":            {get + "X_Roles: a\r\n\r\n", other},
		"NUL in a value":           {get + "X-A: aaaaaaaaaaaaaaaaaaaa\x00\r\n\r\n", other},
		"DEL in a value":           {get + "X-A: aaaaaa\x7fa\r\n\r\n", other},
		"a value of Latin-1":       {get + "X-A: aaaaaa\xe9aaaaaaaa\r\n\r\n", other},
		"a CR in a value":          {get + "X-A: a\rX-B: b\r\n\r\n", other},
		"bare line feeds":          {"GET / HTTP/1.1\nHost: h\n\n", other},
		"a bare one at the end":    {get + "\n", other},
		"an empty line first":      {"\r\n" + get + "\r\n", other},
		"Host in lower case":       {"GET / HTTP/1.1\r\nhost: h:80\r\n\r\n", plainHead},
		"Host of IPv6":             {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", plainHead},
		"no Host":                  {"GET / HTTP/1.1\r\nX-A: a\r\n\r\n", other},
		"an empty Host":            {"GET / HTTP/1.1\r\nHost:\r\n\r\n", other},
		"two Hosts":                {get + "Host: h\r\n\r\n", other},
		"a Host with a path":       {"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", other},
		"HTTP/1.0":                 {"GET / HTTP/1.0\r\nHost: h\r\n\r\n", other},
		"HTTP/2":                   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", other},
		"no version":               {"GET /\r\n\r\n", other},
		"an unknown method":        {"FROB / HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"a method in lower case":   {"get / HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"CONNECT":                  {"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"OPTIONS *":                {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"absolute form":            {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"two blanks":               {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"a blank in the target":    {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"HEAD":                     {"HEAD /v2/a-b_c.d~e?x=1&y=%zz HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"DELETE":                   {"DELETE /v2/x HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"an empty query":           {"GET /x? HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"two question marks":       {"GET /x?? HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"two slashes":              {"GET //h/../x HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"three slashes":            {"GET ///h/x HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"encoded":                  {"GET /a%2Fb;c,d'e(f)g!h*i:j@k$l&m+n=o HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"encoded slash and query":  {"GET /a/%2e%2e/b?#x HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"an encoding that is none": {"GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"a target of UTF-8":        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", other},
		"POST without a body":      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", plainHead},
		"POST without a length":    {"POST / HTTP/1.1\r\nHost: h\r\n\r\n", plainHead},
		"a body":                   {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", plainHead},
		"a request behind a body":  {"PUT / HTTP/1.1\r\nHost: h\r\ncontent-length: 12\r\n\r\nGET / HTTP/1GET / HTTP/1.1\r\n\r\n", plainHead},
		"half a body":              {"PATCH / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nh", partialBody},
		"no body yet":              {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8192\r\n\r\n", partialBody},
		"a body that is too long":  {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8193\r\n\r\n", other},
		"a length beyond numbers":  {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551618\r\n\r\nhi", other},
		"a length in hexadecimal":  {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\nhi", other},
		"a zero before a length":   {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 02\r\n\r\nhi", other},
		"a length below zero":      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\nhi", other},
		"lengths that differ":      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\nhi", other},
		"a length and chunks":      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", other},
		"a body of GET":            {get + "Content-Length: 2\r\n\r\nhi", other},
		"a body of DELETE":         {"DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", other},
		"two lengths":              {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", other},
		"a length of +0":           {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n", other},
		"a length of 00":           {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00\r\n\r\n", other},
		"an empty length":          {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", other},
		"lengths in a list":        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n", other},
		"chunked":                  {"POST / HTTP/1.1\r\nHost: h\r\ntransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", other},
		"keep-alive":               {get + "Connection: Keep-Alive\r\n\r\n", plainHead},
		"close":                    {get + "Connection: close\r\n\r\n", other},
		"a list of options":        {get + "Connection: keep-alive, x-roles\r\n\r\n", other},
		"Upgrade":                  {get + "Upgrade: h2c\r\n\r\n", other},
		"Expect":                   {get + "Expect: 100-continue\r\n\r\n", other},
		"TE":                       {get + "TE: trailers\r\n\r\n", other},
		"Trailer":                  {get + "Trailer: X-A\r\n\r\n", other},
		"Pragma":                   {get + "Pragma: no-cache\r\n\r\n", other},
		"HTTP2-Settings":           {get + "HTTP2-Settings: AA\r\n\r\n", other},
		"no end":                   {get + "X-A: a", partial},
		"no blank line":            {get + "X-A: a\r\n", partial},
		"half an end":              {get + "X-A: a\r\n\r", partial},
		"nothing":                  {"", partial},
		"as many fields as may be": {get + fields(maxFields) + "\r\n", plainHead},
		"one more":                 {get + fields(maxFields+1) + "\r\n", other},
		"names of all kinds":       {get + "accept: a\r\nx-oPENSTACK-rEQUEST-iD: b\r\n9-a--b: c\r\n-: d\r\n\r\n", plainHead},
		"a long value elsewhere":   {get + "Cookie: " + strings.Repeat("a\tb ", 100) + "\r\nX-A: 1\r\n\r\n", plainHead},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, last := range []string{"", token, token[:len(token)-1]} {
				if got := check(t, []byte(tt.text), last); got != tt.want {
					t.Errorf("after %.8q: found %d, want %d", last, got, tt.want)
				}
			}
		})
	}
}

func fields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("X-" + strings.Repeat("a", i) + ": b\r\n")
	}
	return b.String()
}

// Each byte in each place of a head is judged no less strictly than by net/http, and in a value as by a reader that looks at one
// byte at a time.
func TestBytes(t *testing.T) {
	const text = "GET /aa?b HTTP/1.1\r\nHost: h\r\nX-A: aaaaaaaaaaaaaaaaa\r\nContent-Length: 0\r\n\r\n"
	for c := range 256 {
		for at := range len(text) {
			changed := []byte(text)
			changed[at] = byte(c)
			check(t, changed, "")
		}
		for at := range 20 {
			value := []byte(strings.Repeat("a\t", 10))
			value[at] = byte(c)
			if isValue(value) != visible(value) {
				t.Errorf("byte %#x at %d: %v", c, at, isValue(value))
			}
		}
	}
}

// FuzzHead compares with net/http: whatever is taken for plain is the same request there, with the same end.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: " + token + "\r\n\r\nGET / HTTP/1.1\r\n",
		"POST /v2/a?b=%zz HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length: 0\r\nConnection: keep-alive\r\nAccept:\t*/* \r\n\r\n",
		"GET //a/%2e%2e;x/?? HTTP/1.1\r\nHost: h\r\nx-a: b\r\nX-B: c\r\n\r\n",
		"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n",
	} {
		f.Add([]byte(s), token)
		f.Add([]byte(s), "")
	}
	f.Fuzz(func(t *testing.T, data []byte, last string) {
		if !isValue([]byte(last)) || strings.TrimSpace(last) != last {
			t.Skip("no value that a request had")
		}
		check(t, data, last)
	})
}
