package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone/server/tokens"
)

// metrics are the figures of a Server. Labels come from closed sets: route is a path with its variables' names.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	waits    *prometheus.CounterVec
}

// newMetrics registers the figures; with a nil registerer they are counted and shown to nobody.
func newMetrics(r prometheus.Registerer, watch *tokens.Watch) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keystone_http_requests_total", Help: "Requests answered, by method, route and status code.",
		}, []string{"method", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keystone_http_request_seconds", Help: "Time from the request's header to the end of the answer, less what the client asked it to wait for a revocation.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"method", "route"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keystone_revocation_waits_total", Help: "Requests that asked to wait for a revocation, by how the wait ended.",
		}, []string{"outcome"}),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keystone_revocation_waiting", Help: "Requests that wait for a revocation now.",
	}, func() float64 {
		if watch == nil {
			return 0
		}
		return float64(watch.Waiting())
	})
	if r != nil {
		r.MustRegister(m.requests, m.seconds, m.waits, waiting)
	}
	return m
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(method, route).Observe(took.Seconds())
}
