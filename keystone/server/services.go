package server

import (
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) serviceRoutes(r routes) {
	add(r, resource[catalog.Service]{
		one: "service", many: "services", section: "catalog",
		filters: map[string]filter.Kind{"type": filter.Text, "name": filter.Text},
		create:  createService,
		get:     s.Catalog.Service,
		list:    s.Catalog.Services,
		update:  updateService,
		remove:  s.Catalog.DeleteService,
		render: func(v catalog.Service) (string, map[string]any, map[string]any) {
			return v.ID, map[string]any{"type": v.Type, "enabled": v.Enabled}, v.Extra
		},
	})
}

func createService(c *call, o object) (catalog.Service, error) {
	f := fields{o: o}
	kind, enabled, _ := f.text("type"), f.boolean("enabled"), f.text("name")
	switch {
	case f.err != nil:
		return catalog.Service{}, f.err
	case kind == nil:
		return catalog.Service{}, fault.Required("type")
	}
	return c.s.Catalog.CreateService(c.ctx(), catalog.Service{
		Type: *kind, Enabled: orDefault(enabled, true), Extra: o.rest("type", "enabled"),
	})
}

func updateService(c *call, id string, o object) (catalog.Service, error) {
	f := fields{o: o}
	change := catalog.ServiceUpdate{Type: f.text("type"), Enabled: f.boolean("enabled"), Extra: o.rest("type", "enabled")}
	f.text("name")
	if f.err != nil {
		return catalog.Service{}, f.err
	}
	return c.s.Catalog.UpdateService(c.ctx(), id, change)
}
