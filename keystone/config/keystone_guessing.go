package config

import "time"

// Guessing is what slows down who guesses passwords ([security_compliance], with names of later releases of Keystone where they
// have one).
type Guessing struct {
	// MaxDelay is the longest wait between two attempts after several that failed; 0 for none.
	MaxDelay time.Duration
	// LockAfter failures lock a user out for LockFor, from the address that they came from; 0 for never.
	LockAfter int
	LockFor   time.Duration
	// AnyAddress locks the user out from everywhere.
	AnyAddress bool
	// AddressLockAfter failures, for whomever, lock an address out for LockFor; 0 for never.
	AddressLockAfter int
}

func guessingFields() []field[Keystone] {
	const section = "security_compliance"
	return []field[Keystone]{
		{Option{Section: section, Name: "login_max_delay", Default: "60", Min: 0, Max: 3600,
			Help: "longest wait in seconds before the next attempt, after 5 wrong passwords for a user from an address; 0 for none"},
			func(k *Keystone) any { return &k.Guessing.MaxDelay }},
		{Option{Section: section, Name: "lockout_failure_attempts", Default: "0", Min: 0, Max: 1 << 20,
			Help: "wrong passwords that lock a user out, from the address that they come from; 0 for never"},
			func(k *Keystone) any { return &k.Guessing.LockAfter }},
		{Option{Section: section, Name: "lockout_duration", Default: "1800", Min: 1, Max: 366 * 86400, Help: "seconds that it lasts"},
			func(k *Keystone) any { return &k.Guessing.LockFor }},
		{Option{Section: section, Name: "insecure_lockout_any_address", Default: "false",
			Help: "lock the user out from everywhere, as Keystone does: everybody can lock out everybody"},
			func(k *Keystone) any { return &k.Guessing.AnyAddress }},
		{Option{Section: section, Name: "lockout_address_failure_attempts", Default: "0", Min: 0, Max: 1 << 20,
			Help: "wrong passwords, for whomever, that lock out the address that they come from; 0 for never"},
			func(k *Keystone) any { return &k.Guessing.AddressLockAfter }},
	}
}
