package server_test

import (
	"slices"
	"testing"
)

const filterPath = "/v3/OS-EP-FILTER/"

func TestEndpointFilter(t *testing.T) {
	c := newGeography(t)
	_, project, _ := c.newUser("alice", "pw")
	other := c.newEndpoint("admin", "mid")
	ids := func(path, kind string) (ids []string) {
		t.Helper()
		for _, v := range c.do("GET", filterPath+path, c.admin, nil).want(200).at(kind).([]any) {
			ids = append(ids, v.(obj)["id"].(string))
		}
		return ids
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	pair := filterPath + "projects/" + project + "/endpoints/" + c.endpoint
	c.do("HEAD", pair, c.admin, nil).want(404)
	c.do("DELETE", pair, c.admin, nil).want(404)
	for range 2 {
		c.do("PUT", pair, c.admin, nil).want(204)
	}
	c.do("HEAD", pair, c.admin, nil).want(204)
	c.do("GET", pair, c.admin, nil).want(204)
	same("endpoints", ids("projects/"+project+"/endpoints", "endpoints"), c.endpoint)
	same("projects", ids("endpoints/"+c.endpoint+"/projects", "projects"), project)

	group := func(filters any) *answer {
		return c.do("POST", filterPath+"endpoint_groups", c.admin, obj{"endpoint_group": obj{"name": "n", "filters": filters}})
	}
	a := group(obj{"interface": "admin", "region_id": "mid"}).want(201)
	id := a.str("endpoint_group", "id")
	path := filterPath + "endpoint_groups/" + id
	if a.at("endpoint_group", "description") != nil || a.str("endpoint_group", "links", "self") != c.public.URL+path {
		t.Errorf("made %s", a.text)
	}
	for _, wrong := range []any{nil, obj{}, "x", obj{"url": "x"}, obj{"interface": 1}} {
		group(wrong).want(400)
	}
	c.do("POST", filterPath+"endpoint_groups", c.admin, obj{"endpoint_group": obj{"filters": obj{"interface": "admin"}}}).want(400)
	c.do("HEAD", path, c.admin, nil).want(200)
	same("groups", ids("endpoint_groups", "endpoint_groups"), id)
	same("endpoints of the group", ids("endpoint_groups/"+id+"/endpoints", "endpoints"), other)
	inProject := path + "/projects/" + project
	c.do("GET", inProject, c.admin, nil).want(404)
	c.do("PUT", inProject, c.admin, nil).want(204)
	if a := c.do("GET", inProject, c.admin, nil).want(200); a.str("project_endpoint_group", "project_id") != project || a.str("project_endpoint_group", "endpoint_group_id") != id {
		t.Errorf("got %s", a.text)
	}
	c.do("HEAD", inProject, c.admin, nil).want(200)
	same("projects of the group", ids("endpoint_groups/"+id+"/projects", "projects"), project)
	same("groups of the project", ids("projects/"+project+"/endpoint_groups", "endpoint_groups"), id)
	same("endpoints by both", ids("projects/"+project+"/endpoints", "endpoints"), c.endpoint, other)
	same("projects by a group", ids("endpoints/"+other+"/projects", "projects"), project)
	if a := c.do("PATCH", path, c.admin, obj{"endpoint_group": obj{"filters": obj{"service_id": c.service}, "description": "d"}}).want(200); a.str("endpoint_group", "description") != "d" {
		t.Errorf("changed %s", a.text)
	}
	c.do("PATCH", path, c.admin, obj{"endpoint_group": obj{"filters": obj{"x": "y"}}}).want(400)
	same("endpoints of the changed group", ids("endpoint_groups/"+id+"/endpoints", "endpoints"), c.endpoint, other)
	c.do("DELETE", inProject, c.admin, nil).want(204)
	c.do("DELETE", inProject, c.admin, nil).want(404)
	c.do("PUT", inProject, c.admin, nil).want(204)
	c.do("DELETE", path, c.admin, nil).want(204)
	c.do("GET", path, c.admin, nil).want(404)
	same("the group is gone", ids("projects/"+project+"/endpoint_groups", "endpoint_groups"))

	for _, path := range []string{"projects/none/endpoints/" + c.endpoint, "projects/" + project + "/endpoints/none", "endpoint_groups/none/projects/" + project} {
		c.do("PUT", filterPath+path, c.admin, nil).want(404)
		c.do("GET", filterPath+path, c.admin, nil).want(404)
	}
	for _, path := range []string{"projects/none/endpoints", "endpoints/none/projects", "endpoint_groups/none/projects", "endpoint_groups/none/endpoints", "projects/none/endpoint_groups"} {
		c.do("GET", filterPath+path, c.admin, nil).want(404)
	}
	c.do("PUT", pair, c.login("alice", "pw", nil).token(), nil).want(403)
}

func TestFilteredCatalog(t *testing.T) {
	catalog := func(c *geography, project string) (types []string) {
		for _, s := range c.login("alice", "pw", obj{"project": obj{"id": project}}).at("token", "catalog").([]any) {
			types = append(types, s.(obj)["type"].(string))
		}
		slices.Sort(types)
		return types
	}
	const filtered = "keystone.contrib.endpoint_filter.backends.catalog_sql.EndpointFilterCatalog"
	all, one, none := []string{"identity", "paint"}, []string{"paint"}, []string(nil)
	for name, test := range map[string]struct {
		lines                            []string
		before, with, withGroup, nothing []string
	}{
		"plain":          {nil, all, all, all, all},
		"filtered":       {[]string{"[catalog]", "driver = " + filtered}, all, one, all, none},
		"none if no own": {[]string{"[catalog]", "driver = endpoint_filter.sql", "[endpoint_filter]", "return_all_endpoints_if_no_filter = false"}, none, one, all, none},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGeography(t, test.lines...)
			_, project, _ := c.newUser("alice", "pw")
			check := func(when string, want []string) {
				t.Helper()
				if got := catalog(c, project); !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", when, got, want)
				}
			}
			check("before", test.before)
			pair := filterPath + "projects/" + project + "/endpoints/" + c.endpoint
			c.do("PUT", pair, c.admin, nil).want(204)
			check("with an endpoint", test.with)
			own := c.do("GET", "/v3/auth/catalog", c.login("alice", "pw", obj{"project": obj{"id": project}}).token(), nil).want(200)
			if n := len(own.at("catalog").([]any)); n != len(test.with) {
				t.Errorf("%d services in the catalog that is asked for, want %d", n, len(test.with))
			}
			id := c.do("POST", filterPath+"endpoint_groups", c.admin, obj{"endpoint_group": obj{"name": "n", "filters": obj{"region_id": "RegionOne"}}}).want(201).str("endpoint_group", "id")
			c.do("PUT", filterPath+"endpoint_groups/"+id+"/projects/"+project, c.admin, nil).want(204)
			check("with a group", test.withGroup)
			c.do("DELETE", pair, c.admin, nil).want(204)
			c.do("PATCH", filterPath+"endpoint_groups/"+id, c.admin, obj{"endpoint_group": obj{"filters": obj{"region_id": "nowhere"}}}).want(200)
			check("with a group of nothing", test.nothing)
			if domain := c.do("GET", "/v3/domains/default", c.admin, nil); domain.status != 200 {
				t.Error("the administrator's own tokens are not to suffer")
			}
		})
	}
}
