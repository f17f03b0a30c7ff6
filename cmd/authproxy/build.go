package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"authproxy/certs"
	"authproxy/certs/reload"
	"authproxy/keystone/client"
	"authproxy/keystone/config"
	"authproxy/keystone/token"
	"authproxy/proxy"
	"authproxy/proxy/admin"
	"authproxy/proxy/listen"
	"authproxy/proxy/plain"
	"authproxy/revocation"
	"authproxy/revocation/events"
	"authproxy/validate"
	"authproxy/validate/bind"
	"authproxy/validate/sharedcache"
)

// upstream is what carries requests to one upstream.
type upstream interface {
	// Renew makes connections of the past be used for no further request.
	Renew()
	// CloseIdle closes those that wait for one.
	CloseIdle()
}

// parts is the whole of a running proxy. Identity, certificates, list, events and shared are nil where the configuration has no use for them.
type parts struct {
	settings *settings
	routes   []route
	log      *slog.Logger
	registry *prometheus.Registry

	identity     *client.Client
	certificates *certs.Store
	list         *revocation.Poller
	events       *events.Poller
	shared       *sharedcache.Cache
	validator    *validate.Validator
	upstreams    []upstream
	data, admin  *http.Server    // data is nil where nothing is passed on
	plain        *plain.Listener // answers what need not come to data; nil where all does
	auth         *http.Server    // nil: no front end asks

	dataAddress, adminAddress, authAddress listen.Address

	jwsKeys  atomic.Pointer[[]*ecdsa.PublicKey]
	senders  *senders
	listener *reload.TLS // nil: no TLS
	watchers []*reload.Watcher
	streams  *proxy.Streams // nil: none is watched

	local bool // certificates and list come from files, so a failure to load them is a mistake of the operator
	life  lifetime
	asked refetches
}

// build puts the parts together. It reads CA files, and starts nothing.
func build(s *settings, log *slog.Logger) (*parts, error) {
	routes, err := readRoutes(s)
	if err != nil {
		return nil, err
	}
	c := s.token
	if err := checkSources(c); err != nil {
		return nil, err
	}
	mode, err := bind.ParseMode(c.EnforceTokenBind)
	if err != nil {
		return nil, err
	}
	p := &parts{settings: s, routes: routes, log: log, registry: prometheus.NewRegistry()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), (*collector)(p))

	if c.AuthURL != "" {
		if p.identity, err = newIdentity(c, routes, log); err != nil {
			return nil, err
		}
	}
	if c.PKI != "off" {
		p.certificates = newCertificates(c, p.identity, log, p.registry)
		if !c.InsecureSkipRevocation {
			p.list = newList(c, p.identity, p.certificates, log, p.registry)
		}
		p.local = c.SigningCertFile != "" && (c.RevocationFile != "" || c.InsecureSkipRevocation)
	}
	p.events = newEvents(c, p.identity, log)
	if p.shared, err = newSharedCache(&c.SharedCache, log); err != nil {
		return nil, err
	}
	if p.dataAddress, err = listen.Parse(s.listen, "data"); err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if p.adminAddress, err = listen.Parse(s.adminListen, "admin"); err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	if err := p.buildListener(); err != nil {
		return nil, err
	}
	if err := p.buildSenders(routes); err != nil {
		return nil, err
	}
	if err := p.buildJWSKeys(); err != nil {
		return nil, err
	}
	if s.onlineLimitClient > s.onlineLimit {
		return nil, fmt.Errorf("--online-limit-client %d is more than --online-limit %d, so that it would bound nothing", s.onlineLimitClient, s.onlineLimit)
	}
	if p.validator, err = validate.New(p.validation(mode)); err != nil {
		return nil, err
	}

	handler, err := p.buildRoutes(routes)
	if err != nil {
		return nil, err
	}
	if handler != nil {
		p.data = proxy.NewServer(p.life.track(handler), proxy.ServerOptions{MaxToken: c.MaxTokenSize, HTTP2: s.http2, Log: log})
	}
	p.admin = proxy.NewServer(admin.New(admin.Options{Gatherer: p.registry, Ready: p.ready, Status: p.status, Refetch: p.refetch}), proxy.ServerOptions{Log: log})
	return p, nil
}

// checkSources says what is missing to judge any token at all.
func checkSources(c *config.AuthToken) error {
	login := c.AuthURL != "" && c.AuthType != "none"
	switch {
	case c.PKI == "off" && !login:
		return errors.New("pki = off leaves tokens to the Identity service: auth_url and a login are needed to ask it")
	case c.PKI == "off":
		return nil
	case c.SigningCertFile == "" && c.AuthURL == "":
		return errors.New("nothing to check tokens with: set auth_url in [keystone_authtoken] of a --config-file, or, to run without an Identity service, " +
			"give --signing-cert-file, --signing-ca-file and --revocation-file")
	case c.SigningCertFile != "" && c.SigningCAFile == "":
		return errors.New("--signing-cert-file needs --signing-ca-file: the CA that the signing certificates must chain to")
	case !login && c.RevocationFile == "" && !c.InsecureSkipRevocation:
		return errors.New("nothing tells which tokens are revoked: give --revocation-file, or --insecure-skip-revocation to accept revoked tokens until they expire; " +
			"fetching the list takes auth_url and a login")
	}
	return nil
}

func newIdentity(c *config.AuthToken, routes []route, log *slog.Logger) (*client.Client, error) {
	o := client.Options{
		AuthURL: c.AuthURL,
		CAFile:  c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Insecure: c.Insecure,
		ConnectTimeout: c.HTTPConnectTimeout, Retries: c.HTTPRequestMaxRetries,
		NoCatalog: !slices.ContainsFunc(routes, func(r route) bool { return r.IncludeServiceCatalog }),
		Log:       log,
	}
	if c.AuthVersion != "auto" {
		o.Version = c.AuthVersion
	}
	switch c.AuthType {
	case "admin_token":
		o.StaticToken = c.Token.Reveal()
	case "application_credential":
		o.ApplicationCredentialID, o.ApplicationCredentialName = c.ApplicationCredentialID, c.ApplicationCredentialName
		o.ApplicationCredentialSecret = c.ApplicationCredentialSecret.Reveal()
	case "password":
		o.Password = c.Password.Reveal()
		o.ProjectID, o.ProjectName = c.ProjectID, c.ProjectName
		o.ProjectDomainID, o.ProjectDomainName = c.ProjectDomainID, c.ProjectDomainName
		o.DomainID, o.DomainName = c.DomainID, c.DomainName
		o.SystemScope, o.TrustID = c.SystemScope, c.TrustID
	}
	if c.AuthType == "password" || c.AuthType == "application_credential" {
		o.Username, o.UserID = c.Username, c.UserID
		o.UserDomainID, o.UserDomainName = c.UserDomainID, c.UserDomainName
	}
	return client.New(o)
}

func newCertificates(c *config.AuthToken, identity *client.Client, log *slog.Logger, r prometheus.Registerer) *certs.Store {
	s := &certs.Store{
		Policy:         certs.Policy{InsecureAllowSHA1: c.InsecureAllowSHA1, InsecureAllowWeakRSA: c.InsecureAllowWeakRSA},
		CAFile:         c.SigningCAFile,
		AllowFetchedCA: c.InsecureAllowFetchedCA || provesItself(c),
		Dir:            c.SigningDir,
		Interval:       c.CertRefreshInterval,
		Cooldown:       c.CertRefreshCooldown,
		Log:            log,
		Metrics:        newCertificateEvents(r),
	}
	if c.SigningCertFile != "" {
		s.Source = certs.FileSource{SigningFile: c.SigningCertFile, CAFile: c.SigningCAFile}
		if isDefault(c, "cert_refresh_interval") {
			s.Interval = certs.DefaultFileInterval
		}
	} else {
		s.Source = identity
	}
	return s
}

func newList(c *config.AuthToken, identity *client.Client, signers *certs.Store, log *slog.Logger, r prometheus.Registerer) *revocation.Poller {
	p := &revocation.Poller{
		Verifier: signers,
		Interval: c.RevocationCacheTime,
		LongPoll: c.RevocationLongPoll,
		MaxStale: c.RevocationMaxStale,
		Dir:      c.SigningDir,
		Log:      log,
		Metrics:  newListEvents(r),
	}
	if c.RevocationFile != "" {
		p.Source = revocation.FileSource{Path: c.RevocationFile}
	} else {
		p.Source = identity
	}
	return p
}

// buildJWSKeys reads the public keys of JWS tokens, and does again whenever one comes or goes.
func (p *parts) buildJWSKeys() error {
	dir := p.settings.token.JWSPublicKeyRepository
	if dir == "" {
		return nil
	}
	err := p.watch("JWS public keys", []string{dir}, func() error {
		keys, err := certs.LoadPublicKeys(dir)
		if err == nil {
			p.jwsKeys.Store(&keys)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("jws_public_key_repository: %w", err)
	}
	return nil
}

// newEvents gives nil where there is nobody to ask about revocation events, or nothing that proves who answers: nobody signs
// them, and where there is no list they are all that is known.
func newEvents(c *config.AuthToken, identity *client.Client, log *slog.Logger) *events.Poller {
	switch {
	case c.RevocationEvents == "off" || identity == nil || c.AuthType == "none" || c.InsecureSkipRevocation:
		return nil
	case !provesItself(c):
		log.Warn("revocation events are not used: auth_url is neither https with a verified server nor on this machine, so anyone could have made them up")
		return nil
	}
	return &events.Poller{
		Source:   identity,
		Interval: c.RevocationCacheTime,
		MaxStale: c.RevocationMaxStale,
		Dir:      c.SigningDir,
		Log:      log,
	}
}

// validation is what the Validator is made of.
func (p *parts) validation(mode bind.Mode) validate.Options {
	c := p.settings.token
	o := validate.Options{
		InsecureSkipRevocation: c.InsecureSkipRevocation,
		Stale:                  revocation.Policy(c.RevocationStalePolicy),
		Limits:                 token.Limits{Text: c.MaxTokenSize, Inflated: c.MaxInflatedSize},
		HashAlgorithms:         c.HashAlgorithms,
		UndecidableOnline:      c.UndecidablePolicy == "online",
		Bind:                   mode,
		OnlineLimit:            p.settings.onlineLimit,
		OnlineLimitClient:      p.settings.onlineLimitClient,
		ServiceType:            c.ServiceType,
		CacheTTL:               c.TokenCacheTime,
		CacheBytes:             int(c.CacheSizeBytes),
	}
	if p.identity != nil && c.AuthType != "none" {
		o.Online = online{p.identity}
		// The proxy's own token shows which form this cloud issues.
		o.Provider = func() token.Form { return token.FormOf(p.identity.OwnTokenText()) }
	}
	if c.JWSPublicKeyRepository != "" {
		o.JWSKeys = func() []*ecdsa.PublicKey { return *p.jwsKeys.Load() }
	}
	if p.shared != nil {
		o.Shared = p.shared
	}
	if p.certificates != nil {
		o.Signers = p.certificates
		if c.PKI == "auto" {
			o.NoPKI = p.noPKI
		}
	}
	if p.list != nil {
		o.Revocations, o.NoList = p.list, p.list.Absent
	}
	if p.events != nil {
		o.Events = p.events
	}
	return o
}

// noPKI says that the Identity service has told that it has no certificates, and has never had any.
func (p *parts) noPKI() bool {
	return p.certificates.Current() == nil && p.certificates.Status().NoPKI
}

// online puts tokens to the Identity service in the words of package validate.
type online struct{ *client.Client }

func (o online) Validate(ctx context.Context, text string, allowExpired bool) ([]byte, error) {
	body, err := o.Client.Validate(ctx, text, allowExpired)
	if errors.Is(err, client.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", validate.ErrInvalid, err)
	}
	return body, err
}

// provesItself says that certificates fetched from auth_url come from where it says: over https with a verified server, or
// from this machine.
func provesItself(c *config.AuthToken) bool {
	u, err := url.Parse(c.AuthURL)
	if err != nil {
		return false
	}
	if u.Scheme == "https" && !c.Insecure || u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.Unmap().IsLoopback()
}

func challengeURI(c *config.AuthToken) string {
	if c.WWWAuthenticateURI != "" {
		return c.WWWAuthenticateURI
	}
	return c.AuthURL
}

func isDefault(c *config.AuthToken, name string) bool {
	for _, v := range c.Effective() {
		if v.Name == name {
			return v.Source.Origin == config.Default
		}
	}
	return true
}
