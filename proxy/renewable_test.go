package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// TestRenewable: a connection that always has a request under way, as one of HTTP/2 may, is not used any more after Renew.
func TestRenewable(t *testing.T) {
	var mu sync.Mutex
	peers := map[string]int{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if _, ok := peers[r.RemoteAddr]; !ok {
			peers[r.RemoteAddr] = len(peers) + 1
		}
		fmt.Fprintf(w, "%s %d", r.Proto, peers[r.RemoteAddr])
		mu.Unlock()
		if r.URL.Path == "/long" {
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = protocols
	server.Start()
	defer server.Close()
	upstream, err := ParseUpstream(server.URL, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := NewRenewable(upstream, TransportOptions{Protocol: H2C})
	defer transport.CloseIdle()
	get := func(path string) (string, io.Closer) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, len("HTTP/2.0 1"))
		if _, err := io.ReadFull(res.Body, text); err != nil {
			t.Fatal(err)
		}
		return string(text), res.Body
	}
	_, long := get("/long")
	for _, want := range []string{"HTTP/2.0 1", "HTTP/2.0 1"} {
		if got, body := get("/"); got != want || body.Close() != nil {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	transport.Renew()
	if got, body := get("/"); got != "HTTP/2.0 2" || body.Close() != nil {
		t.Errorf("after Renew: %s", got)
	}
	long.Close()
}
