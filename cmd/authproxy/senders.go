package main

import (
	"errors"
	"fmt"
	"net/http"

	"authproxy/certs/reload"
	"authproxy/keystone/peer"
	"authproxy/keystone/peer/spnego"
	"authproxy/proxy/headers"
	"authproxy/validate/bind"
)

// senders is what finds out who sends a request, for bound tokens.
type senders struct {
	identifier *peer.Identifier
	kerberos   *spnego.Acceptor // nil: no Kerberos here
	headers    []string         // those that only trusted peers may send, and that go no further
}

// buildListener reads the files of the TLS listener, if there is one.
func (p *parts) buildListener() error {
	s := p.settings
	switch {
	case s.tlsCertFile == "" && s.tlsKeyFile == "" && s.tlsClientCAFile == "":
		return nil
	case s.tlsCertFile == "":
		return errors.New("--tls-key-file and --tls-client-ca-file need --tls-cert-file: without a certificate there is no TLS")
	case s.tlsKeyFile == "":
		return errors.New("--tls-cert-file needs --tls-key-file")
	}
	l := &reload.TLS{CertFile: s.tlsCertFile, KeyFile: s.tlsKeyFile, ClientCAFile: s.tlsClientCAFile, HTTP2: s.http2}
	if err := p.watch("listener", l.Files(), l.Load); err != nil {
		return fmt.Errorf("TLS of --listen: %w", err)
	}
	p.listener = l
	return nil
}

// buildSenders puts together what the operator gave to find out who sends a request, and says what is missing for the modes of
// the routes.
func (p *parts) buildSenders(routes []route) error {
	s := p.settings
	fronts, err := peer.ParseFronts(s.trustedPeers, s.trustedPeerNames)
	if err != nil {
		return fmt.Errorf("--trusted-peers: %w", err)
	}
	realms, err := bind.ParseRealms(s.kerberosRealmMap)
	if err != nil {
		return fmt.Errorf("--kerberos-realm-map: %w", err)
	}
	trusting := len(s.trustedPeers)+len(s.trustedPeerNames) > 0
	certificates := s.tlsClientCAFile != ""
	for _, r := range routes {
		switch {
		case r.bind.Mechanism() == bind.Kerberos && s.kerberosKeytab == "" && !trusting:
			return errors.New("enforce_token_bind = kerberos refuses every token here: nothing tells who sends a request; give --kerberos-keytab or --trusted-peers")
		case r.bind.Mechanism() == bind.X509 && !certificates:
			return errors.New("enforce_token_bind = x509 refuses every token here: no client certificates are asked for; give --tls-client-ca-file")
		case r.bind == bind.Required && s.kerberosKeytab == "" && !trusting && !certificates:
			return errors.New("enforce_token_bind = required refuses every token here: nothing tells who sends a request; give --kerberos-keytab, --trusted-peers or --tls-client-ca-file")
		}
	}
	switch {
	case len(s.trustedPeerNames) > 0 && !certificates:
		return errors.New("--trusted-peer-names needs --tls-client-ca-file: names count only in certificates of those CAs")
	case fronts.UnixSocket && !p.dataAddress.Unix() && !p.dataAddress.Systemd():
		return fmt.Errorf("--trusted-peers: unix has no effect: --listen %s is no unix socket", s.listen)
	case s.kerberosKeytab == "" && s.kerberosPrincipal != "":
		return errors.New("--kerberos-principal needs --kerberos-keytab")
	case s.kerberosKeytab == "" && !trusting && realms != nil:
		return errors.New("--kerberos-realm-map needs --kerberos-keytab or --trusted-peers: nobody else brings a principal")
	case s.kerberosKeytab == "" && !trusting && !certificates:
		return nil
	}

	built := &senders{identifier: &peer.Identifier{Fronts: fronts, Realms: realms}}
	if trusting {
		i := built.identifier
		if i.UserHeader, err = headers.ParseName(s.remoteUserHeader); err != nil {
			return fmt.Errorf("--remote-user-header: %w", err)
		}
		if i.TypeHeader, err = headers.ParseName(s.authTypeHeader); err != nil {
			return fmt.Errorf("--auth-type-header: %w", err)
		}
		if i.UserHeader == i.TypeHeader {
			return fmt.Errorf("--remote-user-header and --auth-type-header are one header, %s", http.CanonicalHeaderKey(i.UserHeader))
		}
		built.headers = []string{i.UserHeader, i.TypeHeader}
	}
	if s.kerberosKeytab != "" {
		if built.kerberos, err = spnego.New(spnego.Options{KeytabFile: s.kerberosKeytab, Principal: s.kerberosPrincipal}); err != nil {
			return fmt.Errorf("--kerberos-keytab: %w", err)
		}
		if err := p.watch("kerberos keytab", []string{s.kerberosKeytab}, built.kerberos.Reload); err != nil {
			return fmt.Errorf("--kerberos-keytab: %w", err)
		}
		built.identifier.Kerberos = built.kerberos
	}
	p.senders = built
	return nil
}

// watch loads files, and will again whenever they change.
func (p *parts) watch(what string, files []string, load func() error) error {
	w := &reload.Watcher{What: what, Files: files, Load: load, Interval: p.settings.reloadInterval, Log: p.log}
	if err := w.Start(); err != nil {
		return err
	}
	p.watchers = append(p.watchers, w)
	return nil
}
