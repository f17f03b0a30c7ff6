package server

import (
	"context"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
)

func (s *Server) userRoutes(r routes) {
	users := s.users()
	add(r, users)
	password := guard{action: "identity:change_password", member: "user", objects: users.inPath("id")}
	r.on("POST", "/v3/users/{id}/password", password.protect(noDelegated(changePassword)))
	projects := s.projects()
	own := guard{action: "identity:list_user_projects", filters: projects.filters, objects: users.inPath("id")}
	r.on("GET HEAD", "/v3/users/{id}/projects", own.protect(func(c *call) error {
		return projects.answerList(c, func(ctx context.Context, where filter.List) ([]assignment.Project, error) {
			where, err := s.belowDomain(ctx, where)
			if err != nil {
				return nil, err
			}
			return s.Assignment.ProjectsOfUser(ctx, c.param("id"), where)
		})
	}))
}

func (s *Server) users() resource[identity.User] {
	return resource[identity.User]{
		one: "user", many: "users", section: "identity",
		filters:       map[string]filter.Kind{"domain_id": filter.Text, "name": filter.Text, "enabled": filter.Boolean},
		create:        createUser,
		get:           s.Identity.User,
		list:          s.Identity.Users,
		update:        updateUser,
		remove:        s.Identity.DeleteUser,
		render:        s.renderUser,
		extraOnUpdate: true,
	}
}

var userFields = []string{"name", "domain_id", "enabled", "default_project_id", "password"}

func createUser(c *call, o object) (identity.User, error) {
	f := fields{o: o}
	name, enabled, project := f.text("name"), f.boolean("enabled"), f.text("default_project_id")
	if f.err != nil {
		return identity.User{}, f.err
	}
	password, err := passwordIn(o, "password")
	if err != nil {
		return identity.User{}, err
	}
	domainID, err := c.ownerDomain(o)
	if err != nil {
		return identity.User{}, err
	}
	return c.s.Identity.CreateUser(c.ctx(), identity.User{
		DomainID: domainID, Name: orDefault(name, ""), Enabled: orDefault(enabled, true),
		DefaultProjectID: orDefault(project, ""), Extra: o.rest(userFields...),
	}, password)
}

func updateUser(c *call, id string, o object) (identity.User, error) {
	before, err := c.s.Identity.User(c.ctx(), id)
	if err != nil {
		return identity.User{}, err
	}
	if err := sameDomain(o, before.DomainID); err != nil {
		return identity.User{}, err
	}
	f := fields{o: o}
	change := identity.Update{
		Name: f.text("name"), Enabled: f.boolean("enabled"), DefaultProjectID: f.clearable("default_project_id"),
		Extra: o.rest(userFields...),
	}
	if f.err != nil {
		return identity.User{}, f.err
	}
	if change.Password, err = passwordIn(o, "password"); err != nil {
		return identity.User{}, err
	}
	return c.s.Identity.UpdateUser(c.ctx(), id, change)
}

func (s *Server) renderUser(u identity.User) (string, map[string]any, map[string]any) {
	attributes := map[string]any{"name": u.Name, "domain_id": u.DomainID, "enabled": u.Enabled}
	if u.DefaultProjectID != "" {
		attributes["default_project_id"] = u.DefaultProjectID
	}
	return u.ID, s.later(attributes, map[string]any{"password_expires_at": nil}), u.Extra
}

// changePassword is POST /v3/users/{id}/password, with the original password in the body.
func changePassword(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	o, ok := body.member("user")
	if !ok {
		return fault.Missing("user", "request body")
	}
	original, password, err := passwordChange(o)
	if err != nil {
		return err
	}
	if err := c.s.Identity.ChangePassword(c.ctx(), identity.Login{User: identity.Ref{ID: c.param("id")}, Password: original, Address: c.address()}, password); err != nil {
		return err
	}
	return c.done()
}

// passwordChange is the password that a user had and the one that they want.
func passwordChange(o object) (original, password string, err error) {
	before, err := passwordIn(o, "original_password")
	if err != nil {
		return "", "", err
	}
	after, err := passwordIn(o, "password")
	switch {
	case err != nil:
		return "", "", err
	case before == nil:
		return "", "", fault.Missing("original_password", "user")
	case after == nil:
		return "", "", fault.Missing("password", "user")
	}
	return *before, *after, nil
}

// passwordIn is a password in a request, nil where there is none. Unlike other members it is never repeated in an error.
func passwordIn(o object, name string) (*string, error) {
	p, err := o.text(name)
	if err != nil {
		return nil, fault.Invalid{Message: name + " field must be a string"}
	}
	return p, nil
}
