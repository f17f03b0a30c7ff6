package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/tokens"
)

const federationPath = "OS-FEDERATION/"

// federationRoutes are who else says who users are, and who takes this cloud's word for it (OS-FEDERATION).
func (s *Server) federationRoutes(r routes) {
	add(r, s.identityProviders())
	add(r, s.mappings())
	add(r, s.serviceProviders())
	s.protocolRoutes(r)
	r.on("GET POST", "/v3/"+federationPath+"identity_providers/{identity_provider}/protocols/{protocol}/auth", login(issueFederated))
	r.on("GET HEAD", "/v3/"+federationPath+"projects", protect("identity:list_projects_for_groups", nil, replyUsableProjects))
	r.on("GET HEAD", "/v3/"+federationPath+"domains", protect("identity:list_domains_for_groups", nil, replyUsableDomains))
}

func (s *Server) isFederated(method string) bool {
	return slices.Contains(s.Tokens.FederatedMethods, method)
}

// issueFederated answers with an unscoped token for whom the identity provider in the path speaks for. It is the only place where what
// a front end says of users counts: front ends guard it.
func issueFederated(c *call) error {
	protocol := c.param("protocol")
	method := protocol
	if !c.offers(method) || !c.s.isFederated(method) {
		method = "mapped"
	}
	if !c.offers(method) {
		return fault.UnsupportedMethod{Offered: c.s.Tokens.Methods}
	}
	c.w.Header().Set("Cache-Control", "no-store") // of a GET
	return c.answerLogin(tokens.Request{Methods: []string{method}, Scope: tokens.Scope{Kind: tokens.ScopeUnscoped},
		Federated: &federation.Login{IdentityProviderID: c.param("identity_provider"), ProtocolID: protocol, Attributes: c.attributes()}})
}

// federatedByToken makes method token of one of an identity provider's that brings a token. Other logins by such methods are refused:
// see issueFederated.
func (c *call) federatedByToken(request *tokens.Request) error {
	for i, name := range request.Methods {
		if !c.s.isFederated(name) {
			continue
		}
		id, _ := request.Sections[name]["id"].(string)
		if id == "" || !c.offers("token") || slices.Contains(request.Methods, "token") {
			return fault.Unauthorized{Why: "an identity provider's users log in at .../protocols/" + name + "/auth"}
		}
		request.Methods[i], request.Token = "token", id
	}
	return nil
}

// attributes are what a front end that is trusted says of who sends the request. What could mean two things is nothing.
func (c *call) attributes() map[string]string {
	if c.s.Peers == nil {
		return nil
	}
	said, err := c.s.Peers.Attributes(c.r)
	if err != nil {
		c.s.log().Warn("what an identity provider asserts is not taken", slog.String("request_id", c.id), slog.Any("cause", err))
		return nil
	}
	return said
}

// replyUsableProjects answers with the projects that the caller can get a token for.
func replyUsableProjects(c *call) error {
	return replyOwn(c, c.s.projects(), func(ctx context.Context, userID string) ([]assignment.Project, error) {
		if c.caller.GroupIDs != nil {
			return c.s.Assignment.UsableProjectsOfGroups(ctx, c.caller.GroupIDs)
		}
		return c.s.Assignment.UsableProjects(ctx, userID)
	}, c.caller.UserID())
}

// replyUsableDomains answers with the domains that the caller can get a token for.
func replyUsableDomains(c *call) error {
	return replyOwn(c, c.s.domains(), func(ctx context.Context, userID string) ([]assignment.Domain, error) {
		if c.caller.GroupIDs != nil {
			return c.s.Assignment.UsableDomainsOfGroups(ctx, c.caller.GroupIDs)
		}
		return c.s.Assignment.UsableDomains(ctx, userID)
	}, c.caller.UserID())
}

func (s *Server) identityProviders() resource[federation.IdentityProvider] {
	return resource[federation.IdentityProvider]{
		one: "identity_provider", many: "identity_providers", section: "federation",
		under: federationPath, named: true, noDelegated: true,
		filters: map[string]filter.Kind{"id": filter.Text, "enabled": filter.Boolean},
		create: func(c *call, o object) (federation.IdentityProvider, error) {
			p := federation.IdentityProvider{ID: c.param("id"), RemoteIDs: []string{}}
			change, err := identityProviderFields(c.param("id"), o)
			if err != nil {
				return p, err
			}
			change(&p)
			return c.s.Federation.CreateIdentityProvider(c.ctx(), p)
		},
		get:  s.Federation.IdentityProvider,
		list: s.Federation.IdentityProviders,
		update: func(c *call, id string, o object) (federation.IdentityProvider, error) {
			change, err := identityProviderFields(id, o)
			if err != nil {
				return federation.IdentityProvider{}, err
			}
			return c.s.Federation.UpdateIdentityProvider(c.ctx(), id, change)
		},
		remove: s.Federation.DeleteIdentityProvider,
		render: func(p federation.IdentityProvider) (string, map[string]any, map[string]any) {
			attributes := map[string]any{"description": p.Description, "enabled": p.Enabled, "remote_ids": p.RemoteIDs}
			return p.ID, s.later(attributes, map[string]any{"domain_id": federation.Domain}), nil
		},
		links: func(_ *call, _ federation.IdentityProvider, links map[string]any) {
			links["protocols"] = links["self"].(string) + "/protocols"
		},
	}
}

// identityProviderFields reads what is to become of an identity provider.
func identityProviderFields(id string, o object) (func(*federation.IdentityProvider), error) {
	if err := immutable(id, federation.KindIdentityProvider, o, "description", "enabled", "remote_ids"); err != nil {
		return nil, err
	}
	f := fields{o: o}
	description, enabled := f.text("description"), f.boolean("enabled")
	if f.err != nil {
		return nil, f.err
	}
	remoteIDs, err := o.texts("remote_ids")
	return func(p *federation.IdentityProvider) {
		if _, there := o["description"]; there {
			p.Description = description
		}
		if enabled != nil {
			p.Enabled = *enabled
		}
		if remoteIDs != nil {
			p.RemoteIDs = remoteIDs
		}
	}, err
}

// immutable refuses members of an object that clients cannot set. The id may be repeated, and a domain asked for that is none, as
// clients of later releases do.
func immutable(id, kind string, o object, known ...string) error {
	var others []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, name) && (name != "id" || o[name] != id) && (name != "domain_id" || o[name] != nil) {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	const most = 5
	return fault.Forbidden{Message: fmt.Sprintf("Could not change immutable attribute(s) '%.300s' in target %s",
		strings.Join(others[:min(len(others), most)], ", "), kind)}
}

// texts is a list of texts under a name: nil where there is no such name, empty for null.
func (o object) texts(name string) ([]string, error) {
	v, there := o[name]
	if !there {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, fault.BadField(name, v)
	}
	texts := make([]string, 0, len(list))
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, fault.BadField(name, item)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func (s *Server) mappings() resource[federation.Mapping] {
	rules := func(id string, o object) ([]any, error) {
		if err := immutable(id, federation.KindMapping, o, "rules"); err != nil {
			return nil, err
		}
		v, there := o["rules"]
		list, ok := v.([]any)
		switch {
		case !there:
			return nil, fault.Required("rules")
		case !ok:
			return nil, fault.BadField("rules", v)
		}
		return list, nil
	}
	return resource[federation.Mapping]{
		one: "mapping", many: "mappings", section: "federation",
		under: federationPath, named: true, noDelegated: true,
		filters: map[string]filter.Kind{"id": filter.Text},
		create: func(c *call, o object) (federation.Mapping, error) {
			list, err := rules(c.param("id"), o)
			if err != nil {
				return federation.Mapping{}, err
			}
			return c.s.Federation.CreateMapping(c.ctx(), federation.Mapping{ID: c.param("id"), Rules: list})
		},
		get:  s.Federation.Mapping,
		list: s.Federation.Mappings,
		update: func(c *call, id string, o object) (federation.Mapping, error) {
			list, err := rules(id, o)
			if err != nil {
				return federation.Mapping{}, err
			}
			return c.s.Federation.UpdateMapping(c.ctx(), id, list)
		},
		remove: s.Federation.DeleteMapping,
		render: func(m federation.Mapping) (string, map[string]any, map[string]any) {
			return m.ID, map[string]any{"rules": m.Rules}, nil
		},
	}
}

func (s *Server) serviceProviders() resource[federation.ServiceProvider] {
	return resource[federation.ServiceProvider]{
		one: "service_provider", many: "service_providers", section: "federation",
		under: federationPath, named: true, noDelegated: true,
		filters: map[string]filter.Kind{"id": filter.Text, "enabled": filter.Boolean},
		create: func(c *call, o object) (federation.ServiceProvider, error) {
			prefix := federation.DefaultRelayStatePrefix
			p := federation.ServiceProvider{ID: c.param("id"), RelayStatePrefix: &prefix}
			for _, name := range []string{"auth_url", "sp_url"} {
				if _, there := o[name]; !there {
					return p, fault.Required(name)
				}
			}
			change, err := serviceProviderFields(o)
			if err != nil {
				return p, err
			}
			change(&p)
			return c.s.Federation.CreateServiceProvider(c.ctx(), p)
		},
		get:  s.Federation.ServiceProvider,
		list: s.Federation.ServiceProviders,
		update: func(c *call, id string, o object) (federation.ServiceProvider, error) {
			if len(o) == 0 {
				return federation.ServiceProvider{}, fault.Invalid{Message: "{} does not have enough properties"}
			}
			change, err := serviceProviderFields(o)
			if err != nil {
				return federation.ServiceProvider{}, err
			}
			return c.s.Federation.UpdateServiceProvider(c.ctx(), id, change)
		},
		remove: s.Federation.DeleteServiceProvider,
		render: func(p federation.ServiceProvider) (string, map[string]any, map[string]any) {
			return p.ID, map[string]any{"auth_url": p.AuthURL, "sp_url": p.SPURL, "description": p.Description, "enabled": p.Enabled,
				"relay_state_prefix": p.RelayStatePrefix}, nil
		},
	}
}

// serviceProviderFields reads what is to become of a service provider.
func serviceProviderFields(o object) (func(*federation.ServiceProvider), error) {
	known := []string{"auth_url", "sp_url", "description", "enabled", "relay_state_prefix"}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, name) {
			return nil, fault.Invalid{Message: fmt.Sprintf("Additional properties are not allowed ('%.100s' was unexpected)", name)}
		}
	}
	for _, name := range []string{"auth_url", "sp_url"} {
		if v, there := o[name]; there && v == nil {
			return nil, fault.BadField(name, v)
		}
	}
	f := fields{o: o}
	authURL, spURL, enabled := f.text("auth_url"), f.text("sp_url"), f.boolean("enabled")
	description, prefix := f.text("description"), f.text("relay_state_prefix")
	return func(p *federation.ServiceProvider) {
		for _, u := range []struct {
			into *string
			text *string
		}{{&p.AuthURL, authURL}, {&p.SPURL, spURL}} {
			if u.text != nil {
				*u.into = *u.text
			}
		}
		if enabled != nil {
			p.Enabled = *enabled
		}
		if _, there := o["description"]; there {
			p.Description = description
		}
		if _, there := o["relay_state_prefix"]; there {
			p.RelayStatePrefix = prefix
		}
	}, f.err
}

// protocolRoutes are the ways in which an identity provider says who users are.
func (s *Server) protocolRoutes(r routes) {
	const many = "/v3/" + federationPath + "identity_providers/{idp_id}/protocols"
	const single = many + "/{protocol_id}"
	on := func(methods, path, action string, h handler) {
		r.on(methods, path, guard{action: action, member: "protocol"}.protect(noDelegated(h)))
	}
	on("PUT", single, "identity:create_protocol", func(c *call) error {
		mappingID, err := c.protocolFields()
		if err == nil && mappingID == nil {
			err = fault.Required("mapping_id")
		}
		if err != nil {
			return err
		}
		p, err := s.Federation.CreateProtocol(c.ctx(), federation.Protocol{
			IdentityProviderID: c.param("idp_id"), ID: c.param("protocol_id"), MappingID: *mappingID})
		if err != nil {
			return err
		}
		c.reply(http.StatusCreated, map[string]any{"protocol": c.protocolBody(p)})
		return nil
	})
	on("GET HEAD", many, "identity:list_protocols", func(c *call) error {
		list, err := s.Federation.Protocols(c.ctx(), c.param("idp_id"), filter.Parse(c.r.URL.Query(), map[string]filter.Kind{"id": filter.Text}))
		if err != nil {
			return err
		}
		list, truncated := bounded(c, "federation", list)
		bodies := make([]map[string]any, 0, len(list))
		for _, p := range list {
			bodies = append(bodies, c.protocolBody(p))
		}
		c.replyList("protocols", bodies, truncated)
		return nil
	})
	on("GET HEAD", single, "identity:get_protocol", func(c *call) error {
		p, err := s.Federation.Protocol(c.ctx(), c.param("idp_id"), c.param("protocol_id"))
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"protocol": c.protocolBody(p)})
		return nil
	})
	on("PATCH", single, "identity:update_protocol", func(c *call) error {
		mappingID, err := c.protocolFields()
		if err != nil {
			return err
		}
		p, err := s.Federation.UpdateProtocol(c.ctx(), c.param("idp_id"), c.param("protocol_id"), mappingID)
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, map[string]any{"protocol": c.protocolBody(p)})
		return nil
	})
	on("DELETE", single, "identity:delete_protocol", func(c *call) error {
		if err := s.Federation.DeleteProtocol(c.ctx(), c.param("idp_id"), c.param("protocol_id")); err != nil {
			return err
		}
		return c.done()
	})
}

// protocolFields reads the mapping that a protocol is to have, nil where the request does not say.
func (c *call) protocolFields() (mappingID *string, err error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	o, ok := body.member("protocol")
	if !ok {
		return nil, fault.Missing("protocol", "request body")
	}
	if err := immutable(c.param("protocol_id"), federation.KindProtocol, o, "mapping_id"); err != nil {
		return nil, err
	}
	return o.text("mapping_id")
}

func (c *call) protocolBody(p federation.Protocol) map[string]any {
	provider := c.base() + "/v3/" + federationPath + "identity_providers/" + pathEscape(p.IdentityProviderID)
	return map[string]any{"id": p.ID, "mapping_id": p.MappingID,
		"links": map[string]any{"self": provider + "/protocols/" + pathEscape(p.ID), "identity_provider": provider}}
}
