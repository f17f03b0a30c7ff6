package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// A stream ends when its token is revoked, if it is of a kind that is to end so.
func TestCloseStreams(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: hello\n\n"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer upstream.Close()
	p := newPKI(t)
	list := write(t, filepath.Join(t.TempDir(), "revoked.pem"), p.list())
	r := offline(t, p, "--upstream", upstream.URL, "--revocation-file", list, "--revocation-cache-time=1", "--close-streams", "websocket, sse")
	req, err := http.NewRequest("GET", r.data, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", p.token("alice", auditA))
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, len("data: hello\n\n"))); err != nil {
		t.Fatal(err)
	}
	r.expect(r.admin+"/metrics", "", 200, "authproxy_streams_watched 1")
	write(t, list, p.list(auditA))
	if rest, err := io.ReadAll(res.Body); err == nil || len(rest) > 0 {
		t.Errorf("the stream ended with %q, as if it were complete", rest)
	}
	r.expect(r.admin+"/metrics", "", 200, `authproxy_streams_closed_total{kind="sse",reason="revoked"} 1`)
}
