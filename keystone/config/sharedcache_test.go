package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSharedCache(t *testing.T) {
	a := load(t, login+`memcache_servers = 10.0.0.1, cache.example.com:11212, inet6:[::1]:11213, [::2], inet:10.0.0.2:1, unix:/run/m.sock, /run/n.sock
memcache_security_strategy = EnCrypt
memcache_secret_key = a secret of more than sixteen bytes
memcache_pool_dead_retry = 7
memcache_pool_maxsize = 3
memcache_pool_unused_timeout = 8
memcache_pool_socket_timeout = 2
memcache_tls_enabled = yes
memcache_tls_cafile = /ca
memcache_tls_certfile = /cert
memcache_tls_keyfile = /key
`)
	c := a.SharedCache
	if want := []string{"10.0.0.1:11211", "cache.example.com:11212", "[::1]:11213", "[::2]:11211", "10.0.0.2:1", "/run/m.sock", "/run/n.sock"}; !slices.Equal(c.Servers, want) {
		t.Errorf("servers %q", c.Servers)
	}
	if c.Strategy != "encrypt" || c.SecretKey.Reveal() != "a secret of more than sixteen bytes" || c.DeadRetry != 7*time.Second || c.MaxConnections != 3 ||
		c.UnusedTimeout != 8*time.Second || c.SocketTimeout != 2*time.Second || !c.TLS || c.TLSCAFile != "/ca" || c.TLSCertFile != "/cert" || c.TLSKeyFile != "/key" {
		t.Errorf("%+v", c)
	}
	if w := a.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", texts(w))
	}
	for _, v := range a.Effective() {
		if strings.Contains(v.String(), "a secret") {
			t.Error(v)
		}
	}
}

// TestSharedCacheOff: what leaves the cache unprotected, or without use, leaves the proxy without it, and says so. Only an option
// named insecure does more.
func TestSharedCacheOff(t *testing.T) {
	const servers, secret = "memcached_servers = 10.0.0.1\n", "memcache_secret_key = a secret of more than sixteen bytes\n"
	for name, c := range map[string]struct {
		text    string
		on      bool
		warning string
	}{
		"secret":                  {login + servers + secret, true, ""},
		"mac":                     {login + servers + secret + "memcache_security_strategy = mac\n", true, ""},
		"empty strategy":          {login + servers + secret + "memcache_security_strategy =\n", true, ""},
		"short secret":            {login + servers + "memcache_secret_key = hunter2\n", true, "is short"},
		"nothing":                 {login + servers, false, "without memcache_secret_key"},
		"strategy None":           {login + servers + "memcache_security_strategy = None\n", false, "without memcache_secret_key"},
		"strategy None, a secret": {login + servers + secret + "memcache_security_strategy = None\n", false, "memcache_security_strategy = None"},
		"plain":                   {login + servers + "insecure_memcache_plain = true\n", true, "can be anyone"},
		"plain, strategy None":    {login + servers + "insecure_memcache_plain = true\nmemcache_security_strategy = none\n", true, "can be anyone"},
		"no token_cache_time":     {login + servers + secret + "token_cache_time = -1\n", false, "token_cache_time says"},
		"no login":                {login + servers + secret + "auth_type = none\n", false, "is not asked"},
		"no TLS":                  {login + servers + secret + "memcache_tls_cafile = /ca\n", true, "memcache_tls_enabled: is off"},
		"SASL":                    {login + servers + secret + "memcache_sasl_enabled = true\n", true, "cannot log in to memcached"},
		"old pool":                {login + servers + secret + "memcache_pool_conn_get_timeout = 10\n", true, "bounds the whole look-up"},
		"no servers":              {login + secret, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := load(t, c.text)
			if on := len(a.SharedCache.Servers) > 0; on != c.on {
				t.Errorf("on is %t, want %t", on, c.on)
			}
			got := strings.Join(texts(a.Warnings()), "\n")
			if !strings.Contains(got, c.warning) || (c.warning == "") != (got == "") || strings.Contains(got, "hunter") || strings.Contains(got, "a secret") {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
		})
	}
}
