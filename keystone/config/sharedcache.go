package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// sharedCacheFields are the options of the cache on memcached.
func sharedCacheFields() []field[AuthToken] {
	return []field[AuthToken]{
		{Option{Name: "memcached_servers", Aliases: []string{"memcache_servers"},
			Help: "memcached servers to share answers of the Identity service by: host[:port], [address]:port or unix:/path; needs memcache_secret_key"},
			func(a *AuthToken) any { return &a.SharedCache.Servers }},
		{Option{Name: "memcache_security_strategy", Choices: []string{"none", "mac", "encrypt"}, dotted: strings.ToLower,
			Help: "share with Python services that have this strategy: MAC or ENCRYPT, in any case; unset: with other proxies only, encrypted"},
			func(a *AuthToken) any { return &a.SharedCache.Strategy }},
		{Option{Name: "memcache_secret_key", Secret: true, Help: "secret of all who share the cache"},
			func(a *AuthToken) any { return &a.SharedCache.SecretKey }},
		{Option{Name: "insecure_memcache_plain", Default: "false",
			Help: "share without protection, as Python services without a strategy do: whoever can write to memcached can be anyone"},
			func(a *AuthToken) any { return &a.SharedCache.InsecurePlain }},
		{Option{Name: "memcache_pool_dead_retry", Default: "300", Min: 1, Max: 86400, Help: "seconds that a memcached server is left alone after a failure"},
			func(a *AuthToken) any { return &a.SharedCache.DeadRetry }},
		{Option{Name: "memcache_pool_socket_timeout", Default: "1", Min: 1, Max: 60, Help: "seconds that a look-up in memcached may take, connecting included"},
			func(a *AuthToken) any { return &a.SharedCache.SocketTimeout }},
		{Option{Name: "memcache_pool_unused_timeout", Default: "60", Min: 1, Max: 86400, Help: "seconds after which connections that nobody used are not used again"},
			func(a *AuthToken) any { return &a.SharedCache.UnusedTimeout }},
		{Option{Name: "memcache_pool_maxsize", Default: "10", Min: 1, Max: 10000, Help: "most connections to one memcached server"},
			func(a *AuthToken) any { return &a.SharedCache.MaxConnections }},
		{Option{Name: "memcache_tls_enabled", Default: "false", Help: "speak TLS to memcached"},
			func(a *AuthToken) any { return &a.SharedCache.TLS }},
		{Option{Name: "memcache_tls_cafile", Help: "PEM file of the CAs that may sign memcached's certificate, instead of the system's"},
			func(a *AuthToken) any { return &a.SharedCache.TLSCAFile }},
		{Option{Name: "memcache_tls_certfile", Help: "PEM file of the TLS client certificate for memcached"},
			func(a *AuthToken) any { return &a.SharedCache.TLSCertFile }},
		{Option{Name: "memcache_tls_keyfile", Help: "PEM file of the TLS client key for memcached, where memcache_tls_certfile does not hold it"},
			func(a *AuthToken) any { return &a.SharedCache.TLSKeyFile }},
	}
}

// checkSharedCache looks at the options of memcached together. What would leave entries unprotected without an insecure_ option
// is no error where Python would have done so, since it stands in many a service's file: there is then no shared cache.
func (a *AuthToken) checkSharedCache(l *loader) {
	c := &a.SharedCache
	at := func(option, format string, args ...any) {
		l.fail(l.where(option), "["+AuthTokenSection+"] "+option, format, args...)
	}
	off := func(option, format string, args ...any) {
		l.warn(l.where(option), "["+AuthTokenSection+"] "+option, format, args...)
		c.Servers = nil
	}
	protects := c.Strategy == "mac" || c.Strategy == "encrypt"
	secret := c.SecretKey.Reveal()
	for i, text := range c.Servers {
		address, err := memcachedAddress(text)
		if err != nil {
			at("memcached_servers", "%v", err)
		}
		c.Servers[i] = address
	}
	switch {
	case protects && secret == "":
		at("memcache_security_strategy", "needs memcache_secret_key, the secret of all who share the cache")
	case protects && c.InsecurePlain:
		at("insecure_memcache_plain", "contradicts memcache_security_strategy; keep one of them")
	case c.InsecurePlain && secret != "":
		at("insecure_memcache_plain", "contradicts memcache_secret_key, which protects the cache; keep one of them")
	}
	if c.TLSKeyFile != "" && c.TLSCertFile == "" {
		at("memcache_tls_keyfile", "has no certificate to go with; set memcache_tls_certfile")
	}
	if c.TLSCAFile+c.TLSCertFile != "" && !c.TLS {
		l.warn(l.where(firstGiven(l, "memcache_tls_cafile", "memcache_tls_certfile")), "["+AuthTokenSection+"] memcache_tls_enabled",
			"is off: memcache_tls_cafile and memcache_tls_certfile have no effect")
	}
	if len(c.Servers) == 0 {
		return
	}
	const unprotected = "whoever can write to an unprotected memcached can be anyone; the proxy keeps tokens in its own memory only. "
	switch {
	case a.AuthURL == "" || a.AuthType == "none":
		off("memcached_servers", "has no effect: what is shared are answers of the Identity service, and it is not asked without auth_url and a login")
	case a.TokenCacheTime <= 0:
		off("memcached_servers", "has no effect: token_cache_time says that no answer is kept")
	case c.InsecurePlain:
		l.warn(l.where("insecure_memcache_plain"), "["+AuthTokenSection+"] insecure_memcache_plain", "is on: whoever can write to memcached can be anyone")
	case secret == "":
		off("memcached_servers", "has no effect without memcache_secret_key: "+unprotected+
			"Set memcache_secret_key, and memcache_security_strategy = ENCRYPT where Python services share the cache")
	case c.Strategy == "none":
		off("memcached_servers", "has no effect with memcache_security_strategy = None: "+unprotected+
			"Leave the option out to share with other proxies, or write ENCRYPT to share with Python services too")
	case len(secret) < 16:
		l.warn(l.where("memcache_secret_key"), "["+AuthTokenSection+"] memcache_secret_key",
			"is short: whoever can read memcached can try out secrets; take 32 random bytes, as openssl rand -hex 32 prints them")
	}
}

// memcachedAddress reads the spellings of python-memcached, and makes "host:port" or the path of a socket of them.
func memcachedAddress(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok || strings.HasPrefix(text, "/") {
		if !ok {
			path = text
		}
		if !strings.HasPrefix(path, "/") {
			return "", fmt.Errorf("%q: the path of a unix socket begins with /", clip(text))
		}
		return path, nil
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "inet:"), "inet6:")
	const defaultPort = "11211"
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		var wrong *net.AddrError
		if !errors.As(err, &wrong) || wrong.Err != "missing port in address" {
			return "", fmt.Errorf("%q is not host:port; an IPv6 address stands in brackets, [::1]:11211", clip(text))
		}
		host, port = strings.Trim(text, "[]"), defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: %q is not a port", clip(text), clip(port))
	}
	if host == "" || strings.ContainsAny(host, "/ @") {
		return "", fmt.Errorf("%q names no host", clip(text))
	}
	return net.JoinHostPort(host, port), nil
}
