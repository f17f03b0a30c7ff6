package revocation_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/keystone/client"
	"authproxy/revocation"
)

// TestLongLists: a list of many megabytes may take its time, over the wire as it comes from an Identity service; what drips or
// stands still is given up, and does not keep the poller from the next answer.
func TestLongLists(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		piece  int // bytes a second
		stop   int // bytes after which nothing more comes; 0: all of it
		within time.Duration
		good   bool
	}{
		"slow but going on": {piece: 250 << 10, within: time.Minute, good: true},
		"stands still":      {piece: 250 << 10, stop: 1 << 20, within: 17 * time.Second},
		"drips":             {piece: 10, within: 12 * time.Second},
		"below the rate":    {piece: 100 << 10, within: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				id := newBackend(t)
				// White space between the members makes a body long that costs nothing to sign or to read.
				const size = 5 << 20
				body := fmt.Sprintf(`{%s"signed":%q}`, strings.Repeat(" ", size), id.list(t, id1))
				var well atomic.Bool
				listener := newPipes()
				server := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						id.ServeHTTP(w, r)
						return
					}
					for at := 0; !well.Load() && at < len(body); at += tt.piece {
						if tt.stop > 0 && at >= tt.stop {
							<-r.Context().Done()
							return
						}
						if _, err := w.Write([]byte(body[at:min(at+tt.piece, len(body))])); err != nil {
							return
						}
						_ = http.NewResponseController(w).Flush()
						select {
						case <-time.After(time.Second):
						case <-r.Context().Done():
							return
						}
					}
					if well.Load() {
						_, _ = w.Write([]byte(body))
					}
				})}
				served := make(chan struct{})
				go func() { defer close(served); _ = server.Serve(listener) }()
				c, err := client.New(client.Options{AuthURL: "http://identity", UserID: "proxy", Password: "secret",
					HTTPClient: &http.Client{Transport: &http.Transport{DialContext: listener.dial}}})
				if err != nil {
					t.Fatal(err)
				}
				p := &revocation.Poller{Source: c, Verifier: id.verifier(t)}
				begin := time.Now()
				err = p.Poll(context.Background())
				if took := time.Since(begin); (err == nil) != tt.good || took > tt.within || p.Current().ContainsID(id1) != tt.good {
					t.Errorf("%v after %v", err, took)
				}
				well.Store(true)
				if err := p.Poll(context.Background()); err != nil || !p.Current().ContainsID(id1) {
					t.Errorf("and then: %v", err)
				}
				server.Close()
				c.Close()
				<-served
			})
		})
	}
}
