package server

import (
	"net/http"
	"slices"
	"strconv"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
)

// tenantRoutesV2 are the projects of the default domain, called tenants.
func (s *Server) tenantRoutesV2(r routes) {
	projects := s.projects()
	tenant := projects.inPath("project_id")
	single := "/v2.0/tenants/{project_id}"
	r.on("GET HEAD", "/v2.0/tenants", adminV2("list_projects", nil, listTenants))
	r.on("POST", "/v2.0/tenants", adminV2("create_project", nil, createTenant))
	r.on("GET HEAD", single, adminV2("get_project", tenant, func(c *call) error {
		p, err := c.tenant()
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"tenant": tenantBody(p)})
		return nil
	}))
	r.on("POST PUT", single, adminV2("update_project", tenant, updateTenant))
	r.on("DELETE", single, adminV2("delete_project", tenant, func(c *call) error {
		p, err := c.tenant()
		if err != nil {
			return err
		}
		if err := s.Assignment.DeleteProject(c.ctx(), p.ID); err != nil {
			return err
		}
		return c.done()
	}))
}

// tenantFields are what a request cannot add to a tenant.
var tenantFields = []string{"name", "description", "enabled", "domain_id", "parent_id"}

func tenantBody(p assignment.Project) map[string]any {
	body := map[string]any{}
	for name, value := range p.Extra {
		body[name] = value
	}
	body["id"], body["name"], body["description"], body["enabled"] = p.ID, p.Name, p.Description, p.Enabled
	return body
}

func createTenant(c *call) error {
	o, err := c.member("tenant")
	if err != nil {
		return err
	}
	name, err := nameV2(o, true)
	if err != nil {
		return err
	}
	enabled, err := enabledV2(o)
	if err != nil {
		return err
	}
	description, err := o.text("description")
	if err != nil {
		return err
	}
	p, err := c.s.Assignment.CreateProject(c.ctx(), assignment.Project{
		DomainID: assignment.DefaultDomainID, Name: *name, Description: orDefault(description, ""), Enabled: orDefault(enabled, true),
		Extra: o.rest(tenantFields...),
	})
	if err != nil {
		return err
	}
	c.object = p.ID
	c.reply(http.StatusOK, map[string]any{"tenant": tenantBody(p)})
	return nil
}

func updateTenant(c *call) error {
	before, err := c.tenant()
	if err != nil {
		return err
	}
	o, err := c.member("tenant")
	if err != nil {
		return err
	}
	change := assignment.ProjectUpdate{Extra: o.rest(tenantFields...)}
	if change.Name, err = nameV2(o, false); err != nil {
		return err
	}
	if change.Enabled, err = enabledV2(o); err != nil {
		return err
	}
	if change.Description, err = o.clearable("description"); err != nil {
		return err
	}
	p, err := c.s.Assignment.UpdateProject(c.ctx(), before.ID, change)
	if err != nil {
		return err
	}
	body := tenantBody(p)
	body["extra"] = nonNil(p.Extra)
	c.reply(http.StatusOK, map[string]any{"tenant": body})
	return nil
}

// listTenants is GET /v2.0/tenants of the admin port; with ?name it answers with the one of that name.
func listTenants(c *call) error {
	if query := c.r.URL.Query(); query.Has("name") {
		p, err := c.s.Assignment.ProjectByName(c.ctx(), assignment.DefaultDomainID, query.Get("name"))
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"tenant": tenantBody(p)})
		return nil
	}
	all, err := c.s.Assignment.Projects(c.ctx(), inDefaultDomain)
	if err != nil {
		return err
	}
	return c.replyTenants(all)
}

// ownTenants is GET /v2.0/tenants of the public port: those that the caller may get a token for.
func ownTenants(c *call) error {
	if err := c.authenticate(); err != nil {
		return err
	}
	own, err := c.s.Assignment.UsableProjects(c.ctx(), c.caller.UserID())
	if err != nil {
		return err
	}
	own = slices.DeleteFunc(own, func(p assignment.Project) bool { return p.DomainID != assignment.DefaultDomainID })
	return c.replyTenants(own)
}

// replyTenants answers with those after ?marker=ID, ?limit=N at most.
func (c *call) replyTenants(list []assignment.Project) error {
	query := c.r.URL.Query()
	if query.Has("marker") {
		at := slices.IndexFunc(list, func(p assignment.Project) bool { return p.ID == query.Get("marker") })
		if at < 0 {
			return fault.Invalid{Message: "Marker could not be found"}
		}
		list = list[at+1:]
	}
	if query.Has("limit") {
		limit, err := strconv.ParseUint(query.Get("limit"), 10, 31)
		if err != nil {
			return fault.Invalid{Message: "Invalid limit value"}
		}
		list = list[:min(int(limit), len(list))]
	}
	bodies := []any{}
	for _, p := range list {
		bodies = append(bodies, tenantBody(p))
	}
	c.reply(http.StatusOK, map[string]any{"tenants": bodies, "tenants_links": []any{}})
	return nil
}
