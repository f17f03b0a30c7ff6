package server

import (
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) domainRoutes(r routes) { add(r, s.domains()) }

func (s *Server) domains() resource[assignment.Domain] {
	return resource[assignment.Domain]{
		one: "domain", many: "domains", section: "resource",
		filters: map[string]filter.Kind{"name": filter.Text, "enabled": filter.Boolean},
		create:  createDomain,
		get:     s.Assignment.Domain,
		list:    s.Assignment.Domains,
		update:  updateDomain,
		remove:  s.Assignment.DeleteDomain,
		render: func(d assignment.Domain) (string, map[string]any, map[string]any) {
			attributes := map[string]any{"name": d.Name, "enabled": d.Enabled}
			if _, there := d.Extra["description"]; !there {
				s.later(attributes, map[string]any{"description": ""})
			}
			return d.ID, attributes, d.Extra
		},
	}
}

func createDomain(c *call, o object) (assignment.Domain, error) {
	f := fields{o: o}
	name, enabled, _ := f.text("name"), f.boolean("enabled"), f.text("description")
	switch {
	case f.err != nil:
		return assignment.Domain{}, f.err
	case name == nil:
		return assignment.Domain{}, fault.Required("name")
	}
	return c.s.Assignment.CreateDomain(c.ctx(), assignment.Domain{
		Name: *name, Enabled: orDefault(enabled, true), Extra: o.rest("name", "enabled"),
	})
}

func updateDomain(c *call, id string, o object) (assignment.Domain, error) {
	f := fields{o: o}
	change := assignment.DomainUpdate{Name: f.text("name"), Enabled: f.boolean("enabled"), Extra: o.rest("name", "enabled")}
	if f.err != nil {
		return assignment.Domain{}, f.err
	}
	return c.s.Assignment.UpdateDomain(c.ctx(), id, change)
}
