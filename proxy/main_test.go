package proxy

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// standardClient says that tests run over the standard library's Transport, not over package relay.
var standardClient = false

// TestMain runs all tests twice, over either client: whatever one does for users, the other does. Fuzzing and benchmarks run
// over package relay.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() == "" && flag.Lookup("test.bench").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
		fmt.Println("and again over net/http's Transport:")
		standardClient = true
		code = max(code, m.Run())
	}
	os.Exit(code)
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
