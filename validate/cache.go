package validate

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps verified tokens, least recently used out first (by the second), within a bound on the bytes they hold. It is keyed by a
// keyed hash of the token text, and an entry answers only for the very bytes it was made from: a hash alone is never enough.
type cache struct {
	limit int
	// front has entries that were used in this second, by the end of their hash. All of them are in entries. They are read without
	// the lock, for which processors would wait.
	front [1 << 16]atomic.Pointer[Verified]

	mu      sync.Mutex
	entries *simplelru.LRU[uint64, *Verified]
	bytes   int
	evicted uint64
}

// seed keys the hashes, so that nobody outside can make texts that share one.
var seed = maphash.MakeSeed()

// hashOf is under what a text is kept.
func hashOf(text string) uint64 { return maphash.String(seed, text) }

func newCache(limit int) *cache {
	c := &cache{limit: limit}
	// The bound is on bytes, so the count is left open. The only error is for a count below one.
	c.entries, _ = simplelru.NewLRU(math.MaxInt, func(hash uint64, v *Verified) {
		c.bytes -= v.cost
		c.place(hash).CompareAndSwap(v, nil)
	})
	return c
}

// place is where the front has the entry of a hash.
func (c *cache) place(hash uint64) *atomic.Pointer[Verified] {
	return &c.front[hash%uint64(len(c.front))]
}

// get gives the entry for text, of which hash is the hash, that is not past its time at now.
func (c *cache) get(text string, hash uint64, now time.Time) *Verified {
	second := now.Unix()
	if v := c.place(hash).Load(); v != nil && v.touched.Load() == second && v.text == text && now.Before(v.until) {
		return v
	}
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
	v.touched.Store(second)
	c.place(hash).Store(v)
	return v
}

// near gives the text of the entry under hash, which may be another than was hashed; "" where there is none.
func (c *cache) near(hash uint64) string {
	v := c.place(hash).Load()
	if v == nil || v.hash != hash {
		c.mu.Lock()
		v, _ = c.entries.Peek(hash)
		c.mu.Unlock()
	}
	if v == nil {
		return ""
	}
	return v.text
}

func (c *cache) put(v *Verified) {
	if v.cost > c.limit {
		return
	}
	v.hash = hashOf(v.text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Remove(v.hash)
	c.entries.Add(v.hash, v)
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

// refusals is the negative cache: texts of tokens that were refused for what they are, which no later time or list can mend. It is
// small and short-lived, and a refusal that other signing certificates could turn over counts only while the signing
// certificates are the ones that it was made under. Like cache it answers for the very bytes alone.
type refusals struct {
	life time.Duration

	mu      sync.Mutex
	entries *simplelru.LRU[uint64, refusal]
	bytes   int
}

type refusal struct {
	text       string
	err        *Error
	generation uint64
	until      time.Time
}

const (
	refusalBytes = 4 << 20 // of text, kept at most
	refusalFixed = 256     // bytes that a refusal takes besides
	refusalLife  = time.Minute
)

func newRefusals() *refusals {
	c := &refusals{life: refusalLife}
	c.entries, _ = simplelru.NewLRU(math.MaxInt, func(_ uint64, r refusal) { c.bytes -= len(r.text) + refusalFixed })
	return c
}

func (c *refusals) get(text string, hash, generation uint64, now time.Time) *Error {
	c.mu.Lock()
	r, ok := c.entries.Get(hash)
	c.mu.Unlock()
	if !ok || r.text != text || r.generation != generation || !now.Before(r.until) {
		return nil
	}
	return r.err
}

// put keeps a refusal if its reason is one that lasts: unknown_signer and signer_expired are never kept, since the next
// fetch, or the next second, may end them; what concerns availability neither.
func (c *refusals) put(text string, hash uint64, err *Error, generation uint64, now time.Time) {
	switch err.Reason {
	case Malformed, TooLarge, BadSignature, WeakAlgorithm, NotAToken, NoProject:
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Remove(hash)
	c.entries.Add(hash, refusal{text: text, err: err, generation: generation, until: now.Add(c.life)})
	c.bytes += len(text) + refusalFixed
	for c.bytes > refusalBytes {
		c.entries.RemoveOldest()
	}
}
