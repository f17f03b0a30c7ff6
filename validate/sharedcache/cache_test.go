package sharedcache

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"authproxy/keystone/token"
	"authproxy/validate/sharedcache/memcachedtest"
)

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func newCache(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.Secret == "" && o.Strategy != InsecurePlain {
		o.Secret = secret
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// expect looks a token up.
func expect(t testing.TB, c *Cache, text string, hit bool) time.Time {
	t.Helper()
	got, at, ok := c.Get(context.Background(), text)
	if ok != hit {
		t.Fatalf("hit %t, want %t; %+v", ok, hit, c.Stats())
	}
	if hit {
		if read, err := token.DecodePayload(got); err != nil || read.User.ID != "u1" {
			t.Fatalf("%+v, %v", read, err)
		}
	}
	return at
}

func set(c *Cache, text string) {
	c.Set(context.Background(), text, []byte(body), since, time.Minute)
}

// TestMemcached: several proxies on a real memcached.
func TestMemcached(t *testing.T) {
	for name, s := range strategies {
		t.Run(name, func(t *testing.T) {
			server := memcachedtest.Start(t)
			one := newCache(t, Options{Servers: []string{server}, Strategy: s})
			two := newCache(t, Options{Servers: []string{server}, Strategy: s})
			expect(t, two, uuid, false)
			set(one, uuid)
			if at := expect(t, two, uuid, true); !at.Equal(since) {
				t.Errorf("said at %v, want %v", at, since)
			}
			expect(t, two, other, false)

			// Whoever moves values about gets nowhere.
			client := memcache.New(server)
			defer client.Close()
			own, foreign := entryOf(t, s, secret, uuid), entryOf(t, s, secret, other)
			item, err := client.Get(own.key())
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Set(&memcache.Item{Key: foreign.key(), Value: item.Value}); err != nil {
				t.Fatal(err)
			}
			expect(t, two, other, false)
			// Pickles are not opened, nor numbers and what is compressed.
			if err := client.Set(&memcache.Item{Key: own.key(), Value: item.Value, Flags: 1}); err != nil {
				t.Fatal(err)
			}
			expect(t, two, uuid, false)
			if got, want := two.Stats(), (Stats{Hits: 1, Misses: 3, Rejected: 1, Servers: 1}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// TestTimeToLive: memcached forgets. Nothing is kept for ever, which is what a time of 0 is for memcached, nor as a date.
func TestTimeToLive(t *testing.T) {
	server := memcachedtest.Start(t)
	c := newCache(t, Options{Servers: []string{server}})
	for _, ttl := range []time.Duration{-time.Second, 0, time.Second - 1} {
		c.Set(context.Background(), uuid, []byte(body), since, ttl)
		expect(t, c, uuid, false)
	}
	c.Set(context.Background(), uuid, []byte(body), since, 100*24*time.Hour)
	expect(t, c, uuid, true)
	if s := c.Stats(); s.Stored != 1 || s.StoreSkipped != 3 {
		t.Errorf("%+v", s)
	}
	c.Set(context.Background(), uuid, []byte(body), since, time.Second)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, _, ok := c.Get(context.Background(), uuid); !ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("kept for more than 10 seconds instead of one")
		}
		<-time.After(50 * time.Millisecond)
	}
}

// TestNotKept: what holds the token's text, or is too large, stays here.
func TestNotKept(t *testing.T) {
	server := memcachedtest.Start(t)
	c := newCache(t, Options{Servers: []string{server}})
	c.Set(context.Background(), uuid, []byte(`{"access":{"token":{"id":"`+uuid+`"}}}`), since, time.Minute)
	c.Set(context.Background(), uuid, []byte(`{"token":{"x":"`+strings.Repeat("x", largest)+`"}}`), since, time.Minute)
	expect(t, c, uuid, false)
	// The largest that is kept is one that memcached takes.
	c.Set(context.Background(), other, []byte(strings.Repeat("x", largest-100)), since, time.Minute)
	if s := c.Stats(); s.Stored != 1 || s.StoreSkipped != 2 || s.StoreErrors != 0 || s.Dead != 0 {
		t.Errorf("%+v", s)
	}
}

// TestServerRestarts: connections that were kept do not count as a failure of the server that is there now.
func TestServerRestarts(t *testing.T) {
	f := newFake(t)
	c := newCache(t, Options{Servers: []string{f.address}, DeadRetry: time.Hour})
	set(c, uuid)
	expect(t, c, uuid, true)
	f.hangUp()
	expect(t, c, uuid, true)
	if s := c.Stats(); s.Errors != 0 || s.Dead != 0 {
		t.Errorf("%+v", s)
	}
}

// TestSeveralServers: keys are spread; a dead server's keys move to another.
func TestSeveralServers(t *testing.T) {
	one, two := newFake(t), newFake(t)
	l := new(logs)
	c := newCache(t, Options{Servers: []string{one.address, two.address}, DeadRetry: time.Hour, Log: l.logger()})
	const n = 40
	name := func(i int) string { return fmt.Sprintf("%032x", i) }
	for i := range n {
		set(c, name(i))
		expect(t, c, name(i), true)
	}
	if one.size() == 0 || two.size() == 0 || one.size()+two.size() != n {
		t.Fatalf("%d and %d entries", one.size(), two.size())
	}
	one.stop()
	for i := range n {
		_, _, _ = c.Get(context.Background(), name(i))
	}
	for i := range n {
		set(c, name(i))
		expect(t, c, name(i), true)
	}
	if s := c.Stats(); s.Dead != 1 || s.Errors != 1 || s.StoreErrors != 0 {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(l.String(), "memcached is left alone"); n != 1 {
		t.Errorf("said %d times:\n%s", n, l)
	}
	two.stop()
	_, _, _ = c.Get(context.Background(), uuid)
	expect(t, c, uuid, false)
	if s := c.Stats(); s.Dead != 2 || s.Skipped != 1 {
		t.Errorf("%+v", s)
	}
}

// TestPlace: the numbers are python-memcached's, cmemcache_hash of python3-memcache 1.59.
func TestPlace(t *testing.T) {
	for key, want := range map[string]int{
		"tokens/adc7cdff482fad2dd374e86af086c5e58245c73194c40d0714a1c575fffebee7": 5044,
		"tokens/b'9OrjCB1e+PqL+pPVKcPZzA=='":                                      2357,
		"":                                                                        1,
	} {
		if got := place(key); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}
