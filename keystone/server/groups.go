package server

import (
	"context"

	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
)

func (s *Server) groupRoutes(r routes) {
	users, groups := s.users(), s.groups()
	add(r, groups)
	user, group := users.inPath("user_id"), groups.inPath("id")
	members := guard{action: "identity:list_users_in_group", filters: users.filters, objects: group}
	r.on("GET HEAD", "/v3/groups/{id}/users", members.protect(func(c *call) error {
		return users.answerList(c, func(ctx context.Context, where filter.List) ([]identity.User, error) {
			return s.Identity.Members(ctx, c.param("id"), where)
		})
	}))
	member := func(do func(ctx context.Context, groupID, userID string) error) handler {
		return func(c *call) error {
			if err := do(c.ctx(), c.param("id"), c.param("user_id")); err != nil {
				return err
			}
			return c.done()
		}
	}
	const single = "/v3/groups/{id}/users/{user_id}"
	r.on("PUT", single, protect("identity:add_user_to_group", allOf(user, group), member(s.Identity.AddMember)))
	r.on("GET HEAD", single, protect("identity:check_user_in_group", allOf(user, group), member(s.Identity.CheckMember)))
	r.on("DELETE", single, protect("identity:remove_user_from_group", allOf(user, group), member(s.Identity.RemoveMember)))
	own := guard{action: "identity:list_groups_for_user", filters: groups.filters, objects: users.inPath("id")}
	r.on("GET HEAD", "/v3/users/{id}/groups", own.protect(func(c *call) error {
		return groups.answerList(c, func(ctx context.Context, where filter.List) ([]identity.Group, error) {
			return s.Identity.GroupsOfUser(ctx, c.param("id"), where)
		})
	}))
}

func (s *Server) groups() resource[identity.Group] {
	return resource[identity.Group]{
		one: "group", many: "groups", section: "identity",
		filters:       map[string]filter.Kind{"domain_id": filter.Text, "name": filter.Text},
		create:        createGroup,
		get:           s.Identity.Group,
		list:          s.Identity.Groups,
		update:        updateGroup,
		remove:        s.Identity.DeleteGroup,
		extraOnUpdate: true,
		render: func(g identity.Group) (string, map[string]any, map[string]any) {
			return g.ID, map[string]any{"name": g.Name, "domain_id": g.DomainID, "description": g.Description}, g.Extra
		},
	}
}

var groupFields = []string{"name", "domain_id", "description"}

func createGroup(c *call, o object) (identity.Group, error) {
	f := fields{o: o}
	name, description := f.text("name"), f.text("description")
	if f.err != nil {
		return identity.Group{}, f.err
	}
	domainID, err := c.ownerDomain(o)
	if err != nil {
		return identity.Group{}, err
	}
	return c.s.Identity.CreateGroup(c.ctx(), identity.Group{
		DomainID: domainID, Name: orDefault(name, ""), Description: orDefault(description, ""), Extra: o.rest(groupFields...),
	})
}

func updateGroup(c *call, id string, o object) (identity.Group, error) {
	before, err := c.s.Identity.Group(c.ctx(), id)
	if err != nil {
		return identity.Group{}, err
	}
	if err := sameDomain(o, before.DomainID); err != nil {
		return identity.Group{}, err
	}
	f := fields{o: o}
	change := identity.GroupUpdate{Name: f.text("name"), Description: f.clearable("description"), Extra: o.rest(groupFields...)}
	if f.err != nil {
		return identity.Group{}, f.err
	}
	return c.s.Identity.UpdateGroup(c.ctx(), id, change)
}
