package server

import (
	"authproxy/keystone/server/assignment"
)

// grantRoutes are the roles that users have on projects and domains.
func (s *Server) grantRoutes(r routes) {
	for _, on := range []string{"projects", "domains"} {
		grantOf := func(c *call) assignment.Grant {
			g := assignment.Grant{UserID: c.param("user_id"), RoleID: c.param("role_id")}
			if on == "projects" {
				g.ProjectID = c.param("id")
			} else {
				g.DomainID = c.param("id")
			}
			return g
		}
		all := "/v3/" + on + "/{id}/users/{user_id}/roles"
		single := all + "/{role_id}"
		r.on("GET HEAD", all, protect("identity:list_grants", nil, func(c *call) error {
			roles, err := s.Assignment.Granted(c.ctx(), grantOf(c).Scope())
			if err != nil {
				return err
			}
			res := s.roles()
			res.replyList(c, roles)
			return nil
		}))
		r.on("PUT", single, protect("identity:create_grant", nil, func(c *call) error {
			if err := s.Assignment.Grant(c.ctx(), grantOf(c)); err != nil {
				return err
			}
			return c.done()
		}))
		r.on("GET HEAD", single, protect("identity:check_grant", nil, func(c *call) error {
			if err := s.Assignment.CheckGrant(c.ctx(), grantOf(c)); err != nil {
				return err
			}
			return c.done()
		}))
		r.on("DELETE", single, protect("identity:revoke_grant", nil, func(c *call) error {
			if err := s.Assignment.Ungrant(c.ctx(), grantOf(c)); err != nil {
				return err
			}
			return c.done()
		}))
	}
}
