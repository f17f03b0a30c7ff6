package plain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// isPlain says who reads a request.
func isPlain(w http.ResponseWriter) bool {
	_, ok := w.(*answer)
	return ok
}

// who answers with "plain" or "standard", and the path.
func who(w http.ResponseWriter, r *http.Request) {
	by := "standard"
	if isPlain(w) {
		by = "plain"
	}
	body, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprint(w, by, " ", r.URL.Path, " ", string(body), err)
}

const get = "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"

// A connection is handed over with the first request that is not plain, and stays so; nothing that was sent is lost or doubled.
func TestHandingOver(t *testing.T) {
	post := "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
	chunked := "POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
	text := fmt.Sprintf(get, 0) + post + fmt.Sprintf(get, 1) + chunked + post + "GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	want := []string{"plain /0 <nil>", "plain /2 hello<nil>", "plain /1 <nil>", "standard /3 hi<nil>", "standard /2 hello<nil>", "standard /4 <nil>"}
	address, _ := serve(t, true, who, nil)
	for _, sizes := range [][]int{{len(text)}, {1}, {7}, {len(text) - 90}, {40, 3}} {
		c := dial(t, address)
		go func() {
			for rest, i := text, 0; rest != ""; i++ {
				n := min(len(rest), sizes[i%len(sizes)])
				if _, err := io.WriteString(c, rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
				runtime.Gosched()
			}
		}()
		var got []string
		in := bufio.NewReader(c)
		for range want {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(body))
		}
		if sizes[0] < len(fmt.Sprintf(get, 0)) { // it may come in so many pieces that net/http gets it
			for i := range got {
				got[i] = strings.Replace(got[i], "standard", want[i][:strings.Index(want[i], " ")], 1)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %v: got %q, want %q", sizes, got, want)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("after the last answer: %v", err)
		}
	}
}

// A body that takes its time, or never comes whole, is for net/http, whose Handler begins before it is there.
func TestSlowBodies(t *testing.T) {
	entered := make(chan bool, 1)
	address, _ := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		entered <- isPlain(w)
		who(w, r)
	}, nil)
	const head = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
	for _, tt := range []struct {
		begin, rest, want string
		plain             bool
	}{
		{head + "hello", "", "plain /x hello<nil>", true},
		{head, "hello", "standard /x hello<nil>", false},
		{head + "he", "llo", "standard /x hello<nil>", false},
		{head + "he", "", "standard /x heunexpected EOF", false},
	} {
		c := dial(t, address)
		if _, err := io.WriteString(c, tt.begin); err != nil {
			t.Fatal(err)
		}
		if tt.rest == "" {
			_ = c.(*net.TCPConn).CloseWrite()
		}
		if plain := <-entered; plain != tt.plain {
			t.Errorf("%q: plain %v", tt.begin, plain)
		}
		if _, err := io.WriteString(c, tt.rest); err != nil && tt.rest != "" {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != tt.want {
			t.Errorf("%q, then %q: %q, want %q", tt.begin, tt.rest, body, tt.want)
		}
	}
}

// A token is a string of its own, in each request the one that came with it.
func TestTokens(t *testing.T) {
	var tokens []string
	address, _ := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		if !isPlain(w) {
			t.Error("the request is not plain")
		}
		tokens = append(tokens, r.Header.Get("X-Auth-Token"))
	}, nil)
	c := dial(t, address)
	in := bufio.NewReader(c)
	a, b := strings.Repeat("a", 5000), strings.Repeat("a", 4999)+"b"
	want := []string{a, a, b, a + "c", b[:4999], "", a, "short", a}
	for _, token := range want {
		if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\n\r\n", token); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(tokens, want) {
		t.Errorf("got %.30q", tokens)
	}
}

// A client that goes away ends the context of its request, if somebody waits for that; one that sends the next request does not.
func TestClientGone(t *testing.T) {
	ended, entered := make(chan error, 1), make(chan struct{})
	address, _ := serve(t, true, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/1" {
			return
		}
		done := r.Context().Done()
		close(entered)
		<-done
		ended <- r.Context().Err()
	}, nil)
	c := dial(t, address)
	if _, err := fmt.Fprintf(c, get, 1); err != nil {
		t.Fatal(err)
	}
	<-entered
	_ = c.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNextRequestWhileOneIsWatched(t *testing.T) {
	entered, leave := make(chan context.Context, 1), make(chan struct{})
	address, _ := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			r.Context().Done()
			entered <- r.Context()
			<-leave
		}
		who(w, r)
	}, nil)
	c := dial(t, address)
	in := bufio.NewReader(c)
	for range 2 {
		if _, err := fmt.Fprintf(c, get, 1); err != nil {
			t.Fatal(err)
		}
		ctx := <-entered
		if _, err := fmt.Fprintf(c, get, 2); err != nil {
			t.Fatal(err)
		}
		leave <- struct{}{}
		for _, want := range []string{"plain /1 <nil>", "plain /2 <nil>"} {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, _ := io.ReadAll(res.Body); string(body) != want {
				t.Errorf("got %q, want %q", body, want)
			}
		}
		<-ctx.Done() // with its request
	}
}

// Connections that wait too long, for the first byte or for the rest of a head, are closed without a word, and not before.
func TestTimeouts(t *testing.T) {
	const limit = 60 * time.Millisecond
	address, _ := serve(t, true, who, func(s *http.Server) { s.ReadHeaderTimeout, s.IdleTimeout = limit, limit })
	for name, text := range map[string]string{"silent": "", "half a head": "GET / HTTP/1.1\r\nHost: h\r\n", "after a request": fmt.Sprintf(get, 1)} {
		c := dial(t, address)
		begin := time.Now()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		answers, err := io.ReadAll(c)
		if took := time.Since(begin); err != nil || took < limit-5*time.Millisecond || strings.Contains(text, "\r\n\r\n") != (len(answers) > 0) {
			t.Errorf("%s: %q, %v after %v", name, answers, err, took)
		}
	}
}

// A deadline that was left in place by an earlier request comes too early for later ones, and ends nothing.
func TestDeadlineOfBefore(t *testing.T) {
	const limit = 500 * time.Millisecond
	address, _ := serve(t, true, who, func(s *http.Server) { s.IdleTimeout = limit })
	c := dial(t, address)
	in := bufio.NewReader(c)
	tick := time.NewTicker(limit / 5)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < 2*limit; <-tick.C {
		if _, err := fmt.Fprintf(c, get, 1); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
}

// Closing ends connections that wait, lets requests under way finish as their connections' last, and nobody is left.
func TestClosing(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	address, front := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.URL.Path == "/1" {
			close(entered)
			<-leave
		}
		who(w, r)
	}, nil)
	idle, busy := dial(t, address), dial(t, address)
	if _, err := fmt.Fprintf(idle, get, 2); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(idle)
	if res, err := http.ReadResponse(in, nil); err != nil || res.Close {
		t.Fatal(res, err)
	} else if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(busy, get, 1); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := front.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection that waits: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := front.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while a request is under way: %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("a new connection is accepted")
	}
	close(leave)
	answer, err := io.ReadAll(busy)
	if err != nil || !strings.HasSuffix(string(answer), "plain /1 <nil>") || !strings.Contains(string(answer), "Connection: close\r\n") {
		t.Errorf("the request under way: %q, %v", answer, err)
	}
	if err := front.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if calls.Load() != 2 {
		t.Errorf("%d requests", calls.Load())
	}
}

// Abort ends what is under way: the context of the request, and the connection.
func TestAbort(t *testing.T) {
	entered := make(chan struct{})
	address, front := serve(t, true, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}, nil)
	c := dial(t, address)
	if _, err := fmt.Fprintf(c, get, 1); err != nil {
		t.Fatal(err)
	}
	<-entered
	front.Abort()
	if answer, err := io.ReadAll(c); len(answer) > 0 {
		t.Errorf("%q, %v", answer, err)
	}
	if err := front.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// The end of the server's base context ends that of requests, asked for before or after.
func TestBaseContext(t *testing.T) {
	base, cut := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	address, _ := serve(t, true, func(_ http.ResponseWriter, r *http.Request) {
		if r.Context().Err() != nil {
			t.Error("ended at once")
		}
		if r.URL.Path == "/1" {
			r.Context().Done()
		}
		cut()
		if r.URL.Path == "/1" {
			<-r.Context().Done()
		}
		ended <- r.Context().Err()
	}, func(s *http.Server) { s.BaseContext = func(net.Listener) context.Context { return base } })
	c := dial(t, address)
	if _, err := fmt.Fprintf(c, get, 1); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A request that nobody watches, or that is over, has a context all the same.
func TestContextAfterwards(t *testing.T) {
	kept := make(chan context.Context, 1)
	address, _ := serve(t, true, func(_ http.ResponseWriter, r *http.Request) { kept <- r.Context() }, nil)
	c := dial(t, address)
	if _, err := fmt.Fprintf(c, get, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	ctx := <-kept
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) || ctx.Value(http.ServerContextKey) == nil {
		t.Error(ctx.Err())
	}
}

// What is not a socket.Conn is handed over at once.
func TestOtherConnections(t *testing.T) {
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(who)}
	front := NewListener(below, server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(front) }()
	c := dial(t, below.Addr().String())
	if _, err := fmt.Fprintf(c, get, 1); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "standard /1 <nil>" {
		t.Errorf("%q", body)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-done
	if err := front.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLongHead: a long token does not make a request less plain, up to what is read ahead at most. Beyond that it is for net/http.
func TestLongHead(t *testing.T) {
	address, _ := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, isPlain(w), len(r.Header.Get("X-Auth-Token")))
	}, nil)
	for _, tt := range []struct {
		size int
		want string
	}{{15 << 10, "true 15360"}, {40 << 10, "true 40960"}, {63 << 10, "true 64512"}, {16, "true 16"}, {70 << 10, "false 71680"}} {
		c := dial(t, address)
		for range 2 {
			if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\n\r\n", strings.Repeat("M", tt.size)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if string(body) != tt.want {
				t.Errorf("%d bytes: %s, want %s", tt.size, body, tt.want)
			}
		}
	}
}
