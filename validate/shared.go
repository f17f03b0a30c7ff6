package validate

import (
	"context"
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// shared looks a token up in the shared cache. nil says that the Identity service is to be asked.
//
// A revoked token must not live longer by being handed on: what the Identity service said counts for token_cache_time from the
// moment when it said it, whoever keeps it and wherever. Where that moment is not known, which is so for what Python services
// write, the answer is used and not kept here, so that it ends in memcached when its writer wanted it to, and at the latest
// token_cache_time after it was first seen here. Expired tokens are put to the Identity service, as they are without a shared
// cache.
func (v *Validator) shared(ctx context.Context, text string) *answer {
	body, since, ok := v.o.Shared.Get(ctx, text)
	if !ok {
		return nil
	}
	t, err := v.catalogs.DecodePayload(body)
	now := v.o.Now()
	if err != nil || !now.Before(t.ExpiresAt) {
		return nil
	}
	if since.After(now) {
		since = time.Time{} // another clock, or somebody who wants it to last
	}
	first := since
	if since.IsZero() {
		first = v.elders.firstSeen(sha256.Sum256([]byte(text)), now)
	}
	if !now.Before(first.Add(v.o.CacheTTL)) {
		return nil
	}
	return &answer{token: t, size: len(body), since: since}
}

// share keeps for others what the Identity service has just said.
func (v *Validator) share(ctx context.Context, text string, body []byte, a *answer) {
	v.elders.forget(sha256.Sum256([]byte(text)))
	ttl := min(v.o.CacheTTL, a.token.ExpiresAt.Sub(v.o.Now()))
	if ttl > 0 {
		v.o.Shared.Set(ctx, text, body, a.since, ttl)
	}
}

// elders remembers when answers of unknown age were first seen, by digest of the token.
type elders struct {
	seen *lru.Cache[[32]byte, time.Time]
}

const eldersKept = 1 << 16

func newElders() *elders {
	c, _ := lru.New[[32]byte, time.Time](eldersKept) // the only error is for a size below one
	return &elders{c}
}

func (e *elders) firstSeen(digest [32]byte, now time.Time) time.Time {
	if at, known, _ := e.seen.PeekOrAdd(digest, now); known {
		return at
	}
	return now
}

func (e *elders) forget(digest [32]byte) { e.seen.Remove(digest) }
