package server

import (
	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/patch"
)

// credentialRoutes are closed to delegated tokens: a secret outlives the token that it is made or read with.
func (s *Server) credentialRoutes(r routes) {
	add(r, s.credentials())
	s.ec2Routes(r)
}

func (s *Server) credentials() resource[credential.Credential] {
	return resource[credential.Credential]{
		one: "credential", many: "credentials", section: "credential",
		filters:     map[string]filter.Kind{"user_id": filter.Text, "type": filter.Text},
		create:      createCredential,
		get:         s.Credentials.Credential,
		list:        s.Credentials.Credentials,
		visible:     func(c *call, v credential.Credential) error { return c.mayHave(v) },
		update:      updateCredential,
		remove:      s.Credentials.Delete,
		noDelegated: true,
		render: func(v credential.Credential) (string, map[string]any, map[string]any) {
			return v.ID, map[string]any{"user_id": v.UserID, "project_id": orNull(v.ProjectID), "type": v.Type, "blob": v.Blob}, v.Extra
		},
	}
}

var credentialFields = []string{"user_id", "project_id", "type", "blob"}

func createCredential(c *call, o object) (credential.Credential, error) {
	for _, name := range []string{"user_id", "type", "blob"} {
		if o[name] == nil {
			return credential.Credential{}, fault.Required(name)
		}
	}
	f := fields{o: o}
	v := credential.Credential{UserID: orDefault(f.text("user_id"), ""), ProjectID: orDefault(f.text("project_id"), ""),
		Type: orDefault(f.text("type"), ""), Blob: orDefault(f.secret("blob"), ""), Extra: o.rest(credentialFields...)}
	if f.err != nil {
		return credential.Credential{}, f.err
	}
	if err := c.mayHave(v); err != nil {
		return credential.Credential{}, err
	}
	return c.s.Credentials.Create(c.ctx(), v)
}

func updateCredential(c *call, id string, o object) (credential.Credential, error) {
	f := fields{o: o}
	change := credential.Update{UserID: f.text("user_id"), ProjectID: f.clearable("project_id"), Type: f.text("type"), Blob: f.secret("blob"),
		Extra: o.rest(credentialFields...)}
	if f.err != nil {
		return credential.Credential{}, f.err
	}
	for _, after := range []credential.Update{{}, change} { // as it is, and as it is to be
		v, err := c.s.Credentials.Credential(c.ctx(), id)
		if err != nil {
			return credential.Credential{}, err
		}
		patch.Set(&v.UserID, after.UserID)
		patch.Set(&v.Type, after.Type)
		if err := c.mayHave(v); err != nil {
			return credential.Credential{}, err
		}
	}
	return c.s.Credentials.Update(c.ctx(), id, change)
}

// mayHave refuses callers for whom a credential is a way to log in as somebody else.
func (c *call) mayHave(v credential.Credential) error {
	if v.Type != credential.EC2 {
		return nil
	}
	return c.mayLoginAs(v.UserID)
}

// secret is a string under a name, nil where there is none. Unlike other members it is never repeated in an error.
func (f *fields) secret(name string) *string {
	return keep(f, name, func(name string) (*string, error) { return passwordIn(f.o, name) })
}
