package server

import (
	"net/http"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/identity"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/server/tokens"
)

// tokenRoutesV2 are those on both ports. What a rule looks at of a token is the same as in v3, where it comes in X-Subject-Token.
func (s *Server) tokenRoutesV2(r routes) {
	r.on("POST", "/v2.0/tokens", login(issueTokenV2))
	r.on("GET HEAD", "/v2.0/tokens/revoked", protect("identity:revocation_list", nil, revocationList))
	can := func(action string) guard {
		return guard{action: "identity:" + action, objects: tokenInPath, missingFirst: true}
	}
	r.on("GET", "/v2.0/tokens/{token_id}", can("validate_token").protect(validateTokenV2))
	r.on("HEAD", "/v2.0/tokens/{token_id}", can("validate_token").protect(validateTokenV2))
	r.on("DELETE", "/v2.0/tokens/{token_id}", can("revoke_token").protect(func(c *call) error {
		if err := s.Tokens.Revoke(c.ctx(), c.param("token_id")); err != nil {
			return err
		}
		return c.done()
	}))
	endpoints := can("validate_token")
	endpoints.rule = adminRule
	r.on("GET HEAD", "/v2.0/tokens/{token_id}/endpoints", endpoints.protect(tokenEndpointsV2))
}

// ownRoutesV2 are what users do for themselves.
func (s *Server) ownRoutesV2(r routes) {
	r.on("GET HEAD", "/v2.0/tenants", ownTenants)
	r.on("PATCH", "/v2.0/OS-KSCRUD/users/{user_id}", changeOwnPasswordV2)
}

func issueTokenV2(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	request, err := authRequestV2(body, c.s.maxParam(), c.s.Peers != nil && c.offers("external"))
	if err != nil {
		return err
	}
	return c.issueV2(request)
}

// issueV2 answers with a new token.
func (c *call) issueV2(request tokens.Request) error {
	request.V2, request.Peer, request.Address = true, c.peer(), c.address()
	for _, name := range request.Methods {
		if !c.offers(name) {
			return fault.Unauthorized{Why: "method " + name + " is not on offer"}
		}
	}
	issued, err := c.issue(request)
	if fault.IsNotFound(err) { // of the token that the login was by; v3 says that
		err = fault.Unauthorized{Why: "the token is not valid"}
	}
	if err != nil {
		return err
	}
	return c.replyAccess(&issued.Record, issued.Text)
}

func (c *call) replyAccess(r *tokens.Record, id string) error {
	body, err := c.s.Tokens.BodyV2(c.ctx(), r, id)
	if err != nil {
		return err
	}
	c.replyBytes(http.StatusOK, "application/json", body)
	return nil
}

// authRequestV2 reads the body of POST /v2.0/tokens; external says that it may name nobody.
func authRequestV2(body object, most int, external bool) (tokens.Request, error) {
	auth, ok := body.member("auth")
	if !ok {
		return tokens.Request{}, fault.Missing("auth", "request body")
	}
	request := tokens.Request{Scope: tokens.Scope{Kind: tokens.ScopeUnscoped}}
	f := fields{o: auth}
	trustID := orDefault(f.text("trust_id"), "")
	tenantID, tenantName := orDefault(f.text("tenantId"), ""), orDefault(f.text("tenantName"), "")
	if err := f.short(most, "tenantId", tenantID, "tenantName", tenantName); err != nil {
		return request, err
	}
	if tenantID != "" || tenantName != "" {
		request.Scope = tokens.Scope{Kind: tokens.ScopeProject, Ref: inDefault(tenantID, tenantName)}
	}
	if trustID != "" {
		trust := tokens.Scope{Kind: tokens.ScopeTrust, Ref: tokens.Ref{ID: trustID}}
		if request.Scope.Kind == tokens.ScopeProject {
			project := request.Scope.Ref
			trust.Project = &project
		}
		request.Scope = trust
	}
	if token, there := auth["token"]; there {
		section, _ := token.(map[string]any)
		id, err := object(section).text("id")
		if err != nil || id == nil {
			return request, fault.Missing("id", "token")
		}
		request.Methods, request.Token = []string{"token"}, *id
		return request, nil
	}
	credentials, ok := auth.member("passwordCredentials")
	if _, there := auth["passwordCredentials"]; !there && external {
		request.Methods = []string{"external"}
		return request, nil
	}
	if !ok {
		return request, fault.Missing("passwordCredentials", "auth")
	}
	f = fields{o: credentials}
	userID, name := orDefault(f.text("userId"), ""), orDefault(f.text("username"), "")
	if err := f.short(most, "userId", userID, "username", name); err != nil {
		return request, err
	}
	password, err := passwordIn(credentials, "password")
	switch {
	case err != nil:
		return request, err
	case password == nil:
		return request, fault.Missing("password", "passwordCredentials")
	case len(*password) > identity.MaxPassword:
		return request, fault.TooLarge("password", identity.MaxPassword)
	case userID == "" && name == "":
		return request, fault.Missing("username or userId", "passwordCredentials")
	}
	if userID != "" {
		name = ""
	}
	request.Methods = []string{"password"}
	request.Password = &tokens.Password{User: inDefault(userID, name), Password: *password}
	return request, nil
}

// short returns the first error of f, or says which of some pairs of name and text is longer than ids and names are.
func (f *fields) short(most int, pairs ...string) error {
	for i := 0; f.err == nil && i < len(pairs); i += 2 {
		if len(pairs[i+1]) > most {
			return fault.TooLarge(pairs[i], most)
		}
	}
	return f.err
}

// inDefault names a user or project of the default domain.
func inDefault(id, name string) tokens.Ref {
	if name == "" {
		return tokens.Ref{ID: id}
	}
	return tokens.Ref{ID: id, Name: name, Domain: &tokens.Ref{ID: assignment.DefaultDomainID}}
}

// validateTokenV2 is GET /v2.0/tokens/{id}; with ?belongsTo the token has to be for that tenant.
func validateTokenV2(c *call) error {
	id := c.param("token_id")
	record, err := c.s.Tokens.Validate(c.ctx(), id, false)
	if err != nil {
		return err
	}
	if query := c.r.URL.Query(); query.Has("belongsTo") && query.Get("belongsTo") != record.ProjectID {
		return fault.Unauthorized{Why: "the token is not for the tenant in belongsTo"}
	}
	return c.replyAccess(&record, id)
}

func tokenEndpointsV2(c *call) error {
	record, err := c.s.Tokens.Validate(c.ctx(), c.param("token_id"), false)
	if err != nil {
		return err
	}
	t, err := record.Decode()
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, map[string]any{"endpoints": tokens.EndpointsV2(t), "endpoints_links": []any{}})
	return nil
}

// tokenInPath is the target of what is done to the token that the path names.
func tokenInPath(c *call) (policy.Target, error) {
	record, err := c.s.Tokens.Validate(c.ctx(), c.param("token_id"), false)
	if err != nil {
		return nil, err
	}
	return policy.Target{"target.token.user_id": record.UserID, "target.token.user.domain.id": record.UserDomainID}, nil
}

// changeOwnPasswordV2 is PATCH /v2.0/OS-KSCRUD/users/{id}: it ends the user's tokens, and answers with a new one in their place.
func changeOwnPasswordV2(c *call) error {
	if err := c.authenticate(); err != nil {
		return err
	}
	o, err := c.member("user")
	if err != nil {
		return err
	}
	original, password, err := passwordChange(o)
	if err != nil {
		return err
	}
	t, id := c.caller.Token, c.param("user_id")
	if t == nil || c.delegated() || t.User.ID != id || t.User.Domain.ID != assignment.DefaultDomainID {
		return fault.Forbidden{Message: "The token belongs to another user."}
	}
	if err := c.s.Identity.ChangePassword(c.ctx(), identity.Login{User: identity.Ref{ID: id}, Password: original, Address: c.address()}, password); err != nil {
		return err
	}
	request := tokens.Request{
		Methods: []string{"password"}, Password: &tokens.Password{User: tokens.Ref{ID: id}, Password: password},
		Scope: tokens.Scope{Kind: tokens.ScopeUnscoped},
	}
	if t.Project != nil {
		request.Scope = tokens.Scope{Kind: tokens.ScopeProject, Ref: tokens.Ref{ID: t.Project.ID}}
	}
	return c.issueV2(request)
}
