// Package sharedcache keeps what the Identity service said about opaque tokens in memcached, where other proxies and, by
// choice, Python services with auth_token find it.
//
// A memcached is not believed: what it gives counts only if it was protected with the secret, for the very token that is asked
// about (but for InsecurePlain). One that hangs is waited for once and then left alone. Neither keys nor values hold the text
// of a token.
package sharedcache

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// Options is what a Cache is made of.
type Options struct {
	// Servers are "host:port" or the path of a unix socket, "/run/memcached.sock". At least one.
	Servers  []string
	Strategy Strategy
	// Secret is needed by all strategies but InsecurePlain. It should be as hard to guess as a key: 32 random bytes.
	Secret string
	// TLS is nil for none.
	TLS *tls.Config

	// Timeout bounds what one look-up adds to a request, connecting included; 1 s by default.
	Timeout time.Duration
	// DeadRetry is for how long a server that failed is left alone; 5 min by default.
	DeadRetry time.Duration
	// Connections is how many there may be to each server; 10 by default.
	Connections int
	// UnusedTimeout is for how long connections are kept that nobody uses; 1 min by default. They are closed when the next one
	// is wanted.
	UnusedTimeout time.Duration

	Log *slog.Logger
}

// Cache is a shared cache. It is safe for concurrent use and satisfies validate.Shared.
type Cache struct {
	o        Options
	format   format
	servers  []*server
	closed   sync.Once
	refused  sync.Once // the log line about foreign values
	counters counters
}

type counters struct {
	hits, misses, rejected, errors, skipped, stored, storeErrors, storeSkipped atomic.Uint64
}

// Stats are figures since the start, and of this moment.
type Stats struct {
	// Each look-up is one of these. Rejected counts values that are not what was kept for the token; Skipped, look-ups for which
	// there was no server that is not left alone.
	Hits, Misses, Rejected, Errors, Skipped uint64
	// Each write is one of these.
	Stored, StoreErrors, StoreSkipped uint64
	// Dead is how many of the servers are left alone.
	Servers, Dead int
}

const (
	// largest is the most bytes of a value: memcached's own bound is 1 MiB for key, value and what it keeps about them.
	largest = 1<<20 - 1024
	// longest is the longest relative time that memcached knows; anything above is a date.
	longest = 30 * 24 * time.Hour
	// textFlag marks text that python-memcached has stored; no flag, bytes.
	textFlag = 1 << 4
)

// New makes a Cache, or says which option is wrong. It connects to nobody.
func New(o Options) (*Cache, error) {
	o.Timeout = cmp.Or(o.Timeout, time.Second)
	o.DeadRetry = cmp.Or(o.DeadRetry, 5*time.Minute)
	o.UnusedTimeout = cmp.Or(o.UnusedTimeout, time.Minute)
	o.Connections = cmp.Or(o.Connections, 10)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Servers) == 0 {
		return nil, errors.New("memcached_servers names no server")
	}
	f, err := newFormat(o.Strategy, o.Secret)
	if err != nil {
		return nil, err
	}
	o.Secret = ""
	c := &Cache{o: o, format: f}
	for _, name := range o.Servers {
		a := address{"tcp", name}
		if strings.HasPrefix(name, "/") {
			a.network = "unix"
		} else if _, _, err := net.SplitHostPort(name); err != nil {
			return nil, fmt.Errorf("memcached_servers: %w", err)
		}
		client := memcache.NewFromSelector(a)
		client.Timeout, client.MaxIdleConns, client.DialContext = o.Timeout, o.Connections, c.dial
		c.servers = append(c.servers, &server{name: name, client: client, slots: make(chan struct{}, o.Connections)})
	}
	return c, nil
}

// address is the one server of a client. Its name is looked up at each connection.
type address struct{ network, name string }

func (a address) Network() string                           { return a.network }
func (a address) String() string                            { return a.name }
func (a address) PickServer(string) (net.Addr, error)       { return a, nil }
func (a address) Each(each func(addr net.Addr) error) error { return each(a) }

func (c *Cache) dial(ctx context.Context, network, name string) (net.Conn, error) {
	var d net.Dialer
	var conn net.Conn
	var err error
	if c.o.TLS != nil {
		conn, err = (&tls.Dialer{NetDialer: &d, Config: c.o.TLS}).DialContext(ctx, network, name)
	} else {
		conn, err = d.DialContext(ctx, network, name)
	}
	if err != nil {
		return nil, err
	}
	return &guard{Conn: conn, timeout: c.o.Timeout, limit: largest}, nil
}

// Get gives what the Identity service said about a token, and when; zero: not known.
func (c *Cache) Get(ctx context.Context, text string) (body []byte, since time.Time, ok bool) {
	body, since, err := c.get(ctx, text)
	switch {
	case err == nil:
		c.counters.hits.Add(1)
		return body, since, true
	case errors.Is(err, memcache.ErrCacheMiss), errors.Is(err, errUnusable):
		c.counters.misses.Add(1)
	case errors.Is(err, errForeign):
		c.counters.rejected.Add(1)
		c.refused.Do(func() {
			c.o.Log.Warn("memcached gave a value that was not kept for the token; this is said once, the metrics count on. " +
				"Another memcache_secret_key or another strategy may be in use beside this one, or somebody else writes to memcached")
		})
	case errors.Is(err, errNobody):
		c.counters.skipped.Add(1)
	default:
		c.counters.errors.Add(1)
	}
	return nil, time.Time{}, false
}

func (c *Cache) get(ctx context.Context, text string) ([]byte, time.Time, error) {
	e, err := c.format.entry(text)
	if err != nil {
		return nil, time.Time{}, err
	}
	item, err := c.run(ctx, e.key(), func(client *memcache.Client) (*memcache.Item, error) { return client.Get(e.key()) })
	if err != nil {
		return nil, time.Time{}, err
	}
	if item.Key != e.key() {
		return nil, time.Time{}, errForeign
	}
	if item.Flags&^textFlag != 0 { // pickled, compressed, a number
		return nil, time.Time{}, errUnusable
	}
	return e.open(item.Value)
}

// Set keeps what the Identity service said at since about a token, for ttl at most; nothing is kept for less than a second.
func (c *Cache) Set(ctx context.Context, text string, body []byte, since time.Time, ttl time.Duration) {
	if bytes.Contains(body, []byte(text)) || ttl < time.Second {
		c.counters.storeSkipped.Add(1) // bodies of v2.0 hold the token
		return
	}
	switch err := c.set(ctx, text, body, since, min(ttl, longest)); {
	case err == nil:
		c.counters.stored.Add(1)
	case errors.Is(err, errNobody), errors.Is(err, errUnusable):
		c.counters.storeSkipped.Add(1)
	default:
		c.counters.storeErrors.Add(1)
	}
}

func (c *Cache) set(ctx context.Context, text string, body []byte, since time.Time, ttl time.Duration) error {
	e, err := c.format.entry(text)
	if err != nil {
		return err
	}
	value, err := e.seal(body, since)
	if err != nil {
		return err
	}
	if len(value) > largest {
		return errUnusable
	}
	_, err = c.run(ctx, e.key(), func(client *memcache.Client) (*memcache.Item, error) {
		return nil, client.Set(&memcache.Item{Key: e.key(), Value: value, Expiration: int32(ttl / time.Second)})
	})
	return err
}

// Stats gives the figures for metrics and status pages.
func (c *Cache) Stats() Stats {
	n := &c.counters
	s := Stats{
		Hits: n.hits.Load(), Misses: n.misses.Load(), Rejected: n.rejected.Load(), Errors: n.errors.Load(), Skipped: n.skipped.Load(),
		Stored: n.stored.Load(), StoreErrors: n.storeErrors.Load(), StoreSkipped: n.storeSkipped.Load(), Servers: len(c.servers),
	}
	for _, server := range c.servers {
		if server.dead() {
			s.Dead++
		}
	}
	return s
}

// Close closes the connections, when what is under way on them has ended; that takes no longer than a few times the timeout.
// Afterwards every look-up is a miss.
func (c *Cache) Close() {
	c.closed.Do(func() {
		for _, s := range c.servers {
			for range cap(s.slots) {
				s.slots <- struct{}{} // for ever
			}
			s.client.Close()
		}
	})
}
