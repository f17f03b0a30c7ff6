package validate

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps verified tokens, least recently used out first, within a bound on the bytes they hold. It is keyed by a keyed
// hash of the token text, and an entry answers only for the very bytes it was made from: a hash alone is never enough.
type cache struct {
	seed  maphash.Seed
	limit int

	mu      sync.Mutex
	entries *simplelru.LRU[uint64, *Verified]
	bytes   int
	evicted uint64
}

func newCache(limit int) *cache {
	c := &cache{seed: maphash.MakeSeed(), limit: limit}
	// The bound is on bytes, so the count is left open. The only error is for a count below one.
	c.entries, _ = simplelru.NewLRU(math.MaxInt, func(_ uint64, v *Verified) { c.bytes -= v.cost })
	return c
}

// get gives the entry for text that is not past its time at now.
func (c *cache) get(text string, now time.Time) *Verified {
	hash := maphash.String(c.seed, text)
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.entries.Get(hash)
	if !ok || v.text != text {
		return nil
	}
	if !now.Before(v.until) {
		c.entries.Remove(hash)
		return nil
	}
	return v
}

func (c *cache) put(v *Verified) {
	if v.cost > c.limit {
		return
	}
	hash := maphash.String(c.seed, v.text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Remove(hash)
	c.entries.Add(hash, v)
	c.bytes += v.cost
	for c.bytes > c.limit {
		c.entries.RemoveOldest()
		c.evicted++
	}
}

func (c *cache) size() (entries, bytes int, evicted uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries.Len(), c.bytes, c.evicted
}

// refusals is the negative cache: digests of tokens that were refused for what they are, which no later time or list can
// mend. It is small and short-lived, and a refusal that other signing certificates could turn over counts only while the
// signing certificates are the ones that it was made under.
type refusals struct {
	lru  *lru.Cache[[32]byte, refusal]
	life time.Duration
}

type refusal struct {
	err        *Error
	generation uint64
	until      time.Time
}

const (
	refusalsKept = 4096
	refusalLife  = time.Minute
)

func newRefusals() *refusals {
	c, _ := lru.New[[32]byte, refusal](refusalsKept) // the only error is for a size below one
	return &refusals{lru: c, life: refusalLife}
}

func (c *refusals) get(digest [32]byte, generation uint64, now time.Time) *Error {
	r, ok := c.lru.Get(digest)
	if !ok || r.generation != generation || !now.Before(r.until) {
		return nil
	}
	return r.err
}

// put keeps a refusal if its reason is one that lasts: unknown_signer and signer_expired are never kept, since the next
// fetch, or the next second, may end them; what concerns availability neither.
func (c *refusals) put(digest [32]byte, err *Error, generation uint64, now time.Time) {
	switch err.Reason {
	case Malformed, TooLarge, BadSignature, WeakAlgorithm, NotAToken, NoProject:
		c.lru.Add(digest, refusal{err: err, generation: generation, until: now.Add(c.life)})
	}
}
