package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"authproxy/certs"
	"authproxy/revocation"
)

// certificateEvents counts what a certs.Store reports.
type certificateEvents struct{ events *prometheus.CounterVec }

func newCertificateEvents(r prometheus.Registerer) certificateEvents {
	m := certificateEvents{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "authproxy_certificate_events_total",
		Help: "What came of fetching the signing certificates.",
	}, []string{"event"})}
	for _, e := range []certs.Event{certs.EventFetched, certs.EventNoPKI, certs.EventFailed, certs.EventCARefused,
		certs.EventSignerRefused, certs.EventKeepFailed} {
		m.events.WithLabelValues(string(e))
	}
	r.MustRegister(m.events)
	return m
}

func (m certificateEvents) CertificateEvent(e certs.Event) {
	m.events.WithLabelValues(string(e)).Inc()
}

// listEvents counts what a revocation.Poller reports.
type listEvents struct {
	polls             *prometheus.CounterVec
	vanished          prometheus.Counter
	entries, nameless prometheus.Gauge
}

func newListEvents(r prometheus.Registerer) listEvents {
	m := listEvents{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authproxy_revocation_polls_total",
			Help: "Fetches of the revocation list by how they ended.",
		}, []string{"result"}),
		vanished: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "authproxy_revocation_entries_vanished_total",
			Help: "Entries that left the revocation list before their tokens expired: an older list may have been replayed.",
		}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "authproxy_revocation_list_entries",
			Help: "Entries of the revocation list in force.",
		}),
		nameless: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "authproxy_revocation_list_entries_without_audit_id",
			Help: "Entries that name a token by the hash of its text alone.",
		}),
	}
	for _, result := range revocation.Results() {
		m.polls.WithLabelValues(string(result))
	}
	r.MustRegister(m.polls, m.vanished, m.entries, m.nameless)
	return m
}

func (m listEvents) PollDone(result revocation.Result) { m.polls.WithLabelValues(string(result)).Inc() }

func (m listEvents) ListLoaded(entries, withoutAuditID int) {
	m.entries.Set(float64(entries))
	m.nameless.Set(float64(withoutAuditID))
}

func (m listEvents) EntriesVanished(n int) { m.vanished.Add(float64(n)) }

// collector reads at each scrape what the parts know of themselves.
type collector parts

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("authproxy_"+name, help, labels, nil)
}

var (
	readyDesc      = describe("ready", "1 if requests should come here.")
	signersDesc    = describe("signers", "Signing certificates that are valid now.")
	signerDaysDesc = describe("signer_days_left", "Days until the first and the last of the valid signing certificates ends.", "which")
	listAgeDesc    = describe("revocation_list_age_seconds", "Age of the revocation list in force; absent without one.")
	listFreshDesc  = describe("revocation_list_fresh", "1 if the revocation list is young enough to be relied on; absent where revocation events are instead of it.")
	sequenceDesc   = describe("revocation_list_sequence", "Sequence number of the revocation list; absent where the Identity service does not number it.")
	nextUpdateDesc = describe("revocation_list_next_update_timestamp_seconds", "When the signer of the revocation list promised the next one; absent where he does not.")
	longPollDesc   = describe("revocation_long_poll", "1 while the Identity service holds its answer back until a token is revoked.")
	answersDesc    = describe("revocation_answers_total", "Good answers about the revocation list by what they were.", "kind")
	keptDesc       = describe("revocation_list_kept", "1 unless the revocation list could not be read from or written to signing_dir.")
	jumpsDesc      = describe("clock_jumps_total", "Jumps of the wall clock.")
	lookupsDesc    = describe("token_cache_lookups_total", "Look-ups in the token cache; negative: a token known to be bad.", "result")
	entriesDesc    = describe("token_cache_entries", "Tokens in the cache.")
	bytesDesc      = describe("token_cache_bytes", "Bytes that the tokens in the cache take.")
	evictedDesc    = describe("token_cache_evicted_total", "Tokens that left the cache for want of room.")
	sharedDesc     = describe("shared_cache_lookups_total", "Look-ups in memcached; rejected: a value that was not kept for the token, skipped: no server that is not left alone.", "result")
	sharingDesc    = describe("shared_cache_writes_total", "Writes to memcached; skipped: no server, or nothing that may be kept there.", "result")
	deadDesc       = describe("shared_cache_servers_dead", "memcached servers that are left alone for now.")
	filesDesc      = describe("files_stale", "1 if newer files cannot be used and older ones stay in use.", "what")
	tlsDaysDesc    = describe("listener_certificate_days_left", "Days until the listener's TLS certificate ends; absent without TLS.")
	brokenDesc     = describe("identity_not_answering", "1 while the Identity service has not been answering, so that most questions about tokens are not put to it.")
	eventsDesc     = describe("revocation_events", "Revocation events in force; absent where the Identity service offers none.")
	eventAgeDesc   = describe("revocation_events_age_seconds", "Age of the revocation events in force; absent without them.")
	eventFreshDesc = describe("revocation_events_fresh", "1 if the revocation events are young enough to be relied on; absent without them.")
	eventPollDesc  = describe("revocation_events_polls_total", "Fetches of revocation events by how they ended.", "result")
	revokedDesc    = describe("revoked_tokens_total", "Requests refused since the token is revoked, by what told so.", "kind")
	onlineDesc     = describe("online_validations_total", "Questions to the Identity service about tokens.")
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, signersDesc, signerDaysDesc, listAgeDesc, listFreshDesc, sequenceDesc,
		nextUpdateDesc, longPollDesc, answersDesc, keptDesc, jumpsDesc, lookupsDesc, entriesDesc, bytesDesc, evictedDesc, onlineDesc, brokenDesc,
		eventsDesc, eventAgeDesc, eventFreshDesc, eventPollDesc, revokedDesc, sharedDesc, sharingDesc, deadDesc, filesDesc, tlsDaysDesc} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	p := (*parts)(c)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(readyDesc, oneIf(p.ready() == nil))
	if p.certificates != nil {
		var usable, first, last float64
		for _, s := range p.certificates.Status().Signers {
			if !s.Usable {
				continue
			}
			days := daysLeft(s)
			if usable == 0 {
				first, last = days, days
			}
			usable, first, last = usable+1, min(first, days), max(last, days)
		}
		gauge(signersDesc, usable)
		if usable > 0 {
			gauge(signerDaysDesc, first, "first")
			gauge(signerDaysDesc, last, "last")
		}
	}
	if p.list != nil {
		s := p.list.Status()
		if s.AgeKnown {
			gauge(listAgeDesc, s.AgeSeconds)
		}
		if !p.eventsInstead() {
			gauge(listFreshDesc, oneIf(s.Fresh))
		}
		if s.Sequence > 0 {
			gauge(sequenceDesc, float64(s.Sequence))
		}
		if !s.NextUpdate.IsZero() {
			gauge(nextUpdateDesc, float64(s.NextUpdate.Unix()))
		}
		gauge(longPollDesc, oneIf(s.LongPoll))
		count(answersDesc, s.Lists, "list")
		count(answersDesc, s.Deltas, "delta")
		count(answersDesc, s.NotModified, "not_modified")
		gauge(keptDesc, oneIf(s.DiskError == ""))
		count(jumpsDesc, uint64(s.ClockJumps))
	}
	if p.events != nil {
		s := p.events.Status()
		if s.Offered {
			gauge(eventsDesc, float64(s.Events))
			gauge(eventFreshDesc, oneIf(s.Fresh))
		}
		if s.AgeKnown {
			gauge(eventAgeDesc, s.AgeSeconds)
		}
		for result, n := range s.Polls {
			count(eventPollDesc, n, string(result))
		}
	}
	if p.shared != nil {
		s := p.shared.Stats()
		count(sharedDesc, s.Hits, "hit")
		count(sharedDesc, s.Misses, "miss")
		count(sharedDesc, s.Rejected, "rejected")
		count(sharedDesc, s.Errors, "error")
		count(sharedDesc, s.Skipped, "skipped")
		count(sharingDesc, s.Stored, "stored")
		count(sharingDesc, s.StoreErrors, "error")
		count(sharingDesc, s.StoreSkipped, "skipped")
		gauge(deadDesc, float64(s.Dead))
	}
	for _, w := range p.watchers {
		gauge(filesDesc, oneIf(w.Status().LastError != ""), w.What)
	}
	if p.listener != nil {
		gauge(tlsDaysDesc, time.Until(p.listener.NotAfter()).Hours()/24)
	}
	if p.identity != nil {
		gauge(brokenDesc, oneIf(p.identity.Broken()))
	}
	stats := p.validator.Stats()
	for kind, n := range stats.Revoked {
		count(revokedDesc, n, string(kind))
	}
	s := figures(stats)
	count(lookupsDesc, s.Hits, "hit")
	count(lookupsDesc, s.Misses, "miss")
	count(lookupsDesc, s.NegativeHits, "negative")
	count(onlineDesc, s.Online)
	count(evictedDesc, s.Evicted)
	gauge(entriesDesc, float64(s.Entries))
	gauge(bytesDesc, float64(s.Bytes))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
