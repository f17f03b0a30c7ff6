package tokens

import (
	"context"
	"time"

	"authproxy/keystone/server/assignment"
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
	return r.end(ctx, Event{UserID: userID}, Tokens{UserID: userID})
}

// RevokeProject ends all tokens scoped to a project.
func (r *Revoker) RevokeProject(ctx context.Context, projectID string) error {
	return r.end(ctx, Event{ProjectID: projectID}, Tokens{ProjectID: projectID})
}

// RevokeDomain ends the tokens of the domain's users, those scoped to it or to its projects, and those that stand on its groups by the
// word of an identity provider.
func (r *Revoker) RevokeDomain(ctx context.Context, domainID string) error {
	return r.Store.Write(ctx, func(ctx context.Context) error {
		if err := r.end(ctx, Event{DomainID: domainID}, Tokens{InDomain: domainID}); err != nil {
			return err
		}
		return r.endEach(ctx, Tokens{GroupDomainID: domainID})
	})
}

// RevokeGroup ends the tokens that stand on a group by the word of an identity provider.
func (r *Revoker) RevokeGroup(ctx context.Context, groupID string) error {
	return r.endEach(ctx, Tokens{GroupID: groupID})
}

// RevokeIdentityProvider ends the tokens that stand on an identity provider's word.
func (r *Revoker) RevokeIdentityProvider(ctx context.Context, identityProviderID string) error {
	return r.endEach(ctx, Tokens{IdentityProviderID: identityProviderID})
}

// RevokeProtocol ends the tokens that stand on an identity provider's word by a protocol.
func (r *Revoker) RevokeProtocol(ctx context.Context, identityProviderID, protocolID string) error {
	return r.endEach(ctx, Tokens{IdentityProviderID: identityProviderID, ProtocolID: protocolID})
}

// RevokeGrant ends the tokens that stand on a grant: those that the user, or the members of the group, have in its scope or, where
// it is inherited, for the projects that it reaches.
func (r *Revoker) RevokeGrant(ctx context.Context, g assignment.Grant) error {
	which := standOn(g)
	if g.UserID != "" && !g.Inherited {
		return r.end(ctx, Event{UserID: g.UserID, RoleID: g.RoleID, ProjectID: g.ProjectID, DomainID: g.DomainID}, which...)
	}
	return r.Store.Write(ctx, func(ctx context.Context) error {
		// An event knows neither groups nor what is below a project, so there is one for each user and scope with a token.
		for _, some := range which {
			scopes, err := r.Store.TokenScopes(ctx, some, r.Now().Add(-r.Window))
			if err != nil {
				return err
			}
			if _, err := r.revoke(ctx, some); err != nil {
				return err
			}
			for _, s := range scopes {
				if err := r.record(ctx, Event{UserID: s.UserID, RoleID: g.RoleID, ProjectID: s.ProjectID, DomainID: s.DomainID}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// RevokeRole ends the tokens that stood on a role: those in the scopes that it was granted in.
func (r *Revoker) RevokeRole(ctx context.Context, roleID string, granted []assignment.Grant) error {
	var which []Tokens
	for _, g := range granted {
		which = append(which, standOn(g)...)
	}
	return r.end(ctx, Event{RoleID: roleID}, which...)
}

// RevokeTrust ends the tokens that came by a trust.
func (r *Revoker) RevokeTrust(ctx context.Context, trustID string) error {
	return r.end(ctx, Event{TrustID: trustID}, Tokens{TrustID: trustID})
}

// RevokeConsumer ends the tokens that came by a consumer of OAuth, RevokeAccessToken those by one access token.
func (r *Revoker) RevokeConsumer(ctx context.Context, consumerID string) error {
	return r.end(ctx, Event{ConsumerID: consumerID}, Tokens{ConsumerID: consumerID})
}

func (r *Revoker) RevokeAccessToken(ctx context.Context, accessTokenID string) error {
	return r.end(ctx, Event{AccessTokenID: accessTokenID}, Tokens{AccessTokenID: accessTokenID})
}

// standOn names the tokens that stand on a grant: for one to a group those of its members, and of those whom an identity provider
// put into it.
func standOn(g assignment.Grant) []Tokens {
	t := Tokens{UserID: g.UserID, MemberOf: g.GroupID}
	switch {
	case !g.Inherited:
		t.ProjectID, t.DomainID = g.ProjectID, g.DomainID
	case g.DomainID != "":
		t.ProjectDomainID = g.DomainID
	default:
		t.Below = g.ProjectID
	}
	if g.GroupID == "" {
		return []Tokens{t}
	}
	mapped := t
	mapped.MemberOf, mapped.GroupID = "", g.GroupID
	return []Tokens{t, mapped}
}

// revokeOne ends one token and says fault.NotFound where it was ended already.
func (r *Revoker) revokeOne(ctx context.Context, token Record) error {
	return r.Store.Write(ctx, func(ctx context.Context) error {
		n, err := r.revoke(ctx, Tokens{ID: token.ID})
		if err == nil && n == 0 {
			err = fault.NotFound{Kind: "token", ID: token.ID}
		}
		if err != nil {
			return err
		}
		return r.record(ctx, Event{AuditID: token.AuditID})
	})
}

// end ends tokens and records the event by which others know that they did. The event is there even where no token of ours is:
// it does not cost much, and so it does not depend on which records are kept.
func (r *Revoker) end(ctx context.Context, e Event, which ...Tokens) error {
	return r.Store.Write(ctx, func(ctx context.Context) error {
		for _, some := range which {
			if _, err := r.revoke(ctx, some); err != nil {
				return err
			}
		}
		return r.record(ctx, e)
	})
}

// endEach ends tokens that no event has in common, so that there is one for each.
func (r *Revoker) endEach(ctx context.Context, which Tokens) error {
	return r.Store.Write(ctx, func(ctx context.Context) error {
		auditIDs, err := r.Store.TokenAuditIDs(ctx, which, r.Now().Add(-r.Window))
		if err != nil || len(auditIDs) == 0 {
			return err
		}
		if _, err := r.revoke(ctx, which); err != nil {
			return err
		}
		for _, auditID := range auditIDs {
			if err := r.record(ctx, Event{AuditID: auditID}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *Revoker) record(ctx context.Context, e Event) error {
	e.IssuedBefore = r.Now().UTC().Truncate(time.Microsecond)
	return r.Store.AddEvent(ctx, e)
}

func (r *Revoker) revoke(ctx context.Context, which Tokens) (n int, err error) {
	now := r.Now()
	n, err = r.Store.RevokeTokens(ctx, which, now, now.Add(-r.Window))
	if n > 0 && r.Watch != nil {
		r.Store.AfterCommit(ctx, r.Watch.Wake)
	}
	return n, err
}
