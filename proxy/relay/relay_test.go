package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// events notes what an exchange reports.
type events struct {
	informational []int
	waited        int
	abandoned     func()
}

func (e *events) Informational(code int, _ []Field) { e.informational = append(e.informational, code) }
func (e *events) Waiting()                          { e.waited++ }
func (e *events) Abandoned() {
	if e.abandoned != nil {
		e.abandoned()
	}
}

// pipes gives connections to an upstream that answers each request with a text and closes.
func pipes(t testing.TB, answer []byte) func() net.Conn {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return func() net.Conn {
		here, there := net.Pipe()
		wg.Go(func() {
			defer there.Close()
			r := bufio.NewReader(there)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == "\r\n" {
					break
				}
			}
			_, _ = there.Write(answer)
		})
		return here
	}
}

type outcome struct {
	code    int
	header  http.Header
	body    []byte
	trailer http.Header
}

// connection are the fields that say how an answer came, not what it is.
var connection = []string{"Content-Length", "Transfer-Encoding", "Connection", "Trailer"}

func ours(t testing.TB, method string, answer []byte) (o outcome, err error) {
	dial := pipes(t, answer)
	c := &Client{Dial: func(context.Context) (net.Conn, error) { return dial(), nil }, DisableKeepAlives: true}
	q := &Request{Method: method, Head: []byte(method + " / HTTP/1.1\r\nHost: h\r\n"), Events: &events{}}
	res, err := c.Do(t.Context(), q)
	if err != nil {
		return o, err
	}
	defer res.Close()
	o = outcome{code: res.Code, header: http.Header{}, trailer: http.Header{}}
	for _, f := range res.Fields {
		o.header.Add(f.Name, f.Value)
	}
	for {
		piece, err := res.Next()
		o.body = append(o.body, piece...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return o, err
		}
	}
	for _, f := range res.Trailer() {
		o.trailer.Add(f.Name, f.Value)
	}
	return o, nil
}

func theirs(t testing.TB, method string, answer []byte) (o outcome, err error) {
	dial := pipes(t, answer)
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 1 << 20}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://h/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return o, err
	}
	defer res.Body.Close()
	o = outcome{code: res.StatusCode, header: res.Header}
	if o.body, err = io.ReadAll(res.Body); err != nil {
		return o, err
	}
	o.trailer = http.Header{}
	for name, values := range res.Trailer {
		if values != nil {
			o.trailer[name] = values
		}
	}
	return o, nil
}

// compare fails where ours takes an answer that net/http does not take, or takes for another one.
func compare(t *testing.T, method string, answer []byte) {
	t.Helper()
	mine, err := ours(t, method, answer)
	if err != nil || mine.code == 101 {
		return
	}
	other, err := theirs(t, method, answer)
	if err != nil {
		t.Fatalf("net/http does not take it: %v", err)
	}
	_, cache := mine.header["Cache-Control"]
	if !cache && mine.header.Get("Pragma") == "no-cache" {
		delete(other.header, "Cache-Control") // net/http makes one
	}
	for _, name := range connection {
		delete(mine.header, name)
		delete(other.header, name)
	}
	if mine.code != other.code || !bytes.Equal(mine.body, other.body) || fmt.Sprint(mine.header) != fmt.Sprint(other.header) || fmt.Sprint(mine.trailer) != fmt.Sprint(other.trailer) {
		t.Fatalf("\nwe took     %d %v %q %v\nnet/http did %d %v %q %v", mine.code, mine.header, mine.body, mine.trailer,
			other.code, other.header, other.body, other.trailer)
	}
}

// good are answers that must be taken; bad are those that two readers might understand differently, or that break off.
var good = map[string]string{
	"a length":                     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
	"chunks":                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
	"a chunked body that is empty": "HTTP/1.1 404 Not Found\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
	"trailers":                     "HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nx-other: 2\r\n\r\n",
	"trailers that come unasked":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
	"up to the end":                "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nall of it",
	"HTTP/1.0":                     "HTTP/1.0 200 OK\r\n\r\nall of it",
	"HTTP/1.0 with a length":       "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	"204":                          "HTTP/1.1 204 No Content\r\n\r\n",
	"304 with a length":            "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
	"no reason":                    "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	"an unknown status":            "HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n",
	"informational answers":        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"many fields of one name":      "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n",
	"bytes of Latin-1":             "HTTP/1.1 200 OK\r\nX-A: \xe4 \tb \r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
	"Pragma":                       "HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 0\r\n\r\n",
}

var bad = map[string]string{
	"nothing":                      "",
	"no HTTP":                      "220 smtp\r\n\r\n",
	"HTTP/2":                       "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	"a status of two digits":       "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
	"a status of four digits":      "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
	"a status that cannot be":      "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
	"two blanks before the status": "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
	"an empty line first":          "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"bare LF":                      "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	"bare LF in one place":         "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n",
	"bare CR":                      "HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n",
	"obs-fold":                     "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
	"a blank before the colon":     "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
	"no name":                      "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
	"no colon":                     "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 0\r\n\r\n",
	"NUL":                          "HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 0\r\n\r\n",
	"DEL":                          "HTTP/1.1 200 OK\r\nX-A: \x7f\r\nContent-Length: 0\r\n\r\n",
	"two lengths":                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"one length twice":             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"a list of lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
	"a signed length":              "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
	"a negative length":            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
	"a huge length":                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
	"an empty length":              "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
	"length and chunked":           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked twice":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"gzip and chunked":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"identity":                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
	"chunked in HTTP/1.0":          "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"no chunk size":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
	"a chunk size that is none":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
	"a chunk size with blanks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
	"a chunk size that overflows":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
	"bare LF behind a chunk size":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
	"a chunk that is too long":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
	"bare LF behind a chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
	"chunks without an end":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"trailers without an end":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n",
	"a trailer without a name":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n",
	"a length as a trailer":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n",
	"less than the length":         "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
	"a head without an end":        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
	"a body before the answer":     "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"only informational answers":   "HTTP/1.1 103 Early Hints\r\n\r\n",
	"an upgrade nobody asked for":  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
	"a head that is too long":      "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("x", 1<<20) + "\r\nContent-Length: 0\r\n\r\n",
	"hints without an end":         strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-A: "+strings.Repeat("x", 1000)+"\r\n\r\n", 1100),
}

func TestAnswers(t *testing.T) {
	for name, answer := range good {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			if _, err := ours(t, method, []byte(answer)); err != nil {
				t.Errorf("%s, %s: %v", name, method, err)
			}
			compare(t, method, []byte(answer))
		}
	}
	for name, answer := range bad {
		if o, err := ours(t, "GET", []byte(answer)); err == nil || errors.Is(err, io.EOF) && name != "nothing" {
			t.Errorf("%s: %+v, error %v", name, o, err)
		}
	}
}

// FuzzAnswer: what we take for an answer, net/http takes for the same.
func FuzzAnswer(f *testing.F) {
	for _, answers := range []map[string]string{good, bad} {
		for _, answer := range answers {
			if len(answer) < 4096 {
				f.Add(byte(0), []byte(answer))
				f.Add(byte(1), []byte(answer))
			}
		}
	}
	f.Fuzz(func(t *testing.T, method byte, answer []byte) {
		compare(t, []string{"GET", "HEAD", "POST"}[method%3], answer)
	})
}

// A head and a body of any size come through whole, in pieces of any size.
func TestPieces(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 20<<10)
	for _, size := range []int{1, 7, 100, 5000, 1 << 20} {
		for name, answer := range map[string]string{
			"length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Long: \r\nContent-Length: %d\r\n\r\n%s", len(long), long),
			"chunked": fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(long)-1, long[1:]),
		} {
			answer := strings.Replace(answer, "X-Long: ", "X-Long: "+long[:min(len(long), size<<12)], 1)
			here, there := net.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() {
				defer there.Close()
				_, _ = textproto.NewReader(bufio.NewReader(there)).ReadMIMEHeader() // the request
				for rest := answer; rest != ""; {
					n := min(size, len(rest))
					if _, err := io.WriteString(there, rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
			})
			c := &Client{Dial: func(context.Context) (net.Conn, error) { return here, nil }}
			res, err := c.Do(t.Context(), &Request{Method: "GET", Head: []byte("GET: / HTTP/1.1\r\n"), Events: &events{}})
			if err != nil {
				t.Fatalf("%s by %d: %v", name, size, err)
			}
			var body []byte
			for {
				piece, err := res.Next()
				body = append(body, piece...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%s by %d: %v", name, size, err)
				}
			}
			if string(body) != long {
				t.Errorf("%s by %d: %d bytes, not %d", name, size, len(body), len(long))
			}
			res.Close()
			c.CloseIdle()
			wg.Wait()
		}
	}
}

// serve answers requests on one end of a pipe for as long as it is open.
func serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" {
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	}
}

func ask(t *testing.T, c *Client) {
	t.Helper()
	res, err := c.Do(t.Context(), &Request{Method: "GET", Head: []byte("GET / HTTP/1.1\r\n"), Events: &events{}})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = res.Next()
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	res.Close()
}

// Connections wait for IdleTimeout and no longer, the one used last is used next, and CloseIdle leaves none of them open.
func TestIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialed, open atomic.Int64
		var wg sync.WaitGroup
		c := &Client{IdleTimeout: time.Minute, MaxIdle: 2, Dial: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			dialed.Add(1)
			open.Add(1)
			wg.Go(func() { serve(there); there.Close(); open.Add(-1) })
			return here, nil
		}}
		check := func(what string, wantDialed, wantOpen int64) {
			t.Helper()
			synctest.Wait()
			if dialed.Load() != wantDialed || open.Load() != wantOpen {
				t.Errorf("%s: %d dialed, %d open; want %d and %d", what, dialed.Load(), open.Load(), wantDialed, wantOpen)
			}
		}
		ask(t, c)
		ask(t, c)
		check("two requests, one after the other", 1, 1)
		time.Sleep(50 * time.Second)
		ask(t, c)
		time.Sleep(50 * time.Second)
		check("50 s after the last one", 1, 1)
		time.Sleep(11 * time.Second)
		check("61 s after the last one", 1, 0)

		var held []*Response
		for range 3 {
			res, err := c.Do(t.Context(), &Request{Method: "GET", Head: []byte("GET / HTTP/1.1\r\n"), Events: &events{}})
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, res)
		}
		for _, res := range held {
			if _, err := res.Next(); err != nil {
				t.Fatal(err)
			}
			res.Close()
		}
		check("three at once, two kept", 4, 2)
		c.CloseIdle()
		check("closed", 4, 0)
		ask(t, c)
		check("a request after that", 5, 1)
		c.CloseIdle()
		wg.Wait()
	})
}

// After Renew a connection that was begun before is used for no further request, whether it waited, was in use or was being made.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialed, open atomic.Int64
		var wg sync.WaitGroup
		during := func() {}
		c := &Client{Dial: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			dialed.Add(1)
			open.Add(1)
			wg.Go(func() { serve(there); there.Close(); open.Add(-1) })
			during()
			return here, nil
		}}
		check := func(what string, wantDialed, wantOpen int64) {
			t.Helper()
			synctest.Wait()
			if dialed.Load() != wantDialed || open.Load() != wantOpen {
				t.Errorf("%s: %d dialed, %d open; want %d and %d", what, dialed.Load(), open.Load(), wantDialed, wantOpen)
			}
		}
		used, err := c.Do(t.Context(), &Request{Method: "GET", Head: []byte("GET / HTTP/1.1\r\n"), Events: &events{}})
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c)
		check("one in use, one waiting", 2, 2)
		c.Renew()
		check("renewed", 2, 1)
		for err == nil {
			_, err = used.Next()
		}
		used.Close()
		check("the one in use is done", 2, 0)
		during = c.Renew
		ask(t, c)
		check("renewed while it was made", 3, 0)
		during = func() {}
		ask(t, c)
		ask(t, c)
		check("after that", 4, 1)
		c.CloseIdle()
		wg.Wait()
	})
}

// A body that the upstream has not asked for goes out after ContinueTimeout, and not before.
func TestContinueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		begin := time.Now()
		var took time.Duration
		var got string
		var wg sync.WaitGroup
		wg.Go(func() {
			defer there.Close()
			r := bufio.NewReader(there)
			for line := ""; line != "\r\n"; {
				line, _ = r.ReadString('\n')
			}
			body := make([]byte, 4)
			_, _ = io.ReadFull(r, body)
			took, got = time.Since(begin), string(body)
			_, _ = io.WriteString(there, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
		})
		c := &Client{ContinueTimeout: 3 * time.Second, Dial: func(context.Context) (net.Conn, error) { return here, nil }}
		res, err := c.Do(t.Context(), &Request{Method: "PUT", Head: []byte("PUT / HTTP/1.1\r\n"), Body: strings.NewReader("body"), Length: 4, Continue: true, Events: &events{}})
		if err != nil {
			t.Fatal(err)
		}
		res.Close()
		c.CloseIdle()
		wg.Wait()
		if took != 3*time.Second || got != "body" {
			t.Errorf("%q after %v", got, took)
		}
	})
}

// A body that cannot be read ends the exchange: half of it must not look whole.
func TestBodyThatBreaksOff(t *testing.T) {
	for name, length := range map[string]int64{"chunked": -1, "length": 10} {
		for _, failure := range []error{errors.New("gone"), io.ErrUnexpectedEOF, io.EOF} {
			if failure == io.EOF && length < 0 {
				continue
			}
			here, there := net.Pipe()
			var got []byte
			var wg sync.WaitGroup
			wg.Go(func() { got, _ = io.ReadAll(there) })
			c := &Client{Dial: func(context.Context) (net.Conn, error) { return here, nil }}
			body := io.MultiReader(strings.NewReader("half"), failing{failure})
			_, err := c.Do(t.Context(), &Request{Method: "PUT", Head: []byte("PUT / HTTP/1.1\r\n"), Body: body, Length: length, Events: &events{}})
			var broken *BodyError
			if !errors.As(err, &broken) {
				t.Errorf("%s, %v: %v", name, failure, err)
			}
			wg.Wait()
			if !bytes.Contains(got, []byte("half")) || bytes.HasSuffix(got, []byte("0\r\n\r\n")) {
				t.Errorf("%s, %v: the upstream got %q", name, failure, got)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The end of the context ends an exchange also where the upstream never pauses, so that no read ever waits.
func TestEndOfAnEndlessAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe is watched from the beginning, as TLS is
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		there, err := l.Accept()
		if err != nil {
			return
		}
		defer there.Close()
		r := bufio.NewReader(there)
		for line := ""; line != "\r\n"; {
			line, _ = r.ReadString('\n')
		}
		_, err = io.WriteString(there, "HTTP/1.1 200 OK\r\n\r\n")
		for err == nil {
			_, err = there.Write(make([]byte, 1000))
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	c := &Client{Dial: func(context.Context) (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }}
	res, err := c.Do(ctx, &Request{Method: "GET", Head: []byte("GET / HTTP/1.1\r\n"), Events: &events{}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for deadline := time.Now().Add(10 * time.Second); err == nil; {
		if _, err = res.Next(); time.Now().After(deadline) {
			t.Fatal("goes on")
		}
	}
	if err == io.EOF {
		t.Error("looks whole")
	}
	res.Close()
	wg.Wait()
}

// A body that is in memory goes out with its head, whole each time it is sent, and its connection is used again.
func TestWholeBody(t *testing.T) {
	var dialed atomic.Int64
	received := make(chan string, 8)
	var wg sync.WaitGroup
	defer wg.Wait()
	c := &Client{Dial: func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		last := dialed.Add(1) == 1
		wg.Go(func() {
			defer there.Close()
			r := bufio.NewReader(there)
			for n := 1; ; n++ {
				q, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(q.Body)
				received <- fmt.Sprint(q.Header["Content-Length"], " ", string(body))
				if last && n == 3 {
					return // without an answer
				}
				if _, err := io.WriteString(there, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
					return
				}
			}
		})
		return here, nil
	}}
	defer c.CloseIdle()
	q := &Request{Method: "PUT", Head: []byte("PUT / HTTP/1.1\r\nHost: h\r\n"), Whole: []byte("hello"), Idempotent: true, Events: &events{}}
	for range 3 {
		res, err := c.Do(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := res.Next(); err != io.EOF {
			t.Fatal(err)
		}
		res.Close()
	}
	for range 4 { // the third was sent twice
		if got := <-received; got != "[5] hello" {
			t.Errorf("the upstream got %q", got)
		}
	}
	if len(received) > 0 || dialed.Load() != 2 {
		t.Errorf("%d more requests, %d connections", len(received), dialed.Load())
	}
}
