package server

import (
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/policy"
)

// The Identity API v2.0 is an older way to the same users, projects (tenants) and tokens. It knows one domain, the default one;
// what is in others is not there for it. Tokens are got and validated on both ports. The rest is on the admin port alone, for who
// is an administrator by the rule admin_required and may do the same thing by the API v3: so it is no way around the rules that a
// cloud has for that (Keystone asks for admin_required alone, which lets the administrators of one domain into the default one).
func (s *Server) routesV2(r routes) {
	s.tokenRoutesV2(r)
	s.extensionRoutesV2(r)
	s.ec2RoutesV2(r)
	if !r.l.Admin {
		s.ownRoutesV2(r)
		return
	}
	s.tenantRoutesV2(r)
	s.userRoutesV2(r)
	s.roleRoutesV2(r)
	s.catalogRoutesV2(r)
}

const (
	adminRule   = "admin_required"
	serviceRule = "service_or_admin"
)

// adminV2 lets h answer administrators who may do an action of the API v3; objects may be nil.
func adminV2(action string, objects target, h handler) handler {
	fixed := policy.Target{"domain_id": assignment.DefaultDomainID}
	for _, one := range []string{"user", "project"} {
		fixed[one+".domain_id"] = assignment.DefaultDomainID
	}
	return guard{action: "identity:" + action, rule: adminRule, fixed: fixed, objects: objects}.protect(h)
}

var inDefaultDomain = filter.List{{Attribute: "domain_id", Value: assignment.DefaultDomainID}}

// member takes the object out of a request: {"tenant": {…}}.
func (c *call) member(name string) (object, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	o, ok := body.member(name)
	if !ok {
		return nil, fault.Missing(name, "request body")
	}
	return o, nil
}

// tenant is the project of the default domain that the path names.
func (c *call) tenant() (assignment.Project, error) {
	id := c.param("project_id")
	p, err := c.s.Assignment.Project(c.ctx(), id)
	if err == nil && p.DomainID != assignment.DefaultDomainID {
		err = fault.NotFound{Kind: "project", ID: id}
	}
	return p, err
}

// userV2 is the user of the default domain that the path names.
func (c *call) userV2() (identity.User, error) {
	id := c.param("user_id")
	u, err := c.s.Identity.User(c.ctx(), id)
	if err == nil && u.DomainID != assignment.DefaultDomainID {
		err = fault.NotFound{Kind: "user", ID: id}
	}
	return u, err
}

// nameV2 is the name in a request that makes or changes something; required says that there has to be one.
func nameV2(o object, required bool) (*string, error) {
	name, err := o.text("name")
	if err == nil && (name == nil && required || name != nil && *name == "") {
		err = fault.Invalid{Message: "Name field is required and cannot be empty"}
	}
	return name, err
}

// enabledV2 is true or false in a request.
func enabledV2(o object) (*bool, error) {
	enabled, err := o.boolean("enabled")
	if err != nil {
		return nil, fault.Invalid{Message: "Enabled field must be a boolean"}
	}
	return enabled, nil
}
