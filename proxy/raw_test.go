package proxy

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"authproxy/proxy/plain"
	"authproxy/proxy/socket"
)

// What a client can do to headers below the level of net/http, and what must come of it: a status, and for a request
// that goes on, the identity of its token and nothing else.
func TestHeaderTricks(t *testing.T) {
	const good = "X-Auth-Token: alice\r\n"
	tests := map[string]struct {
		text   string
		status int
		seen   map[string]string // further CGI names that the upstream must see; "" = must not
	}{
		"headers that the client calls hop-by-hop are set all the same": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close, X-Is-Admin-Project, X-Roles, x-user-id, X_User_Id, " +
				"X-Identity-Status, X-Auth-Token, Host, X-Forwarded-For\r\n\r\n", 200,
			map[string]string{"X_AUTH_TOKEN": "alice", "HOST": "h", "X_FORWARDED_FOR": "127.0.0.1"}},
		"the same in several Connection headers": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: X-Roles\r\nconnection: X-User-Id, close\r\n\r\n", 200, nil},
		"obs-fold is one header, not two": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-Note: a\r\n X-Roles: admin\r\n\tX-User-Id: root\r\nConnection: close\r\n\r\n", 200,
			map[string]string{"X_NOTE": "a X-Roles: admin X-User-Id: root"}},
		"a folded first header": {"GET / HTTP/1.1\r\n X-Roles: admin\r\nHost: h\r\n" + good + "\r\n", 400, nil},
		"bare line feeds":       {"GET / HTTP/1.1\nHost: h\n" + "X-Auth-Token: alice\nX-Note: a\nX-Roles: admin\nConnection: close\n\n", 200, nil},
		"a carriage return in a value": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-Note: a\rX-Roles: admin\r\n\r\n", 400, nil},
		"NUL in a value":           {"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-Note: a\x00\r\n\r\n", 400, nil},
		"NUL in a token":           {"GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\x00\r\n\r\n", 400, nil},
		"blank before the colon":   {"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-Roles : admin\r\n\r\n", 400, nil},
		"no name":                  {"GET / HTTP/1.1\r\nHost: h\r\n" + good + ": admin\r\n\r\n", 400, nil},
		"no colon":                 {"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-Roles admin\r\n\r\n", 400, nil},
		"a name that is not UTF-8": {"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-R\xf6les: admin\r\n\r\n", 400, nil},
		"a Unicode dash in a name": {"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X\u2010Roles: admin\r\n\r\n", 400, nil},
		"names with other marks": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X.Roles: admin\r\nX~User~Id: root\r\nX!Is-Admin'Project: x\r\nConnection: close\r\n\r\n", 200, nil},
		"names that only begin alike": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "X-Userish: a\r\nX-Rolesx: a\r\nX-Projection: a\r\nX-Other: stays\r\nConnection: close\r\n\r\n", 200,
			map[string]string{"X_OTHER": "stays"}},
		"absolute form": {
			"GET http://other:80/v2/x?y=1 HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close\r\n\r\n", 200,
			map[string]string{"HOST": "other:80", "line": "GET /v2/x?y=1 HTTP/1.1"}},
		"absolute form, not http": {
			"GET ftp://user:pw@other/v2/x HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close\r\n\r\n", 200,
			map[string]string{"HOST": "other", "line": "GET /v2/x HTTP/1.1", "AUTHORIZATION": ""}},
		"path and query stay as they are": {
			"GET //v2/../a/./b;c=1/%2F%25%3f%00/?x=1;y=2&z=%zz&&= HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close\r\n\r\n", 200,
			map[string]string{"line": "GET //v2/../a/./b;c=1/%2F%25%3f%00/?x=1;y=2&z=%zz&&= HTTP/1.1"}},
		"a query that is empty but there": {
			"GET /x? HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close\r\n\r\n", 200, map[string]string{"line": "GET /x? HTTP/1.1"}},
		"OPTIONS *": {
			"OPTIONS * HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close\r\n\r\n", 200, map[string]string{"line": "OPTIONS * HTTP/1.1"}},
		"an unknown method": {
			"X-FROB /x HTTP/1.1\r\nHost: h\r\n" + good + "Connection: close\r\n\r\n", 200, map[string]string{"line": "X-FROB /x HTTP/1.1"}},
		"HTTP/1.0 without Host": {"GET /x HTTP/1.0\r\n" + good + "\r\n", 200, map[string]string{"line": "GET /x HTTP/1.1"}},
		"HTTP/1.1 without Host": {"GET /x HTTP/1.1\r\n" + good + "\r\n", 400, nil},
		"two Hosts":             {"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + good + "\r\n", 400, nil},
		"Host with a path":      {"GET /x HTTP/1.1\r\nHost: a/b\r\n" + good + "\r\n", 400, nil},
		"HTTP/2 by prior knowledge": {
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 401, nil},
		"an upgrade to HTTP/2": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", 200,
			map[string]string{"UPGRADE": "", "HTTP2_SETTINGS": "", "CONNECTION": ""}},
		"a list of upgrades": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", 200, map[string]string{"UPGRADE": ""}},
		"two Upgrade headers": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", 200, map[string]string{"UPGRADE": "websocket"}},
		"an upgrade that is no name": {
			"GET / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: Upgrade\r\nUpgrade: w\xc3\xa9\r\n\r\n", 400, nil},
		"a POST that wants WebSocket": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", 200, map[string]string{"UPGRADE": ""}},
		"identity in trailers": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Trailer: X-Roles, X-User-Id\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
				"2\r\nhi\r\n0\r\nX-Roles: admin\r\nX-User-Id: root\r\n\r\n", 200, map[string]string{"TRAILER": "", "body": "hi"}},
		"chunked and a length": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200,
			map[string]string{"CONTENT_LENGTH": "", "TRANSFER_ENCODING": "chunked", "body": "hi"}},
		"two lengths": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400, nil},
		"a length that is no number": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Content-Length: +4\r\n\r\nabcd", 400, nil},
		"chunked twice": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501, nil},
		"chunked, then identity": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501, nil},
		"a misspelt encoding": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 501, nil},
		"an underscored length beside a real one": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Content_Length: 0\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", 200,
			map[string]string{"body": "hi"}},
		"a chunk size that is no number": {
			"POST / HTTP/1.1\r\nHost: h\r\n" + good + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\nhi\r\n0\r\n\r\n", 400, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			res, _ := g.raw(tt.text)
			if res.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", res.StatusCode, tt.status)
			}
			if tt.status != 200 {
				if res.StatusCode >= 500 && res.StatusCode != 501 {
					t.Errorf("a client can make a %d", res.StatusCode)
				}
				return
			}
			got := g.up.next()
			env := got.cgi()
			env["line"], env["body"] = got.line, got.body
			if id := got.identity(); !maps.Equal(id, alice) {
				t.Errorf("the upstream saw\n%v\nwant\n%v", id, alice)
			}
			for name, want := range tt.seen {
				if v, there := env[name]; v != want || there != (want != "") {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
			}
		})
	}
}

// A request hidden in the body of another must be seen as what it is: part of a body, or a request of its own that is
// judged by its own token.
func TestSmuggling(t *testing.T) {
	hidden := "GET /admin HTTP/1.1\r\nHost: h\r\nX-Auth-Token: forged\r\nX-Roles: admin\r\n\r\n"
	tests := map[string]string{
		"length and chunked": "POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: " + fmt.Sprint(5+len(hidden)) +
			"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a GET with a body": "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden,
		"pipelined":         "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n\r\n" + hidden,
		"after a refusal":   "POST / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: junk\r\nContent-Length: 2\r\n\r\nhi" + hidden,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			c := g.dial()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(c)
			first, _ := readResponse(t, r, "POST")
			if first.StatusCode == 200 {
				if got := g.up.next(); !strings.HasSuffix(got.line, " / HTTP/1.1") || !maps.Equal(got.identity(), alice) {
					t.Errorf("the first request: %v", got)
				}
			}
			if name != "a GET with a body" && !first.Close {
				if second, _ := readResponse(t, r, "GET"); second.StatusCode != 401 {
					t.Errorf("the hidden request: %d", second.StatusCode)
				}
			}
			g.up.none()
		})
	}
}

func TestHeadTooLargeOrTooSlow(t *testing.T) {
	up := newUpstream(t)
	target, err := ParseUpstream(up.url(), false)
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{Validator: tokens{}, Upstream: target}
	server := NewServer(h, ServerOptions{MaxToken: 8 << 10, ReadHeaderTimeout: 100 * time.Millisecond})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	front := net.Listener(socket.Listener{Listener: l})
	if !standardServer {
		front = plain.NewListener(front, server)
	}
	go func() { done <- server.Serve(front) }()
	defer func() {
		server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}

	// Two tokens of the largest size come through to the Validator.
	c := dial()
	big := strings.Repeat("t", 8<<10)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nX-Service-Token: %s2\r\n\r\n", big, big)
	if res, _ := readResponse(t, bufio.NewReader(c), "GET"); res.StatusCode != 401 {
		t.Errorf("largest tokens: %d", res.StatusCode)
	}
	// Far more does not.
	c = dial()
	go func() {
		_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\n\r\n", strings.Repeat("t", 200<<10))
	}()
	if res, _ := readResponse(t, bufio.NewReader(c), "GET"); res.StatusCode != 431 {
		t.Errorf("a head of 200 KiB: %d", res.StatusCode)
	}
	// A head that never ends is cut off.
	c = dial()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || strings.Contains(string(rest), "200 OK") {
		t.Errorf("a head that never ends: %q, %v", rest, err)
	}
	up.none()
}

func TestForwardedHeaders(t *testing.T) {
	in := func(remote string, header http.Header) *http.Request {
		return &http.Request{RemoteAddr: remote, Host: "front", Header: header}
	}
	came := func() http.Header {
		return http.Header{
			"X-Forwarded-For": {"10.0.0.1", "10.0.0.2"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"cloud"},
			"X-Forwarded-Prefix": {"/image"}, "Forwarded": {"for=10.0.0.1;proto=https"}, "X_Forwarded_For": {"1.2.3.4"},
			"X-Forwarded_Proto": {"gopher"}, "X-Other": {"stays"},
		}
	}
	tests := map[string]struct {
		remote string
		came   http.Header
		want   http.Header
	}{
		"a stranger": {"192.0.2.7:1234", came(), http.Header{
			"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Host": {"front"}, "X-Forwarded-Proto": {"http"}, "X-Other": {"stays"}}},
		"a front end on this machine": {"127.0.0.1:1234", came(), http.Header{
			"X-Forwarded-For": {"10.0.0.1, 10.0.0.2, 127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"cloud"},
			"X-Forwarded-Prefix": {"/image"}, "Forwarded": {"for=10.0.0.1;proto=https, for=127.0.0.1;proto=http"}, "X-Other": {"stays"}}},
		"by IPv6": {"[::1]:1234", http.Header{}, http.Header{
			"X-Forwarded-For": {"::1"}, "X-Forwarded-Host": {"front"}, "X-Forwarded-Proto": {"http"}}},
		"by a socket": {"@", came(), http.Header{
			"X-Forwarded-For": {"10.0.0.1", "10.0.0.2"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"cloud"},
			"X-Forwarded-Prefix": {"/image"}, "Forwarded": {"for=10.0.0.1;proto=https"}, "X-Other": {"stays"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out := http.Header{}
			new(Handler).pass(in(tt.remote, tt.came), false, headerMap(out))
			if fmt.Sprint(out) != fmt.Sprint(tt.want) {
				t.Errorf("got  %v\nwant %v", out, tt.want)
			}
		})
	}
}
