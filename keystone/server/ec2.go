package server

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/policy"
)

// ec2Routes are the EC2 keys of a user (OS-EC2), which are credentials of type ec2.
func (s *Server) ec2Routes(r routes) {
	s.ec2KeyRoutes(r, "/v3")
	r.on("POST", "/v3/ec2tokens", login(forServices(ec2Token)))
	r.on("POST", "/v3/s3tokens", login(forServices(s3Token)))
}

// ec2RoutesV2 are the same by v2.0, for the users of the default domain.
func (s *Server) ec2RoutesV2(r routes) {
	s.ec2KeyRoutes(r, "/v2.0")
	r.on("POST", "/v2.0/ec2tokens", login(forServices(ec2Token)))
	if r.l.Admin {
		r.on("POST", "/v2.0/s3tokens", login(forServices(s3Token)))
	}
}

func (s *Server) ec2KeyRoutes(r routes, version string) {
	many := version + "/users/{user_id}/credentials/OS-EC2"
	single := many + "/{credential_id}"
	users := s.users()
	user := users.inPath("user_id")
	// What is not there would be that user's.
	owner := func(c *call) (policy.Target, error) {
		_, err := c.ec2InPath()
		return policy.Target{"target.credential.user_id": c.param("user_id")}, err
	}
	on := func(methods, path, action string, objects target, h handler) {
		r.on(methods, path, protect(action, objects, noDelegated(func(c *call) error {
			if c.isV2() {
				if _, err := c.userV2(); err != nil {
					return err
				}
			}
			return h(c)
		})))
	}
	on("POST", many, "identity:ec2_create_credential", user, createEC2)
	on("GET HEAD", many, "identity:ec2_list_credentials", user, listEC2)
	on("GET HEAD", single, "identity:ec2_get_credential", owner, func(c *call) error {
		v, err := c.ec2InPath()
		if err != nil {
			return err
		}
		if err := c.mayLoginAs(v.UserID); err != nil {
			return err
		}
		body, err := c.ec2Body(v)
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"credential": body})
		return nil
	})
	on("DELETE", single, "identity:ec2_delete_credential", owner, func(c *call) error {
		v, err := c.ec2InPath()
		if err != nil {
			return err
		}
		if err := s.Credentials.Delete(c.ctx(), v.ID); err != nil {
			return err
		}
		return c.done()
	})
}

// isV2 says whether a request is by the API v2.0.
func (c *call) isV2() bool { return strings.HasPrefix(c.route, "/v2.0/") }

// mayLoginAs refuses callers who make, read or change the EC2 key of somebody else, whom they can log in as by that, but for those
// who may change that user, and so the password. Rules about credentials that look at roles alone (those of Kilo's v3 cloud sample do)
// would let the administrator of one domain into all others.
func (c *call) mayLoginAs(userID string) error {
	if c.caller.Admin || userID == c.caller.UserID() {
		return nil
	}
	rule := c.s.Policy.Rule("identity:update_user")
	t := policy.Target{"user_id": userID}
	var missing error
	if rule.Needs("target.") {
		users := c.s.users()
		stored, err := users.target(c, userID)
		if err != nil && !fault.IsNotFound(err) {
			return err
		}
		maps.Copy(t, stored)
		missing = err
	}
	if denied := rule.Check(c.ctx(), c.caller, t); denied != nil {
		return denied
	}
	return missing
}

func listEC2(c *call) error {
	if err := c.mayLoginAs(c.param("user_id")); err != nil {
		return err
	}
	where := filter.List{{Attribute: "user_id", Value: c.param("user_id")}, {Attribute: "type", Value: credential.EC2}}
	limit := c.s.listLimit("credential")
	if c.isV2() { // its lists are not limited
		limit = 0
	}
	if limit > 0 {
		where = append(where, filter.AtMost(limit+1))
	}
	list, err := c.s.Credentials.Credentials(c.ctx(), where)
	if err != nil {
		return err
	}
	truncated := limit > 0 && len(list) > limit
	if truncated {
		list = list[:limit]
	}
	bodies := make([]map[string]any, 0, len(list))
	for _, v := range list {
		body, err := c.ec2Body(v)
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
	}
	if c.isV2() {
		c.reply(http.StatusOK, map[string]any{"credentials": bodies})
		return nil
	}
	c.replyList("credentials", bodies, truncated)
	return nil
}

// createEC2 makes a key for a user and a project. It is good while the user has a role there.
func createEC2(c *call) error {
	o, err := c.body()
	if err != nil {
		return err
	}
	projectID, err := o.text("tenant_id")
	if err != nil {
		return err
	}
	if projectID == nil || *projectID == "" {
		return fault.Missing("tenant_id", "request body")
	}
	userID := c.param("user_id")
	if err := c.mayLoginAs(userID); err != nil {
		return err
	}
	blob := credential.EC2Blob{Access: id.New(), Secret: id.New()}
	text, err := json.Marshal(blob)
	if err != nil {
		return err
	}
	v, err := c.s.Credentials.Create(c.ctx(), credential.Credential{UserID: userID, ProjectID: *projectID, Type: credential.EC2, Blob: string(text)})
	if err != nil {
		return err
	}
	body, err := c.ec2Body(v)
	if err != nil {
		return err
	}
	c.object = blob.Access
	status := http.StatusCreated
	if c.isV2() {
		status = http.StatusOK
	}
	c.reply(status, map[string]any{"credential": body})
	return nil
}

// ec2InPath is the EC2 credential with the access key in the path, if it is that user's.
func (c *call) ec2InPath() (credential.Credential, error) {
	access := c.param("credential_id")
	v, err := c.s.Credentials.Credential(c.ctx(), credential.EC2ID(access))
	if fault.IsNotFound(err) || err == nil && (v.Type != credential.EC2 || v.UserID != c.param("user_id")) {
		return credential.Credential{}, fault.NotFound{Kind: "credential", ID: access}
	}
	return v, err
}

func (c *call) ec2Body(v credential.Credential) (map[string]any, error) {
	blob, err := credential.ParseEC2(v.Blob)
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"user_id": v.UserID, "tenant_id": orNull(v.ProjectID), "access": blob.Access, "secret": blob.Secret, "trust_id": blob.TrustID,
	}
	if !c.isV2() {
		body["links"] = map[string]any{"self": c.base() + "/v3/users/" + pathEscape(v.UserID) + "/credentials/OS-EC2/" + pathEscape(blob.Access)}
	}
	return body, nil
}
