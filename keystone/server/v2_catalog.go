package server

import (
	"net/http"

	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
)

// wrapperV2 is what the API v2.0 calls a service in a body.
const wrapperV2 = "OS-KSADM:service"

// catalogRoutesV2 are services and endpoints. Endpoints of the API v3 are not seen here, though they are in catalogs.
func (s *Server) catalogRoutesV2(r routes) {
	const services, endpoints = "/v2.0/OS-KSADM/services", "/v2.0/endpoints"
	r.on("GET HEAD", services, adminV2("list_services", nil, func(c *call) error {
		all, err := s.Catalog.Services(c.ctx(), nil)
		if err != nil {
			return err
		}
		bodies := []any{}
		for _, v := range all {
			bodies = append(bodies, serviceBodyV2(v))
		}
		c.reply(http.StatusOK, map[string]any{wrapperV2 + "s": bodies})
		return nil
	}))
	r.on("POST", services, adminV2("create_service", nil, createServiceV2))
	r.on("GET HEAD", services+"/{service_id}", adminV2("get_service", nil, func(c *call) error {
		v, err := s.Catalog.Service(c.ctx(), c.param("service_id"))
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{wrapperV2: serviceBodyV2(v)})
		return nil
	}))
	r.on("DELETE", services+"/{service_id}", adminV2("delete_service", nil, func(c *call) error {
		if err := s.Catalog.DeleteService(c.ctx(), c.param("service_id")); err != nil {
			return err
		}
		return c.done()
	}))
	r.on("GET HEAD", endpoints, adminV2("list_endpoints", nil, func(c *call) error {
		all, err := s.Catalog.LegacyEndpoints(c.ctx())
		if err != nil {
			return err
		}
		bodies := []any{}
		for _, e := range all {
			body := endpointBodyV2(e)
			body["enabled"] = e.Enabled
			bodies = append(bodies, body)
		}
		c.reply(http.StatusOK, map[string]any{"endpoints": bodies})
		return nil
	}))
	r.on("POST", endpoints, adminV2("create_endpoint", nil, createEndpointV2))
	r.on("DELETE", endpoints+"/{endpoint_id}", adminV2("delete_endpoint", nil, func(c *call) error {
		if err := s.Catalog.DeleteLegacyEndpoint(c.ctx(), c.param("endpoint_id")); err != nil {
			return err
		}
		return c.done()
	}))
}

func serviceBodyV2(v catalog.Service) map[string]any {
	body := map[string]any{}
	for name, value := range v.Extra {
		body[name] = value
	}
	body["id"], body["type"], body["enabled"] = v.ID, v.Type, v.Enabled
	return body
}

func createServiceV2(c *call) error {
	o, err := c.member(wrapperV2)
	if err != nil {
		return err
	}
	v, err := createService(c, o)
	if err != nil {
		return err
	}
	c.object = v.ID
	c.reply(http.StatusOK, map[string]any{wrapperV2: serviceBodyV2(v)})
	return nil
}

// urlsV2 are the names that the API v2.0 has for the URLs of an endpoint, by interface.
var urlsV2 = map[string]string{"public": "publicurl", "internal": "internalurl", "admin": "adminurl"}

var endpointFieldsV2 = []string{"service_id", "region", "region_id", "interface", "url", "enabled", "publicurl", "internalurl", "adminurl"}

func createEndpointV2(c *call) error {
	o, err := c.member("endpoint")
	if err != nil {
		return err
	}
	for _, name := range []string{"publicurl", "service_id"} {
		if text, err := o.text(name); err != nil || orDefault(text, "") == "" {
			return fault.Invalid{Message: name + " field is required and cannot be empty"}
		}
	}
	f := fields{o: o}
	e := catalog.LegacyEndpoint{
		ServiceID: orDefault(f.text("service_id"), ""), RegionID: orDefault(f.text("region"), ""), Enabled: orDefault(f.boolean("enabled"), true),
		URLs: map[string]string{}, Extra: o.rest(endpointFieldsV2...),
	}
	for kind, name := range urlsV2 {
		e.URLs[kind] = orDefault(f.text(name), "")
	}
	if f.err != nil {
		return f.err
	}
	if e, err = c.s.Catalog.CreateLegacyEndpoint(c.ctx(), e); err != nil {
		return err
	}
	c.object = e.ID
	c.reply(http.StatusOK, map[string]any{"endpoint": endpointBodyV2(e)})
	return nil
}

func endpointBodyV2(e catalog.LegacyEndpoint) map[string]any {
	body := map[string]any{}
	for name, value := range e.Extra {
		body[name] = value
	}
	body["id"], body["service_id"], body["region"] = e.ID, e.ServiceID, orNull(e.RegionID)
	for kind, name := range urlsV2 {
		body[name] = orNull(e.URLs[kind])
	}
	return body
}
