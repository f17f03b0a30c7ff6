package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"authproxy/validate/sharedcache/memcachedtest"
)

func metric(r *running, line string) bool {
	r.t.Helper()
	_, text := r.get(r.admin+"/metrics", "")
	return strings.Contains(text, "\n"+line+"\n")
}

// Two proxies on one memcached: what one was told, the other need not ask. Without memcached both go on.
func TestSharedCache(t *testing.T) {
	address, stop := memcachedtest.StartStoppable(t)
	k := newKeystone(t, nil)
	upstream, _, _ := echoUpstream(t)
	config := k.config(t, "pki = off\nmemcached_servers = "+address+"\nmemcache_secret_key = 0123456789abcdef0123456789abcdef\n")
	one, two := begin(t, "--upstream", upstream.URL, "--config-file", config), begin(t, "--upstream", upstream.URL, "--config-file", config)
	asked := func(want int) {
		t.Helper()
		k.set(func() {
			if k.questions != want {
				t.Errorf("%d questions, want %d", k.questions, want)
			}
		})
	}
	one.expect(one.data+"/", uuid, 200, "Confirmed carol member")
	two.expect(two.data+"/", uuid, 200, "Confirmed carol member")
	asked(1)
	two.expect(two.data+"/", uuid, 200, "Confirmed carol member") // from its own memory
	for _, r := range []struct {
		*running
		line string
	}{
		{one, `authproxy_shared_cache_lookups_total{result="miss"} 1`},
		{one, `authproxy_shared_cache_writes_total{result="stored"} 1`},
		{two, `authproxy_shared_cache_lookups_total{result="hit"} 1`},
		{two, `authproxy_shared_cache_lookups_total{result="rejected"} 0`},
		{two, `authproxy_shared_cache_writes_total{result="stored"} 0`},
	} {
		if !metric(r.running, r.line) {
			t.Errorf("metrics do not say %s", r.line)
		}
	}
	two.expect(two.admin+"/status", "", 200, `"shared_cache"`)

	stop()
	three := begin(t, "--upstream", upstream.URL, "--config-file", config)
	three.expect(three.data+"/", uuid, 200, "Confirmed carol member")
	three.expect(three.data+"/", strings.Repeat("f", 32), 401, "")
	asked(3)
	if !metric(three, "authproxy_shared_cache_servers_dead 1") {
		t.Error("metrics do not say that memcached is left alone")
	}
}

// A memcached that takes connections and says nothing costs its timeout, once, and no verdict.
func TestHangingSharedCache(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k := newKeystone(t, nil)
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file",
		k.config(t, "pki = off\ntoken_cache_time = 300\nmemcached_servers = "+l.Addr().String()+"\ninsecure_memcache_plain = true\n"))
	start := time.Now()
	r.expect(r.data+"/", uuid, 200, "Confirmed carol member")
	first := time.Since(start)
	start = time.Now()
	for _, c := range "abcdef" {
		r.expect(r.data+"/", strings.Repeat(string(c), 32), 401, "")
	}
	if rest := time.Since(start); first < time.Second || first > 10*time.Second || rest > 5*time.Second {
		t.Errorf("the first took %v, the others %v", first, rest)
	}
	if !strings.Contains(r.logs.String(), "memcached is left alone") || strings.Contains(r.logs.String(), uuid) {
		t.Errorf("log:\n%s", r.logs)
	}
}
