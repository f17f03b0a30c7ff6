package validate

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authproxy/certs/certstest"
)

const opaque = "0123456789abcdef0123456789abcdef"

// common is a Shared in memory.
type common struct {
	mu         sync.Mutex
	kept       map[string]commonEntry
	gets, sets int
	wait       chan struct{} // not nil: Get waits for it
}

type commonEntry struct {
	body  string
	since time.Time
	ttl   time.Duration
}

func newCommon() *common { return &common{kept: map[string]commonEntry{}} }

func (c *common) Get(_ context.Context, text string) ([]byte, time.Time, bool) {
	c.mu.Lock()
	c.gets++
	e, ok := c.kept[text]
	wait := c.wait
	c.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return []byte(e.body), e.since, ok
}

func (c *common) Set(_ context.Context, text string, body []byte, since time.Time, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets++
	c.kept[text] = commonEntry{string(body), since, ttl}
}

// shares makes a Validator on a shared cache, as one process of several.
func (f *fixture) shares(c *common, online *identity) *Validator {
	f.t.Helper()
	return f.validator(func(o *Options) { o.Shared, o.Online = c, online })
}

// TestRevokedLifeIsNotExtended: an answer of the Identity service counts for token_cache_time, however many hands it goes through.
func TestRevokedLifeIsNotExtended(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	online, shared := &identity{known: map[string]string{opaque: body("own", "")}}, newCommon()
	want(t, f.shares(shared, online), opaque, "")
	if e := shared.kept[opaque]; e.ttl != 5*time.Minute || !e.since.Equal(epoch) || e.body != body("own", "") {
		t.Errorf("kept %+v", e)
	}
	delete(online.known, opaque) // revoked
	second, third := f.shares(shared, online), f.shares(shared, online)
	f.clock.advance(4 * time.Minute)
	want(t, second, opaque, "")
	f.clock.advance(time.Minute - 1)
	want(t, second, opaque, "")
	want(t, third, opaque, "")
	if online.asked.Load() != 1 || shared.gets != 3 || shared.sets != 1 {
		t.Errorf("asked %d times, looked %d times, kept %d times", online.asked.Load(), shared.gets, shared.sets)
	}
	f.clock.advance(1)
	for _, v := range []*Validator{second, third, f.shares(shared, online)} {
		want(t, v, opaque, UnknownToken) // though memcached still has it
	}
}

// TestUnknownAge: what a Python service wrote is used, is not kept here, and ends.
func TestUnknownAge(t *testing.T) {
	for name, since := range map[string]time.Time{"none": {}, "in the future": epoch.Add(24 * time.Hour)} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, certstest.RSA)
			online, shared := &identity{known: map[string]string{}}, newCommon()
			shared.kept[opaque] = commonEntry{body: body("own", ""), since: since}
			v := f.shares(shared, online)
			want(t, v, opaque, "")
			if v.Stats().Entries != 0 {
				t.Error("an answer of unknown age is kept")
			}
			f.clock.advance(5*time.Minute - 1)
			want(t, v, opaque, "")
			if online.asked.Load() != 0 {
				t.Error("asked")
			}
			f.clock.advance(1) // the entry is still there: a writer with a longer time, or somebody who puts it back
			want(t, v, opaque, UnknownToken)
			want(t, v, opaque, UnknownToken)

			// Once the Identity service has said yes again, a new time begins.
			online.known[opaque] = body("own", "")
			want(t, v, opaque, "")
			if e := shared.kept[opaque]; !e.since.Equal(f.clock.now()) {
				t.Errorf("kept %+v", e)
			}
			f.clock.advance(5 * time.Minute)
			shared.kept[opaque] = commonEntry{body: body("own", "")}
			asked := online.asked.Load()
			want(t, v, opaque, "")
			if online.asked.Load() != asked {
				t.Error("asked about an entry that is new")
			}
		})
	}
}

// TestSharedIsJudged: a hit is judged like any answer.
func TestSharedIsJudged(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	shared := newCommon()
	online := &identity{err: errors.New("connection refused")}
	v := f.shares(shared, online)
	for name, c := range map[string]struct {
		body string
		want Reason
	}{
		"good":        {body("own", ""), ""},
		"bound":       {body("own", `,"bind":{"kerberos":"alice@EXAMPLE.COM"}`), Bind},
		"expired":     {strings.Replace(body("own", ""), epoch.Add(time.Hour).Format(time.RFC3339Nano), epoch.Format(time.RFC3339Nano), 1), IdentityUnavailable},
		"no token":    {`{"token":{}}`, IdentityUnavailable},
		"no JSON":     {`{"token":`, IdentityUnavailable},
		"nothing":     {``, IdentityUnavailable},
		"two bodies":  {`{"token":{},"access":{}}`, IdentityUnavailable},
		"twice":       {body("own", `,"roles":[{"id":"r0","name":"admin"}]`), IdentityUnavailable},
		"not to have": {`"invalid"`, IdentityUnavailable},
	} {
		shared.kept[opaque] = commonEntry{body: c.body}
		if got, err := v.Validate(context.Background(), Request{Token: opaque}); ReasonOf(err) != c.want || err == nil && got.Token.User.ID != "u1" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSignedTokensAreNotShared: a signature is verified here (W-26), and a body under a signed token's name is not even looked at.
func TestSignedTokensAreNotShared(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	shared := newCommon()
	good, forged := f.pki(body("own", "")), f.pki(body("forged", ""))
	forged = forged[:len(forged)-6] + "AAAAAA"
	online := &identity{known: map[string]string{good: body("own", "")}}
	for _, text := range []string{good, forged} {
		shared.kept[text] = commonEntry{body: strings.ReplaceAll(body("own", ""), "u1", "admin"), since: epoch}
	}
	if got := want(t, f.shares(shared, online), good, ""); got.Token.User.ID != "u1" {
		t.Errorf("%+v", got.Token.User)
	}
	if _, err := f.shares(shared, online).Validate(context.Background(), Request{Token: forged}); !errors.Is(err, ErrInvalid) {
		t.Errorf("forged: %v", err)
	}
	// Nor where they are put to the Identity service: without PKI, and for want of a list.
	v := f.validator(func(o *Options) { o.Shared, o.Online, o.NoPKI = shared, online, func() bool { return true } })
	if got := want(t, v, good, ""); got.Token.User.ID != "u1" {
		t.Errorf("%+v", got.Token.User)
	}
	f.lists.stale.Store(true)
	want(t, f.validator(func(o *Options) { o.Shared, o.Online, o.Stale = shared, online, "online" }), good, "")
	if shared.gets != 0 || shared.sets != 0 {
		t.Errorf("looked %d times, kept %d times", shared.gets, shared.sets)
	}
}

// TestSharedTimes: for how long an answer is handed on.
func TestSharedTimes(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	online, shared := &identity{known: map[string]string{opaque: body("own", "")}}, newCommon()
	f.clock.advance(time.Hour - time.Minute) // expires in a minute
	want(t, f.shares(shared, online), opaque, "")
	if e := shared.kept[opaque]; e.ttl != time.Minute {
		t.Errorf("kept for %v", e.ttl)
	}
	// What is refused, expired or unknown is not kept, nor anything without token_cache_time.
	*shared = *newCommon()
	f.clock.advance(time.Minute)
	wantRequest(t, f.shares(shared, online), Request{Token: opaque, AllowExpired: true}, "")
	want(t, f.shares(shared, online), "ffffffffffffffffffffffffffffffff", UnknownToken)
	want(t, f.shares(shared, online), "no token", Malformed)
	if shared.sets != 0 || shared.gets != 2 {
		t.Errorf("kept %d times, looked %d times", shared.sets, shared.gets)
	}
	f.clock.advance(-time.Hour)
	off := f.validator(func(o *Options) { o.Shared, o.Online, o.CacheTTL = shared, online, 0 })
	want(t, off, opaque, "")
	if shared.sets != 0 || shared.gets != 2 {
		t.Errorf("kept %d times, looked %d times without token_cache_time", shared.sets, shared.gets)
	}
}

// TestSharedSingleFlight: who asks at the same time about one token looks once, and who leaves is not held.
func TestSharedSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, certstest.ECDSAP256)
		online, shared := &identity{known: map[string]string{opaque: body("own", "")}}, newCommon()
		shared.wait = make(chan struct{})
		v := f.shares(shared, online)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.Validate(ctx, Request{Token: opaque}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		for range 20 {
			go want(t, v, opaque, "")
		}
		synctest.Wait()
		close(shared.wait)
		synctest.Wait()
		if online.asked.Load() != 1 || shared.gets != 1 || shared.sets != 1 {
			t.Errorf("asked %d times, looked %d times, kept %d times", online.asked.Load(), shared.gets, shared.sets)
		}
	})
}
