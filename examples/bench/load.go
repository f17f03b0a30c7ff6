package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// upstream is the service behind the proxies; it answers everything with a few bytes, or as many as /N asks for.
type upstream struct {
	*http.Server
	done chan struct{}
}

func startUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	big := make([]byte, 64<<10)
	u := &upstream{done: make(chan struct{})}
	u.Server = &http.Server{Addr: l.Addr().String(), MaxHeaderBytes: 1 << 20, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := []byte("hello\n")
		if r.URL.Path == "/64k" {
			body = big
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})}
	go func() {
		defer close(u.done)
		_ = u.Serve(l)
	}()
	return u, nil
}

// Close ends the upstream and waits for it.
func (u *upstream) Close() {
	_ = u.Server.Close()
	<-u.done
}

// scenario is one kind of load: which request comes n-th, and which status is the right answer.
type scenario struct {
	name    string
	request func(n int) []byte
	status  int
}

// client is one keep-alive connection.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 16<<10)}, nil
}

// ask sends one request and reads the answer, whole.
func (c *client) ask(request []byte) (status int, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.Close {
		err = errors.Join(err, errClosed)
	}
	return res.StatusCode, err
}

var errClosed = errors.New("the server closes the connection after each answer")

// closed puts on as much load as the connections carry, and counts the answers. An answer of another status is an error: a
// proxy that gets it wrong is not measured.
func closed(ctx context.Context, addr string, connections int, d time.Duration, s scenario) (requests int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var n, total atomic.Int64
	errs := make([]error, connections)
	var group sync.WaitGroup
	for i := range connections {
		c, err := dial(addr)
		if err != nil {
			return 0, err
		}
		group.Go(func() {
			defer func() { _ = c.conn.Close() }()
			for ctx.Err() == nil {
				status, err := c.ask(s.request(int(n.Add(1))))
				if errors.Is(err, errClosed) && status == s.status {
					total.Add(1)
					_ = c.conn.Close()
					if c, errs[i] = dial(addr); errs[i] != nil {
						return
					}
					continue
				}
				if err == nil && status != s.status {
					err = fmt.Errorf("answered %d, want %d", status, s.status)
				}
				if err != nil {
					errs[i] = err
					cancel()
					return
				}
				total.Add(1)
			}
		})
	}
	group.Wait()
	return total.Load(), errors.Join(errs...)
}

// latencies are percentiles of the time from when a request was due to when its answer was there.
type latencies struct{ p50, p99, p999 time.Duration }

// open sends requests at a fixed rate, whatever the answers take: one that has to wait for a connection has waited from when it
// was due, so a stall is charged to every request that it held up.
func open(ctx context.Context, addr string, connections, rate int, d time.Duration, s scenario) (latencies, error) {
	total := int(d.Seconds() * float64(rate))
	due := make(chan int, total)
	took := make([]time.Duration, total)
	errs := make([]error, connections)
	begin := time.Now().Add(50 * time.Millisecond)
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Second / time.Duration(rate)) }
	var group sync.WaitGroup
	for i := range connections {
		c, err := dial(addr)
		if err != nil {
			return latencies{}, err
		}
		group.Go(func() {
			defer func() { _ = c.conn.Close() }()
			for n := range due {
				status, err := c.ask(s.request(n))
				if errors.Is(err, errClosed) {
					_ = c.conn.Close()
					c, err = dial(addr)
				}
				took[n] = time.Since(at(n))
				if err == nil && status != s.status {
					err = fmt.Errorf("answered %d, want %d", status, s.status)
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	for n := range total {
		timer := time.NewTimer(time.Until(at(n)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if ctx.Err() != nil {
			break
		}
		due <- n
	}
	close(due)
	group.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return latencies{}, err
	}
	slices.Sort(took)
	at99 := func(p float64) time.Duration { return took[min(len(took)-1, int(p*float64(len(took))))] }
	return latencies{at99(0.5), at99(0.99), at99(0.999)}, nil
}
