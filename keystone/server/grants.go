package server

import (
	"authproxy/keystone/server/assignment"
)

// grantRoutes are the roles that users and groups have on projects and domains and, where inherited grants count, those that are
// inherited (OS-INHERIT).
func (s *Server) grantRoutes(r routes) {
	for _, on := range []string{"projects", "domains"} {
		for _, to := range []string{"users", "groups"} {
			s.grantRoutesFor(r, on, to, false)
			if s.Assignment.Inherit {
				s.grantRoutesFor(r, on, to, true)
			}
		}
	}
}

// grantRoutesFor are those of users or groups on projects or domains.
func (s *Server) grantRoutesFor(r routes, on, to string, inherited bool) {
	users, groups, projects, domains, roles := s.users(), s.groups(), s.projects(), s.domains(), s.roles()
	who, place, role := users.inPath("user_id"), projects.inPath("id"), roles.inPath("role_id")
	all := "/v3/" + on + "/{id}/users/{user_id}/roles"
	if to == "groups" {
		who, all = groups.inPath("group_id"), "/v3/"+on+"/{id}/groups/{group_id}/roles"
	}
	if on == "domains" {
		place = domains.inPath("id")
	}
	single := all + "/{role_id}"
	if inherited {
		const suffix = "/inherited_to_projects"
		all, single = inheritPath(all)+suffix, inheritPath(single)+suffix
	}
	grantOf := func(c *call) assignment.Grant {
		g := assignment.Grant{UserID: c.param("user_id"), GroupID: c.param("group_id"), RoleID: c.param("role_id"), Inherited: inherited}
		if on == "projects" {
			g.ProjectID = c.param("id")
		} else {
			g.DomainID = c.param("id")
		}
		return g
	}
	r.on("GET HEAD", all, protect("identity:list_grants", allOf(who, place), func(c *call) error {
		granted, err := s.Assignment.Granted(c.ctx(), grantOf(c))
		if err != nil {
			return err
		}
		roles.replyList(c, granted)
		return nil
	}))
	r.on("PUT", single, protect("identity:create_grant", allOf(who, place, role), func(c *call) error {
		if err := s.Assignment.Grant(c.ctx(), grantOf(c)); err != nil {
			return err
		}
		return c.done()
	}))
	r.on("GET HEAD", single, protect("identity:check_grant", allOf(who, place, role), func(c *call) error {
		if err := s.Assignment.CheckGrant(c.ctx(), grantOf(c)); err != nil {
			return err
		}
		return c.done()
	}))
	// What a user or group was granted can be taken back when they are gone.
	r.on("DELETE", single, protect("identity:revoke_grant", allOf(ifThere(who), place, role), func(c *call) error {
		if err := s.Assignment.Ungrant(c.ctx(), grantOf(c)); err != nil {
			return err
		}
		return c.done()
	}))
}

// inheritPath puts a path of the API under OS-INHERIT.
func inheritPath(path string) string { return "/v3/OS-INHERIT" + path[len("/v3"):] }
