package sharedcache

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake speaks memcached's text protocol as far as get and set go, over real sockets, and breaks it where a test says so.
type fake struct {
	address string
	stop    func()

	mu     sync.Mutex
	items  map[string][]byte
	conns  map[net.Conn]bool
	asked  int
	answer func(key string, value []byte, w io.Writer) (goOn bool) // nil: as memcached does
	store  func(w io.Writer) (goOn bool)                           // nil: as memcached does
	opened int
}

func newFake(t testing.TB) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveFake(t, l)
}

func serveFake(t testing.TB, l net.Listener) *fake {
	f := &fake{address: l.Addr().String(), items: map[string][]byte{}, conns: map[net.Conn]bool{}}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = true
			f.opened++
			f.mu.Unlock()
			group.Go(func() { f.serve(conn) })
		}
	})
	f.stop = sync.OnceFunc(func() {
		l.Close()
		f.hangUp()
		group.Wait()
	})
	t.Cleanup(f.stop)
	return f
}

func (f *fake) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		conn.Close()
	}
}

func (f *fake) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		f.mu.Lock()
		delete(f.conns, conn)
		f.mu.Unlock()
	}()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		f.mu.Lock()
		f.asked++
		answer, store := f.answer, f.store
		f.mu.Unlock()
		switch words[0] {
		case "gets":
			f.mu.Lock()
			value, ok := f.items[words[1]]
			f.mu.Unlock()
			switch {
			case answer != nil:
				if !answer(words[1], value, conn) {
					_, _ = io.Copy(io.Discard, r) // until the other side gives up
					return
				}
			case ok:
				fmt.Fprintf(conn, "VALUE %s 0 %d 7\r\n%s\r\nEND\r\n", words[1], len(value), value)
			default:
				fmt.Fprint(conn, "END\r\n")
			}
		case "set":
			n, _ := strconv.Atoi(words[4])
			value := make([]byte, n+2)
			if _, err := io.ReadFull(r, value); err != nil {
				return
			}
			f.mu.Lock()
			f.items[words[1]] = value[:n]
			f.mu.Unlock()
			if store != nil {
				if !store(conn) {
					_, _ = io.Copy(io.Discard, r)
					return
				}
				continue
			}
			fmt.Fprint(conn, "STORED\r\n")
		}
	}
}

func (f *fake) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items)
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}
