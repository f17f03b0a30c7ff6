package revocation_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/keystone/client"
	"authproxy/revocation"
)

// pipes is a listener whose connections are pipes in memory, for use in a bubble.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// faulty stands between the proxy and the backend.
type faulty struct {
	backend *backend

	mu    sync.Mutex
	fault http.HandlerFunc // instead of the backend's answer about lists
}

func (f *faulty) set(fault http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	f.backend.change(func() { // who waits has to come again
		close(f.backend.changed)
		f.backend.changed = make(chan struct{})
	})
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if fault != nil && r.Method == http.MethodGet {
		fault(w, r)
		return
	}
	f.backend.ServeHTTP(w, r)
}

// raw takes the connection and does with it what it likes.
func raw(f func(net.Conn, *bufio.ReadWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		f(conn, rw)
	}
}

func says(text string) http.HandlerFunc {
	return raw(func(_ net.Conn, rw *bufio.ReadWriter) { rw.WriteString(text); rw.Flush() })
}

// signedAnswer is an answer of 200 with a list or delta.
func signedAnswer(signed []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"fault"`)
		w.Header().Set("Preference-Applied", r.Header.Get("Prefer"))
		_ = json.NewEncoder(w).Encode(map[string]string{"signed": string(signed)})
	}
}

// faults is what may go wrong on the way. old is a list and delta that the backend signed earlier.
func faults(t testing.TB, b *backend, old, oldDelta []byte) map[string]http.HandlerFunc {
	body := func(signed []byte) string {
		text, _ := json.Marshal(map[string]string{"signed": string(signed)})
		return string(text)
	}
	list := body(old)
	return map[string]http.HandlerFunc{
		"down":         raw(func(net.Conn, *bufio.ReadWriter) {}),
		"silent":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"503":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"403":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"410":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) },
		"401":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"garbage":      says("\x00\xff\x00\xffHTTP/9 garbage\r\n\r\n"),
		"other pages":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>captive portal</html>") },
		"empty answer": func(http.ResponseWriter, *http.Request) {},
		"half closed": raw(func(_ net.Conn, rw *bufio.ReadWriter) { // headers, a part of the body, and then nothing for long
			fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(list), list[:len(list)/2])
			rw.Flush()
			_, _ = io.Copy(io.Discard, rw)
		}),
		"slow": func(w http.ResponseWriter, r *http.Request) { // a byte a second
			for _, c := range []byte(list) {
				if _, err := w.Write([]byte{c}); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		},
		"cut off":                says(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(list), list[:len(list)/2])),
		"cut off without notice": says("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + list[:len(list)/2]),
		"truncated list":         signedAnswer(old[:len(old)/2]),
		"old list":               signedAnswer(old),
		"old delta":              signedAnswer(oldDelta),
		"unnumbered list":        signedAnswer(b.list(t)),
		"token":                  signedAnswer(sign(t, b.signer, []byte(`{"token":{"user":{}}}`))),
		"stranger's list":        signedAnswer(newIdentity(t).list(t)),
		"delta gap": func(w http.ResponseWriter, r *http.Request) {
			signedAnswer(sign(t, b.signer, deltaContent(t, 100, 101, time.Now(), life)))(w, r)
		},
		"list of the future": func(w http.ResponseWriter, r *http.Request) {
			signedAnswer(sign(t, b.signer, numberedList(t, 1000, time.Now().Add(time.Hour), life)))(w, r)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example.com/", http.StatusFound)
		},
	}
}

// newClient asks the backend over l, or over the network where l is nil.
func newClient(t testing.TB, url string, l *pipes) *client.Client {
	t.Helper()
	o := client.Options{AuthURL: url, UserID: "proxy", Password: "secret", Timeout: 5 * time.Second, ListTimeout: 5 * time.Second}
	transport := &http.Transport{}
	if l != nil {
		transport.DialContext = l.dial
	}
	o.HTTPClient = &http.Client{Transport: transport}
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFaultsForDays(t *testing.T) {
	t.Parallel()
	// Days pass in few polls: what counts is how the bounds lie to each other.
	const interval, maxStale = 10 * time.Minute, 50 * time.Minute
	for _, longPoll := range []time.Duration{0, time.Minute} {
		for name := range faults(t, newBackend(t), []byte("x"), []byte("x")) {
			t.Run(fmt.Sprintf("%s/long poll %v", name, longPoll), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBackend(t)
					b.life = maxStale
					b.revoke(id1)
					old := sign(t, b.signer, numberedList(t, 1, time.Now(), 1000*time.Hour))
					oldDelta := sign(t, b.signer, deltaContent(t, 1, 2, time.Now(), 1000*time.Hour))
					wait(time.Minute)
					b.revoke(id2)
					middle := &faulty{backend: b}
					listener := newPipes()
					server := &http.Server{Handler: middle, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
					served := make(chan struct{})
					go func() { defer close(served); _ = server.Serve(listener) }()
					c := newClient(t, "http://identity", listener)
					p := &revocation.Poller{Source: c, Verifier: b.verifier(t), Interval: interval, MaxStale: maxStale, LongPoll: longPoll, Timeout: 10 * time.Second}
					ctx, stop := context.WithCancel(t.Context())
					done := make(chan error)
					go func() { done <- p.Run(ctx) }()

					fault := faults(t, b, old, oldDelta)[name]
					revoked := []string{id1, id2}
					check := func(when string) {
						t.Helper()
						synctest.Wait()
						for _, id := range revoked {
							if !p.Current().ContainsID(id) {
								t.Fatalf("%s: %s is not revoked any more", when, id)
							}
						}
						if age, known := p.Age(time.Now()); p.Fresh(time.Now()) && (!known || age > maxStale) {
							t.Fatalf("%s: fresh at age %v", when, age)
						}
					}
					wait(time.Minute)
					for day, length := range []time.Duration{time.Second, time.Minute, time.Hour, 30 * time.Hour} {
						middle.set(fault)
						// It is revoked while nobody can know.
						id := numbered32(day)
						b.revoke(id)
						wait(length)
						check("trouble")
						if length > maxStale && p.Fresh(time.Now()) {
							t.Fatalf("fresh after %v of trouble: %+v", length, p.Status())
						}
						middle.set(nil)
						// One poll: what is under way comes to its end, a pause, a question.
						wait(interval + 12*time.Second)
						revoked = append(revoked, id)
						check("well again")
						if s := p.Status(); !s.Fresh || s.Failures != 0 {
							t.Fatalf("well again for %v: %+v", interval, s)
						}
						wait(time.Hour)
						check("long after")
						if s := p.Status(); !s.Fresh || s.LongPoll != (longPoll > 0) {
							t.Fatalf("long after: %+v", s)
						}
					}
					stop()
					if err := <-done; err != nil {
						t.Error(err)
					}
					server.Close()
					c.Close()
					<-served
				})
			})
		}
	}
}

// TestFaultsOverSockets is the same over real sockets, for seconds.
func TestFaultsOverSockets(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.revoke(id1)
	old := sign(t, b.signer, numberedList(t, 1, time.Now(), life))
	oldDelta := sign(t, b.signer, deltaContent(t, 1, 2, time.Now(), life))
	b.revoke(id2)
	middle := &faulty{backend: b}
	server := httptest.NewUnstartedServer(middle)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Start()
	c := newClient(t, server.URL, nil)
	const maxStale = 900 * time.Millisecond
	p := &revocation.Poller{Source: c, Verifier: b.verifier(t), Interval: 50 * time.Millisecond, MaxStale: maxStale, Timeout: 400 * time.Millisecond, Dir: t.TempDir()}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	eventually := func(what string, ok func() bool) {
		t.Helper()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("%s: never: %+v", what, p.Status())
			}
		}
	}
	eventually("list", func() bool { return p.Current().ContainsID(id2) })
	n := 0
	for name, fault := range faults(t, b, old, oldDelta) {
		middle.set(fault)
		eventually(name, func() bool { return p.Status().Failures > 0 })
		id := numbered32(n)
		n++
		b.revoke(id)
		if n%6 == 0 { // each takes a second
			eventually(name, func() bool { return !p.Fresh(time.Now()) })
		}
		if p.Current().ContainsID(id) || !p.Current().ContainsID(id1) || !p.Current().ContainsID(id2) {
			t.Errorf("%s: wrong list", name)
		}
		middle.set(nil)
		eventually(name+", well again", func() bool { return p.Fresh(time.Now()) && p.Current().ContainsID(id) })
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.Close()
	server.CloseClientConnections()
	server.Close()
	if !strings.Contains(fmt.Sprint(p.Status().LastResult), "ok") {
		t.Errorf("status %+v", p.Status())
	}
}
