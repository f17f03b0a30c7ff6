package server

import (
	"net/http"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/identity"
)

// userRoutesV2 are the users of the default domain.
func (s *Server) userRoutesV2(r routes) {
	users := s.users()
	user := users.inPath("user_id")
	single := "/v2.0/users/{user_id}"
	r.on("GET HEAD", "/v2.0/users", adminV2("list_users", nil, listUsersV2))
	r.on("POST", "/v2.0/users", adminV2("create_user", nil, createUserV2))
	r.on("GET HEAD", single, adminV2("get_user", user, func(c *call) error {
		u, err := c.userV2()
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"user": userBodyV2(u)})
		return nil
	}))
	update := adminV2("update_user", user, updateUserV2)
	r.on("PUT", single, update)
	r.on("DELETE", single, adminV2("delete_user", user, func(c *call) error {
		u, err := c.userV2()
		if err != nil {
			return err
		}
		if err := s.Identity.DeleteUser(c.ctx(), u.ID); err != nil {
			return err
		}
		return c.done()
	}))
	for _, part := range []string{"/password", "/tenant", "/enabled"} {
		r.on("PUT", single+"/OS-KSADM"+part, update)
		r.on("PUT", single+part, update)
	}
}

// userFieldsV2 are what a request cannot add to a user.
var userFieldsV2 = []string{"name", "username", "enabled", "tenantId", "tenant_id", "default_project_id", "domain_id", "password"}

func userBodyV2(u identity.User) map[string]any {
	body := map[string]any{}
	for name, value := range u.Extra {
		body[name] = value
	}
	body["id"], body["name"], body["username"], body["enabled"] = u.ID, u.Name, u.Name, u.Enabled
	if u.DefaultProjectID != "" {
		body["tenantId"] = u.DefaultProjectID
	}
	return body
}

// userInV2 reads a user of the API v2.0. The name may be called username.
func (c *call) userInV2(required bool) (change identity.Update, err error) {
	o, err := c.member("user")
	if err != nil {
		return change, err
	}
	if _, there := o["name"]; !there {
		if name, there := o["username"]; there {
			o["name"] = name
		}
	}
	if given, there := o["id"]; there && !required && given != c.param("user_id") {
		return change, fault.Invalid{Message: "Cannot change ID"}
	}
	change.Extra = o.rest(userFieldsV2...)
	if change.Name, err = nameV2(o, required); err != nil {
		return change, err
	}
	if change.Enabled, err = enabledV2(o); err != nil {
		return change, err
	}
	if change.DefaultProjectID, err = o.clearable("tenantId"); err != nil {
		return change, err
	}
	if change.DefaultProjectID == nil {
		change.DefaultProjectID, err = o.clearable("tenant_id")
	}
	if err == nil {
		change.Password, err = passwordIn(o, "password")
	}
	return change, err
}

// checkTenant says whether a user can be given a project of the default domain as theirs.
func (c *call) checkTenant(id *string) error {
	if orDefault(id, "") == "" {
		return nil
	}
	p, err := c.s.Assignment.Project(c.ctx(), *id)
	if err == nil && p.DomainID != assignment.DefaultDomainID {
		err = fault.NotFound{Kind: "project", ID: *id}
	}
	return err
}

func createUserV2(c *call) error {
	in, err := c.userInV2(true)
	if err != nil {
		return err
	}
	if err := c.checkTenant(in.DefaultProjectID); err != nil {
		return err
	}
	u, err := c.s.Identity.CreateUser(c.ctx(), identity.User{
		DomainID: assignment.DefaultDomainID, Name: *in.Name, Enabled: orDefault(in.Enabled, true),
		DefaultProjectID: orDefault(in.DefaultProjectID, ""), Extra: in.Extra,
	}, in.Password)
	if err != nil {
		return err
	}
	if u.DefaultProjectID != "" {
		if err := c.s.Assignment.AddMember(c.ctx(), c.s.memberRole(), u.ID, u.DefaultProjectID); err != nil {
			return err
		}
	}
	c.object = u.ID
	c.reply(http.StatusOK, map[string]any{"user": userBodyV2(u)})
	return nil
}

// updateUserV2 changes a user. Whose tenant becomes another one is a member of that instead.
func updateUserV2(c *call) error {
	before, err := c.userV2()
	if err != nil {
		return err
	}
	change, err := c.userInV2(false)
	if err != nil {
		return err
	}
	if err := c.checkTenant(change.DefaultProjectID); err != nil {
		return err
	}
	u, err := c.s.Identity.UpdateUser(c.ctx(), before.ID, change)
	if err != nil {
		return err
	}
	if change.DefaultProjectID != nil && before.DefaultProjectID != u.DefaultProjectID {
		if before.DefaultProjectID != "" {
			if err := c.s.Assignment.RemoveMember(c.ctx(), c.s.memberRole(), u.ID, before.DefaultProjectID); err != nil {
				return err
			}
		}
		if u.DefaultProjectID != "" {
			if err := c.s.Assignment.AddMember(c.ctx(), c.s.memberRole(), u.ID, u.DefaultProjectID); err != nil {
				return err
			}
		}
	}
	body := userBodyV2(u)
	body["extra"] = nonNil(u.Extra)
	c.reply(http.StatusOK, map[string]any{"user": body})
	return nil
}

// listUsersV2 is GET /v2.0/users; with ?name it answers with the one of that name.
func listUsersV2(c *call) error {
	if query := c.r.URL.Query(); query.Has("name") {
		u, err := c.s.Identity.UserByName(c.ctx(), assignment.DefaultDomainID, query.Get("name"))
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"user": userBodyV2(u)})
		return nil
	}
	all, err := c.s.Identity.Users(c.ctx(), inDefaultDomain)
	if err != nil {
		return err
	}
	c.replyUsersV2(all)
	return nil
}

func (c *call) replyUsersV2(list []identity.User) {
	bodies := []any{}
	for _, u := range list {
		bodies = append(bodies, userBodyV2(u))
	}
	c.reply(http.StatusOK, map[string]any{"users": bodies})
}
