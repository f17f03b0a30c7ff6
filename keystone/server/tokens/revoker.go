package tokens

import (
	"context"
	"time"

	"authproxy/keystone/server/fault"
)

// Revoker ends the tokens that stand on something that changed. It marks records, it never compares times: a token issued in
// the very second of the change, but after it, is valid.
type Revoker struct {
	Store Store
	Now   func() time.Time
	// Window is how long after its expiry a token can still be let in by a service token; revoked ones are kept that long.
	Window time.Duration
	// Watch is told when something was revoked; it may be nil.
	Watch *Watch
}

// RevokeUser ends all tokens of a user.
func (r *Revoker) RevokeUser(ctx context.Context, userID string) error {
	_, err := r.revoke(ctx, Tokens{UserID: userID})
	return err
}

// RevokeProject ends all tokens scoped to a project.
func (r *Revoker) RevokeProject(ctx context.Context, projectID string) error {
	_, err := r.revoke(ctx, Tokens{ProjectID: projectID})
	return err
}

// RevokeDomain ends the tokens of the domain's users and those scoped to it or to its projects.
func (r *Revoker) RevokeDomain(ctx context.Context, domainID string) error {
	_, err := r.revoke(ctx, Tokens{InDomain: domainID})
	return err
}

// RevokeScope ends the tokens that a user has for a project or, where projectID is "", for a domain.
func (r *Revoker) RevokeScope(ctx context.Context, userID, projectID, domainID string) error {
	_, err := r.revoke(ctx, Tokens{UserID: userID, ProjectID: projectID, DomainID: domainID})
	return err
}

// revokeOne ends one token and says fault.NotFound where it was ended already.
func (r *Revoker) revokeOne(ctx context.Context, id string) error {
	n, err := r.revoke(ctx, Tokens{ID: id})
	if err == nil && n == 0 {
		err = fault.NotFound{Kind: "token", ID: id}
	}
	return err
}

func (r *Revoker) revoke(ctx context.Context, which Tokens) (n int, err error) {
	now := r.Now()
	n, err = r.Store.RevokeTokens(ctx, which, now, now.Add(-r.Window))
	if n > 0 && r.Watch != nil {
		r.Store.AfterCommit(ctx, r.Watch.Wake)
	}
	return n, err
}
