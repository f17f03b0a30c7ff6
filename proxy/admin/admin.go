// Package admin is the listener for operators: metrics, health, readiness and status. It stands apart from the data port,
// since what it tells is not for clients.
package admin

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

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
	// Refetch renews what is known of the Identity service, and says for encoding/json what came of it and whether all is well.
	// again is not 0 where nothing was done, since that was done a short while ago: how long to wait.
	Refetch func(context.Context) (outcome any, ok bool, again time.Duration)
}

// New makes the routes: /metrics, /healthz (the process answers), /readyz (send requests here) and /status; and POST /refetch,
// for this machine alone.
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
		answer(w, http.StatusOK, o.Status())
	})
	r.HandleFunc("/refetch", func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Method != http.MethodPost:
			w.Header().Set("Allow", "POST")
			say(w, http.StatusMethodNotAllowed, "only POST")
			return
		case !fromHere(req):
			say(w, http.StatusForbidden, "only from this machine, and not by a browser")
			return
		}
		outcome, ok, again := o.Refetch(req.Context())
		switch {
		case again > 0:
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
			say(w, http.StatusTooManyRequests, "done a short while ago, try again in "+again.Round(time.Second).String())
		case ok:
			answer(w, http.StatusOK, outcome)
		default:
			answer(w, http.StatusBadGateway, outcome)
		}
	})
	onlyReads := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Method != http.MethodGet && req.Method != http.MethodHead && req.URL.Path != "/refetch" {
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

// fromHere says that a request comes from this machine, and not from a page that a browser here shows.
func fromHere(req *http.Request) bool {
	if req.Header.Get("Origin") != "" {
		return false
	}
	if local, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

func answer(w http.ResponseWriter, code int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		say(w, http.StatusInternalServerError, "status: "+err.Error())
		return
	}
	noStore(w, "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
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
