package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/tokens"
)

// metrics are the figures of a Server. Labels come from closed sets: route is a path with its variables' names.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	waits    *prometheus.CounterVec
	logins   *prometheus.CounterVec
}

// newMetrics registers the figures; with a nil registerer they are counted and shown to nobody.
func newMetrics(r prometheus.Registerer, watch *tokens.Watch, hasher *identity.Hasher) *metrics {
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
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keystone_logins_total", Help: "Logins, by how they ended: success, refused, throttled (too soon after others that failed), challenged, busy, invalid, failed.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"success", "refused", "throttled", "challenged", "busy", "invalid", "failed"} {
		m.logins.WithLabelValues(outcome)
	}
	queue := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keystone_password_queue", Help: "Logins that wait for their password to be checked now.",
	}, func() float64 { n, _ := hasher.Waiting(); return float64(n) })
	full := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "keystone_password_queue_refused_total", Help: "Logins sent away since too many waited for their password to be checked, altogether or from their address.",
	}, func() float64 { _, n := hasher.Waiting(); return float64(n) })
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keystone_revocation_waiting", Help: "Requests that wait for a revocation now.",
	}, func() float64 {
		if watch == nil {
			return 0
		}
		return float64(watch.Waiting())
	})
	if r != nil {
		r.MustRegister(m.requests, m.seconds, m.waits, m.logins, waiting, queue, full)
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
