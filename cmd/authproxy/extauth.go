package main

import (
	"errors"
	"fmt"
	"slices"

	"authproxy/keystone/peer"
	"authproxy/proxy"
	"authproxy/proxy/extauth"
	"authproxy/proxy/listen"
)

// buildAuth makes the server for front ends that ask about requests, if there are any. judging makes the part of a route's handler
// that decides.
func (p *parts) buildAuth(routes []route, judging func(route) *proxy.Handler, guardHeader string) (err error) {
	s := p.settings
	if s.authListen == "" {
		if s.authTLS {
			return errors.New("--auth-tls is for --auth-listen, which is not there")
		}
		return nil
	}
	if p.authAddress, err = listen.Parse(s.authListen, "auth"); err != nil {
		return fmt.Errorf("--auth-listen: %w", err)
	}
	fronts, err := peer.ParseFronts(s.authTrustedPeers, s.authTrustedPeerNames)
	switch {
	case err != nil:
		return fmt.Errorf("--auth-trusted-peers: %w", err)
	case len(s.authTrustedPeers)+len(s.authTrustedPeerNames) == 0:
		return errors.New("nobody may ask at --auth-listen: name the front ends in --auth-trusted-peers or --auth-trusted-peer-names")
	case s.authTLS && p.listener == nil:
		return errors.New("--auth-tls needs --tls-cert-file and --tls-key-file")
	case !s.authTLS && p.listener != nil && !slices.ContainsFunc(routes, func(r route) bool { return r.upstream != nil }):
		return errors.New("--tls-cert-file has no effect: without an upstream there is --auth-listen alone; give --auth-tls")
	case len(s.authTrustedPeerNames) > 0 && (!s.authTLS || s.tlsClientCAFile == ""):
		return errors.New("--auth-trusted-peer-names needs --auth-tls and --tls-client-ca-file: names count only in certificates of those CAs")
	case !s.authTLS && !s.insecureAuthListen && !p.authAddress.Local():
		return fmt.Errorf("--auth-listen %s: without TLS, whoever can write to that network can be anyone; use 127.0.0.1, a unix socket or --auth-tls, or say --insecure-auth-listen", s.authListen)
	}
	var ways []proxy.Route
	var strip []string
	for _, r := range routes {
		handler := judging(r)
		handler.AnswerOnly = true
		handler.ForwardedFrom = &peer.Fronts{} // the address is what the front end says
		if p.senders != nil {
			strip = slices.Clone(p.senders.headers)
			if p.senders.kerberos != nil {
				// A ticket tells who sends a request, whoever brings it. Neither the certificate of the connection nor the headers
				// of who has come by it do here.
				handler.Peers, handler.Negotiate = &peer.Identifier{Kerberos: p.senders.kerberos, Realms: p.senders.identifier.Realms}, true
			}
		}
		ways = append(ways, proxy.Route{Hosts: r.Hosts, Path: r.Path, StripPrefix: r.StripPrefix, Handler: handler})
	}
	if guardHeader != "" {
		strip = append(strip, guardHeader)
	}
	asked := extauth.New(extauth.Options{Proxy: routed(ways), Fronts: fronts, StripAlso: strip, Registerer: p.registry, Log: p.log})
	p.auth = proxy.NewServer(p.life.track(asked), proxy.ServerOptions{MaxToken: s.token.MaxTokenSize, HTTP2: true, Log: p.log})
	p.auth.Protocols.SetUnencryptedHTTP2(true) // gRPC
	return nil
}
