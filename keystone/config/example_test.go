package config_test

import (
	"fmt"

	"authproxy/keystone/config"
)

// A service's file serves as it is; a flag wins over it.
func ExampleLoadAuthToken() {
	c, err := config.LoadAuthToken(config.Input{
		Files: []string{"testdata/glance-api.conf"},
		Flags: map[string]string{"token-cache-time": "60"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range c.Effective() {
		switch v.Name {
		case "auth_url", "password", "token_cache_time", "revocation_cache_time":
			fmt.Println(v)
		}
	}
	for _, w := range c.Warnings() {
		fmt.Println("warning:", w)
	}
	// Output:
	// auth_url = https://identity.example.com:5000/v3/  # testdata/glance-api.conf:17
	// password = ***  # testdata/glance-api.conf:25
	// token_cache_time = 60  # flag --token-cache-time
	// revocation_cache_time = 10  # default
	// warning: testdata/glance-api.conf:18: [keystone_authtoken] memcached_servers: has no effect without memcache_secret_key: whoever can write to an unprotected memcached can be anyone; the proxy keeps tokens in its own memory only. Set memcache_secret_key, and memcache_security_strategy = ENCRYPT where Python services share the cache
}
