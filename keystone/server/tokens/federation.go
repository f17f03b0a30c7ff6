package tokens

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/federation/mapping"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
)

// Federation is what issuing needs to know of OS-FEDERATION.
type Federation interface {
	// Login maps whom an identity provider speaks for, or refuses with fault.Unauthorized.
	Login(ctx context.Context, l federation.Login) (federation.Mapped, error)
	// Usable refuses with fault.Unauthorized where an identity provider or its protocol is not there, or is disabled.
	Usable(ctx context.Context, identityProviderID, protocolID string) error
	// EnabledServiceProviders are those that tokens name.
	EnabledServiceProviders(ctx context.Context) ([]federation.ServiceProvider, error)
}

// federated is who is known by an identity provider alone.
type federated struct {
	userID, userName string
	groupIDs         []string
}

// bodyFederation is what a token says of such a user.
type bodyFederation struct {
	Groups           []bodyID `json:"groups"`
	IdentityProvider bodyID   `json:"identity_provider"`
	Protocol         bodyID   `json:"protocol"`
}

// mapped logs in whom an identity provider speaks for.
func (m *Manager) mapped(ctx context.Context, r Request, l *login) error {
	if r.Federated == nil {
		if slices.ContainsFunc(r.Methods, m.isFederated) {
			return fault.Unauthorized{Why: "no identity provider speaks for the user"}
		}
		return nil
	}
	if len(r.Federated.Attributes) == 0 {
		return fault.Unauthorized{Why: "nobody who is trusted says what the identity provider asserts"}
	}
	l.providerID, l.protocolID = r.Federated.IdentityProviderID, r.Federated.ProtocolID
	who, err := m.Federation.Login(ctx, *r.Federated)
	if err != nil {
		return err
	}
	if who.LocalUser != nil {
		userID, err := m.localUser(ctx, *who.LocalUser)
		if err != nil {
			return err
		}
		return l.agree(userID)
	}
	groupIDs := who.GroupIDs
	for _, g := range who.GroupNames {
		groupID, err := m.groupNamed(ctx, g)
		if fault.IsNotFound(err) && g.Listed {
			continue
		}
		if err != nil {
			return refused(err, "there is no group %q in domain %+v", g.Name, g.Domain)
		}
		groupIDs = append(groupIDs, groupID)
	}
	slices.Sort(groupIDs)
	l.federated = &federated{userID: who.UserID, userName: who.UserName, groupIDs: slices.Compact(groupIDs)}
	return l.agree(who.UserID)
}

// isFederated says whether by a method identity providers say who users are.
func (m *Manager) isFederated(method string) bool { return slices.Contains(m.FederatedMethods, method) }

// continueFederation takes from the token that a login is by whose word it stands on.
func (l *login) continueFederation(parent *Record) error {
	if parent.IdentityProviderID == "" {
		return nil
	}
	if l.providerID != "" {
		return fault.Unauthorized{Why: "an identity provider speaks for the user beside a token that stands on one"}
	}
	l.providerID, l.protocolID = parent.IdentityProviderID, parent.ProtocolID
	var err error
	l.federated, err = federationOf(parent)
	return err
}

// localUser is the id of a stored user whom a mapping names.
func (m *Manager) localUser(ctx context.Context, u mapping.User) (string, error) {
	if u.ID != "" {
		return u.ID, nil
	}
	if u.Domain == nil {
		return "", fault.Unauthorized{Why: "the mapping names a local user without a domain"}
	}
	d, err := m.domain(ctx, Ref{ID: u.Domain.ID, Name: u.Domain.Name})
	if err != nil {
		return "", refused(err, "there is no domain %+v", *u.Domain)
	}
	found, err := m.Identity.UserByName(ctx, d.ID, u.Name)
	if err != nil {
		return "", refused(err, "there is no user %q in domain %s", u.Name, d.ID)
	}
	return found.ID, nil
}

// groupNamed is the id of a group that a mapping names.
func (m *Manager) groupNamed(ctx context.Context, g mapping.Group) (string, error) {
	d, err := m.domain(ctx, Ref{ID: g.Domain.ID, Name: g.Domain.Name})
	if err != nil {
		return "", err
	}
	found, err := m.Identity.Groups(ctx, filter.List{{Attribute: "domain_id", Value: d.ID}, {Attribute: "name", Value: g.Name}})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fault.NotFound{Kind: "group", ID: g.Name}
	}
	return found[0].ID, nil
}

// authorizeFederated puts into a who is known by an identity provider alone. The groups have to be there, in domains that are enabled.
func (m *Manager) authorizeFederated(ctx context.Context, l login, a *authority) error {
	f := l.federated
	a.user = identity.User{ID: f.userID, Name: f.userName, DomainID: federation.Domain, Enabled: true}
	a.userDomain = assignment.Domain{ID: federation.Domain, Name: federation.Domain, Enabled: true}
	enabled := map[string]bool{}
	for _, id := range f.groupIDs {
		g, err := m.Identity.Group(ctx, id)
		if err != nil {
			return refused(err, "group %s is gone", id)
		}
		if !enabled[g.DomainID] {
			d, err := m.Assignment.Domain(ctx, g.DomainID)
			if err != nil || !d.Enabled {
				return refused(err, "domain %s of group %s is gone or disabled", g.DomainID, id)
			}
			enabled[g.DomainID] = true
		}
		a.groups = append(a.groups, Group{ID: g.ID, DomainID: g.DomainID})
	}
	if len(a.groups) == 0 {
		return fault.Unauthorized{Why: "the user is in no group"}
	}
	return nil
}

// rolesOn are the roles that a's user has on a project or domain.
func (m *Manager) rolesOn(ctx context.Context, a *authority, s assignment.Scope) ([]assignment.Role, error) {
	if a.groups == nil {
		s.UserID = a.user.ID
		return m.Assignment.GrantedRoles(ctx, s)
	}
	ids := make([]string, len(a.groups))
	for i, g := range a.groups {
		ids[i] = g.ID
	}
	return m.Assignment.RolesOfGroups(ctx, ids, s)
}

// markFederation writes into a token that is being made whose word it stands on.
func (l *login) markFederation(r *Record, body *bodyToken, a authority) {
	r.IdentityProviderID, r.ProtocolID = l.providerID, l.protocolID
	if l.federated == nil {
		return
	}
	f := &bodyFederation{Groups: []bodyID{}, IdentityProvider: bodyID{l.providerID}, Protocol: bodyID{l.protocolID}}
	for _, g := range a.groups {
		f.Groups = append(f.Groups, bodyID{g.ID})
	}
	body.User.Federation = f
}

// federationOf says who the user of a token is, whose word that is by an identity provider; nil for a user who is stored here.
func federationOf(r *Record) (*federated, error) {
	var b Body
	if err := json.Unmarshal(r.Body, &b); err != nil {
		return nil, fmt.Errorf("stored body of token with audit id %s: %w", r.AuditID, err)
	}
	f := b.Token.User.Federation
	if f == nil {
		return nil, nil
	}
	user := &federated{userID: b.Token.User.ID, userName: b.Token.User.Name}
	for _, g := range f.Groups {
		user.groupIDs = append(user.groupIDs, g.ID)
	}
	return user, nil
}

// FederatedGroups are the ids of the groups that an identity provider put a token's user into; nil for a user who is stored here.
func (r *Record) FederatedGroups() ([]string, error) {
	if r.IdentityProviderID == "" {
		return nil, nil
	}
	f, err := federationOf(r)
	if f == nil || err != nil {
		return nil, err
	}
	return f.groupIDs, nil
}

// serviceProviders is what tokens say of the clouds that take this one's word for who users are.
func (m *Manager) serviceProviders(ctx context.Context) ([]serviceProvider, error) {
	found, err := m.Federation.EnabledServiceProviders(ctx)
	var list []serviceProvider
	for _, p := range found {
		list = append(list, serviceProvider{ID: p.ID, AuthURL: p.AuthURL, SPURL: p.SPURL})
	}
	return list, err
}
