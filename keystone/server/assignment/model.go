// Package assignment is what roles are granted on and to whom: domains, projects, roles and grants ([assignment] and
// [resource] of keystone.conf).
package assignment

import (
	"context"

	"authproxy/keystone/server/filter"
)

// DefaultDomainID is the id of the domain that every installation has and that cannot be deleted.
const DefaultDomainID = "default"

// Domain owns users, groups and projects.
type Domain struct {
	ID      string
	Name    string // unique, 64 characters at most
	Enabled bool
	Extra   map[string]any
}

// Project owns resources of the cloud's services.
type Project struct {
	ID       string
	DomainID string
	// ParentID is the project above, of the same domain; "" for none.
	ParentID    string
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

// Grant gives a user or a group a role on a project or on a domain. Exactly one of UserID and GroupID is set, and exactly one of
// ProjectID and DomainID.
type Grant struct {
	UserID    string
	GroupID   string
	ProjectID string
	DomainID  string
	RoleID    string
	// Inherited makes the role count not there but on all projects of the domain, or on all below the project (OS-INHERIT).
	Inherited bool
}

// Scope is one user on one project or domain; exactly one of ProjectID and DomainID is set.
type Scope struct {
	UserID    string
	ProjectID string
	DomainID  string
}

// Query selects grants: those that fit all fields that are set.
type Query struct {
	UserID  string
	GroupID string
	// GroupIDs selects grants to any of these groups; nil is for all.
	GroupIDs  []string
	ProjectID string
	DomainID  string
	RoleID    string
	Inherited *bool
	// Effective selects what counts for a user or on a project or domain, rather than what was granted just there: UserID takes in
	// grants to the user's groups, ProjectID those that the project inherits, and DomainID leaves out what only projects inherit.
	Effective bool
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
	// RemoveDomain takes its users, groups and projects and all grants of and on them along.
	RemoveDomain(ctx context.Context, id string) error

	Project(ctx context.Context, id string) (Project, error)
	ProjectByName(ctx context.Context, domainID, name string) (Project, error)
	// Projects filters on domain_id, parent_id, name and enabled and orders by name.
	Projects(ctx context.Context, where filter.List) ([]Project, error)
	AddProject(ctx context.Context, p Project) error
	PutProject(ctx context.Context, p Project) error
	// RemoveProject takes the grants on it along. It returns fault.Forbidden while there are projects below it.
	RemoveProject(ctx context.Context, id string) error
	// ProjectsBelow are those below a project at any depth, ordered by name.
	ProjectsBelow(ctx context.Context, id string) ([]Project, error)
	// ProjectsAbove are those above a project, its parent first.
	ProjectsAbove(ctx context.Context, id string) ([]Project, error)

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
	// Grants are in an order of their own.
	Grants(ctx context.Context, q Query) ([]Grant, error)
	// RolesOf are the roles in the grants that fit, each once, ordered by name.
	RolesOf(ctx context.Context, q Query) ([]Role, error)
	// ProjectsOfUser are the projects that the user has a role on, by groups too and, with inherit, by inherited grants; it
	// filters and orders as Projects does. DomainsOfUser are the domains, ordered by name.
	ProjectsOfUser(ctx context.Context, userID string, inherit bool, where filter.List) ([]Project, error)
	DomainsOfUser(ctx context.Context, userID string) ([]Domain, error)
	// ProjectsOfGroups and DomainsOfGroups are those that any of the groups has a role on; none for no groups.
	ProjectsOfGroups(ctx context.Context, groupIDs []string, inherit bool) ([]Project, error)
	DomainsOfGroups(ctx context.Context, groupIDs []string) ([]Domain, error)
	// OutsideMembers are the ids of other domains' users in the groups of a domain.
	OutsideMembers(ctx context.Context, domainID string) ([]string, error)
}
