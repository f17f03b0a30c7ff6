// Package tokens issues, validates, revokes and lists tokens ([token] and [signing] of keystone.conf).
package tokens

import (
	"context"
	"time"

	"authproxy/keystone"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/token"
)

// Record is what is kept of a token. Its text is not.
type Record struct {
	// ID is the hash of the text by [token] hash_algorithm, in hex; it is what a revocation list names. For a PKI or PKIZ token
	// that is not revoked it is a secret as good as the text, since Keystone's clients use it in the place of the text.
	ID string
	// Form is PKI, PKIZ or UUID.
	Form token.Form
	// AuditID is the token's own, ChainID that of the first token in its chain (its own where it is the first).
	AuditID string
	ChainID string

	UserID       string
	UserDomainID string
	// At most one of ProjectID and DomainID is set. ProjectDomainID is the domain that owns the project.
	ProjectID       string
	ProjectDomainID string
	DomainID        string

	// Times are whole microseconds.
	IssuedAt  time.Time
	ExpiresAt time.Time
	// RevokedAt is zero for a token that was not revoked.
	RevokedAt time.Time
	// Body is the JSON that the token stands for: {"token": {…}}.
	Body []byte
}

// Tokens names tokens by what they stand on; those of one Tokens are the ones that fit all fields that are set. At least one
// must be.
type Tokens struct {
	ID        string
	UserID    string
	ProjectID string
	DomainID  string // scoped to this domain
	// InDomain is a domain that owns the user or the project, or is the scope.
	InDomain string
}

// Store keeps the records. Its errors are fault.NotFound and fault.Conflict of kind "token".
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error
	AddToken(ctx context.Context, r Record) error
	Token(ctx context.Context, id string) (Record, error)
	// RevokeTokens marks those that are not revoked yet and expire after alive, and returns how many it marked.
	RevokeTokens(ctx context.Context, which Tokens, at, alive time.Time) (int, error)
	// RevokedTokens are the revoked tokens that expire after alive, ordered by id.
	RevokedTokens(ctx context.Context, alive time.Time) ([]keystone.RevokedToken, error)
	// RemoveTokens deletes at most limit records that expire at or before a time and returns how many it deleted.
	RemoveTokens(ctx context.Context, expired time.Time, limit int) (int, error)
}

// Revoker ends the tokens that stand on something that changed. It marks records, it never compares times: a token issued in
// the very second of the change, but after it, is valid.
type Revoker struct {
	Store Store
	Now   func() time.Time
	// Window is how long after its expiry a token can still be let in by a service token; revoked ones are kept that long.
	Window time.Duration
}

// RevokeUser ends all tokens of a user.
func (r *Revoker) RevokeUser(ctx context.Context, userID string) error {
	return r.revoke(ctx, Tokens{UserID: userID})
}

// RevokeProject ends all tokens scoped to a project.
func (r *Revoker) RevokeProject(ctx context.Context, projectID string) error {
	return r.revoke(ctx, Tokens{ProjectID: projectID})
}

// RevokeDomain ends the tokens of the domain's users and those scoped to it or to its projects.
func (r *Revoker) RevokeDomain(ctx context.Context, domainID string) error {
	return r.revoke(ctx, Tokens{InDomain: domainID})
}

// RevokeScope ends the tokens that a user has for a project or, where projectID is "", for a domain.
func (r *Revoker) RevokeScope(ctx context.Context, userID, projectID, domainID string) error {
	return r.revoke(ctx, Tokens{UserID: userID, ProjectID: projectID, DomainID: domainID})
}

// revokeOne ends one token and says fault.NotFound where it was ended already.
func (r *Revoker) revokeOne(ctx context.Context, id string) error {
	n, err := r.Store.RevokeTokens(ctx, Tokens{ID: id}, r.Now(), r.Now().Add(-r.Window))
	if err == nil && n == 0 {
		err = fault.NotFound{Kind: "token", ID: id}
	}
	return err
}

func (r *Revoker) revoke(ctx context.Context, which Tokens) error {
	now := r.Now()
	_, err := r.Store.RevokeTokens(ctx, which, now, now.Add(-r.Window))
	return err
}
