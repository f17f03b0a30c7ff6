package spnego

import (
	"sync"
	"time"
)

// replayCache remembers the authenticators that were accepted, each for as long as it could be accepted again (RFC 4120,
// section 3.2.3). It lives in this process only.
type replayCache struct {
	max int

	mu      sync.Mutex
	size    int
	buckets map[int64]map[[32]byte]struct{} // by the minute in which an entry is of no more use
}

const bucketSeconds = 60

// add remembers an authenticator until a time that depends on nothing but the authenticator, and says whether it is new. full
// says that there was no room, so that it can be neither remembered nor accepted.
func (c *replayCache) add(id [32]byte, until, now time.Time) (fresh, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for minute, ids := range c.buckets {
		if (minute+1)*bucketSeconds <= now.Unix() {
			c.size -= len(ids)
			delete(c.buckets, minute)
		}
	}
	minute := until.Unix() / bucketSeconds
	ids := c.buckets[minute]
	if _, seen := ids[id]; seen {
		return false, false
	}
	if c.size >= c.max {
		return false, true
	}
	if ids == nil {
		ids = map[[32]byte]struct{}{}
		if c.buckets == nil {
			c.buckets = map[int64]map[[32]byte]struct{}{}
		}
		c.buckets[minute] = ids
	}
	ids[id] = struct{}{}
	c.size++
	return true, false
}
