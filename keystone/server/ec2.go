package server

import (
	"encoding/json"
	"net/http"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/policy"
)

// ec2Routes are the EC2 keys of a user (OS-EC2), which are credentials of type ec2.
func (s *Server) ec2Routes(r routes) {
	const many = "/v3/users/{user_id}/credentials/OS-EC2"
	const single = many + "/{credential_id}"
	users := s.users()
	user := users.inPath("user_id")
	r.on("POST", many, protect("identity:ec2_create_credential", user, noDelegated(createEC2)))
	r.on("GET HEAD", many, protect("identity:ec2_list_credentials", user, noDelegated(func(c *call) error {
		list, err := s.Credentials.Credentials(c.ctx(), filter.List{{Attribute: "user_id", Value: c.param("user_id")}, {Attribute: "type", Value: credential.EC2}})
		if err != nil {
			return err
		}
		bodies := make([]map[string]any, 0, len(list))
		for _, v := range list {
			body, err := c.ec2Body(v)
			if err != nil {
				return err
			}
			bodies = append(bodies, body)
		}
		c.reply(http.StatusOK, map[string]any{"credentials": bodies, "links": c.listLinks()})
		return nil
	})))
	owner := func(c *call) (policy.Target, error) {
		v, err := c.ec2InPath()
		if err != nil {
			return nil, err
		}
		return policy.Target{"target.credential.user_id": v.UserID}, nil
	}
	r.on("GET HEAD", single, protect("identity:ec2_get_credential", owner, noDelegated(func(c *call) error {
		v, err := c.ec2InPath()
		if err != nil {
			return err
		}
		body, err := c.ec2Body(v)
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"credential": body})
		return nil
	})))
	r.on("DELETE", single, protect("identity:ec2_delete_credential", owner, noDelegated(func(c *call) error {
		v, err := c.ec2InPath()
		if err != nil {
			return err
		}
		if err := s.Credentials.Delete(c.ctx(), v.ID); err != nil {
			return err
		}
		return c.done()
	})))
}

// createEC2 makes a key for a user and a project that the user has a role on.
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
	roles, err := c.s.Assignment.GrantedRoles(c.ctx(), assignment.Scope{UserID: userID, ProjectID: *projectID})
	if err != nil {
		return err
	}
	if len(roles) == 0 {
		if _, err := c.s.Assignment.Project(c.ctx(), *projectID); err != nil {
			return err
		}
		return fault.Forbidden{Message: "User " + userID + " has no role on project " + *projectID + "."}
	}
	blob, err := json.Marshal(credential.EC2Blob{Access: id.New(), Secret: id.New()})
	if err != nil {
		return err
	}
	v, err := c.s.Credentials.Create(c.ctx(), credential.Credential{UserID: userID, ProjectID: *projectID, Type: credential.EC2, Blob: string(blob)})
	if err != nil {
		return err
	}
	body, err := c.ec2Body(v)
	if err != nil {
		return err
	}
	c.reply(http.StatusCreated, map[string]any{"credential": body})
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
	return map[string]any{
		"user_id": v.UserID, "tenant_id": orNull(v.ProjectID), "access": blob.Access, "secret": blob.Secret, "trust_id": blob.TrustID,
		"links": map[string]any{"self": c.base() + "/v3/users/" + pathEscape(v.UserID) + "/credentials/OS-EC2/" + pathEscape(blob.Access)},
	}, nil
}
