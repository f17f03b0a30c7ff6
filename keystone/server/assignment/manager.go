package assignment

import (
	"context"
	"strings"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/patch"
)

const (
	maxName     = 64  // of domains and projects
	maxRoleName = 255 //
)

// Revoker ends tokens when what they stand on changes. It is called inside the transaction of that change.
type Revoker interface {
	// RevokeDomain ends the tokens of the domain's users, those scoped to it or to its projects, and those that stand on its groups by
	// the word of an identity provider.
	RevokeDomain(ctx context.Context, domainID string) error
	RevokeProject(ctx context.Context, projectID string) error
	RevokeUser(ctx context.Context, userID string) error
	// RevokeGrant ends the tokens that the user, or the members of the group, have where the grant counts.
	RevokeGrant(ctx context.Context, g Grant) error
	// RevokeRole ends the tokens that stand on these grants of the role.
	RevokeRole(ctx context.Context, roleID string, granted []Grant) error
}

// Users finds the users and groups that get roles.
type Users interface {
	User(ctx context.Context, userID string) (identity.User, error)
	Group(ctx context.Context, groupID string) (identity.Group, error)
	Members(ctx context.Context, groupID string, where filter.List) ([]identity.User, error)
}

// Manager is the rules about domains, projects, roles and grants, and which tokens end when one of them changes.
type Manager struct {
	Store  Store
	Users  Users
	Tokens Revoker
	// MaxDepth is how many levels of projects there may be (max_project_tree_depth); 0 for any number.
	MaxDepth int
	// Inherit makes inherited grants count ([os_inherit] enabled).
	Inherit bool
}

// DomainUpdate is a change of a domain; what is nil stays as it is.
type DomainUpdate struct {
	Name    *string
	Enabled *bool
	Extra   map[string]any
}

// RoleUpdate is a change of a role; what is nil stays as it is.
type RoleUpdate struct {
	Name  *string
	Extra map[string]any
}

// Domain is the domain with that id.
func (m *Manager) Domain(ctx context.Context, domainID string) (Domain, error) {
	return m.Store.Domain(ctx, domainID)
}

// DomainByName is the domain of that name.
func (m *Manager) DomainByName(ctx context.Context, name string) (Domain, error) {
	return m.Store.DomainByName(ctx, name)
}

// Domains are those that fit the filters, ordered by name.
func (m *Manager) Domains(ctx context.Context, where filter.List) ([]Domain, error) {
	return m.Store.Domains(ctx, where)
}

// CreateDomain stores a new domain, under an id of its own unless d has one.
func (m *Manager) CreateDomain(ctx context.Context, d Domain) (Domain, error) {
	if err := checkDomainName(d.Name); err != nil {
		return Domain{}, err
	}
	if d.ID == "" {
		d.ID = id.New()
	}
	return d, m.Store.AddDomain(ctx, d)
}

// UpdateDomain changes a domain. Disabling it ends the tokens of its users and those scoped to it or its projects.
func (m *Manager) UpdateDomain(ctx context.Context, domainID string, change DomainUpdate) (Domain, error) {
	if change.Name != nil {
		if err := checkDomainName(*change.Name); err != nil {
			return Domain{}, err
		}
	}
	var d Domain
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if d, err = m.Store.Domain(ctx, domainID); err != nil {
			return err
		}
		patch.Set(&d.Name, change.Name)
		patch.Set(&d.Enabled, change.Enabled)
		d.Extra = patch.Merge(d.Extra, change.Extra)
		if err = m.Store.PutDomain(ctx, d); err != nil || d.Enabled {
			return err
		}
		return m.Tokens.RevokeDomain(ctx, domainID)
	})
	return d, err
}

// DeleteDomain removes a disabled domain with its users, groups and projects, and ends the tokens that stand on them, those of
// other domains' users in its groups too. The default domain stays.
func (m *Manager) DeleteDomain(ctx context.Context, domainID string) error {
	if domainID == DefaultDomainID {
		return fault.Forbidden{Action: "delete the default domain"}
	}
	return m.Store.Write(ctx, func(ctx context.Context) error {
		d, err := m.Store.Domain(ctx, domainID)
		if err != nil {
			return err
		}
		if d.Enabled {
			return fault.Forbidden{Action: "cannot delete a domain that is enabled, please disable it first."}
		}
		if err := m.Tokens.RevokeDomain(ctx, domainID); err != nil {
			return err
		}
		outside, err := m.Store.OutsideMembers(ctx, domainID)
		if err != nil {
			return err
		}
		for _, userID := range outside {
			if err := m.Tokens.RevokeUser(ctx, userID); err != nil {
				return err
			}
		}
		return m.Store.RemoveDomain(ctx, domainID)
	})
}

// Role is the role with that id.
func (m *Manager) Role(ctx context.Context, roleID string) (Role, error) {
	return m.Store.Role(ctx, roleID)
}

// RoleByName is the role of that name.
func (m *Manager) RoleByName(ctx context.Context, name string) (Role, error) {
	return m.Store.RoleByName(ctx, name)
}

// Roles are those that fit the filters, ordered by name.
func (m *Manager) Roles(ctx context.Context, where filter.List) ([]Role, error) {
	return m.Store.Roles(ctx, where)
}

// CreateRole stores a new role under an id of its own.
func (m *Manager) CreateRole(ctx context.Context, r Role) (Role, error) {
	if err := checkName(r.Name, maxRoleName); err != nil {
		return Role{}, err
	}
	r.ID = id.New()
	return r, m.Store.AddRole(ctx, r)
}

// UpdateRole changes a role.
func (m *Manager) UpdateRole(ctx context.Context, roleID string, change RoleUpdate) (Role, error) {
	if change.Name != nil {
		if err := checkName(*change.Name, maxRoleName); err != nil {
			return Role{}, err
		}
	}
	var r Role
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if r, err = m.Store.Role(ctx, roleID); err != nil {
			return err
		}
		patch.Set(&r.Name, change.Name)
		r.Extra = patch.Merge(r.Extra, change.Extra)
		return m.Store.PutRole(ctx, r)
	})
	return r, err
}

// DeleteRole removes a role with its grants and ends the tokens that stood on them.
func (m *Manager) DeleteRole(ctx context.Context, roleID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		granted, err := m.Store.Grants(ctx, Query{RoleID: roleID})
		if err != nil {
			return err
		}
		if err := m.Store.RemoveRole(ctx, roleID); err != nil {
			return err
		}
		return m.Tokens.RevokeRole(ctx, roleID, granted)
	})
}

// reserved is the domain that tokens name for users who are known by an identity provider alone.
const reserved = "Federated"

func checkDomainName(name string) error {
	if strings.EqualFold(name, reserved) {
		return fault.Invalid{Message: "A domain cannot have the name " + reserved + ": it is that of users who are known by an identity provider alone."}
	}
	return checkName(name, maxName)
}

func checkName(name string, most int) error {
	if name == "" || len([]rune(name)) > most {
		return fault.BadField("name", name)
	}
	return nil
}
