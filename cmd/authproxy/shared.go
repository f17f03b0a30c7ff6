package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"

	"authproxy/keystone/config"
	"authproxy/validate/sharedcache"
)

// newSharedCache gives the cache on memcached, nil where there is to be none. It connects to nobody.
func newSharedCache(c *config.SharedCache, log *slog.Logger) (*sharedcache.Cache, error) {
	if len(c.Servers) == 0 {
		return nil, nil
	}
	o := sharedcache.Options{
		Servers: c.Servers, Secret: c.SecretKey.Reveal(),
		Timeout: c.SocketTimeout, DeadRetry: c.DeadRetry, UnusedTimeout: c.UnusedTimeout, Connections: c.MaxConnections,
		Log: log,
	}
	switch {
	case c.InsecurePlain:
		o.Strategy = sharedcache.InsecurePlain
	case c.Strategy == "mac":
		o.Strategy = sharedcache.MAC
	case c.Strategy == "encrypt":
		o.Strategy = sharedcache.Encrypt
	}
	if c.TLS {
		var err error
		if o.TLS, err = memcachedTLS(c); err != nil {
			return nil, err
		}
	}
	return sharedcache.New(o)
}

func memcachedTLS(c *config.SharedCache) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCAFile != "" {
		text, err := readPEM(c.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("memcache_tls_cafile: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("memcache_tls_cafile: %s holds no certificate as PEM", c.TLSCAFile)
		}
	}
	if c.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCertFile, cmp.Or(c.TLSKeyFile, c.TLSCertFile))
		if err != nil {
			return nil, fmt.Errorf("memcache_tls_certfile: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
