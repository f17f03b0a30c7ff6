package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// scenario is one kind of load: which request comes n-th, and which status is the right answer.
type scenario struct {
	name string
	// request appends the n-th request to a buffer.
	request func(to []byte, n int) []byte
	status  int
	next    *atomic.Int64 // the number of the next request, kept from one round to the next
}

// client is one keep-alive connection. It reads what it has to of an answer, to take little of the core that it runs on.
type client struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

// outs lend clients the room for a request while it is sent.
var outs = sync.Pool{New: func() any { return new([]byte) }}

// connect makes connections and asks one question on each.
func connect(addr string, connections int, s scenario) (clients []*client, err error) {
	for range connections {
		c := &client{addr: addr, in: bufio.NewReaderSize(nil, 8<<10)}
		if err = c.dial(); err == nil {
			clients = append(clients, c)
			err = c.ask(s, int(s.next.Add(1)))
		}
		if err != nil {
			disconnect(clients)
			return nil, err
		}
	}
	return clients, nil
}

func disconnect(clients []*client) {
	for _, c := range clients {
		_ = c.conn.Close()
	}
}

func (c *client) dial() (err error) {
	if c.conn, err = net.Dial("tcp", c.addr); err == nil {
		c.in.Reset(c.conn)
	}
	return err
}

// ask sends the n-th request of a scenario and reads the answer, whole. An answer of another status than the scenario's is an
// error: a proxy that gets it wrong is not measured.
func (c *client) ask(s scenario, n int) error {
	out := outs.Get().(*[]byte)
	*out = s.request((*out)[:0], n)
	_, err := c.conn.Write(*out)
	outs.Put(out)
	if err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("no answer of HTTP/1.1: %q", line)
	}
	status, _ := strconv.Atoi(string(line[9:12]))
	length, closes := -1, false
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if len(name) == 0 {
			break
		}
		switch value = bytes.TrimSpace(value); {
		case !ok:
			return fmt.Errorf("no header line: %q", line)
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("Connection")):
			closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	if status != s.status {
		return fmt.Errorf("answered %d, want %d", status, s.status)
	}
	if length < 0 {
		return errors.New("the answer says nothing of its length")
	}
	if _, err = c.in.Discard(length); err == nil && closes {
		_ = c.conn.Close()
		err = c.dial()
	}
	return err
}

// closed puts on as much load as the connections carry, for a time or until so many requests are answered, and counts the answers.
func closed(ctx context.Context, clients []*client, d time.Duration, most int64, s scenario) (requests int64, err error) {
	var over atomic.Bool
	defer context.AfterFunc(ctx, func() { over.Store(true) })()
	if d > 0 {
		defer time.AfterFunc(d, func() { over.Store(true) }).Stop()
	}
	var total atomic.Int64
	errs := make([]error, len(clients))
	var group sync.WaitGroup
	for i, c := range clients {
		group.Go(func() {
			for !over.Load() {
				if errs[i] = c.ask(s, int(s.next.Add(1))); errs[i] != nil {
					over.Store(true)
					return
				}
				if n := total.Add(1); most > 0 && n >= most {
					over.Store(true)
				}
			}
		})
	}
	group.Wait()
	return total.Load(), errors.Join(append(errs, ctx.Err())...)
}

// latencies are percentiles of the time from when a request was due to when its answer was there.
type latencies struct {
	p50, p99, p999 time.Duration
	// late says that the answers fell ever further behind: the proxy does not carry that rate.
	late bool
}

// open sends requests at a fixed rate, whatever the answers take: one that has to wait for a connection has waited from when it
// was due, so a stall is charged to every request that it held up (no coordinated omission).
func open(ctx context.Context, clients []*client, rate int, d time.Duration, s scenario) (latencies, error) {
	total := max(1, int(d.Seconds()*float64(rate)))
	due := make(chan int, total)
	took := make([]time.Duration, total)
	errs := make([]error, len(clients))
	begin := time.Now().Add(10 * time.Millisecond)
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Second / time.Duration(rate)) }
	var group sync.WaitGroup
	for i, c := range clients {
		group.Go(func() {
			for n := range due {
				if errs[i] = c.ask(s, int(s.next.Add(1))); errs[i] != nil {
					return
				}
				took[n] = time.Since(at(n))
			}
		})
	}
	for n := 0; n < total && ctx.Err() == nil; n++ {
		timer := time.NewTimer(time.Until(at(n)))
		select {
		case <-timer.C:
			due <- n
		case <-ctx.Done():
			timer.Stop()
		}
	}
	close(due)
	group.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return latencies{}, err
	}
	last := slices.Max(took[total-max(1, total/20):])
	slices.Sort(took)
	at99 := func(p float64) time.Duration { return took[min(len(took)-1, int(p*float64(len(took))))] }
	return latencies{p50: at99(0.5), p99: at99(0.99), p999: at99(0.999), late: last > d/5 && at99(0.5) > d/20}, nil
}
