package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bigUpload writes far more than sockets and servers buffer, as glanceclient does: all of it, and only then reads.
func bigUpload(t *testing.T, c net.Conn, token string) {
	t.Helper()
	fmt.Fprintf(c, "PUT /v2/images/1/file HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nTransfer-Encoding: chunked\r\n\r\n", token)
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", 64<<10, bytes.Repeat([]byte("x"), 64<<10))
	for i := range 16 << 4 { // 16 MiB
		if _, err := c.Write(chunk); err != nil {
			t.Fatalf("writing after %d KiB: %v", i*64, err)
		}
	}
	if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

func TestEarlyAnswersToChunkedUploads(t *testing.T) {
	// An upstream that refuses after the head and closes, with an answer whose length it gives or leaves open.
	refusing := func(answer string) func(net.Conn, *bufio.Reader, *request) {
		return func(c net.Conn, _ *bufio.Reader, _ *request) {
			fmt.Fprint(c, answer)
			c.Close()
		}
	}
	tests := map[string]struct {
		token, answer string
		delay         bool
		status        int
		body          string
	}{
		"refused here": {token: "junk", status: 401,
			body: `{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`},
		"undecided here":    {token: "down", status: 503, body: unavailableBody},
		"refused behind us": {token: "junk", delay: true, answer: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope", status: 401, body: "nope"},
		"refused behind us, length open": {token: "alice", answer: "HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\nnope",
			status: 409, body: "nope"},
		"no answer behind us": {token: "alice", status: 502, body: badGatewayBody},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t)
			up.answer = refusing(tt.answer)
			g := newRigOn(t, up, func(h *Handler) { h.DelayAuthDecision = tt.delay })
			c := g.dial()
			bigUpload(t, c, tt.token)
			r := bufio.NewReader(c)
			res, body := readResponse(t, r, "PUT")
			if res.StatusCode != tt.status || body != tt.body {
				t.Errorf("%d %q", res.StatusCode, body)
			}
			if res.StatusCode == 401 && !strings.HasPrefix(res.Header.Get("Www-Authenticate"), "Keystone uri=") {
				t.Error("no challenge")
			}
			// All was read, so the connection is good for the next request.
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			if res, _ := readResponse(t, r, "GET"); !tt.delay && res.StatusCode != 401 {
				t.Errorf("the next request: %d", res.StatusCode)
			}
		})
	}
}

// A refusal that is itself long is read whole, though the upload has been taken away from the transport in the middle.
func TestLongEarlyAnswer(t *testing.T) {
	up := newUpstream(t)
	long := strings.Repeat("x", 1<<20)
	up.answer = func(c net.Conn, r *bufio.Reader, _ *request) {
		fmt.Fprintf(c, "HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n%s", len(long), long)
		_, _ = io.Copy(io.Discard, r) // what still comes of the upload
	}
	g := newRigOn(t, up, nil)
	c := g.dial()
	bigUpload(t, c, "alice")
	if res, body := readResponse(t, bufio.NewReader(c), "PUT"); res.StatusCode != 409 || body != long {
		t.Errorf("%d, %d bytes", res.StatusCode, len(body))
	}
}

// An upload that has no end is not read for ever, in bytes or in time, by us or by net/http after us.
func TestDrainIsBounded(t *testing.T) {
	const limit = 1 << 20
	for name, change := range map[string]func(*Handler){
		"bytes":            func(h *Handler) { h.DrainBytes = limit },
		"bytes, then time": func(h *Handler) { h.DrainBytes, h.DrainTime = limit, time.Second },
		"time":             func(h *Handler) { h.DrainTime = 50 * time.Millisecond },
	} {
		for _, token := range []string{"junk", "alice"} {
			t.Run(name+" "+token, func(t *testing.T) {
				up := newUpstream(t)
				up.answer = func(c net.Conn, _ *bufio.Reader, _ *request) {
					fmt.Fprint(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					c.Close()
				}
				g := newRigOn(t, up, change)
				c := g.dial()
				fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", token)
				chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", 64<<10, bytes.Repeat([]byte("x"), 64<<10))
				switch name {
				case "bytes": // until the proxy has had enough
					for {
						if _, err := c.Write(chunk); err != nil {
							return
						}
					}
				case "bytes, then time": // a little more than the limit, then nothing
					for range limit/(64<<10) + 1 {
						if _, err := c.Write(chunk); err != nil {
							t.Fatal(err)
						}
					}
				}
				r := bufio.NewReader(c)
				if res, _ := readResponse(t, r, "PUT"); res.StatusCode != 401 || !res.Close {
					t.Errorf("%v", res)
				}
				if _, err := r.ReadByte(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the connection is still there: %v", err)
				}
			})
		}
	}
}

// The time allowed for the rest of an upload is not the time allowed for the answer.
func TestSlowEarlyAnswer(t *testing.T) {
	const drain = 200 * time.Millisecond
	half := strings.Repeat("x", heldBody)
	up := newUpstream(t)
	answered := make(chan bool, 1)
	up.answer = func(c net.Conn, r *bufio.Reader, _ *request) {
		fmt.Fprintf(c, "HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n%s", 2*len(half), half)
		answered <- true
		select {
		case <-time.After(3 * drain):
			fmt.Fprint(c, half)
		case <-t.Context().Done():
		}
		_, _ = io.Copy(io.Discard, r) // what is left of the upload is no request
	}
	g := newRigOn(t, up, func(h *Handler) { h.DrainTime = drain })
	c := g.dial()
	fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: alice\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n")
	<-answered
	<-time.After(drain / 4) // the proxy is reading the upload out
	fmt.Fprint(c, "0\r\n\r\n")
	if res, body := readResponse(t, bufio.NewReader(c), "PUT"); res.StatusCode != 409 || body != half+half {
		t.Errorf("%d, %d bytes", res.StatusCode, len(body))
	}
}

// A body of known length that never comes holds up neither the answer nor the connection for longer than that.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	g := newRig(t, func(h *Handler) { h.DrainTime = 50 * time.Millisecond })
	c := g.dial()
	fmt.Fprint(c, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
	r := bufio.NewReader(c)
	if res, _ := readResponse(t, r, "PUT"); res.StatusCode != 401 {
		t.Errorf("%v", res)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still there: %v", err)
	}
}
