package server

import (
	"context"
	"net/http"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/policies"
)

// policyRoutes are the policies of other services, and the endpoints that they are for (OS-ENDPOINT-POLICY).
func (s *Server) policyRoutes(r routes) {
	res := s.policies()
	add(r, res)
	const of = "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/"
	for path, actions := range map[string]struct{ create, check, remove string }{
		"endpoints/{endpoint_id}": {"identity:create_policy_association_for_endpoint",
			"identity:check_policy_association_for_endpoint", "identity:delete_policy_association_for_endpoint"},
		"services/{service_id}": {"identity:create_policy_association_for_service",
			"identity:check_policy_association_for_service", "identity:delete_policy_association_for_service"},
		"services/{service_id}/regions/{region_id}": {"identity:create_policy_association_for_region_and_service",
			"identity:check_policy_association_for_region_and_service", "identity:delete_policy_association_for_region_and_service"},
	} {
		r.on("PUT", of+path, protect(actions.create, nil, onAssociation(s.Policies.Associate)))
		r.on("GET HEAD", of+path, protect(actions.check, nil, onAssociation(s.Policies.CheckAssociation)))
		r.on("DELETE", of+path, protect(actions.remove, nil, onAssociation(s.Policies.Dissociate)))
	}
	endpoints := s.endpoints()
	r.on("GET HEAD", of+"endpoints", protect("identity:list_endpoints_for_policy", nil, func(c *call) error {
		list, err := s.Policies.Endpoints(c.ctx(), c.param("policy_id"))
		if err != nil {
			return err
		}
		endpoints.replyList(c, list)
		return nil
	}))
	r.on("GET HEAD", "/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy", protect("identity:get_policy_for_endpoint", nil, func(c *call) error {
		p, err := s.Policies.ForEndpoint(c.ctx(), c.param("endpoint_id"))
		if err != nil {
			return err
		}
		res.reply(c, http.StatusOK, p)
		return nil
	}))
}

// onAssociation does something with the association in the path and answers 204.
func onAssociation(do func(ctx context.Context, a policies.Association) error) handler {
	return func(c *call) error {
		a := policies.Association{PolicyID: c.param("policy_id"), Place: policies.Place{
			EndpointID: c.param("endpoint_id"), ServiceID: c.param("service_id"), RegionID: c.param("region_id")}}
		if err := do(c.ctx(), a); err != nil {
			return err
		}
		return c.done()
	}
}

func (s *Server) policies() resource[policies.Policy] {
	return resource[policies.Policy]{
		one: "policy", many: "policies", section: "policy",
		filters: map[string]filter.Kind{"type": filter.Text},
		create:  createPolicy,
		get:     s.Policies.Policy,
		list:    s.Policies.Policies,
		update:  updatePolicy,
		remove:  s.Policies.Delete,
		render: func(p policies.Policy) (string, map[string]any, map[string]any) {
			return p.ID, map[string]any{"type": p.Type, "blob": p.Blob}, p.Extra
		},
	}
}

func createPolicy(c *call, o object) (policies.Policy, error) {
	for _, name := range []string{"blob", "type"} {
		if o[name] == nil {
			return policies.Policy{}, fault.Required(name)
		}
	}
	f := fields{o: o}
	p := policies.Policy{Type: orDefault(f.text("type"), ""), Blob: orDefault(f.text("blob"), ""), Extra: o.rest("type", "blob")}
	if f.err != nil {
		return policies.Policy{}, f.err
	}
	return c.s.Policies.Create(c.ctx(), p)
}

func updatePolicy(c *call, id string, o object) (policies.Policy, error) {
	f := fields{o: o}
	change := policies.Update{Type: f.text("type"), Blob: f.text("blob"), Extra: o.rest("type", "blob")}
	if f.err != nil {
		return policies.Policy{}, f.err
	}
	return c.s.Policies.Update(c.ctx(), id, change)
}
