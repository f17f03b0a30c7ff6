package server

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/oauth1"
)

const (
	oauth1Path = "/v3/OS-OAUTH1/"
	formType   = "application/x-www-form-urlencoded"
)

// oauth1Routes are the programs that users let act for them (OS-OAUTH1). Programs prove themselves by signing their requests.
func (s *Server) oauth1Routes(r routes) {
	add(r, s.consumers())
	r.on("POST", oauth1Path+"request_token", createRequestToken)
	r.on("POST", oauth1Path+"access_token", createAccessToken)
	r.on("PUT", oauth1Path+"authorize/{request_token_id}", protect("identity:authorize_request_token", nil, noDelegated(authorizeRequestToken)))

	const many = "/v3/users/{user_id}/OS-OAUTH1/access_tokens"
	const single = many + "/{access_token_id}"
	r.on("GET HEAD", many, protect("identity:list_access_tokens", nil, noDelegated(func(c *call) error {
		list, err := s.OAuth1.AccessTokens(c.ctx(), c.param("user_id"))
		if err != nil {
			return err
		}
		list, truncated := bounded(c, "oauth1", list)
		bodies := make([]map[string]any, 0, len(list))
		for _, t := range list {
			bodies = append(bodies, c.accessTokenBody(t))
		}
		c.replyList("access_tokens", bodies, truncated)
		return nil
	})))
	r.on("GET HEAD", single, protect("identity:get_access_token", nil, onAccessToken(func(c *call, t oauth1.AccessToken) error {
		c.reply(http.StatusOK, map[string]any{"access_token": c.accessTokenBody(t)})
		return nil
	})))
	r.on("DELETE", single, protect("identity:delete_access_token", nil, onAccessToken(func(c *call, t oauth1.AccessToken) error {
		if err := s.OAuth1.DeleteAccessToken(c.ctx(), t.UserID, t.ID); err != nil {
			return err
		}
		return c.done()
	})))
	roles := s.roles()
	r.on("GET HEAD", single+"/roles", protect("identity:list_access_token_roles", nil, onAccessToken(func(c *call, t oauth1.AccessToken) error {
		given, err := c.rolesOf(t.RoleIDs)
		if err != nil {
			return err
		}
		roles.replyList(c, given)
		return nil
	})))
	r.on("GET HEAD", single+"/roles/{role_id}", protect("identity:get_access_token_role", nil, onAccessToken(func(c *call, t oauth1.AccessToken) error {
		roleID := c.param("role_id")
		if !slices.Contains(t.RoleIDs, roleID) {
			return fault.NotFound{Kind: "role", ID: roleID}
		}
		role, err := s.Assignment.Role(c.ctx(), roleID)
		if err != nil {
			return err
		}
		roles.reply(c, http.StatusOK, role)
		return nil
	})))
}

// onAccessToken does something with the access token in the path, which has to be that user's.
func onAccessToken(do func(c *call, t oauth1.AccessToken) error) handler {
	return noDelegated(func(c *call) error {
		t, err := c.s.OAuth1.AccessToken(c.ctx(), c.param("user_id"), c.param("access_token_id"))
		if err != nil {
			return err
		}
		return do(c, t)
	})
}

func (c *call) accessTokenBody(t oauth1.AccessToken) map[string]any {
	self := c.base() + "/v3/users/" + pathEscape(t.UserID) + "/OS-OAUTH1/access_tokens/" + t.ID
	return map[string]any{
		"id": t.ID, "consumer_id": t.ConsumerID, "project_id": t.ProjectID, "authorizing_user_id": t.UserID,
		"expires_at": timeOrNull(t.ExpiresAt), "links": map[string]any{"self": self, "roles": self + "/roles"},
	}
}

func (s *Server) consumers() resource[oauth1.Consumer] {
	return resource[oauth1.Consumer]{
		one: "consumer", many: "consumers", section: "oauth1",
		under:       "OS-OAUTH1/",
		noDelegated: true,
		create: func(c *call, o object) (oauth1.Consumer, error) {
			description, err := consumerFields(o)
			if err != nil {
				return oauth1.Consumer{}, err
			}
			return c.s.OAuth1.CreateConsumer(c.ctx(), oauth1.Consumer{Description: description, Extra: o.rest("description", "secret")})
		},
		get:  s.OAuth1.Consumer,
		list: func(ctx context.Context, _ filter.List) ([]oauth1.Consumer, error) { return s.OAuth1.Consumers(ctx) },
		update: func(c *call, id string, o object) (oauth1.Consumer, error) {
			description, err := consumerFields(o)
			if err != nil {
				return oauth1.Consumer{}, err
			}
			return c.s.OAuth1.UpdateConsumer(c.ctx(), id, oauth1.Update{Description: description, Extra: o.rest("description", "secret")})
		},
		remove: s.OAuth1.DeleteConsumer,
		render: func(v oauth1.Consumer) (string, map[string]any, map[string]any) {
			attributes := map[string]any{"description": v.Description}
			if v.Secret != "" { // only for who makes it
				attributes["secret"] = v.Secret
			}
			return v.ID, attributes, v.Extra
		},
	}
}

func consumerFields(o object) (description *string, err error) {
	if _, there := o["secret"]; there {
		return nil, fault.Invalid{Message: "The secret of a consumer is made by the server and cannot be changed."}
	}
	return o.text("description")
}

// signedRequest is the request as its client signed it.
func (c *call) signedRequest() (*oauth1.Request, error) {
	if len(c.r.Header.Values("Authorization")) > 1 {
		return nil, fault.Unauthorized{Why: "more than one Authorization header"}
	}
	asked, err := url.ParseRequestURI(c.r.RequestURI) // with the slash at its end that the path has lost by now
	if err != nil {
		return nil, fault.Invalid{Message: "The address of the request could not be read."}
	}
	r := &oauth1.Request{Method: c.r.Method, URL: c.base() + asked.EscapedPath(), Query: asked.RawQuery, Authorization: c.r.Header.Get("Authorization"),
		Private: c.s.OAuth1InClear || c.private()}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err == nil && kind == formType {
		form, err := io.ReadAll(c.r.Body)
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, errTooLarge
		}
		if err != nil {
			return nil, fault.Invalid{Message: "The request body could not be read."}
		}
		r.Query += "&" + string(form)
	}
	return r, nil
}

// private says whether the request came by TLS, as far as its client saw it: here, or at a front that is trusted to say so.
func (c *call) private() bool {
	if c.r.TLS != nil {
		return true
	}
	remote, err := netip.ParseAddrPort(c.r.RemoteAddr)
	said := c.r.Header.Values("X-Forwarded-Proto")
	return err == nil && c.s.Fronts.Contains(remote.Addr()) && len(said) == 1 && strings.EqualFold(said[0], "https")
}

// createRequestToken is POST /v3/OS-OAUTH1/request_token, by a consumer.
func createRequestToken(c *call) error {
	r, err := c.signedRequest()
	if err != nil {
		return err
	}
	t, err := c.s.OAuth1.CreateRequestToken(c.ctx(), *r, c.r.Header.Get("Requested-Project-Id"))
	if err != nil {
		return err
	}
	c.object = t.ID
	c.replyForm("oauth_token", t.ID, "oauth_token_secret", t.Secret, "oauth_expires_at", timeText(t.ExpiresAt))
	return nil
}

// createAccessToken is POST /v3/OS-OAUTH1/access_token, by a consumer whom a user gave the verifier.
func createAccessToken(c *call) error {
	r, err := c.signedRequest()
	if err != nil {
		return err
	}
	t, err := c.s.OAuth1.CreateAccessToken(c.ctx(), *r)
	if err != nil {
		return err
	}
	c.object = t.ID
	c.replyForm("oauth_token", t.ID, "oauth_token_secret", t.Secret, "oauth_expires_at", timeText(t.ExpiresAt))
	return nil
}

// authorizeRequestToken is PUT /v3/OS-OAUTH1/authorize/{request_token_id}, by the user who grants it.
func authorizeRequestToken(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	refs, err := roleRefs(body)
	if err != nil {
		return err
	}
	var roleIDs []string
	for _, ref := range refs {
		if ref.ID == "" { // by name, as later Keystones take it
			role, err := c.s.Assignment.RoleByName(c.ctx(), ref.Name)
			if fault.IsNotFound(err) { // the same as for a role that the user has not
				return fault.Unauthorized{Why: "there is no role of the name that is to be granted", UserID: c.caller.UserID()}
			}
			if err != nil {
				return err
			}
			ref.ID = role.ID
		}
		roleIDs = append(roleIDs, ref.ID)
	}
	verifier, err := c.s.OAuth1.Authorize(c.ctx(), c.param("request_token_id"), c.caller.UserID(), roleIDs)
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, map[string]any{"token": map[string]any{"oauth_verifier": verifier}})
	return nil
}

// replyForm answers 201 with pairs of names and values, in their order; those with "" are left out. The values are ids and times, and
// written as they are: some clients of Keystone do not decode the colons of a time.
func (c *call) replyForm(pairs ...string) {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			parts = append(parts, pairs[i]+"="+pairs[i+1])
		}
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.replyBytes(http.StatusCreated, formType, []byte(strings.Join(parts, "&")))
}
