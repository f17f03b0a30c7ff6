package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRoutes(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "seen_total", Help: "x"})
	registry.MustRegister(counter)
	counter.Add(3)
	var notReady error
	status := any(map[string]int{"signers": 2})
	var again time.Duration
	refetched, good := 0, true
	server := httptest.NewServer(New(Options{
		Gatherer: registry,
		Ready:    func() error { return notReady },
		Status:   func() any { return status },
		Refetch: func(context.Context) (any, bool, time.Duration) {
			refetched++
			return map[string]string{"certificates": "ok"}, good, again
		},
	}))
	defer server.Close()

	ask := func(method, path string) (int, http.Header, string) {
		t.Helper()
		req, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, string(body)
	}
	expect := func(method, path string, code int, body string) {
		t.Helper()
		if c, _, b := ask(method, path); c != code || b != body {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, c, b, code, body)
		}
	}

	expect("GET", "/healthz", 200, "ok\n")
	expect("HEAD", "/healthz", 200, "")
	expect("GET", "/readyz", 200, "ready\n")
	notReady = errors.New("no revocation list yet")
	expect("GET", "/readyz", 503, "not ready: no revocation list yet\n")
	expect("GET", "/healthz", 200, "ok\n")
	expect("POST", "/readyz", 405, "only GET and HEAD\n")
	expect("DELETE", "/metrics", 405, "only GET and HEAD\n")
	if code, _, _ := ask("GET", "/"); code != 404 {
		t.Errorf("/: %d", code)
	}
	if _, _, body := ask("GET", "/metrics"); !strings.Contains(body, "\nseen_total 3\n") {
		t.Errorf("metrics: %s", body)
	}

	expect("GET", "/refetch", 405, "only POST\n")
	if refetched != 0 {
		t.Error("GET refetches")
	}
	expect("POST", "/refetch", 200, "{\n  \"certificates\": \"ok\"\n}\n")
	good = false
	expect("POST", "/refetch", 502, "{\n  \"certificates\": \"ok\"\n}\n")
	again = 1500 * time.Millisecond
	code, early, _ := ask("POST", "/refetch")
	if code != 429 || early.Get("Retry-After") != "2" || refetched != 3 {
		t.Errorf("%d, %v, %d times", code, early, refetched)
	}
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1234" },
		func(r *http.Request) { r.RemoteAddr = "@" },
		func(r *http.Request) { r.Header.Set("Origin", "http://evil.example.com") },
	} {
		req := httptest.NewRequest("POST", "/refetch", nil)
		req.RemoteAddr = "127.0.0.1:1234"
		change(req)
		w := httptest.NewRecorder()
		server.Config.Handler.ServeHTTP(w, req)
		if w.Code != 403 || refetched != 3 {
			t.Errorf("%s %v: %d", req.RemoteAddr, req.Header, w.Code)
		}
	}

	socket := httptest.NewRequest("POST", "/refetch", nil)
	socket.RemoteAddr = "@"
	w := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(w, socket.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/x", Net: "unix"})))
	if w.Code != 429 {
		t.Errorf("over a unix socket: %d", w.Code)
	}

	_, header, body := ask("GET", "/status")
	var got map[string]int
	if err := json.Unmarshal([]byte(body), &got); err != nil || got["signers"] != 2 {
		t.Errorf("status: %q, %v", body, err)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("status: %v", header)
	}
	status = math.Inf(1) // what JSON cannot say
	if code, _, _ := ask("GET", "/status"); code != 500 {
		t.Errorf("status that cannot be written: %d", code)
	}
}
