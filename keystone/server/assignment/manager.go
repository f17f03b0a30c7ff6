package assignment

import (
	"context"

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
	// RevokeDomain ends the tokens of the domain's users, and those scoped to it or to its projects.
	RevokeDomain(ctx context.Context, domainID string) error
	RevokeProject(ctx context.Context, projectID string) error
	// RevokeGrant ends the tokens that the user has in the scope of the grant.
	RevokeGrant(ctx context.Context, g Grant) error
	// RevokeRole ends the tokens in the scopes that the role was granted in.
	RevokeRole(ctx context.Context, roleID string, granted []Scope) error
}

// Users finds the users that get roles.
type Users interface {
	User(ctx context.Context, userID string) (identity.User, error)
}

// Manager is the rules about domains, projects, roles and grants, and which tokens end when one of them changes.
type Manager struct {
	Store  Store
	Users  Users
	Tokens Revoker
}

// DomainUpdate is a change of a domain; what is nil stays as it is.
type DomainUpdate struct {
	Name    *string
	Enabled *bool
	Extra   map[string]any
}

// ProjectUpdate is a change of a project; what is nil stays as it is.
type ProjectUpdate struct {
	Name        *string
	Description *string
	Enabled     *bool
	Extra       map[string]any
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
	if err := checkName(d.Name, maxName); err != nil {
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
		if err := checkName(*change.Name, maxName); err != nil {
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

// DeleteDomain removes a disabled domain with its users and projects. The default domain stays.
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
		return m.Store.RemoveDomain(ctx, domainID)
	})
}

// Project is the project with that id.
func (m *Manager) Project(ctx context.Context, projectID string) (Project, error) {
	return m.Store.Project(ctx, projectID)
}

// ProjectByName is the project of that name in a domain.
func (m *Manager) ProjectByName(ctx context.Context, domainID, name string) (Project, error) {
	return m.Store.ProjectByName(ctx, domainID, name)
}

// Projects are those that fit the filters, ordered by name.
func (m *Manager) Projects(ctx context.Context, where filter.List) ([]Project, error) {
	return m.Store.Projects(ctx, where)
}

// CreateProject stores a new project under an id of its own.
func (m *Manager) CreateProject(ctx context.Context, p Project) (Project, error) {
	if err := checkName(p.Name, maxName); err != nil {
		return Project{}, err
	}
	p.ID = id.New()
	return p, m.Store.AddProject(ctx, p)
}

// UpdateProject changes a project. Disabling it ends the tokens scoped to it.
func (m *Manager) UpdateProject(ctx context.Context, projectID string, change ProjectUpdate) (Project, error) {
	if change.Name != nil {
		if err := checkName(*change.Name, maxName); err != nil {
			return Project{}, err
		}
	}
	var p Project
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if p, err = m.Store.Project(ctx, projectID); err != nil {
			return err
		}
		patch.Set(&p.Name, change.Name)
		patch.Set(&p.Description, change.Description)
		patch.Set(&p.Enabled, change.Enabled)
		p.Extra = patch.Merge(p.Extra, change.Extra)
		if err = m.Store.PutProject(ctx, p); err != nil || p.Enabled {
			return err
		}
		return m.Tokens.RevokeProject(ctx, projectID)
	})
	return p, err
}

// DeleteProject removes a project with the grants on it and ends the tokens scoped to it.
func (m *Manager) DeleteProject(ctx context.Context, projectID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveProject(ctx, projectID); err != nil {
			return err
		}
		return m.Tokens.RevokeProject(ctx, projectID)
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
		scopes, err := m.Store.ScopesOfRole(ctx, roleID)
		if err != nil {
			return err
		}
		if err := m.Store.RemoveRole(ctx, roleID); err != nil {
			return err
		}
		return m.Tokens.RevokeRole(ctx, roleID, scopes)
	})
}

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

// Ungrant takes a role away and ends the tokens that the user has in that scope.
func (m *Manager) Ungrant(ctx context.Context, g Grant) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveGrant(ctx, g); err != nil {
			return err
		}
		return m.Tokens.RevokeGrant(ctx, g)
	})
}

// Granted are the roles of a user on a project or domain, all of which must exist.
func (m *Manager) Granted(ctx context.Context, s Scope) ([]Role, error) {
	if err := m.checkScope(ctx, s); err != nil {
		return nil, err
	}
	return m.Store.GrantedRoles(ctx, s)
}

// GrantedRoles are the roles of a user on a project or domain, none where there is no such thing.
func (m *Manager) GrantedRoles(ctx context.Context, s Scope) ([]Role, error) {
	return m.Store.GrantedRoles(ctx, s)
}

// ProjectsOfUser are the projects that the user, who must exist, has a role on.
func (m *Manager) ProjectsOfUser(ctx context.Context, userID string) ([]Project, error) {
	if _, err := m.Users.User(ctx, userID); err != nil {
		return nil, err
	}
	return m.Store.ProjectsOfUser(ctx, userID)
}

// UsableProjects are the projects that the user can scope a token to.
func (m *Manager) UsableProjects(ctx context.Context, userID string) ([]Project, error) {
	all, err := m.Store.ProjectsOfUser(ctx, userID)
	if err != nil {
		return nil, err
	}
	enabled := map[string]bool{}
	kept := []Project{}
	for _, p := range all {
		if _, seen := enabled[p.DomainID]; !seen {
			d, err := m.Store.Domain(ctx, p.DomainID)
			if err != nil {
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
	kept := []Domain{}
	for _, d := range all {
		if d.Enabled {
			kept = append(kept, d)
		}
	}
	return kept, err
}

func (m *Manager) checkGrant(ctx context.Context, g Grant) error {
	if err := m.checkScope(ctx, g.Scope()); err != nil {
		return err
	}
	_, err := m.Store.Role(ctx, g.RoleID)
	return err
}

func (m *Manager) checkScope(ctx context.Context, s Scope) error {
	if _, err := m.Users.User(ctx, s.UserID); err != nil {
		return err
	}
	if s.ProjectID != "" {
		_, err := m.Store.Project(ctx, s.ProjectID)
		return err
	}
	_, err := m.Store.Domain(ctx, s.DomainID)
	return err
}

func checkName(name string, most int) error {
	if name == "" || len([]rune(name)) > most {
		return fault.BadField("name", name)
	}
	return nil
}
