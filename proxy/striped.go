package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/validate/stripe"
)

// requests counts requests by status code and outcome. A counter is made when it is first needed.
type requests struct {
	// Of code 0 are those of codes that have no name, and last those of no outcome, whose handler panicked.
	counted [600][len(outcomes) + 1]atomic.Pointer[stripe.Counter]
}

var requestsDesc = prometheus.NewDesc("authproxy_requests_total", "Requests by status code and by what became of them.", []string{"code", "outcome"}, nil)

func (r *requests) add(code int, o outcome) {
	if code < 0 || code >= len(r.counted) || http.StatusText(code) == "" {
		code = 0
	}
	i := slices.Index(outcomes[:], o)
	if i < 0 {
		i = len(outcomes)
	}
	at := &r.counted[code][i]
	counter := at.Load()
	if counter == nil {
		at.CompareAndSwap(nil, new(stripe.Counter))
		counter = at.Load()
	}
	counter.Add(1)
}

// Describe is for prometheus.Collector, as Collect is.
func (r *requests) Describe(to chan<- *prometheus.Desc) { to <- requestsDesc }

func (r *requests) Collect(to chan<- prometheus.Metric) {
	for code := range r.counted {
		label := "other"
		if code > 0 {
			label = strconv.Itoa(code)
		}
		for i := range r.counted[code] {
			counter := r.counted[code][i].Load()
			if counter == nil {
				continue
			}
			became := outcome("")
			if i < len(outcomes) {
				became = outcomes[i]
			}
			to <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(counter.Load()), label, string(became))
		}
	}
}

// maxBounds is how many bounds a histogram may have.
const maxBounds = 15

// histogram counts durations by bounds, in stripes.
type histogram struct {
	desc    *prometheus.Desc
	seconds []float64
	bounds  []time.Duration // as seconds
	_       [stripe.Line]byte
	cells   [stripe.Count]struct {
		counts [maxBounds + 1]atomic.Uint64 // of what is at most a bound, and over the one before; at the end what is over all
		sum    atomic.Int64                 // nanoseconds
		_      [stripe.Line]byte
	}
}

// newHistogram takes bounds in seconds, in their order, maxBounds at the most.
func newHistogram(name, help string, seconds []float64) *histogram {
	if len(seconds) > maxBounds {
		panic(fmt.Sprintf("%s has %d bounds, there may be %d", name, len(seconds), maxBounds))
	}
	h := &histogram{desc: prometheus.NewDesc(name, help, nil, nil), seconds: seconds}
	for _, s := range h.seconds {
		h.bounds = append(h.bounds, time.Duration(s*float64(time.Second)))
	}
	return h
}

func (h *histogram) observe(d time.Duration) {
	cell := &h.cells[stripe.Here()]
	at := 0
	for at < len(h.bounds) && d > h.bounds[at] {
		at++
	}
	cell.counts[at].Add(1)
	cell.sum.Add(int64(d))
}

// Describe is for prometheus.Collector, as Collect is.
func (h *histogram) Describe(to chan<- *prometheus.Desc) { to <- h.desc }

func (h *histogram) Collect(to chan<- prometheus.Metric) {
	var count uint64
	var sum time.Duration
	buckets := map[float64]uint64{}
	for at := range len(h.bounds) + 1 {
		for i := range h.cells {
			count += h.cells[i].counts[at].Load()
		}
		if at < len(h.bounds) {
			buckets[h.seconds[at]] = count
		}
	}
	for i := range h.cells {
		sum += time.Duration(h.cells[i].sum.Load())
	}
	to <- prometheus.MustNewConstHistogram(h.desc, count, sum.Seconds(), buckets)
}
