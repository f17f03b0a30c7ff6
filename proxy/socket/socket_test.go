package socket

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pairs gives both ends of a connection of each kind, the server's by way of a Listener.
func pairs(t *testing.T, test func(t *testing.T, server *Conn, client net.Conn)) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := Listener{l}.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			test(t, server.(*Conn), client)
		})
	}
}

// Whatever is sent arrives, in order and once, however it is cut up at either end.
func TestBytesArrive(t *testing.T) {
	text := make([]byte, 3<<20)
	for i := range text {
		text[i] = byte(rand.N(256))
	}
	pairs(t, func(t *testing.T, server *Conn, client net.Conn) {
		done := make(chan error, 2)
		go func() {
			for rest := text; len(rest) > 0; {
				n := min(len(rest), 1+rand.N(50000))
				if _, err := client.Write(rest[:n]); err != nil {
					done <- err
					return
				}
				rest = rest[n:]
			}
			done <- client.(interface{ CloseWrite() error }).CloseWrite()
		}()
		var got []byte
		sizes := []int{1, 4096, 100, 4096, ahead, 64 << 10, 7}
		for i := 0; ; i++ {
			p := make([]byte, sizes[i%len(sizes)])
			n, err := server.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, text) {
			t.Errorf("%d bytes of %d, or others", len(got), len(text))
		}
		if server.buf != nil {
			t.Error("a connection with nothing to hand out has a buffer")
		}
		// The other way: far more than a socket holds, to a reader that comes late.
		go func() {
			n, err := server.Write(text)
			if err == nil && n != len(text) {
				err = io.ErrShortWrite
			}
			done <- errors.Join(err, server.CloseWrite())
		}()
		back, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(back, text) {
			t.Errorf("%d bytes of %d, or others: %v", len(back), len(text), err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Deadlines and closing end what waits, with the errors of package net; what was read ahead is not lost.
func TestInterruption(t *testing.T) {
	pairs(t, func(t *testing.T, server *Conn, client net.Conn) {
		waiting := func(interrupt func()) error {
			time.AfterFunc(5*time.Millisecond, interrupt)
			_, err := server.Read(make([]byte, 1))
			return err
		}
		err := waiting(func() { _ = server.SetReadDeadline(time.Unix(1, 0)) })
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("a deadline: %v", err)
		}
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		var p [1]byte
		for _, want := range "abc" {
			if n, err := server.Read(p[:]); n != 1 || err != nil || rune(p[0]) != want {
				t.Errorf("%q: %v", p[:n], err)
			}
		}
		if err := waiting(func() { _ = server.Close() }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing after that: %v", err)
		}
	})
}

// A connection is quiet until something, or the end, has come.
func TestQuiet(t *testing.T) {
	for name, disturb := range map[string]func(net.Conn) error{
		"bytes":   func(c net.Conn) error { _, err := c.Write([]byte("x")); return err },
		"the end": net.Conn.Close,
	} {
		t.Run(name, func(t *testing.T) {
			pairs(t, func(t *testing.T, server *Conn, client net.Conn) {
				raw, plain := Of(client)
				if !plain || !Quiet(raw) {
					t.Fatal("not quiet from the beginning")
				}
				if err := disturb(server); err != nil {
					t.Fatal(err)
				}
				swap := Swap{Out: []byte("request"), Room: room, Wait: true}
				if err := raw.Read(swap.Step); err != nil || Quiet(raw) || !swap.Stale || swap.Sent != 0 {
					t.Errorf("%+v, %v", swap, err)
				}
			})
		})
	}
}

func room() []byte { return make([]byte, 100) }

func TestSwap(t *testing.T) {
	pairs(t, func(t *testing.T, server *Conn, client net.Conn) {
		done := make(chan error, 1)
		go func() {
			p := make([]byte, 7)
			_, err := io.ReadFull(server, p)
			if err == nil {
				_, err = server.Write(append([]byte("answer to "), p...))
			}
			done <- err
		}()
		raw, _ := Of(client)
		swap := Swap{Out: []byte("request"), Room: room, Wait: true}
		if err := raw.Read(swap.Step); err != nil || swap.Stale || swap.Err != nil || swap.Sent != 7 || string(swap.in[:swap.Received]) != "answer to request" {
			t.Errorf("%+v, %v", swap, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		// More than the socket takes: the rest is left to others.
		swap = Swap{Out: make([]byte, 64<<20), Room: room, Wait: true}
		if err := raw.Read(swap.Step); err != nil || swap.Sent == 0 || swap.in != nil || swap.Sent == len(swap.Out) || swap.Received != 0 {
			t.Errorf("sent %d of %d, received %d: %v", swap.Sent, len(swap.Out), swap.Received, err)
		}
	})
}

// What was read ahead can be looked at, skipped and read, in any order, and waits for more at most as long as there is room.
func TestFill(t *testing.T) {
	pairs(t, func(t *testing.T, server *Conn, client net.Conn) {
		if server.Skip(1); server.Ahead() != nil {
			t.Error("something is ahead")
		}
		text := make([]byte, 3*mostAhead)
		for i := range text {
			text[i] = byte(i >> 8)
		}
		done := make(chan error, 1)
		go func() {
			_, err := client.Write(text)
			done <- err
		}()
		for len(server.Ahead()) < mostAhead {
			if data, err := server.Fill(); err != nil || !bytes.Equal(data, text[:len(data)]) || len(data) != len(server.Ahead()) {
				t.Fatalf("%d bytes, %v", len(data), err)
			}
		}
		if _, err := server.Fill(); err != ErrFull {
			t.Errorf("beyond the room: %v", err)
		}
		server.Skip(100)
		var p [50]byte
		if n, err := server.Read(p[:]); n != 50 || err != nil || !bytes.Equal(p[:], text[100:150]) {
			t.Errorf("read %d, %v", n, err)
		}
		if data, err := server.Fill(); err != nil || len(data) <= mostAhead-150 || !bytes.Equal(data, text[150:150+len(data)]) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		got := bytes.Clone(server.Ahead())
		server.Skip(len(got) + 1)
		for 150+len(got) < len(text) {
			data, err := server.Fill()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, data...)
			server.Skip(len(data))
		}
		if !bytes.Equal(got, text[150:]) || server.buf != nil {
			t.Error("other bytes, or a buffer that is not given back")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
		if _, err := server.Fill(); err != io.EOF || server.buf != nil {
			t.Errorf("at the end: %v", err)
		}
	})
}
