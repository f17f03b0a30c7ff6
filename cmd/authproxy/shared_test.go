package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/config"
	"authproxy/validate/sharedcache"
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
	file := k.config(t, "pki = off\nmemcached_servers = "+address+"\nmemcache_secret_key = 0123456789abcdef0123456789abcdef\n")
	one, two := begin(t, "--upstream", upstream.URL, "--config-file", file), begin(t, "--upstream", upstream.URL, "--config-file", file)
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
	three := begin(t, "--upstream", upstream.URL, "--config-file", file)
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

// W-21: every spelling of a strategy is that strategy, encryption above all.
func TestStrategySpellings(t *testing.T) {
	address := memcachedtest.Start(t)
	const secret = "0123456789abcdef0123456789abcdef"
	strategies := []sharedcache.Strategy{sharedcache.Sealed, sharedcache.MAC, sharedcache.Encrypt, sharedcache.InsecurePlain}
	for i, c := range []struct {
		text string
		want sharedcache.Strategy
	}{
		{"memcache_secret_key = " + secret, sharedcache.Sealed},
		{"memcache_secret_key = " + secret + "\nmemcache_security_strategy = MAC", sharedcache.MAC},
		{"memcache_secret_key = " + secret + "\nmemcache_security_strategy = mac", sharedcache.MAC},
		{"memcache_secret_key = " + secret + "\nmemcache_security_strategy = ENCRYPT", sharedcache.Encrypt},
		{"memcache_secret_key = " + secret + "\nmemcache_security_strategy = encrypt", sharedcache.Encrypt},
		{"insecure_memcache_plain = true\nmemcache_security_strategy = none", sharedcache.InsecurePlain},
	} {
		file := newKeystone(t, nil).config(t, "memcached_servers = "+address+"\n"+c.text+"\n")
		a, err := config.LoadAuthToken(config.Input{Files: []string{file}})
		if err != nil {
			t.Fatal(err)
		}
		writer, err := newSharedCache(&a.SharedCache, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		text := strings.Repeat(string(rune('0'+i)), 32)
		writer.Set(context.Background(), text, []byte(body("carol", auditA)), time.Now(), time.Minute)
		for _, s := range strategies {
			reader, err := sharedcache.New(sharedcache.Options{Servers: []string{address}, Strategy: s, Secret: secret})
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if _, _, ok := reader.Get(context.Background(), text); ok != (s == c.want) {
				t.Errorf("%q: a reader of strategy %d reads it: %t", c.text, s, ok)
			}
		}
	}
}
