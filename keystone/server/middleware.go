package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/gorilla/mux"

	"authproxy/keystone/server/id"
)

// recorder remembers the status that was written.
type recorder struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// serve wraps a handler in what every request gets: an id, the body limit, a line in the log, figures, and an answer even if
// the handler panics. route is the path with its variables' names, which is what log and figures show: a path can hold a token.
func (s *Server) serve(l Listener, route string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		c := &call{s: s, l: l, w: rec, r: r, id: id.Request(), route: route}
		rec.Header().Set("X-Openstack-Request-Id", c.id)
		rec.Header().Set("Vary", "X-Auth-Token")
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				s.log().Error("panic", slog.String("request_id", c.id), slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
				if rec.status == 0 {
					c.fail(fmt.Errorf("panic"))
				}
			}
			took := time.Since(start) - c.waited
			s.metrics.observe(r.Method, route, rec.status, took)
			c.audit(rec.status)
			s.log().Info("request", slog.String("request_id", c.id), slog.String("method", r.Method), slog.String("route", route),
				slog.Int("status", rec.status), slog.String("remote", r.RemoteAddr), slog.Duration("took", took))
		}()
		if r.Header.Get("X-Auth-Token") != "" { // a log-in has none
			s.Identity.Hasher.Others()
		}
		if r.ContentLength > s.maxBody() {
			c.fail(errTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(rec, r.Body, s.maxBody())
		if err := h(c); err != nil {
			c.fail(err)
		}
	})
}

// param is a variable of the route's path.
func (c *call) param(name string) string {
	raw := mux.Vars(c.r)[name]
	value, err := url.PathUnescape(raw)
	if err != nil { // net/http has parsed the path, so this does not happen
		return raw
	}
	return value
}
