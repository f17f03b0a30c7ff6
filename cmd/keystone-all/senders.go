package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"authproxy/certs/reload"
	"authproxy/keystone/peer"
	"authproxy/keystone/peer/spnego"
	"authproxy/keystone/server/app"
	"authproxy/keystone/server/catalog/templated"
	"authproxy/validate/bind"
)

// The headers in which trusted front ends say whom they have authenticated, in canonical form.
const (
	userHeader   = "X-Remote-User"
	typeHeader   = "X-Auth-Type"
	domainHeader = "X-Remote-Domain"
)

// outside is what the server takes from files that operators replace while it runs: its certificate, its keytab and the catalog.
type outside struct {
	tls        *reload.TLS // nil for listeners without TLS
	identifier *peer.Identifier
	negotiate  bool
	watchers   []*reload.Watcher
}

// readOutside reads the files for the first time.
func readOutside(s *app.Settings, file *templated.Store, log *slog.Logger) (*outside, error) {
	o := &outside{}
	watch := func(what string, files []string, load func() error) error {
		w := &reload.Watcher{What: what, Files: files, Load: load, Log: log}
		o.watchers = append(o.watchers, w)
		return w.Start()
	}
	if file != nil {
		if err := watch("catalog", []string{file.File}, file.Load); err != nil {
			return nil, fmt.Errorf("[catalog] template_file: %w", err)
		}
	}
	certificates := s.ClientCertificates()
	if s.TLS.Enable {
		key, err := keyFile(s.TLS.CertFile, s.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("[eventlet_server_ssl] keyfile: %w", err)
		}
		o.tls = &reload.TLS{CertFile: s.TLS.CertFile, KeyFile: key, RequireClientCert: s.TLS.CertRequired}
		if certificates {
			o.tls.ClientCAFile = s.TLS.CACerts
		}
		if err := watch("listener", o.tls.Files(), o.tls.Load); err != nil {
			return nil, fmt.Errorf("[eventlet_server_ssl]: %w (keystone-manage ssl_setup makes files to try it out)", err)
		}
	}
	if !s.Senders.Any() && !certificates {
		return o, nil
	}
	fronts, err := peer.ParseFronts(s.Senders.TrustedPeers, s.Senders.TrustedPeerNames)
	if err != nil {
		return nil, fmt.Errorf("[auth] trusted_peers: %w", err)
	}
	if fronts.UnixSocket {
		return nil, errors.New("[auth] trusted_peers: unix has no effect: the listeners are no unix sockets")
	}
	realms, err := bind.ParseRealms(s.Senders.KerberosRealmMap)
	if err != nil {
		return nil, fmt.Errorf("[auth] kerberos_realm_map: %w", err)
	}
	o.identifier = &peer.Identifier{Fronts: fronts, Realms: realms, UserHeader: userHeader, TypeHeader: typeHeader,
		AttributePrefix: s.Federation.AssertionPrefix}
	if s.Senders.Domains() {
		o.identifier.DomainHeader = domainHeader
	}
	if path := s.Senders.KerberosKeytab; path != "" {
		acceptor, err := spnego.New(spnego.Options{KeytabFile: path, Principal: s.Senders.KerberosPrincipal})
		if err == nil {
			err = watch("kerberos keytab", []string{path}, acceptor.Reload)
		}
		if err != nil {
			return nil, fmt.Errorf("[auth] kerberos_keytab: %w", err)
		}
		o.identifier.Kerberos, o.negotiate = acceptor, true
	}
	return o, nil
}

// followHangups looks at the files at each SIGHUP, until ctx ends. Those that are not here are looked at when they are used, or every
// second.
func (o *outside) followHangups(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
		}
		for _, w := range o.watchers {
			w.Look()
		}
	}
}

// keyFile is where the private key of the server's certificate is: in a file of its own, or in that of the certificate.
func keyFile(certFile, keyFile string) (string, error) {
	_, err := os.Stat(keyFile)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return keyFile, err
	}
	if text, readErr := os.ReadFile(certFile); readErr == nil && bytes.Contains(text, []byte("PRIVATE KEY-----")) {
		return certFile, nil
	}
	return "", fmt.Errorf("%w, and %s holds no key either", err, certFile)
}
