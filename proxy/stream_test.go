package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
)

// readHead reads the head of a raw response.
func readHead(t *testing.T, r *bufio.Reader) (line string, header textproto.MIMEHeader) {
	t.Helper()
	tp := textproto.NewReader(r)
	line, err := tp.ReadLine()
	if err != nil {
		t.Fatalf("reading a status line: %v", err)
	}
	header, err = tp.ReadMIMEHeader()
	if err != nil {
		t.Fatalf("reading headers: %v", err)
	}
	return line, header
}

func expectLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if line, err := r.ReadString('\n'); err != nil || strings.TrimRight(line, "\r\n") != want {
		t.Fatalf("got %q (%v), want %q", line, err, want)
	}
}

// Each half of an upload and of a download arrives before the next half is sent.
func TestStreamingBothWays(t *testing.T) {
	up := newUpstream(t)
	heard := make(chan string)
	up.answer = func(c net.Conn, r *bufio.Reader, _ *request) {
		buf := make([]byte, 5)
		for range 2 {
			expectLine(t, r, "5")
			if _, err := io.ReadFull(r, buf); err != nil {
				t.Error(err)
			}
			expectLine(t, r, "")
			select {
			case heard <- string(buf):
			case <-t.Context().Done():
				return
			}
		}
		expectLine(t, r, "0")
		expectLine(t, r, "")
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 10\r\n\r\n")
		for _, half := range []string{"first", "secnd"} {
			fmt.Fprint(c, half)
			select {
			case <-heard:
			case <-t.Context().Done():
				return
			}
		}
	}
	g := newRigOn(t, up, nil)
	c := g.dial()
	fmt.Fprint(c, "PUT /o HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, half := range []string{"hello", "world"} {
		fmt.Fprintf(c, "5\r\n%s\r\n", half)
		if got := <-heard; got != half {
			t.Errorf("the upstream heard %q", got)
		}
	}
	fmt.Fprint(c, "0\r\n\r\n")
	r := bufio.NewReader(c)
	if line, _ := readHead(t, r); line != "HTTP/1.1 200 OK" {
		t.Fatal(line)
	}
	buf := make([]byte, 5)
	for _, half := range []string{"first", "secnd"} {
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != half {
			t.Fatalf("the client heard %q (%v)", buf, err)
		}
		heard <- ""
	}
}

// An event reaches the client while the next one has not been sent; so does the head while there is no event at all.
func TestServerSentEvents(t *testing.T) {
	up := newUpstream(t)
	next := make(chan bool)
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
		for range 2 {
			<-next
			fmt.Fprint(c, "data: x\n\n")
		}
		c.Close()
	}
	g := newRigOn(t, up, nil)
	req, _ := http.NewRequest("GET", g.URL, nil)
	req.Header.Set("X-Auth-Token", "alice")
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	for range 2 {
		next <- true
		expectLine(t, r, "data: x")
		expectLine(t, r, "")
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Error(err)
	}
}

func TestLengthsAreKept(t *testing.T) {
	up := newUpstream(t)
	g := newRigOn(t, up, nil)
	g.raw("PUT / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
	if got := up.next(); got.body != "abc" || got.cgi()["CONTENT_LENGTH"] != "3" || got.cgi()["TRANSFER_ENCODING"] != "" {
		t.Errorf("a body of known length became %v", got)
	}
	g.raw("PUT / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	if got := up.next(); got.cgi()["CONTENT_LENGTH"] != "0" || got.cgi()["TRANSFER_ENCODING"] != "" {
		t.Errorf("an empty body became %v", got)
	}
}

func TestWebSocketPasses(t *testing.T) {
	up := newUpstream(t)
	up.answer = func(c net.Conn, r *bufio.Reader, got *request) {
		up.got <- got
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(c, "echo "+line)
		}
	}
	g := newRigOn(t, up, nil)
	c := g.dial()
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX-Roles: admin\r\n\r\n")
	r := bufio.NewReader(c)
	if line, header := readHead(t, r); line != "HTTP/1.1 101 Switching Protocols" || header.Get("Upgrade") != "websocket" {
		t.Fatal(line, header)
	}
	if got := up.next(); got.identity()["X_ROLES"] != "member,reader" {
		t.Errorf("the upstream saw %v", got.identity())
	}
	for _, word := range []string{"one", "two"} {
		fmt.Fprintln(c, word)
		expectLine(t, r, "echo "+word)
	}
	c.Close()
	g.eventually("counted", func() bool { return g.metric("authproxy_requests_total", "code=101", "outcome=confirmed") == 1 })

	// Without a token there is no upgrade.
	res, _ := g.raw("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if res.StatusCode != 401 {
		t.Error(res.Status)
	}
}

// An upstream that switches protocols without having been asked gets no tunnel.
func TestUnaskedUpgrade(t *testing.T) {
	up := newUpstream(t)
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	}
	g := newRigOn(t, up, nil)
	res, _ := g.raw("GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	if res.StatusCode != 502 {
		t.Error(res.Status)
	}
}

func TestExpectContinue(t *testing.T) {
	up := newUpstream(t)
	refuse := false
	up.answer = func(c net.Conn, r *bufio.Reader, got *request) {
		if refuse {
			fmt.Fprint(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		fmt.Fprint(c, "HTTP/1.1 100 Continue\r\n\r\n")
		got.body = readBody(t, r, got)
		up.got <- got
		fmt.Fprint(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
	}
	g := newRigOn(t, up, nil)
	for name, framing := range map[string]string{"length": "Content-Length: 4", "chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			body := map[string]string{"length": "data", "chunked": "4\r\ndata\r\n0\r\n\r\n"}[name]
			head := "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" + framing + "\r\nX-Auth-Token: "

			refuse = false
			c := g.dial()
			fmt.Fprint(c, head+"alice\r\n\r\n")
			r := bufio.NewReader(c)
			if line, _ := readHead(t, r); line != "HTTP/1.1 100 Continue" {
				t.Fatal(line)
			}
			fmt.Fprint(c, body)
			line, _ := readHead(t, r)
			if line == "HTTP/1.1 100 Continue" {
				// The upstream's and that of net/http, which it sends when the body is first read, may both get through;
				// clients take any number of them (RFC 9110, section 15.2).
				line, _ = readHead(t, r)
			}
			if line != "HTTP/1.1 201 Created" {
				t.Fatal(line)
			}
			if got := up.next(); got.body != "data" || got.cgi()["EXPECT"] != "100-continue" {
				t.Errorf("the upstream saw %v", got)
			}

			// The proxy refuses: no byte of the body is asked for.
			c = g.dial()
			fmt.Fprint(c, head+"junk\r\n\r\n")
			if line, _ := readHead(t, bufio.NewReader(c)); line != "HTTP/1.1 401 Unauthorized" {
				t.Error(line)
			}
			// The upstream refuses: neither.
			refuse = true
			c = g.dial()
			fmt.Fprint(c, head+"alice\r\n\r\n")
			if line, _ := readHead(t, bufio.NewReader(c)); line != "HTTP/1.1 413 Request Entity Too Large" {
				t.Error(line)
			}
		})
	}
}

func TestUpstreamAnswersPassUnchanged(t *testing.T) {
	up := newUpstream(t)
	answer := ""
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, answer)
		c.Close()
	}
	g := newRigOn(t, up, nil)
	ask := func(method, text string) (*http.Response, string) {
		t.Helper()
		answer = text
		return g.raw(method + " / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n")
	}
	// No Content-Type is made up, also not after an informational answer.
	c := g.dial()
	answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hi</html>"
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\n\r\n")
	r := bufio.NewReader(c)
	if line, h := readHead(t, r); line != "HTTP/1.1 103 Early Hints" || h.Get("Link") != "</x>" {
		t.Errorf("%s %v", line, h)
	}
	if res, _ := readResponse(t, r, "GET"); res.StatusCode != 200 || res.Header["Content-Type"] != nil || res.Header.Get("Link") != "" {
		t.Errorf("after the 103: %v", res)
	}
	// A stored gzip object stays one.
	res, body := ask("GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\nETag: x\r\n\r\n\x1f\x8b\x08\x00")
	if res.Header.Get("Content-Encoding") != "gzip" || body != "\x1f\x8b\x08\x00" || res.ContentLength != 4 {
		t.Errorf("%v %q", res.Header, body)
	}
	// HEAD keeps its length.
	if res, _ := ask("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"); res.ContentLength != 1234 {
		t.Errorf("%v", res)
	}
	// A redirect is the client's to follow.
	if res, _ := ask("GET", "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"); res.Header.Get("Location") != "http://elsewhere/" {
		t.Errorf("%v", res)
	}
	// Both challenges of a 401 arrive.
	res, _ = ask("GET", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Swift realm=\"a\"\r\nContent-Length: 0\r\n\r\n")
	if got := fmt.Sprint(res.Header["Www-Authenticate"]); got != `[Swift realm="a" Keystone uri="http://keystone:5000/v3"]` {
		t.Error(got)
	}
}

// Whether net/http has a body to guess a type from when it writes the head is a matter of luck, so this looks at the order
// not to guess.
func TestContentTypeIsNotGuessed(t *testing.T) {
	h := &Handler{Validator: tokens{}, Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}
	h.once.Do(h.prepare)
	for _, came := range []http.Header{{}, {"Content-Type": {"text/x"}}} {
		w := httptest.NewRecorder()
		h.answered(&exchange{w: w}, 200, came)
		if _, set := w.Header()["Content-Type"]; set != (len(came) == 0) {
			t.Errorf("upstream says %v: nothing to be guessed is %v", came, set)
		}
	}
}

func TestUpstreamTrouble(t *testing.T) {
	up := newUpstream(t)
	g := newRigOn(t, up, nil)
	const get = "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nConnection: close\r\n\r\n"

	for name, answer := range map[string]string{"closes": "", "talks nonsense": "220 smtp\r\n", "breaks off in the head": "HTTP/1.1 200 OK\r\nX-"} {
		t.Run(name, func(t *testing.T) {
			up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) { fmt.Fprint(c, answer); c.Close() }
			res, body := g.raw(get)
			if res.StatusCode != 502 || body != "The service behind this proxy did not answer.\n" || res.Header.Get("Www-Authenticate") != "" {
				t.Errorf("%v %q", res, body)
			}
		})
	}
	// A body that breaks off must not look whole.
	up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		c.Close()
	}
	c := g.dial()
	fmt.Fprint(c, get)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("half a body looks whole: %q", body)
	}
	// Nobody there.
	up.listener.Close()
	g.eventually("502", func() bool { res, _ := g.raw(get); return res.StatusCode == 502 })
	if n := g.metric("authproxy_requests_total", "code=502", "outcome=upstream_error"); n < 4 {
		t.Errorf("%v counted", n)
	}
	if !strings.Contains(g.logs.String(), "request not answered by the upstream") {
		t.Error("not logged")
	}
}

// A client that goes away is counted, and is no event for the log.
func TestClientGone(t *testing.T) {
	up := newUpstream(t)
	reached := make(chan bool, 1)
	up.answer = func(_ net.Conn, r *bufio.Reader, _ *request) {
		reached <- true
		_, _ = io.Copy(io.Discard, r) // until the proxy hangs up
	}
	g := newRigOn(t, up, nil)
	t.Run("waiting", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", g.URL, nil)
		req.Header.Set("X-Auth-Token", "alice")
		go func() { <-reached; cancel() }()
		if _, err := g.Client().Do(req); err == nil {
			t.Fatal("answered")
		}
		g.eventually("counted", func() bool {
			return g.metric("authproxy_requests_total", "code=502", "outcome=client_gone") == 1
		})
	})
	t.Run("uploading", func(t *testing.T) {
		c := g.dial()
		fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nContent-Length: 100\r\n\r\nhalf")
		<-reached
		c.Close()
		g.eventually("counted", func() bool {
			return g.metric("authproxy_requests_total", "code=400", "outcome=client_gone") == 1
		})
	})
	if logs := g.logs.String(); logs != "" {
		t.Errorf("logged: %s", logs)
	}
}
