package server

import (
	"fmt"
	"net/http"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/identity"
)

// roleRoutesV2 are the roles, and who has them on a tenant.
func (s *Server) roleRoutesV2(r routes) {
	users, projects, roles := s.users(), s.projects(), s.roles()
	user, tenant, role := users.inPath("user_id"), projects.inPath("project_id"), roles.inPath("role_id")
	const all = "/v2.0/OS-KSADM/roles"
	r.on("GET HEAD", all, adminV2("list_roles", nil, func(c *call) error {
		list, err := s.Assignment.Roles(c.ctx(), nil)
		if err != nil {
			return err
		}
		c.replyRolesV2(list)
		return nil
	}))
	r.on("POST", all, adminV2("create_role", nil, createRoleV2))
	r.on("GET HEAD", all+"/{role_id}", adminV2("get_role", role, func(c *call) error {
		v, err := s.Assignment.Role(c.ctx(), c.param("role_id"))
		if err != nil {
			return err
		}
		c.replyRoleV2(v)
		return nil
	}))
	r.on("DELETE", all+"/{role_id}", adminV2("delete_role", role, func(c *call) error {
		if err := s.Assignment.DeleteRole(c.ctx(), c.param("role_id")); err != nil {
			return err
		}
		return c.done()
	}))

	r.on("GET HEAD", "/v2.0/tenants/{project_id}/users", adminV2("list_users", tenant, listTenantUsers))
	const granted = "/v2.0/tenants/{project_id}/users/{user_id}/roles"
	r.on("GET HEAD", granted, adminV2("list_grants", allOf(user, tenant), func(c *call) error {
		scope, err := c.scopeV2()
		if err != nil {
			return err
		}
		list, err := s.Assignment.Granted(c.ctx(), grantV2(scope, ""))
		if err != nil {
			return err
		}
		c.replyRolesV2(list)
		return nil
	}))
	r.on("PUT POST", granted+"/OS-KSADM/{role_id}", adminV2("create_grant", allOf(user, tenant, role), addRoleV2))
	r.on("DELETE", granted+"/OS-KSADM/{role_id}", adminV2("revoke_grant", allOf(user, tenant, role), func(c *call) error {
		scope, err := c.scopeV2()
		if err != nil {
			return err
		}
		if err := s.Assignment.Ungrant(c.ctx(), grantV2(scope, c.param("role_id"))); err != nil {
			return err
		}
		return c.done()
	}))

	// Roles that are not on a tenant are gone from the API, but for these answers.
	const global = "/v2.0/users/{user_id}/roles"
	r.on("GET HEAD", global, adminV2("list_grants", user, func(*call) error { return fault.NotFound{Kind: "project", ID: "None"} }))
	needTenant := adminV2("create_grant", user, func(*call) error {
		return fault.NotImplemented{What: "User roles not supported: tenant_id required"}
	})
	r.on("PUT POST DELETE", global+"/OS-KSADM/{role_id}", needTenant)
}

func (c *call) scopeV2() (assignment.Scope, error) {
	p, err := c.tenant()
	if err != nil {
		return assignment.Scope{}, err
	}
	u, err := c.userV2()
	return assignment.Scope{UserID: u.ID, ProjectID: p.ID}, err
}

func grantV2(s assignment.Scope, roleID string) assignment.Grant {
	return assignment.Grant{UserID: s.UserID, ProjectID: s.ProjectID, RoleID: roleID}
}

func createRoleV2(c *call) error {
	o, err := c.member("role")
	if err != nil {
		return err
	}
	name, err := nameV2(o, true)
	if err != nil {
		return err
	}
	v, err := c.s.Assignment.CreateRole(c.ctx(), assignment.Role{Name: *name, Extra: o.rest("name")})
	if err != nil {
		return err
	}
	c.object = v.ID
	c.replyRoleV2(v)
	return nil
}

// addRoleV2 gives a user a role on a tenant. Unlike in v3, to give it again is a conflict.
func addRoleV2(c *call) error {
	scope, err := c.scopeV2()
	if err != nil {
		return err
	}
	v, err := c.s.Assignment.Role(c.ctx(), c.param("role_id"))
	if err != nil {
		return err
	}
	grant := grantV2(scope, v.ID)
	switch err := c.s.Assignment.CheckGrant(c.ctx(), grant); {
	case err == nil:
		return fault.Conflict{Kind: "role grant", Detail: fmt.Sprintf("User %s already has role %s in tenant %s", scope.UserID, v.ID, scope.ProjectID)}
	case !fault.IsNotFound(err):
		return err
	}
	if err := c.s.Assignment.Grant(c.ctx(), grant); err != nil {
		return err
	}
	c.replyRoleV2(v)
	return nil
}

// listTenantUsers are the users who have a role on a tenant themselves.
func listTenantUsers(c *call) error {
	p, err := c.tenant()
	if err != nil {
		return err
	}
	ids, err := c.s.Assignment.UsersOfProject(c.ctx(), p.ID)
	if err != nil {
		return err
	}
	list := []identity.User{}
	for _, id := range ids {
		u, err := c.s.Identity.User(c.ctx(), id)
		if fault.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if u.DomainID == assignment.DefaultDomainID {
			list = append(list, u)
		}
	}
	c.replyUsersV2(list)
	return nil
}

func roleBodyV2(v assignment.Role) map[string]any {
	body := map[string]any{}
	for name, value := range v.Extra {
		body[name] = value
	}
	body["id"], body["name"] = v.ID, v.Name
	return body
}

func (c *call) replyRoleV2(v assignment.Role) {
	c.reply(http.StatusOK, map[string]any{"role": roleBodyV2(v)})
}

func (c *call) replyRolesV2(list []assignment.Role) {
	bodies := []any{}
	for _, v := range list {
		bodies = append(bodies, roleBodyV2(v))
	}
	c.reply(http.StatusOK, map[string]any{"roles": bodies})
}
