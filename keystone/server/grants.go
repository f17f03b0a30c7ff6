package server

import (
	"authproxy/keystone/server/assignment"
)

// grantRoutes are the roles that users have on projects and domains.
func (s *Server) grantRoutes(r routes) {
	users, projects, domains, roles := s.users(), s.projects(), s.domains(), s.roles()
	user, role := users.inPath("user_id"), roles.inPath("role_id")
	for on, place := range map[string]target{"projects": projects.inPath("id"), "domains": domains.inPath("id")} {
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
		r.on("GET HEAD", all, protect("identity:list_grants", allOf(user, place), func(c *call) error {
			granted, err := s.Assignment.Granted(c.ctx(), grantOf(c).Scope())
			if err != nil {
				return err
			}
			roles.replyList(c, granted)
			return nil
		}))
		r.on("PUT", single, protect("identity:create_grant", allOf(user, place, role), func(c *call) error {
			if err := s.Assignment.Grant(c.ctx(), grantOf(c)); err != nil {
				return err
			}
			return c.done()
		}))
		r.on("GET HEAD", single, protect("identity:check_grant", allOf(user, place, role), func(c *call) error {
			if err := s.Assignment.CheckGrant(c.ctx(), grantOf(c)); err != nil {
				return err
			}
			return c.done()
		}))
		// What a user was granted can be taken back when the user is gone.
		r.on("DELETE", single, protect("identity:revoke_grant", allOf(ifThere(user), place, role), func(c *call) error {
			if err := s.Assignment.Ungrant(c.ctx(), grantOf(c)); err != nil {
				return err
			}
			return c.done()
		}))
	}
}
