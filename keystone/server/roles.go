package server

import (
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) roleRoutes(r routes) { add(r, s.roles()) }

func (s *Server) roles() resource[assignment.Role] {
	return resource[assignment.Role]{
		one: "role", many: "roles", section: "role",
		filters: map[string]filter.Kind{"name": filter.Text},
		create:  createRole,
		get:     s.Assignment.Role,
		list:    s.Assignment.Roles,
		update:  updateRole,
		remove:  s.Assignment.DeleteRole,
		render: func(r assignment.Role) (string, map[string]any, map[string]any) {
			attributes := s.later(map[string]any{"name": r.Name}, map[string]any{"domain_id": nil})
			if _, there := r.Extra["description"]; !there {
				s.later(attributes, map[string]any{"description": nil})
			}
			return r.ID, attributes, r.Extra
		},
	}
}

func createRole(c *call, o object) (assignment.Role, error) {
	name, err := o.text("name")
	switch {
	case err != nil:
		return assignment.Role{}, err
	case name == nil:
		return assignment.Role{}, fault.Required("name")
	}
	return c.s.Assignment.CreateRole(c.ctx(), assignment.Role{Name: *name, Extra: o.rest("name")})
}

func updateRole(c *call, id string, o object) (assignment.Role, error) {
	name, err := o.text("name")
	if err != nil {
		return assignment.Role{}, err
	}
	return c.s.Assignment.UpdateRole(c.ctx(), id, assignment.RoleUpdate{Name: name, Extra: o.rest("name")})
}
