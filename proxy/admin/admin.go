// Package admin is the listener for operators: metrics, health, readiness and status. It stands apart from the data port,
// since what it tells is not for clients.
package admin

import (
	"encoding/json"
	"net/http"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are what the listener has to tell. All fields are needed.
type Options struct {
	Gatherer prometheus.Gatherer
	// Ready says why requests should not be sent here, or nil.
	Ready func() error
	// Status gives a value for encoding/json.
	Status func() any
}

// New makes the routes: /metrics, /healthz (the process answers), /readyz (send requests here) and /status.
func New(o Options) http.Handler {
	r := mux.NewRouter()
	r.Handle("/metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{}))
	r.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "ok")
	})
	r.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			say(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	r.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.MarshalIndent(o.Status(), "", "  ")
		if err != nil {
			say(w, http.StatusInternalServerError, "status: "+err.Error())
			return
		}
		noStore(w, "application/json")
		_, _ = w.Write(append(body, '\n'))
	})
	onlyReads := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method != http.MethodGet && req.Method != http.MethodHead {
				w.Header().Set("Allow", "GET, HEAD")
				say(w, http.StatusMethodNotAllowed, "only GET and HEAD")
				return
			}
			next.ServeHTTP(w, req)
		})
	}
	r.Use(onlyReads)
	return r
}

func say(w http.ResponseWriter, code int, text string) {
	noStore(w, "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}

func noStore(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
