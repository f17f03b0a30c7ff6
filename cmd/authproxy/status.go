package main

import (
	"errors"
	"fmt"
	"time"

	"authproxy/certs"
	"authproxy/certs/reload"
	"authproxy/revocation"
	"authproxy/revocation/events"
	"authproxy/validate"
)

// ready says why requests should not come here, or nil. Ready is who knows the signing certificates and has a list that
// counts, or knows that this Identity service has no PKI, and has asked for revocation events; once that was so, an Identity service that is down is no reason
// to send the requests elsewhere.
func (p *parts) ready() error {
	if p.life.draining.Load() {
		return errors.New("stopping")
	}
	if p.life.ready.Load() {
		return nil
	}
	if err := p.unready(); err != nil {
		return err
	}
	p.life.ready.Store(true)
	return nil
}

func (p *parts) unready() error {
	if err := p.unreadyOffline(); err != nil {
		return err
	}
	if p.events != nil && !p.events.Asked() {
		return errors.New("revocation events have not been asked for yet")
	}
	return nil
}

// unreadyOffline says what is missing to decide about signed tokens.
func (p *parts) unreadyOffline() error {
	if p.certificates == nil {
		return nil // pki = off
	}
	c := p.certificates.Status()
	if !hasUsable(c) {
		if p.settings.token.PKI == "auto" && p.noPKI() && p.settings.token.AuthType != "none" {
			return nil
		}
		return notYet("no signing certificates", c.LastError)
	}
	if p.list == nil {
		return nil
	}
	l := p.list.Status()
	switch {
	case p.eventsInstead():
		if !p.events.Fresh(time.Now()) && p.settings.token.RevocationStalePolicy == "reject" {
			return notYet("no fresh revocation events", p.events.Status().LastError)
		}
	case !l.Held:
		return notYet("no revocation list", l.LastError)
	case !l.Fresh && p.settings.token.RevocationStalePolicy == "reject":
		return notYet("no fresh revocation list", l.LastError)
	}
	return nil
}

// eventsInstead says that the Identity service keeps no list, and has events, which tell the same.
func (p *parts) eventsInstead() bool {
	return p.list != nil && p.list.Absent() && p.events != nil && p.events.Offered()
}

func hasUsable(c certs.Status) bool {
	for _, s := range c.Signers {
		if s.Usable {
			return true
		}
	}
	return false
}

func notYet(what, why string) error {
	if why == "" {
		return errors.New(what + " yet")
	}
	return fmt.Errorf("%s: %s", what, why)
}

// status is the body of /status.
type status struct {
	Ready    bool   `json:"ready"`
	NotReady string `json:"not_ready,omitempty"`

	Upstream          string `json:"upstream,omitempty"`
	DelayAuthDecision bool   `json:"delay_auth_decision"`
	// Routes are absent where all requests go to Upstream.
	Routes []routeStatus `json:"routes,omitempty"`
	// IdentityURL is absent where the proxy runs without an Identity service.
	IdentityURL string `json:"identity_url,omitempty"`
	PKI         string `json:"pki"`

	Certificates *certificateStatus `json:"certificates,omitempty"`
	Revocation   *revocation.Status `json:"revocation,omitempty"`
	// RevocationEvents is absent where they are not asked for.
	RevocationEvents *events.Status `json:"revocation_events,omitempty"`
	// RevokedHits counts refusals of revoked tokens by what told of the revocation.
	RevokedHits map[validate.RevokedBy]uint64 `json:"revoked_hits"`
	// RevocationSkipped says that revoked tokens are accepted (insecure_skip_revocation).
	RevocationSkipped bool        `json:"revocation_skipped,omitempty"`
	Cache             cacheStatus `json:"cache"`
	// SharedCache is absent where there is none.
	SharedCache      *sharedStatus `json:"shared_cache,omitempty"`
	RequestsUnderWay int64         `json:"requests_under_way"`

	// TLSNotAfter is when the listener's certificate expires; absent without TLS.
	TLSNotAfter *time.Time `json:"tls_not_after,omitempty"`
	// KerberosPrincipals are those whom tickets may be for.
	KerberosPrincipals []string `json:"kerberos_principals,omitempty"`
	// Files are those that are taken into use when they change, by what they are for.
	Files map[string]reload.Status `json:"files,omitempty"`
}

type routeStatus struct {
	Name              string   `json:"name"`
	Hosts             []string `json:"hosts,omitempty"`
	Path              string   `json:"path,omitempty"`
	Upstream          string   `json:"upstream"`
	DelayAuthDecision bool     `json:"delay_auth_decision"`
	EnforceTokenBind  string   `json:"enforce_token_bind"`
	RequiredRoles     []string `json:"required_roles,omitempty"`
	Anonymous         []string `json:"anonymous,omitempty"`
}

type certificateStatus struct {
	certs.Status
	Signers []signerStatus `json:"signers"`
}

type signerStatus struct {
	certs.SignerStatus
	DaysLeft float64 `json:"days_left"`
}

type cacheStatus struct {
	Entries      int    `json:"entries"`
	Bytes        int    `json:"bytes"`
	Evicted      uint64 `json:"evicted"`
	Hits         uint64 `json:"hits"`
	Misses       uint64 `json:"misses"`
	NegativeHits uint64 `json:"negative_hits"`
	Online       uint64 `json:"online_validations"`
}

type sharedStatus struct {
	Servers      int    `json:"servers"`
	Dead         int    `json:"servers_dead"`
	Hits         uint64 `json:"hits"`
	Misses       uint64 `json:"misses"`
	Rejected     uint64 `json:"rejected"`
	Errors       uint64 `json:"errors"`
	Skipped      uint64 `json:"skipped"`
	Stored       uint64 `json:"stored"`
	StoreErrors  uint64 `json:"store_errors"`
	StoreSkipped uint64 `json:"store_skipped"`
}

func (p *parts) status() any {
	c := p.settings.token
	s := status{
		Upstream: p.settings.upstream, DelayAuthDecision: c.DelayAuthDecision, IdentityURL: c.AuthURL, PKI: c.PKI,
		RevocationSkipped: p.certificates != nil && p.list == nil, RequestsUnderWay: p.life.underWay.Load(),
	}
	if len(p.settings.routes) > 0 {
		for _, r := range p.routes {
			s.Routes = append(s.Routes, routeStatus{r.Name, r.Hosts, r.Path, r.Upstream, r.DelayAuthDecision, r.bind.String(), r.RequiredRoles, r.rules.Names()})
		}
	}
	if err := p.ready(); err != nil {
		s.NotReady = err.Error()
	} else {
		s.Ready = true
	}
	if p.certificates != nil {
		st := p.certificates.Status()
		s.Certificates = &certificateStatus{Status: st, Signers: []signerStatus{}}
		for _, signer := range st.Signers {
			s.Certificates.Signers = append(s.Certificates.Signers, signerStatus{signer, daysLeft(signer)})
		}
	}
	if p.list != nil {
		st := p.list.Status()
		s.Revocation = &st
	}
	if p.events != nil {
		st := p.events.Status()
		s.RevocationEvents = &st
	}
	stats := p.validator.Stats()
	s.RevokedHits, s.Cache = stats.Revoked, figures(stats)
	if p.shared != nil {
		n := p.shared.Stats()
		s.SharedCache = &sharedStatus{
			Servers: n.Servers, Dead: n.Dead, Hits: n.Hits, Misses: n.Misses, Rejected: n.Rejected, Errors: n.Errors, Skipped: n.Skipped,
			Stored: n.Stored, StoreErrors: n.StoreErrors, StoreSkipped: n.StoreSkipped,
		}
	}
	if p.listener != nil {
		at := p.listener.NotAfter()
		s.TLSNotAfter = &at
	}
	if p.senders != nil && p.senders.kerberos != nil {
		s.KerberosPrincipals = p.senders.kerberos.Principals()
	}
	for _, w := range p.watchers {
		if s.Files == nil {
			s.Files = map[string]reload.Status{}
		}
		s.Files[w.What] = w.Status()
	}
	return s
}

func figures(s validate.Stats) cacheStatus {
	return cacheStatus{
		Entries: s.Entries, Bytes: s.Bytes, Evicted: s.Evicted,
		Hits: s.Hits, Misses: s.Misses, NegativeHits: s.NegativeHits, Online: s.Online,
	}
}

func daysLeft(s certs.SignerStatus) float64 {
	return time.Until(s.NotAfter).Hours() / 24
}
