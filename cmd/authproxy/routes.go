package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"authproxy/certs/reload"
	"authproxy/keystone/config"
	"authproxy/keystone/peer"
	"authproxy/proxy"
	"authproxy/proxy/anonymous"
	"authproxy/proxy/guard"
	"authproxy/proxy/headers"
	"authproxy/validate/bind"
)

// mainRoute is the name of the route of --upstream in logs and metrics.
const mainRoute = "upstream"

// route is one way through the proxy, read and checked.
type route struct {
	config.Route
	upstream *url.URL // nil: requests are judged, and passed on by somebody else
	bind     bind.Mode
	rules    *anonymous.Rules
}

// readRoutes reads the routes: that of --upstream, which takes what no other one does, and those that have sections or flags.
func readRoutes(s *settings) (routes []route, err error) {
	answerOnly := s.upstream == "" && len(s.routes) == 0 // nothing is passed on
	if answerOnly && s.authListen == "" {
		return nil, errNoUpstream
	}
	if s.upstream != "" || answerOnly {
		c := s.token
		r, err := readRoute(config.Route{
			Name: mainRoute, Upstream: s.upstream, UpstreamProtocol: s.upstreamProtocol,
			EnforceTokenBind: c.EnforceTokenBind, DelayAuthDecision: c.DelayAuthDecision, IncludeServiceCatalog: c.IncludeServiceCatalog,
			RequiredRoles: s.requiredRoles, Anonymous: s.anonymous, AnonymousPreflight: s.anonymousPreflight,
		}, s.insecureUpstream)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	} else if len(s.anonymous) > 0 || s.anonymousPreflight {
		return nil, errors.New("--anonymous and --anonymous-preflight are for --upstream, which is not there; a route has its own rules")
	}
	for _, d := range s.routes {
		switch {
		case d.Name == mainRoute:
			return nil, fmt.Errorf("[%s]: the name is taken, by the route of --upstream", d.Section())
		case s.upstream != "" && len(d.Hosts) == 0 && d.Path == "":
			return nil, fmt.Errorf("[%s] takes the same requests as --upstream; leave one of them out", d.Section())
		}
		r, err := readRoute(d, s.insecureUpstream)
		if err != nil {
			return nil, fmt.Errorf("[%s] %w", d.Section(), err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func readRoute(d config.Route, insecurePlaintext bool) (r route, err error) {
	r.Route = d
	if d.Upstream != "" {
		if r.upstream, err = proxy.ParseUpstream(d.Upstream, insecurePlaintext); err != nil {
			return r, err
		}
		if err = proxy.CheckProtocol(d.UpstreamProtocol, r.upstream); err != nil {
			return r, fmt.Errorf("upstream_protocol: %w", err)
		}
	}
	if r.bind, err = bind.ParseMode(d.EnforceTokenBind); err != nil {
		return r, err
	}
	if r.rules, err = anonymous.Parse(d.Anonymous, d.AnonymousPreflight); err != nil {
		return r, err
	}
	if d.DelayAuthDecision && len(d.RequiredRoles) > 0 {
		return r, errors.New("required_roles contradicts delay_auth_decision, which lets users without any token pass; one of them must go")
	}
	return r, nil
}

// The clients that there are for requests to the upstream; HTTP/2 takes the standard one. None named is the first.
const (
	relayClient    = "relay"
	standardClient = "standard"
)

// buildRoutes makes the handler of all requests that are passed on, nil for none, and that of questions about others.
func (p *parts) buildRoutes(routes []route) (http.Handler, error) {
	s, c := p.settings, p.settings.token
	if s.upstreamClient != "" && s.upstreamClient != relayClient && s.upstreamClient != standardClient {
		return nil, fmt.Errorf("--upstream-client %q: want %s or %s", s.upstreamClient, relayClient, standardClient)
	}
	config, err := p.buildUpstreamTLS(routes)
	if err != nil {
		return nil, err
	}
	encoding, err := headers.ParseEncoding(s.headerEncoding)
	if err != nil {
		return nil, fmt.Errorf("header-encoding: %w", err)
	}
	fronts, err := peer.ParseFronts(s.forwardedFrom, nil)
	if err != nil {
		return nil, fmt.Errorf("--forwarded-from: %w", err)
	}
	kinds, err := proxy.ParseStreamKinds(s.closeStreams)
	if err != nil {
		return nil, fmt.Errorf("--close-streams: %w", err)
	}
	if len(kinds) > 0 {
		p.streams = proxy.NewStreams(kinds, p.registry)
		p.streams.Log = p.log
	}
	secret, guardHeader, err := p.buildGuard()
	if err != nil {
		return nil, err
	}
	metrics := proxy.NewMetrics(p.registry)
	judging := func(r route) *proxy.Handler {
		return &proxy.Handler{
			Route:                             r.Name,
			Validator:                         p.validator,
			DelayAuthDecision:                 r.DelayAuthDecision,
			ChallengeURI:                      challengeURI(c),
			ServiceTokenRoles:                 c.ServiceTokenRoles,
			InsecureServiceTokenRolesOptional: !c.ServiceTokenRolesRequired,
			Headers:                           headers.Options{OmitCatalog: !r.IncludeServiceCatalog, MaxCatalog: s.maxCatalogSize, Encoding: encoding},
			InsecureServiceTokenSkipsBind:     c.InsecureServiceTokenSkipsBind,
			Bind:                              &r.bind,
			RequiredRoles:                     r.RequiredRoles,
			Anonymous:                         r.rules,
			Metrics:                           metrics,
			Log:                               p.log,
		}
	}
	if err := p.buildAuth(routes, judging, guardHeader); err != nil {
		return nil, err
	}
	var ways []proxy.Route
	for _, r := range routes {
		for _, rule := range r.rules.Names() {
			p.log.Info("requests that need no token", slog.String("route", r.Name), slog.String("rule", rule))
		}
		if r.upstream == nil {
			continue
		}
		handler := judging(r)
		handler.Upstream = r.upstream
		handler.UpstreamHTTP2 = r.UpstreamProtocol == proxy.H2 || r.UpstreamProtocol == proxy.H2C
		handler.ForwardedFrom = &fronts
		handler.Streams = p.streams
		handler.Guard, handler.GuardHeader = secret, guardHeader
		o := proxy.TransportOptions{DisableKeepAlives: !s.upstreamKeepAlive, TLS: config, Protocol: r.UpstreamProtocol}
		if s.upstreamClient == standardClient || handler.UpstreamHTTP2 {
			transport := proxy.NewRenewable(r.upstream, o)
			handler.Transport = transport
			p.upstreams = append(p.upstreams, transport)
		} else {
			handler.Relay = proxy.NewRelay(r.upstream, o)
			p.upstreams = append(p.upstreams, handler.Relay)
		}
		if p.senders != nil {
			handler.Peers, handler.Negotiate = p.senders.identifier, p.senders.kerberos != nil
			handler.StripAlso = p.senders.headers
		}
		if secret != nil {
			handler.StripAlso = append(slices.Clone(handler.StripAlso), guardHeader)
		}
		ways = append(ways, proxy.Route{Hosts: r.Hosts, Path: r.Path, StripPrefix: r.StripPrefix, Handler: handler})
	}
	if len(ways) > 0 && !single(ways) {
		for _, r := range routes {
			p.log.Info("route", slog.String("route", r.Name), slog.Any("hosts", r.Hosts), slog.String("path", r.Path), slog.String("upstream", r.Upstream))
		}
	}
	return routed(ways), nil
}

// single says that one way takes all requests.
func single(ways []proxy.Route) bool {
	return len(ways) == 1 && len(ways[0].Hosts) == 0 && ways[0].Path == ""
}

// routed is the handler of all ways; nil of none.
func routed(ways []proxy.Route) http.Handler {
	switch {
	case len(ways) == 0:
		return nil
	case single(ways):
		return ways[0].Handler
	}
	return proxy.NewRouter(ways)
}

// buildGuard reads the secret for the upstream; its func is nil where there is none.
func (p *parts) buildGuard() (secret func() string, header string, err error) {
	if p.settings.guardFile == "" {
		return nil, "", nil
	}
	if header, err = guard.ParseHeader(p.settings.guardHeader); err != nil {
		return nil, "", fmt.Errorf("--upstream-guard-header: %w", err)
	}
	f := &guard.File{Path: p.settings.guardFile}
	if err := p.watch("upstream guard", []string{f.Path}, f.Load); err != nil {
		return nil, "", fmt.Errorf("--upstream-guard-file: %w", err)
	}
	return f.Secret, header, nil
}

// buildUpstreamTLS reads the files of TLS to upstreams; nil stands for the system's CAs and no certificate.
func (p *parts) buildUpstreamTLS(routes []route) (func() *tls.Config, error) {
	s := p.settings
	t := &reload.ClientTLS{CAFile: s.upstreamCAFile, CertFile: s.upstreamCertFile, KeyFile: s.upstreamKeyFile}
	if len(t.Files()) == 0 {
		return nil, nil
	}
	if !slices.ContainsFunc(routes, func(r route) bool { return r.upstream != nil && r.upstream.Scheme == "https" }) {
		return nil, errors.New("--upstream-cafile, --upstream-certfile and --upstream-keyfile are for https upstreams, of which there is none")
	}
	load := func() error {
		if err := t.Load(); err != nil {
			return err
		}
		for _, u := range p.upstreams {
			u.Renew() // its connections were made with the old files
		}
		return nil
	}
	if err := p.watch("upstream TLS", t.Files(), load); err != nil {
		return nil, fmt.Errorf("TLS of --upstream: %w", err)
	}
	return t.Config, nil
}
