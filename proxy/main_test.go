package proxy

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"authproxy/proxy/plain"
	"authproxy/proxy/socket"
)

// standardClient says that tests run over the standard library's Transport, not over package relay; standardServer, that all
// requests are read by net/http, and none by package plain.
var standardClient, standardServer bool

// TestMain runs all tests over either client and either server: whatever one does for users, the other does. Fuzzing and benchmarks
// run over packages relay and plain.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() == "" && flag.Lookup("test.bench").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
		fmt.Println("and again over net/http's server:")
		standardServer = true
		code = max(code, m.Run())
		fmt.Println("and again over net/http's Transport:")
		standardServer, standardClient = false, true
		code = max(code, m.Run())
	}
	os.Exit(code)
}

// start starts a server with the listener that is under test.
func start(t testing.TB, s *httptest.Server) {
	s.Listener = socket.Listener{Listener: s.Listener}
	if standardServer {
		s.Start()
		t.Cleanup(s.Close)
		return
	}
	l := plain.NewListener(s.Listener, s.Config)
	s.Listener = l
	s.Start()
	t.Cleanup(func() {
		s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Wait(ctx); err != nil {
			t.Errorf("plain connections that do not end: %v", err)
		}
	})
}

// useClient gives a Handler the client that is under test.
func useClient(t testing.TB, h *Handler, o TransportOptions) {
	if standardClient {
		transport := NewTransport(h.Upstream, o)
		t.Cleanup(transport.CloseIdleConnections)
		h.Transport = transport
		return
	}
	h.Relay = NewRelay(h.Upstream, o)
	t.Cleanup(h.Relay.CloseIdle)
}
