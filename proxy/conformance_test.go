package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// What becomes of an upstream's answer, whichever client fetched it.
func TestConformance(t *testing.T) {
	up := newUpstream(t)
	var answer string
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, answer)
		c.Close()
	}
	g := newRigOn(t, up, nil)
	big := strings.Repeat("0123456789", 200<<10)
	tests := map[string]struct {
		method, answer string
		status         int // 0: the connection breaks off
		body           string
		header         map[string]string // "" = must not be there
	}{
		"a length":           {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", map[string]string{"Content-Length": "5"}},
		"a long body":        {"GET", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big), 200, big, nil},
		"a long chunked one": {"GET", fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big), 200, big, nil},
		"chunks":             {"POST", "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 201, "abcde", nil},
		"up to the end":      {"GET", "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nall of it", 200, "all of it", map[string]string{"X-A": "b"}},
		"HTTP/1.0":           {"GET", "HTTP/1.0 200 OK\r\n\r\nall of it", 200, "all of it", nil},
		"HEAD":               {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", 200, "", map[string]string{"Content-Length": "77"}},
		"HEAD, chunked":      {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", nil},
		"204":                {"DELETE", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", map[string]string{"Content-Length": ""}},
		"304 with a length":  {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nEtag: x\r\n\r\n", 304, "", map[string]string{"Etag": "x"}},
		"what is for one connection only": {"GET", "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n" +
			"Upgrade: h2c\r\nTe: x\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n", 200, "",
			map[string]string{"X-Hop": "", "Keep-Alive": "", "Proxy-Authenticate": "", "Upgrade": "", "Te": "", "X-End": "1", "Connection": ""}},
		"many of one name":    {"GET", "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", 200, "", map[string]string{"Set-Cookie": "a=1|b=2"}},
		"Latin-1":             {"GET", "HTTP/1.1 200 OK\r\nX-A: \xe4\r\nContent-Length: 0\r\n\r\n", 200, "", map[string]string{"X-A": "\xe4"}},
		"a long head":         {"GET", "HTTP/1.1 200 OK\r\nX-A: " + big[:500<<10] + "\r\nContent-Length: 0\r\n\r\n", 200, "", map[string]string{"X-A": big[:500<<10]}},
		"a head too long":     {"GET", "HTTP/1.1 200 OK\r\nX-A: " + big + "\r\nContent-Length: 0\r\n\r\n", 502, badGatewayBody, nil},
		"announced trailers":  {"GET", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", 200, "a", map[string]string{"trailer X-Sum": "1"}},
		"unannounced ones":    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n", 200, "a", map[string]string{"trailer X-Sum": "1", "trailer X-Two": "2"}},
		"two lengths":         {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, badGatewayBody, nil},
		"a wrong length":      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", 502, badGatewayBody, nil},
		"an unknown encoding": {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab", 502, badGatewayBody, nil},
		"no name":             {"GET", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", 502, badGatewayBody, nil},
		"a line break in it":  {"GET", "HTTP/1.1 200 OK\r\nX-A: a\rX-B: b\r\n\r\n", 502, badGatewayBody, nil},
		"less than it says":   {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", 0, "", nil},
		"chunks without end":  {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 0, "", nil},
		"a chunk size of x":   {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n", 0, "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answer = tt.answer
			c := g.dial()
			// The upstream closes the connection of the case before at about this time: what may be sent again is.
			fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nIdempotency-Key: 1\r\n\r\n", tt.method)
			res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: tt.method})
			var body []byte
			if err == nil {
				body, err = io.ReadAll(res.Body)
			}
			if tt.status == 0 {
				if err == nil {
					t.Fatalf("looks whole: %v %q", res, body)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || string(body) != tt.body {
				t.Errorf("%d %.100q (%d bytes)", res.StatusCode, body, len(body))
			}
			for name, want := range tt.header {
				values := res.Header[name]
				if trailer, ok := strings.CutPrefix(name, "trailer "); ok {
					values = res.Trailer[trailer]
				}
				if got := strings.Join(values, "|"); got != want {
					t.Errorf("%s: %.100q, want %.100q", name, got, want)
				}
			}
		})
	}
}

// onConnection makes an upstream call answer for each connection, with the number of the connection and of its request.
func onConnection(t *testing.T, answer func(c net.Conn, r *bufio.Reader, conn, n int)) (up *upstream, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns = new(atomic.Int64)
	type key struct{ net.Conn }
	seen := map[key][2]int{}
	up = serveUpstream(t, l)
	up.answer = func(c net.Conn, r *bufio.Reader, got *request) {
		k, ok := seen[key{c}] // requests come one at a time here
		if !ok {
			k[0] = int(conns.Add(1))
		}
		k[1]++
		seen[key{c}] = k
		got.body = readBody(t, r, got)
		up.got <- got
		answer(c, r, k[0], k[1])
	}
	return up, conns
}

// After which answers a connection is used again.
func TestReuse(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		again  bool
	}{
		"a length":          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"chunked":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"204":               {"HTTP/1.1 204 No Content\r\n\r\n", true},
		"HTTP/1.0":          {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"Connection: close": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false},
		"more than it says": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", false},
	} {
		t.Run(name, func(t *testing.T) {
			if standardClient && name == "more than it says" {
				t.Skip("net/http may take the rest for the next answer, if that request is quick")
			}
			up, conns := onConnection(t, func(c net.Conn, _ *bufio.Reader, _, _ int) { fmt.Fprint(c, tt.answer) })
			g := newRigOn(t, up, nil)
			for _, method := range []string{"GET", "POST", "GET"} {
				if res, _ := g.raw(method + " / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: 2\r\n\r\nhi"); res.StatusCode >= 300 {
					t.Fatal(res.Status)
				}
			}
			if n := conns.Load(); (n == 1) != tt.again && !(standardClient && tt.again) { // net/http may take a moment to have it ready
				t.Errorf("%d connections for 3 requests", n)
			}
		})
	}
}

// An answer that comes on an idle connection, where no request is under way, answers none.
func TestUnaskedAnswer(t *testing.T) {
	push := make(chan bool)
	pushed := make(chan bool)
	up, _ := onConnection(t, func(c net.Conn, _ *bufio.Reader, conn, n int) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")
		if conn == 1 && n == 1 {
			<-push
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
			pushed <- true
		}
	})
	g := newRigOn(t, up, nil)
	const get = "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n\r\n"
	if _, body := g.raw(get); body != "true" {
		t.Fatal(body)
	}
	push <- true
	<-pushed
	// On the loopback interface what was written is there.
	if _, body := g.raw(get); body != "true" && !standardClient { // net/http needs time to notice
		t.Errorf("a client got %q", body)
	}
}

// An upstream closes connections that wait. Requests of all kinds go out on another one.
func TestClosedWhileIdle(t *testing.T) {
	if standardClient {
		t.Skip("net/http notices a little later, so that a POST may come in between")
	}
	closing := make(chan bool)
	closed := make(chan bool)
	up, conns := onConnection(t, func(c net.Conn, _ *bufio.Reader, _, _ int) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		<-closing
		c.Close()
		closed <- true
	})
	g := newRigOn(t, up, nil)
	for i, method := range []string{"GET", "POST", "PUT", "GET"} {
		if res, _ := g.raw(method + " / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: 2\r\n\r\nhi"); res.StatusCode != 200 {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
		if n := int(conns.Load()); n != i+1 {
			t.Errorf("%d connections after %d requests", n, i+1)
		}
		closing <- true
		<-closed
	}
}

// A connection that ends under a request: the request is sent once more if that can do no harm, and never twice.
func TestRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		request string // "" = the body of a GET
		first   string // what comes before the connection ends
		status  int
		sent    int
	}{
		"GET":                          {"GET / HTTP/1.1\r\n\r\n", "", 200, 2},
		"HEAD":                         {"HEAD / HTTP/1.1\r\n\r\n", "", 200, 2},
		"POST":                         {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "", 502, 1},
		"DELETE":                       {"DELETE / HTTP/1.1\r\n\r\n", "", 502, 1},
		"POST with an Idempotency-Key": {"POST / HTTP/1.1\r\nIdempotency-Key: 1\r\nContent-Length: 0\r\n\r\n", "", 200, 2},
		"GET with a body":              {"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "", 502, 1},
		"GET, half a head":             {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 2", 502, 1},
		"GET, a hint":                  {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n", 502, 1},
	} {
		t.Run(name, func(t *testing.T) {
			up, _ := onConnection(t, func(c net.Conn, _ *bufio.Reader, conn, n int) {
				if conn == 1 && n == 2 {
					fmt.Fprint(c, tt.first)
					c.Close()
					return
				}
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			g := newRigOn(t, up, nil)
			line, rest, _ := strings.Cut(tt.request, "\r\n")
			send := func(line, rest string) int {
				c := g.dial()
				fmt.Fprintf(c, "%s\r\nHost: h\r\nX-Auth-Token: alice\r\n%s", line, rest)
				r := bufio.NewReader(c)
				for {
					res, err := http.ReadResponse(r, &http.Request{Method: strings.Fields(line)[0]})
					if err != nil {
						t.Fatal(err)
					}
					if res.StatusCode >= 200 {
						return res.StatusCode
					}
				}
			}
			send("GET /first HTTP/1.1", "\r\n")
			up.next()
			if status := send(line, rest); status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if n := len(up.got); n != tt.sent {
				t.Errorf("sent %d times, want %d", n, tt.sent)
			}
		})
	}
}

// A client that goes away in the middle of an endless answer: the upstream is let go.
func TestClientGoneInTheBody(t *testing.T) {
	up := newUpstream(t)
	gone := make(chan error, 1)
	up.answer = func(c net.Conn, r *bufio.Reader, _ *request) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n")
		_, err := r.ReadByte()
		gone <- err
	}
	g := newRigOn(t, up, nil)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", g.URL, nil)
	req.Header.Set("X-Auth-Token", "alice")
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	expectLine(t, bufio.NewReader(res.Body), "data: x")
	cancel()
	if err := <-gone; err == nil {
		t.Error("the upstream was sent something")
	}
}

// An answer that is not a refusal passes while the upload goes on, and what is left of the upload is no request.
func TestAnswerBeforeTheUploadIsThrough(t *testing.T) {
	up := newUpstream(t)
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
		c.Close()
	}
	g := newRigOn(t, up, nil)
	c := g.dial()
	hidden := "GET /admin HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n\r\n"
	fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: %d\r\n\r\nhi", 2+len(hidden))
	fmt.Fprint(c, hidden)
	r := bufio.NewReader(c)
	if res, body := readResponse(t, r, "PUT"); res.StatusCode != 200 || body != "early" {
		t.Errorf("%v %q", res, body)
	}
	if n := len(up.got); n > 1 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
