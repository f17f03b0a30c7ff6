package sharedcache

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// server is one memcached, with its connections and its circuit: after a failure it is left alone for a while, then one
// request tries it again.
type server struct {
	name   string
	client *memcache.Client
	slots  chan struct{} // one for each connection

	mu        sync.Mutex
	deadUntil time.Time // zero: alive
	used      time.Time
}

// may says whether the server may be asked. Of those who want to when its time is over only the first gets a yes: a trial.
func (s *server) may(now time.Time, retry time.Duration) (yes, trial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.deadUntil.IsZero():
		return true, false
	case now.Before(s.deadUntil):
		return false, false
	}
	s.deadUntil = now.Add(retry)
	return true, true
}

func (s *server) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.deadUntil.IsZero()
}

// mark notes how the server is, and says whether that is new.
func (s *server) mark(deadUntil time.Time) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = s.deadUntil.IsZero() != deadUntil.IsZero()
	s.deadUntil = deadUntil
	return changed
}

// closeUnused closes the connections if none was used for longer than that.
func (s *server) closeUnused(now time.Time, after time.Duration) {
	s.mu.Lock()
	unused := now.Sub(s.used) > after
	s.used = now
	s.mu.Unlock()
	if unused {
		s.client.Close()
	}
}

// exchange asks the server, a second time where a connection that was kept turns out to be closed, as after a restart.
func (s *server) exchange(ask func(*memcache.Client) (*memcache.Item, error)) (*memcache.Item, error) {
	item, err := ask(s.client)
	if closed(err) {
		s.client.Close() // the others that were kept will be no better
		item, err = ask(s.client)
	}
	return item, err
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Failures of one exchange with memcached, in words of our own: what the client says may quote what the server sent, and that
// may hold a token which a Python service has put there.
var (
	errTimeout = errors.New("it did not answer in time")
	errClosed  = errors.New("it closed the connection")
	errConnect = errors.New("it cannot be reached")
	errAnswer  = errors.New("its answer makes no sense, or says that it cannot do what was asked")
	errBusy    = errors.New("all connections are in use")
	errNobody  = errors.New("all servers are left alone for now")
)

// failure puts an error of the client into those words. fatal says that the server is to be left alone.
func failure(err error) (words error, fatal bool) {
	var network net.Error
	var connect *memcache.ConnectTimeoutError
	var op *net.OpError
	switch {
	case err == nil, errors.Is(err, memcache.ErrCacheMiss):
		return err, false
	case errors.As(err, &connect):
		return errTimeout, true
	case errors.As(err, &network) && network.Timeout():
		return errTimeout, true
	case closed(err):
		return errClosed, true
	case errors.As(err, &op):
		return errConnect, true
	}
	return errAnswer, false // which costs no time
}

// pick chooses the server of a key as python-memcached does, so that Python services look in the same place: by CRC-32, and
// further on while the one that it names is left alone.
func (c *Cache) pick(key string) (s *server, trial bool) {
	const tries = 10
	now := time.Now()
	hash := place(key)
	for i := range tries {
		s := c.servers[hash%len(c.servers)]
		if yes, trial := s.may(now, c.o.DeadRetry); yes {
			return s, trial
		}
		hash = place(strconv.Itoa(hash) + strconv.Itoa(i))
	}
	return nil, false
}

func place(key string) int {
	return max(1, int(crc32.ChecksumIEEE([]byte(key))>>16&0x7fff))
}

// run has one exchange with the server of a key, and waits for it no longer than the timeout. What is still under way then
// ends by its own deadlines.
func (c *Cache) run(ctx context.Context, key string, ask func(*memcache.Client) (*memcache.Item, error)) (*memcache.Item, error) {
	s, trial := c.pick(key)
	if s == nil {
		return nil, errNobody
	}
	timer := time.NewTimer(c.o.Timeout)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
	case <-timer.C:
		return nil, errBusy // those who hold the connections will say what is wrong with the server
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !trial && s.dead() { // by now
		<-s.slots
		return nil, errNobody
	}
	type outcome struct {
		item  *memcache.Item
		err   error
		fatal bool
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-s.slots }()
		s.closeUnused(time.Now(), c.o.UnusedTimeout)
		item, err := s.exchange(ask)
		words, fatal := failure(err)
		if fatal {
			c.leaveAlone(s, words)
		}
		done <- outcome{item, words, fatal}
	}()
	select {
	case o := <-done:
		if !o.fatal && s.mark(time.Time{}) {
			c.o.Log.Info("memcached answers again", slog.String("server", s.name))
		}
		return o.item, o.err
	case <-timer.C:
		c.leaveAlone(s, errTimeout)
		return nil, errTimeout
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Cache) leaveAlone(s *server, why error) {
	if s.mark(time.Now().Add(c.o.DeadRetry)) {
		c.o.Log.Warn("memcached is left alone", slog.String("server", s.name), slog.String("error", why.Error()),
			slog.Duration("for", c.o.DeadRetry))
	}
}
