// Package trust is users who let others act with some of their roles ([trust] of keystone.conf, OS-TRUST of the Identity API).
package trust

import (
	"context"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/identity"
)

// Trust lets the trustee act on a project with roles of the trustor.
type Trust struct {
	ID            string
	TrustorUserID string
	TrusteeUserID string
	// ProjectID is "" for a trust that gives no roles.
	ProjectID string
	// Impersonation makes the trustor the user of its tokens; else it is the trustee.
	Impersonation bool
	RoleIDs       []string // in order
	// ExpiresAt is zero for a trust without an end, else in whole microseconds.
	ExpiresAt time.Time
	// RemainingUses is how many tokens can still be had by it; nil for any number.
	RemainingUses *int64
	// RedelegationCount is how often it can be passed on, each time to somebody further.
	RedelegationCount int
	// RedelegatedTrustID is the trust that this one passes on; "" for the first of its chain.
	RedelegatedTrustID string
	Extra              map[string]any
}

// UsedUp says that the trust had a number of uses, and that none is left.
func (t *Trust) UsedUp() bool { return t.RemainingUses != nil && *t.RemainingUses <= 0 }

// Store keeps trusts. Its errors are fault.NotFound of the kinds "trust" and "project", and fault.Conflict of kind "trust".
// A trust goes when its project does, when one of its two users does, and with the one that it passes on.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	Trust(ctx context.Context, id string) (Trust, error)
	// Trusts are those of a trustor, or of a trustee, or of both, ordered by id; "" is anybody.
	Trusts(ctx context.Context, trustorUserID, trusteeUserID string) ([]Trust, error)
	// RedelegatedTrusts are the ids of those that pass on a trust, directly or through others, in order.
	RedelegatedTrusts(ctx context.Context, id string) ([]string, error)
	AddTrust(ctx context.Context, t Trust) error
	// UseTrust takes one of the remaining uses, if they are limited, and says false where none is left.
	UseTrust(ctx context.Context, id string) (bool, error)
	RemoveTrust(ctx context.Context, id string) error
	// RemoveTrusts deletes at most limit that ended at or before a time, with those that pass them on, and returns how many it found.
	RemoveTrusts(ctx context.Context, expired time.Time, limit int) (int, error)
}

// Users finds the users of a trust.
type Users interface {
	User(ctx context.Context, userID string) (identity.User, error)
}

// Assignment finds what a trust gives.
type Assignment interface {
	Project(ctx context.Context, projectID string) (assignment.Project, error)
	Role(ctx context.Context, roleID string) (assignment.Role, error)
	RoleByName(ctx context.Context, name string) (assignment.Role, error)
	GrantedRoles(ctx context.Context, s assignment.Scope) ([]assignment.Role, error)
}

// Revoker ends tokens when what they stand on changes. It is called inside the transaction of that change.
type Revoker interface {
	RevokeTrust(ctx context.Context, trustID string) error
}
