package server

import (
	"context"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) projectRoutes(r routes) { add(r, s.projects()) }

func (s *Server) projects() resource[assignment.Project] {
	return resource[assignment.Project]{
		one: "project", many: "projects",
		filters:       map[string]filter.Kind{"domain_id": filter.Text, "name": filter.Text, "enabled": filter.Boolean},
		create:        createProject,
		get:           s.Assignment.Project,
		list:          s.Assignment.Projects,
		update:        updateProject,
		remove:        s.Assignment.DeleteProject,
		extraOnUpdate: true,
		render: func(p assignment.Project) (string, map[string]any, map[string]any) {
			return p.ID, map[string]any{
				"name": p.Name, "domain_id": p.DomainID, "description": p.Description, "enabled": p.Enabled, "parent_id": nil,
			}, p.Extra
		},
	}
}

var projectFields = []string{"name", "domain_id", "description", "enabled", "parent_id"}

func createProject(c *call, o object) (assignment.Project, error) {
	f := fields{o: o}
	name, description, enabled, parent := f.text("name"), f.text("description"), f.boolean("enabled"), f.text("parent_id")
	switch {
	case f.err != nil:
		return assignment.Project{}, f.err
	case name == nil:
		return assignment.Project{}, fault.Required("name")
	case parent != nil:
		return assignment.Project{}, fault.NotImplemented{What: "Projects below other projects are not supported."}
	}
	domainID, err := c.ownerDomain(o)
	if err != nil {
		return assignment.Project{}, err
	}
	return c.s.Assignment.CreateProject(c.ctx(), assignment.Project{
		DomainID: domainID, Name: *name, Description: orDefault(description, ""), Enabled: orDefault(enabled, true),
		Extra: o.rest(projectFields...),
	})
}

func updateProject(c *call, id string, o object) (assignment.Project, error) {
	before, err := c.s.Assignment.Project(c.ctx(), id)
	if err != nil {
		return assignment.Project{}, err
	}
	if err := sameDomain(o, before.DomainID); err != nil {
		return assignment.Project{}, err
	}
	if parent, there := o["parent_id"]; there && parent != nil {
		return assignment.Project{}, fault.Forbidden{Action: "Update of `parent_id` is not allowed."}
	}
	f := fields{o: o}
	change := assignment.ProjectUpdate{
		Name: f.text("name"), Description: f.clearable("description"), Enabled: f.boolean("enabled"), Extra: o.rest(projectFields...),
	}
	if f.err != nil {
		return assignment.Project{}, f.err
	}
	return c.s.Assignment.UpdateProject(c.ctx(), id, change)
}

// replyOwn answers with the list of what a user has.
func replyOwn[T any](c *call, res resource[T], list func(ctx context.Context, userID string) ([]T, error), userID string) error {
	own, err := list(c.ctx(), userID)
	if err != nil {
		return err
	}
	res.replyList(c, own)
	return nil
}
