package server

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/policy"
	"authproxy/keystone/server/tokens"
)

const subjectToken = "X-Subject-Token"

func (s *Server) authRoutes(r routes) {
	r.on("POST", "/v3/auth/tokens", login(issueToken))
	// Nobody guesses a token, so nothing is given away by saying that one is not valid to who may not act on it.
	can := func(action string) guard {
		return guard{action: "identity:" + action, objects: subject, missingFirst: true}
	}
	r.on("GET", "/v3/auth/tokens", can("validate_token").protect(validateToken))
	r.on("HEAD", "/v3/auth/tokens", can("check_token").protect(validateToken))
	r.on("DELETE", "/v3/auth/tokens", can("revoke_token").protect(func(c *call) error {
		if err := s.Tokens.Revoke(c.ctx(), c.subjectToken()); err != nil {
			return err
		}
		return c.done()
	}))
	r.on("GET HEAD", "/v3/auth/tokens/OS-PKI/revoked", protect("identity:revocation_list", nil, revocationList))
	r.on("GET HEAD", "/v3/auth/projects", protect("identity:get_auth_projects", nil, func(c *call) error {
		return replyUsableProjects(c)
	}))
	r.on("GET HEAD", "/v3/auth/domains", protect("identity:get_auth_domains", nil, func(c *call) error {
		return replyUsableDomains(c)
	}))
	r.on("GET HEAD", "/v3/auth/catalog", protect("identity:get_auth_catalog", nil, ownCatalog))
}

// login counts how a login ends.
func login(h handler) handler {
	return func(c *call) error {
		err := h(c)
		c.s.metrics.logins.WithLabelValues(loginOutcome(err)).Inc()
		return err
	}
}

// issue issues a token, and notes for the audit event whose it is, or was to be.
func (c *call) issue(request tokens.Request) (tokens.Issued, error) {
	issued, err := c.s.Tokens.Issue(c.ctx(), request)
	c.loginUser = issued.Record.UserID
	if e, ok := errors.AsType[fault.Unauthorized](err); ok {
		c.loginUser = e.UserID
	}
	return issued, err
}

func issueToken(c *call) error {
	o, err := c.body()
	if err != nil {
		return err
	}
	request, err := authRequest(o, c.s.Tokens.Methods)
	if err != nil {
		return err
	}
	if err := shortIDs(request, c.s.maxParam()); err != nil {
		return err
	}
	if slices.Contains(request.Methods, "oauth1") {
		if request.OAuth1, err = c.signedRequest(); err != nil {
			return err
		}
	}
	if err := c.federatedByToken(&request); err != nil {
		return err
	}
	return c.answerLogin(request)
}

// answerLogin answers with a new token of the API v3.
func (c *call) answerLogin(request tokens.Request) error {
	request.Peer, request.Address = c.peer(), c.address()
	request.NoCatalog = flag(c.r.URL.Query(), "nocatalog")
	issued, err := c.issue(request)
	if err != nil {
		return err
	}
	c.w.Header().Set(subjectToken, issued.Text)
	c.replyBytes(http.StatusCreated, "application/json", issued.Record.Body)
	return nil
}

// validateToken answers GET and HEAD /v3/auth/tokens. ?allow_expired takes a token that expired less than the window ago: a
// service that works on for a user asks so.
func validateToken(c *call) error {
	text := c.subjectToken()
	query := c.r.URL.Query()
	record, err := c.s.Tokens.Validate(c.ctx(), text, flag(query, "allow_expired"))
	if err != nil {
		return err
	}
	body := record.Body
	if flag(query, "nocatalog") {
		if body, err = tokens.WithoutCatalog(body); err != nil {
			return err
		}
	}
	c.w.Header().Set(subjectToken, text)
	c.replyBytes(http.StatusOK, "application/json", body)
	return nil
}

// subjectToken is the token in X-Subject-Token, "" for none or more than one.
func (c *call) subjectToken() string {
	values := c.r.Header.Values(subjectToken)
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// subject is the target of what is done to the token in X-Subject-Token.
func subject(c *call) (policy.Target, error) {
	record, err := c.s.Tokens.Validate(c.ctx(), c.subjectToken(), flag(c.r.URL.Query(), "allow_expired"))
	if err != nil {
		return nil, err
	}
	return policy.Target{"target.token.user_id": record.UserID, "target.token.user.domain.id": record.UserDomainID}, nil
}

func ownCatalog(c *call) error {
	if c.caller.Token == nil || c.caller.Token.Project == nil {
		return fault.Forbidden{Message: "A project-scoped token is required to produce a service catalog."}
	}
	built, err := c.s.Tokens.BuildCatalog(c.ctx(), c.caller.Token.User.ID, c.caller.Token.Project.ID)
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, map[string]any{"catalog": tokens.CatalogJSON(built), "links": map[string]any{"self": c.base() + "/v3/auth/catalog"}})
	return nil
}

// offers says whether a method to log in is on offer.
func (c *call) offers(method string) bool { return slices.Contains(c.s.Tokens.Methods, method) }

// flag is a query parameter that is on when it is there, unless it says 0 or false.
func flag(query url.Values, name string) bool {
	if !query.Has(name) {
		return false
	}
	switch query.Get(name) {
	case "0", "false", "False":
		return false
	}
	return true
}
