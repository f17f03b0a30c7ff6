package assignment

import (
	"context"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

// Grant gives a role; giving it again changes nothing.
func (m *Manager) Grant(ctx context.Context, g Grant) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkGrant(ctx, g); err != nil {
			return err
		}
		return m.Store.AddGrant(ctx, g)
	})
}

// CheckGrant returns nil where the grant is there, else fault.NotFound.
func (m *Manager) CheckGrant(ctx context.Context, g Grant) error {
	if err := m.checkGrant(ctx, g); err != nil {
		return err
	}
	there, err := m.Store.HasGrant(ctx, g)
	if err == nil && !there {
		err = fault.NotFound{Kind: "role", ID: g.RoleID}
	}
	return err
}

// Ungrant takes a role away and ends the tokens that stand on the grant.
func (m *Manager) Ungrant(ctx context.Context, g Grant) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveGrant(ctx, g); err != nil {
			return err
		}
		return m.Tokens.RevokeGrant(ctx, g)
	})
}

// Granted are the roles that were granted to a user or group on a project or domain, all of which must exist: those granted just
// there, and to be inherited or not, as g says. Its RoleID does not matter.
func (m *Manager) Granted(ctx context.Context, g Grant) ([]Role, error) {
	if err := m.checkEnds(ctx, g); err != nil {
		return nil, err
	}
	return m.Store.RolesOf(ctx, Query{UserID: g.UserID, GroupID: g.GroupID, ProjectID: g.ProjectID, DomainID: g.DomainID, Inherited: &g.Inherited})
}

// GrantedRoles are the roles that a user has on a project or domain, by groups and inherited grants too; none where there is no
// such thing.
func (m *Manager) GrantedRoles(ctx context.Context, s Scope) ([]Role, error) {
	return m.Store.RolesOf(ctx, m.effective(Query{UserID: s.UserID, ProjectID: s.ProjectID, DomainID: s.DomainID}))
}

// effective is q for the grants that count.
func (m *Manager) effective(q Query) Query {
	q.Effective = true
	if !m.Inherit {
		q.Inherited = new(bool)
	}
	return q
}

// ProjectsOfUser are the projects that the user, who must exist, has a role on and that fit the filters, ordered by name.
func (m *Manager) ProjectsOfUser(ctx context.Context, userID string, where filter.List) ([]Project, error) {
	if _, err := m.Users.User(ctx, userID); err != nil {
		return nil, err
	}
	return m.Store.ProjectsOfUser(ctx, userID, m.Inherit, where)
}

// RolesOfGroups are the roles that some groups have on a project or domain, by inherited grants too. The scope's user does not matter.
func (m *Manager) RolesOfGroups(ctx context.Context, groupIDs []string, s Scope) ([]Role, error) {
	if len(groupIDs) == 0 {
		return []Role{}, nil
	}
	return m.Store.RolesOf(ctx, m.effective(Query{GroupIDs: groupIDs, ProjectID: s.ProjectID, DomainID: s.DomainID}))
}

// UsableProjects are the projects that the user can scope a token to.
func (m *Manager) UsableProjects(ctx context.Context, userID string) ([]Project, error) {
	all, err := m.Store.ProjectsOfUser(ctx, userID, m.Inherit, nil)
	if err != nil {
		return nil, err
	}
	return m.usable(ctx, all)
}

// ProjectsOfGroups are the projects that one of some groups has a role on.
func (m *Manager) ProjectsOfGroups(ctx context.Context, groupIDs []string) ([]Project, error) {
	return m.Store.ProjectsOfGroups(ctx, groupIDs, m.Inherit)
}

// UsableProjectsOfGroups are those of them that a token can be scoped to.
func (m *Manager) UsableProjectsOfGroups(ctx context.Context, groupIDs []string) ([]Project, error) {
	all, err := m.ProjectsOfGroups(ctx, groupIDs)
	if err != nil {
		return nil, err
	}
	return m.usable(ctx, all)
}

// usable are those of some projects that tokens can be scoped to.
func (m *Manager) usable(ctx context.Context, all []Project) ([]Project, error) {
	enabled := map[string]bool{}
	kept := []Project{}
	for _, p := range all {
		if _, seen := enabled[p.DomainID]; !seen {
			d, err := m.Store.Domain(ctx, p.DomainID)
			if err != nil && !fault.IsNotFound(err) { // gone meanwhile
				return nil, err
			}
			enabled[p.DomainID] = d.Enabled
		}
		if p.Enabled && enabled[p.DomainID] {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// UsableDomains are the domains that the user can scope a token to.
func (m *Manager) UsableDomains(ctx context.Context, userID string) ([]Domain, error) {
	all, err := m.Store.DomainsOfUser(ctx, userID)
	return enabledDomains(all), err
}

// UsableDomainsOfGroups are the domains that one of some groups has a role on and that a token can be scoped to.
func (m *Manager) UsableDomainsOfGroups(ctx context.Context, groupIDs []string) ([]Domain, error) {
	all, err := m.Store.DomainsOfGroups(ctx, groupIDs)
	return enabledDomains(all), err
}

func enabledDomains(all []Domain) []Domain {
	kept := []Domain{}
	for _, d := range all {
		if d.Enabled {
			kept = append(kept, d)
		}
	}
	return kept
}

func (m *Manager) checkGrant(ctx context.Context, g Grant) error {
	if err := m.checkEnds(ctx, g); err != nil {
		return err
	}
	_, err := m.Store.Role(ctx, g.RoleID)
	return err
}

// checkEnds says whether there are those whom a grant gives a role and what it gives it on.
func (m *Manager) checkEnds(ctx context.Context, g Grant) error {
	var err error
	if g.GroupID != "" {
		_, err = m.Users.Group(ctx, g.GroupID)
	} else {
		_, err = m.Users.User(ctx, g.UserID)
	}
	if err != nil {
		return err
	}
	if g.ProjectID != "" {
		_, err = m.Store.Project(ctx, g.ProjectID)
	} else {
		_, err = m.Store.Domain(ctx, g.DomainID)
	}
	return err
}
