// Package bootstrap makes what an empty identity backend needs before anybody can log in: the default domain, an
// administrator, roles, a service user and the identity service in the catalog.
package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"authproxy/keystone/server"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
)

// Options say what to make. Names that are empty are Keystone's own.
type Options struct {
	Password    string // of the administrator; must be set
	Username    string // "admin"
	ProjectName string // "admin"
	RoleName    string // "admin"

	ServiceName string // of the identity service: "keystone"
	RegionID    string // "" for no region
	AdminURL    string // "" for no such endpoint
	PublicURL   string
	InternalURL string
	// FixedCatalog says that the catalog cannot be changed: nothing is put into it unless a URL is given.
	FixedCatalog bool

	// ServiceUsername and ServicePassword make a user with role "service" on project "service", as proxies log in by; "" for
	// none.
	ServiceUsername string
	ServicePassword string
}

const (
	serviceProject = "service"
	serviceRole    = "service"
	memberRole     = "member"
)

// Run makes what is missing and mends what differs. Running it again changes nothing: a password that is right already is kept,
// since another hash of it would end the user's tokens.
func Run(ctx context.Context, s *server.Server, o Options) error {
	switch {
	case o.Password == "":
		return errors.New("no password for the administrator: set --bootstrap-password or OS_BOOTSTRAP_PASSWORD")
	case (o.ServiceUsername == "") != (o.ServicePassword == ""):
		return errors.New("a service user needs both --bootstrap-service-username and --bootstrap-service-password")
	}
	b := run{ctx: ctx, s: s}
	b.domain()
	role := b.role(orDefault(o.RoleName, "admin"))
	b.role(memberRole)
	serviceRoleID := b.role(serviceRole)
	b.user(orDefault(o.Username, "admin"), o.Password, orDefault(o.ProjectName, "admin"), role)
	project := b.project(serviceProject)
	if o.ServiceUsername != "" {
		b.grant(b.login(o.ServiceUsername, o.ServicePassword), project, serviceRoleID)
	}
	if o.PublicURL != "" || o.InternalURL != "" || o.AdminURL != "" || !o.FixedCatalog {
		b.catalog(o)
	}
	return b.err
}

// run goes through the steps and stops at the first error.
type run struct {
	ctx context.Context
	s   *server.Server
	err error
}

func (b *run) step(what string, f func() error) {
	if b.err == nil {
		if err := f(); err != nil {
			b.err = fmt.Errorf("%s: %w", what, err)
		}
	}
}

func (b *run) domain() {
	b.step("default domain", func() error {
		_, err := b.s.Assignment.Domain(b.ctx, assignment.DefaultDomainID)
		if fault.IsNotFound(err) {
			_, err = b.s.Assignment.CreateDomain(b.ctx, assignment.Domain{
				ID: assignment.DefaultDomainID, Name: "Default", Enabled: true,
				Extra: map[string]any{"description": "The domain of users and projects that name none."},
			})
		}
		return err
	})
}

func (b *run) role(name string) (id string) {
	b.step("role "+name, func() error {
		r, err := b.s.Assignment.RoleByName(b.ctx, name)
		if fault.IsNotFound(err) {
			r, err = b.s.Assignment.CreateRole(b.ctx, assignment.Role{Name: name})
		}
		id = r.ID
		return err
	})
	return id
}

func (b *run) project(name string) (id string) {
	b.step("project "+name, func() error {
		p, err := b.s.Assignment.ProjectByName(b.ctx, assignment.DefaultDomainID, name)
		if fault.IsNotFound(err) {
			p, err = b.s.Assignment.CreateProject(b.ctx, assignment.Project{DomainID: assignment.DefaultDomainID, Name: name, Enabled: true})
		}
		id = p.ID
		return err
	})
	return id
}

// user makes a user with a role on a project.
func (b *run) user(name, password, projectName, roleID string) {
	b.grant(b.login(name, password), b.project(projectName), roleID)
}

// login makes a user that can log in by a password.
func (b *run) login(name, password string) (id string) {
	b.step("user "+name, func() error {
		u, err := b.s.Identity.UserByName(b.ctx, assignment.DefaultDomainID, name)
		if fault.IsNotFound(err) {
			u, err = b.s.Identity.CreateUser(b.ctx, identity.User{DomainID: assignment.DefaultDomainID, Name: name, Enabled: true}, &password)
			id = u.ID
			return err
		}
		if err != nil {
			return err
		}
		id = u.ID
		same, err := b.s.Identity.Hasher.Verify(b.ctx, u.PasswordHash, password)
		if err != nil || same && u.Enabled {
			return err
		}
		enabled := true
		change := identity.Update{Enabled: &enabled}
		if !same {
			change.Password = &password
		}
		_, err = b.s.Identity.UpdateUser(b.ctx, id, change)
		return err
	})
	return id
}

func (b *run) grant(userID, projectID, roleID string) {
	b.step("role of a user", func() error {
		return b.s.Assignment.Grant(b.ctx, assignment.Grant{UserID: userID, ProjectID: projectID, RoleID: roleID})
	})
}

func (b *run) catalog(o Options) {
	var serviceID string
	b.step("identity service", func() error {
		name := orDefault(o.ServiceName, "keystone")
		found, err := b.s.Catalog.Services(b.ctx, filter.List{{Attribute: "type", Value: "identity"}, {Attribute: "name", Value: name}})
		if err != nil {
			return err
		}
		if len(found) > 0 {
			serviceID = found[0].ID
			return nil
		}
		made, err := b.s.Catalog.CreateService(b.ctx, catalog.Service{Type: "identity", Enabled: true, Extra: map[string]any{"name": name}})
		serviceID = made.ID
		return err
	})
	for _, e := range []struct{ kind, url string }{{"public", o.PublicURL}, {"internal", o.InternalURL}, {"admin", o.AdminURL}} {
		if e.url == "" {
			continue
		}
		b.step(e.kind+" endpoint", func() error { return b.endpoint(serviceID, o.RegionID, e.kind, e.url) })
	}
}

func (b *run) endpoint(serviceID, regionID, kind, url string) error {
	there, err := b.s.Catalog.Endpoints(b.ctx, filter.List{{Attribute: "service_id", Value: serviceID}, {Attribute: "interface", Value: kind}})
	if err != nil {
		return err
	}
	for _, e := range there {
		if e.RegionID != regionID {
			continue
		}
		if e.URL != url {
			_, err = b.s.Catalog.UpdateEndpoint(b.ctx, e.ID, catalog.EndpointUpdate{URL: &url})
		}
		return err
	}
	_, err = b.s.Catalog.CreateEndpoint(b.ctx, catalog.Endpoint{
		ServiceID: serviceID, RegionID: regionID, Interface: kind, URL: url, Enabled: true,
	}, true)
	return err
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
