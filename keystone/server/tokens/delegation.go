package tokens

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/oauth1"
	"authproxy/keystone/server/trust"
)

// Trusts is what issuing needs to know of trusts.
type Trusts interface {
	// Chain is a trust that has not expired, followed by those that it passes on.
	Chain(ctx context.Context, trustID string) ([]trust.Trust, error)
	// Use takes one of the uses of a trust.
	Use(ctx context.Context, trustID string) error
}

// OAuth1 is what issuing needs to know of OAuth 1.0.
type OAuth1 interface {
	// Login is the access token that a request is signed with.
	Login(ctx context.Context, r oauth1.Request) (oauth1.AccessToken, error)
	// Usable is an access token that has not expired.
	Usable(ctx context.Context, accessTokenID string) (oauth1.AccessToken, error)
}

// delegation is what somebody else lets the user do.
type delegation struct {
	// trust is without its remaining uses: that others use it too changes nothing for this one.
	trust *trust.Trust
	// access is without its secret.
	access *oauth1.AccessToken
	// parties are in order of their id; the token's own user is not among them.
	parties []Party
	// until is when it ends; zero for never.
	until time.Time
}

type bodyTrust struct {
	ID            string `json:"id"`
	Impersonation bool   `json:"impersonation"`
	Trustee       bodyID `json:"trustee_user"`
	Trustor       bodyID `json:"trustor_user"`
}

type bodyOAuth1 struct {
	AccessTokenID string `json:"access_token_id"`
	ConsumerID    string `json:"consumer_id"`
}

type bodyID struct {
	ID string `json:"id"`
}

// delegated says whether the token's user got it from somebody else.
func (r *Record) delegated() bool { return r.TrustID != "" || r.AccessTokenID != "" }

// scopeToTrust puts what a trust gives into a, whose user is the trustee.
//
// It demands that all who passed the trust on are there, enabled, and that the first of them still has all of its roles.
func (m *Manager) scopeToTrust(ctx context.Context, a *authority, trustID string) error {
	if m.Trusts == nil {
		return refused(nil, "there are no trusts")
	}
	chain, err := m.Trusts.Chain(ctx, trustID)
	if err != nil {
		return refused(err, "no such trust")
	}
	t := chain[0]
	switch {
	case t.TrusteeUserID != a.user.ID:
		return fault.Forbidden{Message: "User is not a trustee."}
	case t.UsedUp():
		return trust.NoUses(t.ID)
	}
	d := &delegation{trust: &t, until: t.ExpiresAt, parties: []Party{{a.user.ID, a.user.DomainID}}}
	for i, passed := range chain {
		trustor, err := m.Identity.User(ctx, passed.TrustorUserID)
		if err != nil {
			return refused(err, "trustor %s is gone", passed.TrustorUserID)
		}
		domain, err := m.Assignment.Domain(ctx, trustor.DomainID)
		if err != nil {
			return refused(err, "domain of trustor %s is gone", trustor.ID)
		}
		if !trustor.Enabled || !domain.Enabled {
			return fault.Forbidden{Message: "Trustor is disabled."}
		}
		d.parties = append(d.parties, Party{trustor.ID, trustor.DomainID})
		if i == 0 && t.Impersonation {
			a.user, a.userDomain = trustor, domain
		}
	}
	slices.SortFunc(d.parties, func(a, b Party) int { return strings.Compare(a.UserID, b.UserID) })
	d.parties = slices.DeleteFunc(slices.Compact(d.parties), func(p Party) bool { return p.UserID == a.user.ID })
	t.RemainingUses = nil
	a.delegated = d
	if t.ProjectID == "" {
		return nil
	}
	return m.delegateProject(ctx, a, chain[len(chain)-1].TrustorUserID, t.ProjectID, t.RoleIDs)
}

// scopeToAccess puts what an access token gives into a, whose user granted it.
func (m *Manager) scopeToAccess(ctx context.Context, a *authority, accessTokenID string) error {
	t, err := m.OAuth1.Usable(ctx, accessTokenID)
	if err != nil {
		return refused(err, "access token is gone")
	}
	if t.UserID != a.user.ID {
		return refused(nil, "access token of another user")
	}
	t.Secret = ""
	a.delegated = &delegation{access: &t, until: t.ExpiresAt}
	return m.delegateProject(ctx, a, t.UserID, t.ProjectID, t.RoleIDs)
}

// delegateProject scopes a to a project with the named roles, all of which the giver must have there.
func (m *Manager) delegateProject(ctx context.Context, a *authority, giverID, projectID string, roleIDs []string) error {
	p, err := m.Assignment.Project(ctx, projectID)
	if err != nil {
		return refused(err, "project %s is gone", projectID)
	}
	if a.projectDomain, err = m.Assignment.Domain(ctx, p.DomainID); err != nil {
		return refused(err, "domain of project %s is gone", p.ID)
	}
	if !p.Enabled || !a.projectDomain.Enabled {
		return refused(nil, "project %s or its domain is disabled", p.ID)
	}
	held, err := m.Assignment.GrantedRoles(ctx, assignment.Scope{UserID: giverID, ProjectID: p.ID})
	if err != nil {
		return err
	}
	a.roles = slices.DeleteFunc(held, func(r assignment.Role) bool { return !slices.Contains(roleIDs, r.ID) })
	if len(a.roles) == 0 || len(a.roles) != len(roleIDs) {
		return fault.Forbidden{Message: fmt.Sprintf("User %s no longer has the roles that were delegated.", giverID)}
	}
	a.project = &p
	return nil
}

// mark writes the delegation into a token that is being made.
func (d *delegation) mark(r *Record, body *bodyToken) {
	if !d.until.IsZero() && d.until.Before(r.ExpiresAt) {
		r.ExpiresAt = d.until
	}
	if t := d.access; t != nil {
		r.AccessTokenID, r.ConsumerID = t.ID, t.ConsumerID
		body.OAuth1 = &bodyOAuth1{AccessTokenID: t.ID, ConsumerID: t.ConsumerID}
	}
	if t := d.trust; t != nil {
		r.TrustID = t.ID
		body.Trust = &bodyTrust{ID: t.ID, Impersonation: t.Impersonation, Trustee: bodyID{t.TrusteeUserID}, Trustor: bodyID{t.TrustorUserID}}
	}
}

// recordDelegation stores beside a new token whom it stands on, and takes one of the uses of its trust.
func (m *Manager) recordDelegation(ctx context.Context, tokenID string, d *delegation) error {
	if d == nil {
		return nil
	}
	if d.trust != nil {
		if err := m.Trusts.Use(ctx, d.trust.ID); err != nil {
			return err
		}
	}
	return m.Store.AddParties(ctx, tokenID, d.parties)
}
