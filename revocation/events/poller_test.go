package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/keystone"
	"authproxy/revocation/events"
	"authproxy/revocation/pace"
)

// source is an Identity service as far as events go.
type source struct {
	mu       sync.Mutex
	happened []event
	lost     bool // it has forgotten all of them
	answer   string
	err      error
	hang     bool
	asked    []time.Time // since
}

type event struct {
	user string
	at   time.Time
}

func (s *source) FetchRevocationEvents(ctx context.Context, since time.Time) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, since)
	if s.hang {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, ctx.Err()
	}
	if s.err != nil || s.answer != "" {
		return []byte(s.answer), s.err
	}
	var list []string
	for _, e := range s.happened {
		if e.at.After(since) && !s.lost {
			list = append(list, fmt.Sprintf(`{"user_id":%q,"issued_before":%q}`, e.user, e.at.UTC().Format("2006-01-02T15:04:05.000000Z")))
		}
	}
	return []byte(`{"events":[` + strings.Join(list, ",") + `],"links":{"next":null}}`), nil
}

func (s *source) disable(user string) {
	s.set(func() { s.happened = append(s.happened, event{user, time.Now()}) })
}

func (s *source) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// questions are the times that were asked since.
func (s *source) questions() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// book is a log.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// user is a token that was issued long ago.
func user(id string) *keystone.Token {
	return &keystone.Token{User: keystone.User{ID: id}, IssuedAt: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func start(t *testing.T, p *events.Poller) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// TestPoller: events count within a period, are asked for by the last one known, and bad answers change nothing but the age.
func TestPoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.disable("a")
		p := &events.Poller{Source: s, Log: slog.New(slog.DiscardHandler)}
		if p.Offered() || p.Asked() || p.Fresh(time.Now()) || p.Current().Revoked(user("a")) {
			t.Error("something is known before the first fetch")
		}
		defer start(t, p)()
		if !p.Offered() || !p.Asked() || !p.Fresh(time.Now()) || !p.Current().Revoked(user("a")) || p.Current().Revoked(user("b")) {
			t.Errorf("%+v", p.Status())
		}
		pass(time.Minute)
		s.disable("b")
		pass(events.DefaultInterval)
		if !p.Current().Revoked(user("a")) || !p.Current().Revoked(user("b")) {
			t.Errorf("%+v", p.Status())
		}
		pass(events.DefaultInterval)
		// Two minutes back from the latest one known, for servers whose clocks and transactions lag behind.
		asked := s.questions()
		if first, last := asked[0], asked[len(asked)-1]; !first.IsZero() || !last.Equal(s.happened[1].at.Truncate(time.Microsecond).Add(-2*time.Minute)) {
			t.Errorf("asked since %s, and then since %s", first, last)
		}
		held := p.Current()
		for _, bad := range []*source{{answer: "<html>"}, {answer: `{"events":[{"user_id":"x"}]}`}, {answer: `{"events":[]`}, {err: errors.New("down")},
			{err: fmt.Errorf("410: %w", events.ErrNotOffered)}, {hang: true}} {
			s.set(func() { s.answer, s.err, s.hang = bad.answer, bad.err, bad.hang })
			pass(30 * time.Second)
			if p.Current() != held || !p.Offered() || p.Status().Failures == 0 || p.Status().LastError == "" {
				t.Errorf("%q %v %t: %+v", bad.answer, bad.err, bad.hang, p.Status())
			}
		}
		pass(events.DefaultMaxStale)
		if p.Fresh(time.Now()) || p.Status().Fresh || !p.Current().Revoked(user("a")) {
			t.Errorf("%+v", p.Status())
		}
		s.set(func() { s.answer, s.err, s.hang = "", nil, false })
		s.disable("c")
		pass(2 * events.DefaultInterval)
		if !p.Fresh(time.Now()) || !p.Current().Revoked(user("c")) || p.Status().Failures != 0 {
			t.Errorf("%+v", p.Status())
		}
		polls := p.Status().Polls
		for _, r := range events.Results() {
			if polls[r] == 0 {
				t.Errorf("no round ended %s: %v", r, polls)
			}
		}
	})
}

// TestForgotten: now and then all are asked for, and those that the service has let go are let go here, but not before an hour.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.disable("a")
		p := &events.Poller{Source: s}
		defer start(t, p)()
		s.set(func() { s.lost = true })
		pass(35 * time.Minute)
		if !p.Current().Revoked(user("a")) {
			t.Error("an event that the service lost is lost here")
		}
		whole := 0
		for _, since := range s.questions() {
			if since.IsZero() {
				whole++
			}
		}
		if whole != 4 {
			t.Errorf("asked for all %d times of %d", whole, len(s.questions()))
		}
		pass(40 * time.Minute)
		if p.Current().Revoked(user("a")) || p.Current().Len() != 0 {
			t.Error("an event is kept for ever")
		}
	})
}

// TestNotOffered: a Keystone without events is asked seldom, and said once.
func TestNotOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		s := &source{err: fmt.Errorf("404: %w", events.ErrNotOffered)}
		p := &events.Poller{Source: s, Log: slog.New(slog.NewTextHandler(&log, nil))}
		defer start(t, p)()
		pass(time.Hour)
		if n := len(s.questions()); n < 10 || n > 20 {
			t.Errorf("asked %d times", n)
		}
		if p.Offered() || !p.Asked() || p.Status().LastResult != events.ResultNotOffered {
			t.Errorf("%+v", p.Status())
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "offers no revocation events") {
			t.Errorf("%s", log.String())
		}
		s.set(func() { s.err = nil })
		s.disable("a")
		pass(events.DefaultNotOfferedInterval)
		if !p.Current().Revoked(user("a")) {
			t.Error("not noticed that there are events now")
		}
	})
}

// TestKept: after a restart with the service down the events count as of the age that they have.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "signing")
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.disable("a")
		stop := start(t, &events.Poller{Source: s, Dir: dir})
		pass(time.Minute)
		s.disable("b")
		pass(time.Minute)
		stop()

		pass(2 * time.Minute)
		s.set(func() { s.err = errors.New("down") })
		p := &events.Poller{Source: s, Dir: dir}
		stop = start(t, p)
		if !p.Current().Revoked(user("a")) || !p.Current().Revoked(user("b")) || !p.Offered() || !p.Fresh(time.Now()) {
			t.Errorf("%+v", p.Status())
		}
		if age := p.Status().AgeSeconds; age < 119 || age > 200 {
			t.Errorf("age %v s", age)
		}
		pass(4 * time.Minute)
		if p.Fresh(time.Now()) || !p.Current().Revoked(user("a")) {
			t.Errorf("%+v", p.Status())
		}
		s.set(func() { s.err = nil })
		pass(20 * time.Second)
		if !p.Fresh(time.Now()) {
			t.Errorf("%+v", p.Status())
		}
		stop()
	})
	path := filepath.Join(dir, "revocation_events.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"garbage":         func() error { return os.WriteFile(path, []byte("x"), 0o600) },
		"cut off":         func() error { return os.WriteFile(path, good[:len(good)-2], 0o600) },
		"writable by all": func() error { return os.Chmod(path, 0o666) },
		"writable dir":    func() error { return os.Chmod(dir, 0o777) },
		"from the future": func() error {
			return os.WriteFile(path, []byte(`{"fetched":"2100-01-01T00:00:00Z","events":[]}`), 0o600)
		},
		"of no known age":   func() error { return os.WriteFile(path, []byte(`{"events":[]}`), 0o600) },
		"fetched no time":   func() error { return os.WriteFile(path, []byte(`{"fetched":7,"events":[]}`), 0o600) },
		"not a normal file": func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), os.WriteFile(path, good, 0o600), spoil()); err != nil {
			t.Fatal(err)
		}
		p := &events.Poller{Source: &source{err: errors.New("down")}, Dir: dir}
		if err := p.Poll(t.Context()); err == nil || p.Fresh(time.Now()) {
			t.Errorf("%s: %v, %+v", name, err, p.Status())
		}
	}
}

// slow lets its answer come bit by bit.
type slow struct {
	bytes, every int
	pause        time.Duration
}

func (s slow) FetchRevocationEvents(ctx context.Context, _ time.Time) ([]byte, error) {
	for got := 0; got < s.bytes; got += s.every {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(s.pause):
			pace.Progress(ctx, s.every)
		}
	}
	return []byte(`{"events":[]}`), nil
}

// TestSlowSource: a long answer may take its time, one that drips may not.
func TestSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := (&events.Poller{Source: slow{100 << 20, 1 << 20, time.Second}}).Poll(t.Context()); err != nil || time.Since(begin) < 99*time.Second {
			t.Errorf("a megabyte a second: %v after %s", err, time.Since(begin))
		}
		begin = time.Now()
		err := (&events.Poller{Source: slow{100 << 20, 1, time.Second}}).Poll(t.Context())
		if err == nil || !strings.Contains(err.Error(), "too slow") || time.Since(begin) > 15*time.Second {
			t.Errorf("a byte a second: %v after %s", err, time.Since(begin))
		}
	})
}
