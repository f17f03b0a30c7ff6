package sharedcache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"authproxy/certs/certstest"
)

// TestLyingMemcached: answers that are none, and answers to other questions. Each is a miss, and takes no time.
func TestLyingMemcached(t *testing.T) {
	answers := map[string]func(key string, value []byte, w io.Writer) bool{
		"another key": func(_ string, value []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE other 0 %d 7\r\n%s\r\nEND\r\n", len(value), value)
			return true
		},
		"two values": func(key string, value []byte, w io.Writer) bool {
			for range 2 {
				fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%s\r\n", key, len(value), value)
			}
			fmt.Fprint(w, "END\r\n")
			return true
		},
		"more than was asked for": func(key string, value []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%s\r\nEND\r\nEND\r\n", key, len(value), value)
			return true
		},
		"garbage": func(_ string, _ []byte, w io.Writer) bool {
			fmt.Fprint(w, "\x00\xff\xfeSSH-2.0-OpenSSH\r\n")
			return true
		},
		"a line without end": func(_ string, _ []byte, w io.Writer) bool {
			_, _ = w.Write([]byte("VALUE " + strings.Repeat("x", 1<<16)))
			return true
		},
		"a huge size": func(key string, _ []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE %s 0 4294967295 7\r\n", key)
			return false
		},
		"a huge value": func(key string, _ []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%s\r\nEND\r\n", key, 8<<20, strings.Repeat("x", 8<<20))
			return false
		},
		"a negative size": func(key string, _ []byte, w io.Writer) bool { fmt.Fprintf(w, "VALUE %s 0 -1 7\r\n", key); return false },
		"no size":         func(key string, _ []byte, w io.Writer) bool { fmt.Fprintf(w, "VALUE %s 0\r\n", key); return false },
		"a web server": func(_ string, _ []byte, w io.Writer) bool {
			fmt.Fprint(w, "HTTP/1.1 400 Bad Request\r\n\r\n")
			return true
		},
		"an error": func(_ string, _ []byte, w io.Writer) bool {
			fmt.Fprint(w, "SERVER_ERROR out of memory\r\n")
			return true
		},
		"a value too long": func(key string, value []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%sx\r\nEND\r\n", key, len(value), value)
			return true
		},
		"an empty value": func(key string, _ []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE %s 0 0 7\r\n\r\nEND\r\n", key)
			return true
		},
	}
	for name, answer := range answers {
		for strategy, s := range strategies {
			t.Run(name+"/"+strategy, func(t *testing.T) {
				f := newFake(t)
				l := new(logs)
				c := newCache(t, Options{Servers: []string{f.address}, Strategy: s, Timeout: time.Minute, Log: l.logger()})
				set(c, uuid)
				f.set(func() { f.answer = answer })
				begin := time.Now()
				for range 2 {
					expect(t, c, uuid, false)
				}
				if took := time.Since(begin); took > 30*time.Second {
					t.Errorf("waited for %v", took)
				}
				f.set(func() { f.answer = nil })
				expect(t, c, uuid, true) // nothing of that was fatal
				if s := c.Stats(); s.Dead != 0 || s.Rejected+s.Errors+s.Misses != 2 {
					t.Errorf("%+v", s)
				}
				if strings.Contains(l.String(), uuid) || strings.Contains(l.String(), "alice") || strings.Contains(l.String(), "OpenSSH") {
					t.Errorf("what memcached said is in the log:\n%s", l)
				}
			})
		}
	}
}

// TestMixedUpAnswers: W-7. A memcached that gives each the value of the other, under the name that was asked for.
func TestMixedUpAnswers(t *testing.T) {
	for name, s := range strategies {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c := newCache(t, Options{Servers: []string{f.address}, Strategy: s})
			set(c, uuid)
			set(c, other)
			f.set(func() {
				f.answer = func(key string, _ []byte, w io.Writer) bool {
					f.mu.Lock()
					defer f.mu.Unlock()
					for k, value := range f.items {
						if k != key {
							fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%s\r\nEND\r\n", key, len(value), value)
							return true
						}
					}
					return false
				}
			})
			expect(t, c, uuid, false)
			expect(t, c, other, false)
			if s := c.Stats(); s.Rejected != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestHangingMemcached: it is waited for once, and then left alone.
func TestHangingMemcached(t *testing.T) {
	silent := func(string, []byte, io.Writer) bool { return false }
	for name, hang := range map[string]func(f *fake){
		"no answer": func(f *fake) { f.answer = silent },
		"half an answer": func(f *fake) {
			f.answer = func(key string, value []byte, w io.Writer) bool {
				fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%s", key, len(value), value[:10])
				return false
			}
		},
		"a byte now and then": func(f *fake) {
			f.answer = func(key string, value []byte, w io.Writer) bool {
				fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n", key, len(value))
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if _, err := w.Write([]byte("x")); err != nil {
						return false
					}
				}
				return false
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			l := new(logs)
			const timeout = 200 * time.Millisecond
			c := newCache(t, Options{Servers: []string{f.address}, Timeout: timeout, DeadRetry: time.Hour, Log: l.logger()})
			set(c, uuid)
			f.set(func() { hang(f) })
			begin := time.Now()
			expect(t, c, uuid, false)
			if took := time.Since(begin); took < timeout || took > timeout+5*time.Second {
				t.Errorf("waited for %v, want %v", took, timeout)
			}
			f.set(func() { f.asked = 0 })
			for range 100 {
				expect(t, c, uuid, false)
				set(c, uuid)
			}
			f.set(func() {
				if f.asked != 0 {
					t.Errorf("asked %d times more", f.asked)
				}
			})
			if s := c.Stats(); s.Dead != 1 || s.Errors != 1 || s.Skipped != 100 || s.StoreSkipped != 100 {
				t.Errorf("%+v", s)
			}
			if strings.Count(l.String(), "left alone") != 1 {
				t.Errorf("log:\n%s", l)
			}
		})
	}
}

// TestHangingWhileWriting: the same goes for writes.
func TestHangingWhileWriting(t *testing.T) {
	f := newFake(t)
	f.store = func(io.Writer) bool { return false }
	c := newCache(t, Options{Servers: []string{f.address}, Timeout: 100 * time.Millisecond, DeadRetry: time.Hour})
	for range 10 {
		set(c, uuid)
	}
	if s := c.Stats(); s.StoreErrors != 1 || s.StoreSkipped != 9 {
		t.Errorf("%+v", s)
	}
}

// TestDyingMemcached: the connection ends in the middle of an answer.
func TestDyingMemcached(t *testing.T) {
	f := newFake(t)
	c := newCache(t, Options{Servers: []string{f.address}, Timeout: time.Minute, DeadRetry: time.Hour})
	set(c, uuid)
	f.set(func() {
		f.answer = func(key string, value []byte, w io.Writer) bool {
			fmt.Fprintf(w, "VALUE %s 0 %d 7\r\n%s", key, len(value), value[:10])
			w.(net.Conn).Close()
			return false
		}
	})
	for range 3 {
		expect(t, c, uuid, false)
	}
	if s := c.Stats(); s.Dead != 1 || s.Errors != 1 || s.Skipped != 2 {
		t.Errorf("%+v", s)
	}
}

// TestComesBack: after its time one request tries the server again, while the others go on without it.
func TestComesBack(t *testing.T) {
	f := newFake(t)
	l := new(logs)
	c := newCache(t, Options{Servers: []string{f.address}, Timeout: 50 * time.Millisecond, DeadRetry: 100 * time.Millisecond, Log: l.logger()})
	set(c, uuid)
	f.set(func() { f.answer = func(string, []byte, io.Writer) bool { return false } })
	expect(t, c, uuid, false)
	f.set(func() { f.answer = nil })
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, _, ok := c.Get(context.Background(), uuid); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", c.Stats())
		}
		<-time.After(10 * time.Millisecond)
	}
	if s := c.Stats(); s.Dead != 0 || s.Skipped == 0 || !strings.Contains(l.String(), "answers again") {
		t.Errorf("%+v\n%s", s, l)
	}

	// The trial: of many who ask when the time is over, one does.
	s := c.servers[0]
	past := time.Now()
	s.mark(past)
	var tried int
	for range 100 {
		if yes, trial := s.may(past.Add(time.Second), time.Hour); yes {
			tried++
			if !trial {
				t.Error("a server whose time is over counts as alive")
			}
		}
	}
	if tried != 1 {
		t.Errorf("%d tried the server", tried)
	}
}

// TestAllConnectionsInUse: their number is bounded, and who waits for one waits no longer than for an answer.
func TestAllConnectionsInUse(t *testing.T) {
	f := newFake(t)
	f.answer = func(string, []byte, io.Writer) bool { return false }
	c := newCache(t, Options{Servers: []string{f.address}, Timeout: 300 * time.Millisecond, DeadRetry: time.Hour, Connections: 3})
	begin := time.Now()
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() { expect(t, c, fmt.Sprintf("%032x", i), false) })
	}
	group.Wait()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("waited for %v", took)
	}
	f.set(func() {
		if f.opened > 3 {
			t.Errorf("%d connections", f.opened)
		}
	})
}

// TestCallerLeaves: who goes away is not held, and says nothing about the server.
func TestCallerLeaves(t *testing.T) {
	f := newFake(t)
	asked := make(chan struct{}, 1)
	f.answer = func(string, []byte, io.Writer) bool { asked <- struct{}{}; return false }
	c := newCache(t, Options{Servers: []string{f.address}, Timeout: 2 * time.Second, DeadRetry: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if _, _, ok := c.Get(ctx, uuid); ok {
		t.Error("a hit out of nothing")
	}
	if s := c.Stats(); s.Dead != 0 || s.Errors != 1 {
		t.Errorf("%+v", s)
	}
}

// TestUnusedConnections are closed before the next use.
func TestUnusedConnections(t *testing.T) {
	f := newFake(t)
	c := newCache(t, Options{Servers: []string{f.address}, UnusedTimeout: time.Hour})
	set(c, uuid)
	expect(t, c, uuid, true)
	s := c.servers[0]
	s.closeUnused(time.Now().Add(2*time.Hour), time.Hour)
	expect(t, c, uuid, true)
	f.set(func() {
		if f.opened != 2 {
			t.Errorf("%d connections, want 2", f.opened)
		}
	})
}

// TestClose waits for what is under way, and may come early.
func TestClose(t *testing.T) {
	f := newFake(t)
	c := newCache(t, Options{Servers: []string{f.address}, Timeout: 200 * time.Millisecond})
	asked := make(chan struct{}, 1)
	f.set(func() {
		f.answer = func(string, []byte, io.Writer) bool { asked <- struct{}{}; return false }
	})
	var group sync.WaitGroup
	group.Go(func() { expect(t, c, uuid, false) })
	<-asked
	c.Close()
	c.Close()
	group.Wait()
	f.set(func() { f.answer = nil })
	set(c, uuid)
	expect(t, c, uuid, false)
	if f.size() != 0 {
		t.Error("a closed cache writes")
	}
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/m"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveFake(t, l)
	c := newCache(t, Options{Servers: []string{path}})
	set(c, uuid)
	expect(t, c, uuid, true)
}

// TestTLS: with TLS configured nothing else is spoken, and only to a server whose certificate counts.
func TestTLS(t *testing.T) {
	ca := certstest.New(t)
	leaf := ca.Issue(t, certstest.ECDSAP256)
	own := tls.Certificate{Certificate: [][]byte{leaf.Cert.Raw}, PrivateKey: leaf.Key}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}})
	if err != nil {
		t.Fatal(err)
	}
	f := serveFake(t, l)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	// The throw-away certificates name no host: the chain is checked by hand.
	verify := func(pool *x509.CertPool) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		}}
	}
	c := newCache(t, Options{Servers: []string{f.address}, TLS: verify(pool)})
	set(c, uuid)
	expect(t, c, uuid, true)
	for name, o := range map[string]Options{
		"another CA": {TLS: verify(x509.NewCertPool())},
		"no name":    {TLS: &tls.Config{RootCAs: pool}},
		"no TLS":     {Timeout: 100 * time.Millisecond},
	} {
		o.Servers = []string{f.address}
		c := newCache(t, o)
		expect(t, c, uuid, false)
		if s := c.Stats(); s.Errors != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// FuzzGuard: no answer, cut as it may be, makes the client believe in a value that is too large.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"VALUE k 0 3 7\r\nabc\r\nEND\r\n", "END\r\n", "STORED\r\n", "VALUE k 0 99999999 7\r\n", "VALUE k 0 3 7\r\nabc\r\nVALUE k 0 3 7\r\nabc\r\nEND\r\n",
		"VALUE k 0 0\r\n\r\nEND\r\nEND\r\n", "VALUE  0 3\r\n", "VALUE k 4294967296 3 7\r\nabc\r\nEND\r\n", "\n\n\n",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, answer []byte, cut int) {
		c, err := New(Options{Servers: []string{"127.0.0.1:1"}, Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		client := c.servers[0].client
		client.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return &guard{Conn: &script{answer: answer, cut: max(1, cut)}, timeout: time.Second, limit: 8}, nil
		}
		item, err := client.Get("k")
		if err != nil {
			return
		}
		if len(item.Value) > 8 {
			t.Errorf("%q was read as %q", answer, item.Value)
		}
		client.Close()
	})
}

// script is a connection on which an answer comes in pieces.
type script struct {
	net.Conn
	answer []byte
	cut    int
}

func (s *script) SetDeadline(time.Time) error { return nil }
func (s *script) Write(p []byte) (int, error) { return len(p), nil }
func (s *script) Close() error                { return nil }
func (s *script) Read(p []byte) (int, error) {
	if len(s.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.cut)], s.answer)
	s.answer = s.answer[n:]
	return n, nil
}
