package server

import (
	"context"
	"slices"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) projectRoutes(r routes) { add(r, s.projects()) }

func (s *Server) projects() resource[assignment.Project] {
	return resource[assignment.Project]{
		one: "project", many: "projects", section: "resource",
		filters: map[string]filter.Kind{
			"domain_id": filter.Text, "name": filter.Text, "enabled": filter.Boolean, "parent_id": filter.Text,
		},
		create: createProject,
		get:    s.Assignment.Project,
		list: func(ctx context.Context, where filter.List) ([]assignment.Project, error) {
			where, err := s.belowDomain(ctx, where)
			if err != nil {
				return nil, err
			}
			return s.Assignment.Projects(ctx, where)
		},
		update:        updateProject,
		remove:        s.Assignment.DeleteProject,
		extraOnUpdate: true,
		expand:        expandProject,
		render: func(p assignment.Project) (string, map[string]any, map[string]any) {
			return p.ID, s.later(map[string]any{
				"name": p.Name, "domain_id": p.DomainID, "description": p.Description, "enabled": p.Enabled, "parent_id": s.parentID(p),
			}, map[string]any{"is_domain": false}), p.Extra
		},
	}
}

var projectFields = []string{"name", "domain_id", "description", "enabled", "parent_id"}

// parentID is what clients see as the parent of a project. For later releases a project at the top is below its domain, which is a
// project there; here it is below nothing, whatever clients are told.
func (s *Server) parentID(p assignment.Project) any {
	if s.Later && p.ParentID == "" {
		return p.DomainID
	}
	return orNull(p.ParentID)
}

// belowDomain has the filter for a domain as parent find the projects at its top, where clients are told so.
func (s *Server) belowDomain(ctx context.Context, where filter.List) (filter.List, error) {
	at := slices.IndexFunc(where, func(f filter.Filter) bool { return f.Attribute == "parent_id" && f.Op == filter.Equals })
	if !s.Later || at < 0 {
		return where, nil
	}
	d, err := s.Assignment.Domain(ctx, where[at].Value)
	if fault.IsNotFound(err) {
		return where, nil
	}
	where = slices.Clone(where)
	where[at] = filter.Filter{Attribute: "parent_id", Op: filter.Absent}
	return append(where, filter.Filter{Attribute: "domain_id", Value: d.ID}), err
}

func createProject(c *call, o object) (assignment.Project, error) {
	f := fields{o: o}
	name, description, enabled, parent := f.text("name"), f.text("description"), f.boolean("enabled"), f.text("parent_id")
	switch {
	case f.err != nil:
		return assignment.Project{}, f.err
	case name == nil:
		return assignment.Project{}, fault.Required("name")
	}
	if err := c.noDomain(o); err != nil {
		return assignment.Project{}, err
	}
	domainID, err := c.ownerDomain(o)
	if err != nil {
		return assignment.Project{}, err
	}
	if c.s.Later && parent != nil && *parent == domainID {
		parent = nil
	}
	return c.s.Assignment.CreateProject(c.ctx(), assignment.Project{
		DomainID: domainID, ParentID: orDefault(parent, ""), Name: *name, Description: orDefault(description, ""),
		Enabled: orDefault(enabled, true), Extra: o.rest(projectFields...),
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
	if parent, there := o["parent_id"]; there && parent != orNull(before.ParentID) && parent != c.s.parentID(before) {
		return assignment.Project{}, fault.Forbidden{Action: "Update of `parent_id` is not allowed."}
	}
	if err := c.noDomain(o); err != nil {
		return assignment.Project{}, err
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

// noDomain refuses a project that is to act as a domain, where clients are told that there is such a thing. For Kilo it is an
// attribute like any other.
func (c *call) noDomain(o object) error {
	if value, there := o["is_domain"]; there && c.s.Later && value != false {
		return fault.BadField("is_domain", value)
	}
	return nil
}

// expandProject adds the projects above and below that the query asks for: ?parents_as_list, ?subtree_as_list (those that the
// caller has a role on), ?parents_as_ids and ?subtree_as_ids (all, as {"id": {"id of the next": null}}).
func expandProject(c *call, p assignment.Project, body map[string]any) error {
	for _, f := range []struct {
		member string
		list   func(ctx context.Context, projectID string) ([]assignment.Project, error)
		ids    func(list []assignment.Project) any
	}{
		{"parents", c.s.Assignment.ProjectsAbove, func(above []assignment.Project) any { return parentIDs(c.s.topIDs(p), above) }},
		{"subtree", c.s.Assignment.ProjectsBelow, func(below []assignment.Project) any { return subtreeIDs(p.ID, below) }},
	} {
		query := c.r.URL.Query()
		asList, asIDs := flag(query, f.member+"_as_list"), flag(query, f.member+"_as_ids")
		if asList && asIDs {
			return fault.Invalid{Message: "Specify " + f.member + "_as_list or " + f.member + "_as_ids, not both"}
		}
		if !asList && !asIDs {
			continue
		}
		family, err := f.list(c.ctx(), p.ID)
		if err != nil {
			return err
		}
		if asIDs {
			body[f.member] = f.ids(family)
		} else if body[f.member], err = c.ownProjects(family); err != nil {
			return err
		}
	}
	return nil
}

// ownProjects are the bodies of those projects that the caller has a role on; of all for the admin token, which is nobody's.
func (c *call) ownProjects(list []assignment.Project) ([]map[string]any, error) {
	mine := map[string]bool{}
	if c.caller.Token != nil {
		own, err := c.granted()
		if err != nil {
			return nil, err
		}
		for _, p := range own {
			mine[p.ID] = true
		}
	}
	projects := c.s.projects()
	bodies := []map[string]any{}
	for _, p := range list {
		if mine[p.ID] || c.caller.Token == nil {
			bodies = append(bodies, map[string]any{"project": projects.body(c, p)})
		}
	}
	return bodies, nil
}

// granted are the projects that the caller has a role on.
func (c *call) granted() ([]assignment.Project, error) {
	if c.caller.GroupIDs != nil {
		return c.s.Assignment.ProjectsOfGroups(c.ctx(), c.caller.GroupIDs)
	}
	return c.s.Assignment.ProjectsOfUser(c.ctx(), c.caller.UserID(), nil)
}

// topIDs is what clients see above the projects at the top.
func (s *Server) topIDs(p assignment.Project) any {
	if s.Later {
		return map[string]any{p.DomainID: nil}
	}
	return nil
}

// parentIDs nests the ids of the projects above one, the parent's outermost, with top innermost.
func parentIDs(top any, above []assignment.Project) any {
	ids := top
	for i := len(above) - 1; i >= 0; i-- {
		ids = map[string]any{above[i].ID: ids}
	}
	return ids
}

// subtreeIDs nests the ids of the projects below one.
func subtreeIDs(projectID string, below []assignment.Project) any {
	children := map[string][]string{}
	for _, p := range below {
		children[p.ParentID] = append(children[p.ParentID], p.ID)
	}
	var nest func(id string) any
	nest = func(id string) any {
		if len(children[id]) == 0 {
			return nil
		}
		ids := map[string]any{}
		for _, child := range children[id] {
			ids[child] = nest(child)
		}
		return ids
	}
	return nest(projectID)
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
