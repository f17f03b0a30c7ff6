package proxy

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/validate"
	"authproxy/validate/stripe"
)

// outcome is what became of a request: a metric label, so the set is closed.
type outcome string

const (
	confirmed       outcome = "confirmed"      // passed on with an identity
	passedInvalid   outcome = "passed_invalid" // passed on without one, in delay mode
	passedAnonymous outcome = "anonymous"      // passed on without one, by a rule
	refusedToken    outcome = "refused"        // 401
	forbidden       outcome = "forbidden"      // 403
	noRoute         outcome = "no_route"       // 404
	undecided       outcome = "undecided"      // 503
	badRequest      outcome = "bad_request"    // 400 or 501
	upstreamError   outcome = "upstream_error" // 502
	clientGone      outcome = "client_gone"    // nobody left to answer
)

var outcomes = [...]outcome{confirmed, passedInvalid, passedAnonymous, refusedToken, forbidden, noRoute, undecided, badRequest, upstreamError, clientGone}

// Metrics are the figures of a Handler. Labels come from closed sets: status codes that have a name, outcomes, reasons.
type Metrics struct {
	refusals  *prometheus.CounterVec
	refused   map[validate.Reason]prometheus.Counter // those of refusals
	catalogs  *prometheus.CounterVec
	senders   *prometheus.CounterVec
	anonymous *prometheus.CounterVec
	routes    *prometheus.CounterVec
	// What changes with each request is counted in stripes, and added up when somebody looks.
	inFlight        stripe.Counter
	upstreamSeconds *histogram
	requests        requests
}

// NewMetrics registers the figures of one Handler.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authproxy_refusals_total",
			Help: "Tokens that were not accepted, by reason; in delay mode too, where the request was passed on.",
		}, []string{"reason"}),
		refused: make(map[validate.Reason]prometheus.Counter),
		catalogs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authproxy_catalog_faults_total",
			Help: "Tokens whose service catalog was left out (too_large, broken) or in part (partly_skipped).",
		}, []string{"fault"}),
		senders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authproxy_senders_total",
			Help: "Senders of bound tokens: whose tickets, headers and certificates all held or were absent (identified), or not (refused).",
		}, []string{"result"}),
		anonymous: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authproxy_anonymous_requests_total",
			Help: "Requests that needed no token, by route and by the rule that says so.",
		}, []string{"route", "rule"}),
		routes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authproxy_route_requests_total",
			Help: "Requests by route, where there are several.",
		}, []string{"route"}),
		upstreamSeconds: newHistogram("authproxy_upstream_seconds", "Time from sending a request to the upstream to the head of its answer.",
			prometheus.ExponentialBuckets(0.0005, 2.5, 12)), // 0.5 ms to 12 s
	}
	for _, reason := range slices.Concat(validate.Reasons, ownReasons) {
		m.refused[reason] = m.refusals.WithLabelValues(string(reason))
	}
	for _, fault := range []string{"too_large", "broken", "partly_skipped"} {
		m.catalogs.WithLabelValues(fault)
	}
	for _, result := range []string{"identified", "refused"} {
		m.senders.WithLabelValues(result)
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authproxy_requests_in_flight",
		Help: "Requests under way.",
	}, func() float64 { return float64(m.inFlight.Load()) })
	r.MustRegister(&m.requests, m.refusals, m.catalogs, m.senders, m.anonymous, m.routes, inFlight, m.upstreamSeconds)
	return m
}

func (m *Metrics) request(code int, o outcome) { m.requests.add(code, o) }

func (m *Metrics) identified(err error) {
	result := "identified"
	if err != nil {
		result = "refused"
	}
	m.senders.WithLabelValues(result).Inc()
}

func (m *Metrics) refusal(reason validate.Reason) {
	if counter, ok := m.refused[reason]; ok {
		counter.Inc()
		return
	}
	m.refusals.WithLabelValues(string(reason)).Inc() // an error that is not of package validate
}
