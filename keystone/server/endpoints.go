package server

import (
	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

func (s *Server) endpointRoutes(r routes) {
	add(r, s.endpoints())
}

func (s *Server) endpoints() resource[catalog.Endpoint] {
	return resource[catalog.Endpoint]{
		one: "endpoint", many: "endpoints", section: "catalog",
		filters: map[string]filter.Kind{"interface": filter.Text, "service_id": filter.Text, "region_id": filter.Text},
		create:  createEndpoint,
		get:     s.Catalog.Endpoint,
		list:    s.Catalog.Endpoints,
		update:  updateEndpoint,
		remove:  s.Catalog.DeleteEndpoint,
		render: func(v catalog.Endpoint) (string, map[string]any, map[string]any) {
			region := orNull(v.RegionID)
			return v.ID, map[string]any{
				"interface": v.Interface, "service_id": v.ServiceID, "url": v.URL, "enabled": v.Enabled,
				"region_id": region, "region": region,
			}, v.Extra
		},
	}
}

var endpointFields = []string{"service_id", "interface", "url", "region_id", "region", "enabled"}

// region reads the region of an endpoint: "region_id" of one that exists, or by its old name "region" one that is made.
func (f *fields) region() (id *string, makeIt bool) {
	if _, there := f.o["region_id"]; there {
		return f.clearable("region_id"), false
	}
	return f.clearable("region"), true
}

func createEndpoint(c *call, o object) (catalog.Endpoint, error) {
	for _, name := range []string{"interface", "service_id", "url"} {
		if o[name] == nil {
			return catalog.Endpoint{}, fault.Required(name)
		}
	}
	f := fields{o: o}
	region, makeRegion := f.region()
	v := catalog.Endpoint{
		ServiceID: orDefault(f.text("service_id"), ""), Interface: orDefault(f.text("interface"), ""), URL: orDefault(f.text("url"), ""),
		RegionID: orDefault(region, ""), Enabled: orDefault(f.boolean("enabled"), true), Extra: o.rest(endpointFields...),
	}
	if f.err != nil {
		return catalog.Endpoint{}, f.err
	}
	return c.s.Catalog.CreateEndpoint(c.ctx(), v, makeRegion)
}

func updateEndpoint(c *call, id string, o object) (catalog.Endpoint, error) {
	f := fields{o: o}
	region, makeRegion := f.region()
	change := catalog.EndpointUpdate{
		ServiceID: f.text("service_id"), Interface: f.text("interface"), URL: f.text("url"), RegionID: region, MakeRegion: makeRegion,
		Enabled: f.boolean("enabled"), Extra: o.rest(endpointFields...),
	}
	if f.err != nil {
		return catalog.Endpoint{}, f.err
	}
	return c.s.Catalog.UpdateEndpoint(c.ctx(), id, change)
}
