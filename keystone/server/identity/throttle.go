package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"authproxy/keystone/server/fault"
)

// Attempt is whom a login is about, and from where: what failures are counted by.
type Attempt struct {
	// Who is a user's id, something that stands for a name that no user has, or "" for all logins from an address.
	Who string
	// Address is "" where it does not count.
	Address string
}

// Failures are the logins of an attempt that failed in a row.
type Failures struct {
	Count int
	Last  time.Time // zero where Count is 0
}

// FailureStore keeps the failures, for all servers together.
type FailureStore interface {
	Failures(ctx context.Context, of Attempt) (Failures, error)
	// AddFailure counts one more; where the last one was at forget or before, or as long after at, it begins anew: a clock was wrong.
	AddFailure(ctx context.Context, of Attempt, at, forget time.Time) error
	ForgetFailures(ctx context.Context, of Attempt) error
	// ForgetUserFailures forgets those of a user from all addresses.
	ForgetUserFailures(ctx context.Context, userID string) error
	// RemoveFailures deletes at most limit whose last was at or before a time, and returns how many it deleted.
	RemoveFailures(ctx context.Context, before time.Time, limit int) (int, error)
}

// Throttle slows down who guesses passwords. Failures are counted for a user and the address that they come from, so that nobody
// can lock out a user who logs in from elsewhere. After freeFailures the next attempts have to wait, 1 s, 2 s, 4 s and so on; one
// that does not wait is refused without a look at the password, whether it is right, and whether there is such a user. The zero
// Throttle refuses nothing.
type Throttle struct {
	// MaxDelay is the longest wait; 0 for none.
	MaxDelay time.Duration
	// LockAfter is how many failures lock the user out from that address, for LockFor; 0 for no number.
	LockAfter int
	LockFor   time.Duration
	// AnyAddress counts the failures of a user from all addresses together. Everybody can lock out everybody then.
	AnyAddress bool
	// AddressLockAfter is how many failures, for whomever, lock out an address for LockFor; 0 for no number.
	AddressLockAfter int
	Now              func() time.Time // time.Now where nil
}

const (
	freeFailures = 5
	// forgetAfter is how long after the last failure they are forgotten, if a lock does not last longer.
	forgetAfter = 15 * time.Minute
)

func (t Throttle) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// memory is how long failures matter.
func (t Throttle) memory() time.Duration { return max(forgetAfter, t.LockFor, t.MaxDelay) }

// blocked is until when attempts are refused; zero for not.
func (t Throttle) blocked(f Failures, lockAfter int, slow bool) time.Time {
	now := t.now()
	if f.Count == 0 || f.Last.Sub(now).Abs() >= t.memory() { // long ago, or of a clock that was far ahead
		return time.Time{}
	}
	var wait time.Duration
	if n := f.Count - freeFailures; slow && n >= 0 {
		wait = min(time.Second<<min(n, 20), t.MaxDelay)
	}
	if lockAfter > 0 && f.Count >= lockAfter {
		wait = max(wait, t.LockFor)
	}
	if until := f.Last.Add(wait); until.After(now) {
		return until
	}
	return time.Time{}
}

// counted is one kind of failures that a login adds to.
type counted struct {
	Attempt
	lockAfter int
	slow      bool
}

// counted are what a login is counted by: the user, and the address.
func (t Throttle) counted(who, address string) []counted {
	address = network(address)
	list := []counted{}
	if t.MaxDelay > 0 || t.LockAfter > 0 {
		user := Attempt{Who: who, Address: address}
		if t.AnyAddress {
			user.Address = ""
		}
		list = append(list, counted{user, t.LockAfter, true})
	}
	if t.AddressLockAfter > 0 && address != "" {
		list = append(list, counted{Attempt{Address: address}, t.AddressLockAfter, false})
	}
	return list
}

// network is what addresses of one client have in common: all of an IPv4 address, 64 bits of an IPv6 one.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil { // 64 is never too many
		return address
	}
	return prefix.String()
}

// subject is what failures for a user are counted under: the id, or for one who does not exist a hash of what the client wrote, so
// that the answers are the same.
func subject(u User, who Ref) string {
	if u.ID != "" {
		return u.ID
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", who.ID, who.DomainID, who.Name))
	return "?" + hex.EncodeToString(sum[:16])
}

// check refuses an attempt that comes too soon.
func (m *Manager) check(ctx context.Context, userID string, all []counted) error {
	for _, c := range all {
		f, err := m.Failures.Failures(ctx, c.Attempt)
		if err != nil {
			return err
		}
		if until := m.Throttle.blocked(f, c.lockAfter, c.slow); !until.IsZero() {
			return fault.Unauthorized{Why: fmt.Sprintf("%d logins of %s from %s failed: none before %s", f.Count, c.Who, c.Address, until.UTC().Format(time.RFC3339)),
				UserID: userID, Throttled: true}
		}
	}
	return nil
}

// Guess runs prove, which finds out whether a client knows the secret behind what, a key of that user. Wrong ones are counted by what
// and address as wrong passwords are, and never against the address alone: it is that of a service which others use.
func (m *Manager) Guess(ctx context.Context, what, userID, address string, prove func() error) error {
	if m.Failures == nil {
		return prove()
	}
	attempts := slices.DeleteFunc(m.Throttle.counted(what, address), func(c counted) bool { return c.Who == "" })
	var proof error
	// In one transaction, so that many at once get no more tries than one after the other.
	err := m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.check(ctx, userID, attempts); err != nil {
			return err
		}
		proof = prove()
		return m.note(ctx, attempts, proof == nil)
	})
	if err != nil {
		return err
	}
	return proof
}

// note remembers how an attempt ended.
func (m *Manager) note(ctx context.Context, all []counted, right bool) error {
	now := m.Throttle.now()
	for _, c := range all {
		switch {
		case !right:
			if err := m.Failures.AddFailure(ctx, c.Attempt, now, now.Add(-m.Throttle.memory())); err != nil {
				return err
			}
		case c.Who != "": // one right password does not make an address trustworthy
			f, err := m.Failures.Failures(ctx, c.Attempt)
			if err == nil && f.Count > 0 {
				err = m.Failures.ForgetFailures(ctx, c.Attempt)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// flushBatch keeps one transaction of FlushFailures short.
const flushBatch = 1000

// FlushFailures deletes failures that do not matter any more, and returns how many.
func (m *Manager) FlushFailures(ctx context.Context) (total int, err error) {
	if m.Failures == nil {
		return 0, nil
	}
	for {
		n, err := m.Failures.RemoveFailures(ctx, m.Throttle.now().Add(-m.Throttle.memory()), flushBatch)
		total += n
		if err != nil || n < flushBatch {
			return total, err
		}
	}
}
