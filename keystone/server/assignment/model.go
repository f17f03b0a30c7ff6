// Package assignment is what roles are granted on and to whom: domains, projects, roles and grants ([assignment] and
// [resource] of keystone.conf).
package assignment

import (
	"context"

	"authproxy/keystone/server/filter"
)

// DefaultDomainID is the id of the domain that every installation has and that cannot be deleted.
const DefaultDomainID = "default"

// Domain owns users and projects.
type Domain struct {
	ID      string
	Name    string // unique, 64 characters at most
	Enabled bool
	Extra   map[string]any
}

// Project owns resources of the cloud's services.
type Project struct {
	ID          string
	DomainID    string
	Name        string // unique in its domain, 64 characters at most
	Description string
	Enabled     bool
	Extra       map[string]any
}

// Role is a name that services' policies give a meaning.
type Role struct {
	ID    string
	Name  string // unique, 255 characters at most
	Extra map[string]any
}

// Grant gives a user a role on a project or on a domain; exactly one of ProjectID and DomainID is set.
type Grant struct {
	UserID    string
	ProjectID string
	DomainID  string
	RoleID    string
}

// Scope is the grants of one user on one project or domain; see Grant.
type Scope struct {
	UserID    string
	ProjectID string
	DomainID  string
}

// Scope is what the grant gives a role on, and to whom.
func (g Grant) Scope() Scope {
	return Scope{UserID: g.UserID, ProjectID: g.ProjectID, DomainID: g.DomainID}
}

// Store keeps domains, projects, roles and grants. Its errors are fault.NotFound and fault.Conflict of the kinds "domain",
// "project" and "role".
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	Domain(ctx context.Context, id string) (Domain, error)
	DomainByName(ctx context.Context, name string) (Domain, error)
	// Domains filters on name and enabled and orders by name.
	Domains(ctx context.Context, where filter.List) ([]Domain, error)
	AddDomain(ctx context.Context, d Domain) error
	PutDomain(ctx context.Context, d Domain) error
	// RemoveDomain takes its users, its projects and all grants of and on them along.
	RemoveDomain(ctx context.Context, id string) error

	Project(ctx context.Context, id string) (Project, error)
	ProjectByName(ctx context.Context, domainID, name string) (Project, error)
	// Projects filters on domain_id, name and enabled and orders by name.
	Projects(ctx context.Context, where filter.List) ([]Project, error)
	AddProject(ctx context.Context, p Project) error
	PutProject(ctx context.Context, p Project) error
	// RemoveProject takes the grants on it along.
	RemoveProject(ctx context.Context, id string) error

	Role(ctx context.Context, id string) (Role, error)
	RoleByName(ctx context.Context, name string) (Role, error)
	// Roles filters on name and orders by name.
	Roles(ctx context.Context, where filter.List) ([]Role, error)
	AddRole(ctx context.Context, r Role) error
	PutRole(ctx context.Context, r Role) error
	// RemoveRole takes its grants along.
	RemoveRole(ctx context.Context, id string) error

	// AddGrant does nothing where the grant is already there.
	AddGrant(ctx context.Context, g Grant) error
	// HasGrant says whether that grant is there.
	HasGrant(ctx context.Context, g Grant) (bool, error)
	// RemoveGrant returns fault.NotFound of kind "role" where there is no such grant.
	RemoveGrant(ctx context.Context, g Grant) error
	// GrantedRoles are the roles of a user on a project or domain, ordered by name.
	GrantedRoles(ctx context.Context, s Scope) ([]Role, error)
	// UsersOfProject are the ids of the users with a role on a project, in order.
	UsersOfProject(ctx context.Context, projectID string) ([]string, error)
	// ScopesOfRole are the scopes in which somebody has the role.
	ScopesOfRole(ctx context.Context, roleID string) ([]Scope, error)
	// ProjectsOfUser and DomainsOfUser are those that the user has a role on, ordered by name.
	ProjectsOfUser(ctx context.Context, userID string) ([]Project, error)
	DomainsOfUser(ctx context.Context, userID string) ([]Domain, error)
}
