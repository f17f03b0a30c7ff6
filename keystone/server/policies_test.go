package server_test

import "testing"

func TestPolicies(t *testing.T) {
	c := newCloud(t, "uuid")
	admin := c.adminToken()
	id := c.do("POST", "/v3/policies", admin, obj{"policy": obj{"type": "application/json", "blob": `{"a": "b"}`, "note": "x"}}).want(201).str("policy", "id")
	a := c.do("GET", "/v3/policies/"+id, admin, nil).want(200)
	if a.str("policy", "blob") != `{"a": "b"}` || a.str("policy", "note") != "x" {
		t.Errorf("got %s", a.text)
	}
	c.do("POST", "/v3/policies", admin, obj{"policy": obj{"type": "text/plain", "blob": ""}}).want(201)
	if list := c.do("GET", "/v3/policies?type=text/plain", admin, nil).want(200).at("policies").([]any); len(list) != 1 {
		t.Errorf("%d policies of that type, want 1", len(list))
	}
	if a := c.do("PATCH", "/v3/policies/"+id, admin, obj{"policy": obj{"blob": "new"}}).want(200); a.str("policy", "blob") != "new" || a.str("policy", "type") != "application/json" {
		t.Errorf("changed %s", a.text)
	}
	for _, body := range []obj{{"type": "x"}, {"blob": "x"}, {"type": 1, "blob": "x"}, {"type": "", "blob": "x"}} {
		c.do("POST", "/v3/policies", admin, obj{"policy": body}).want(400)
	}
	c.do("PATCH", "/v3/policies/"+id, admin, obj{"policy": obj{"blob": obj{}}}).want(400)
	c.do("PATCH", "/v3/policies/"+id, admin, obj{"policy": obj{"id": "other"}}).want(400)
	c.newUser("alice", "pw")
	c.do("GET", "/v3/policies/"+id, c.login("alice", "pw", nil).token(), nil).want(403)
	c.do("HEAD", "/v3/policies/"+id, admin, nil).want(200)
	c.do("DELETE", "/v3/policies/"+id, admin, nil).want(204)
	c.do("GET", "/v3/policies/"+id, admin, nil).want(404, "Could not find policy: "+id)
}

// geography is a cloud with an endpoint of a service in region low, which is in mid, which is in top.
type geography struct {
	*cloud
	admin, service, endpoint string
}

func newGeography(t *testing.T, lines ...string) *geography {
	c := &geography{cloud: newCloud(t, "uuid", lines...)}
	c.admin = c.adminToken()
	above := any(nil)
	for _, region := range []string{"top", "mid", "low"} {
		c.do("POST", "/v3/regions", c.admin, obj{"region": obj{"id": region, "parent_region_id": above}}).want(201)
		above = region
	}
	c.service = c.do("POST", "/v3/services", c.admin, obj{"service": obj{"type": "paint", "name": "brush"}}).want(201).str("service", "id")
	c.endpoint = c.newEndpoint("public", "low")
	return c
}

func (c *geography) newEndpoint(kind, region string) string {
	c.t.Helper()
	return c.do("POST", "/v3/endpoints", c.admin, obj{"endpoint": obj{"service_id": c.service, "interface": kind, "url": "http://h/" + region, "region_id": region}}).want(201).str("endpoint", "id")
}

func TestEndpointPolicy(t *testing.T) {
	c := newGeography(t)
	policy := func() string {
		return c.do("POST", "/v3/policies", c.admin, obj{"policy": obj{"type": "t", "blob": "b"}}).want(201).str("policy", "id")
	}
	one, two := policy(), policy()
	effective := func(want string) {
		t.Helper()
		a := c.do("GET", "/v3/endpoints/"+c.endpoint+"/OS-ENDPOINT-POLICY/policy", c.admin, nil)
		if want == "" {
			a.want(404)
		} else if a.want(200).str("policy", "id") != want {
			t.Errorf("got %s, want the policy %s", a.text, want)
		}
	}
	effective("")
	of := func(policy, place string) string { return "/v3/policies/" + policy + "/OS-ENDPOINT-POLICY/" + place }
	service := "services/" + c.service
	for _, step := range []struct {
		policy, place string
		effective     string
	}{
		{one, service, one},
		{two, service + "/regions/top", two},
		{one, service + "/regions/mid", one},
		{two, service + "/regions/low", two},
		{one, "endpoints/" + c.endpoint, one},
		{two, "endpoints/" + c.endpoint, two}, // instead
	} {
		path := of(step.policy, step.place)
		c.do("GET", path, c.admin, nil).want(404)
		c.do("PUT", path, c.admin, nil).want(204)
		c.do("PUT", path, c.admin, nil).want(204)
		c.do("GET", path, c.admin, nil).want(204)
		c.do("HEAD", path, c.admin, nil).want(204)
		effective(step.effective)
	}
	c.do("GET", of(one, "endpoints/"+c.endpoint), c.admin, nil).want(404)
	c.do("DELETE", of(one, "endpoints/"+c.endpoint), c.admin, nil).want(404)
	count := func(policy string, n int) {
		t.Helper()
		if list := c.do("GET", of(policy, "endpoints"), c.admin, nil).want(200).at("endpoints").([]any); len(list) != n {
			t.Errorf("%d endpoints, want %d", len(list), n)
		}
	}
	elsewhere := c.newEndpoint("admin", "RegionOne")
	count(one, 2)
	count(two, 1)
	c.do("DELETE", of(two, "endpoints/"+c.endpoint), c.admin, nil).want(204)
	effective(two) // in its region
	c.do("DELETE", of(two, service+"/regions/low"), c.admin, nil).want(204)
	effective(one) // in the one above
	c.do("DELETE", "/v3/policies/"+one, c.admin, nil).want(204)
	effective(two) // in the highest
	if list := c.do("GET", of(two, "endpoints"), c.admin, nil).want(200).at("endpoints").([]any); len(list) != 1 || list[0].(obj)["id"] == elsewhere {
		t.Errorf("got %v", list)
	}
	for _, place := range []string{"endpoints/none", "services/none", "services/" + c.service + "/regions/none", "services/none/regions/top"} {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			c.do(method, of(two, place), c.admin, nil).want(404)
		}
	}
	c.do("PUT", of("none", service), c.admin, nil).want(404)
	c.do("GET", of("none", "endpoints"), c.admin, nil).want(404)
	c.do("GET", "/v3/endpoints/none/OS-ENDPOINT-POLICY/policy", c.admin, nil).want(404)
	c.newUser("alice", "pw")
	c.do("PUT", of(two, service), c.login("alice", "pw", nil).token(), nil).want(403)
}
