package server

import (
	"context"
	"net/http"

	"authproxy/keystone/server/endpointfilter"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const filterPath = "/v3/OS-EP-FILTER/"

// endpointFilterRoutes say which endpoints stand in the catalog of a project (OS-EP-FILTER).
func (s *Server) endpointFilterRoutes(r routes) {
	groups, projects, endpoints := s.endpointGroups(), s.projects(), s.endpoints()
	add(r, groups)

	const endpoint = filterPath + "projects/{project_id}/endpoints/{endpoint_id}"
	r.on("PUT", endpoint, protect("identity:add_endpoint_to_project", nil, onPair(s.EndpointFilter.AddEndpoint, "project_id", "endpoint_id")))
	r.on("GET HEAD", endpoint, protect("identity:check_endpoint_in_project", nil, onPair(s.EndpointFilter.HasEndpoint, "project_id", "endpoint_id")))
	r.on("DELETE", endpoint, protect("identity:remove_endpoint_from_project", nil, onPair(s.EndpointFilter.RemoveEndpoint, "project_id", "endpoint_id")))
	r.on("GET HEAD", filterPath+"projects/{project_id}/endpoints",
		protect("identity:list_endpoints_for_project", nil, listOf(endpoints, s.EndpointFilter.OfProject, "project_id")))
	r.on("GET HEAD", filterPath+"endpoints/{endpoint_id}/projects",
		protect("identity:list_projects_for_endpoint", nil, listOf(projects, s.EndpointFilter.ProjectsOfEndpoint, "endpoint_id")))

	const group = filterPath + "endpoint_groups/{endpoint_group_id}/projects/{project_id}"
	r.on("PUT", group, protect("identity:add_endpoint_group_to_project", nil, onPair(s.EndpointFilter.AddGroup, "project_id", "endpoint_group_id")))
	r.on("DELETE", group, protect("identity:remove_endpoint_group_from_project", nil, onPair(s.EndpointFilter.RemoveGroup, "project_id", "endpoint_group_id")))
	r.on("GET HEAD", group, protect("identity:get_endpoint_group_in_project", nil, func(c *call) error {
		projectID, groupID := c.param("project_id"), c.param("endpoint_group_id")
		if err := s.EndpointFilter.HasGroup(c.ctx(), projectID, groupID); err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"project_endpoint_group": map[string]any{
			"project_id": projectID, "endpoint_group_id": groupID, "links": map[string]any{
				"self": c.base() + filterPath + "endpoint_groups/" + pathEscape(groupID) + "/projects/" + pathEscape(projectID)},
		}})
		return nil
	}))
	r.on("GET HEAD", filterPath+"endpoint_groups/{endpoint_group_id}/projects",
		protect("identity:list_projects_associated_with_endpoint_group", nil, listOf(projects, s.EndpointFilter.ProjectsOfGroup, "endpoint_group_id")))
	r.on("GET HEAD", filterPath+"endpoint_groups/{endpoint_group_id}/endpoints",
		protect("identity:list_endpoints_associated_with_endpoint_group", nil, listOf(endpoints, s.EndpointFilter.OfGroup, "endpoint_group_id")))
	r.on("GET HEAD", filterPath+"projects/{project_id}/endpoint_groups",
		protect("identity:list_endpoint_groups_for_project", nil, listOf(groups, s.EndpointFilter.GroupsOfProject, "project_id")))
}

// onPair does something with two variables of the path and answers 204.
func onPair(do func(ctx context.Context, a, b string) error, a, b string) handler {
	return func(c *call) error {
		if err := do(c.ctx(), c.param(a), c.param(b)); err != nil {
			return err
		}
		return c.done()
	}
}

// listOf answers with what belongs to a variable of the path.
func listOf[T any](res resource[T], list func(ctx context.Context, id string) ([]T, error), variable string) handler {
	return func(c *call) error {
		found, err := list(c.ctx(), c.param(variable))
		if err != nil {
			return err
		}
		res.replyList(c, found)
		return nil
	}
}

func (s *Server) endpointGroups() resource[endpointfilter.Group] {
	return resource[endpointfilter.Group]{
		one: "endpoint_group", many: "endpoint_groups", section: "endpoint_filter",
		under:  "OS-EP-FILTER/",
		create: createEndpointGroup,
		get:    s.EndpointFilter.Group,
		list: func(ctx context.Context, _ filter.List) ([]endpointfilter.Group, error) {
			return s.EndpointFilter.Groups(ctx)
		},
		update: updateEndpointGroup,
		remove: s.EndpointFilter.DeleteGroup,
		render: func(g endpointfilter.Group) (string, map[string]any, map[string]any) {
			return g.ID, map[string]any{"name": g.Name, "description": g.Description, "filters": g.Filters}, g.Extra
		},
	}
}

var endpointGroupFields = []string{"name", "description", "filters"}

func createEndpointGroup(c *call, o object) (endpointfilter.Group, error) {
	for _, name := range []string{"name", "filters"} {
		if o[name] == nil {
			return endpointfilter.Group{}, fault.Required(name)
		}
	}
	f := fields{o: o}
	g := endpointfilter.Group{Name: orDefault(f.text("name"), ""), Description: f.text("description"), Filters: f.texts("filters"),
		Extra: o.rest(endpointGroupFields...)}
	if f.err != nil {
		return endpointfilter.Group{}, f.err
	}
	return c.s.EndpointFilter.CreateGroup(c.ctx(), g)
}

func updateEndpointGroup(c *call, id string, o object) (endpointfilter.Group, error) {
	f := fields{o: o}
	change := endpointfilter.Update{Name: f.text("name"), Description: f.text("description"), Filters: f.texts("filters"),
		Extra: o.rest(endpointGroupFields...)}
	if f.err != nil {
		return endpointfilter.Group{}, f.err
	}
	return c.s.EndpointFilter.UpdateGroup(c.ctx(), id, change)
}

// texts is an object of strings under a name, nil where there is none.
func (f *fields) texts(name string) map[string]string {
	if f.o[name] == nil {
		return nil
	}
	list := keep(f, name, func(name string) (*map[string]string, error) {
		inner, ok := f.o[name].(map[string]any)
		if !ok {
			return nil, fault.BadField(name, f.o[name])
		}
		list := map[string]string{}
		for key, v := range inner {
			text, ok := v.(string)
			if !ok {
				return nil, fault.BadField(name, v)
			}
			list[key] = text
		}
		return &list, nil
	})
	return orDefault(list, nil)
}
