package server

import (
	"slices"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
)

// authRequest reads the body of POST /v3/auth/tokens. It checks shape only: whether a user or a project exists is not looked at
// before the password is, so that nobody learns of one without.
func authRequest(o object, offered []string) (tokens.Request, error) {
	auth, _ := o.member("auth")
	if len(auth) == 0 {
		return tokens.Request{}, fault.Missing("auth", "request body")
	}
	identity, ok := auth.member("identity")
	if !ok {
		return tokens.Request{}, fault.Missing("identity", "auth")
	}
	methods, err := authMethods(identity, offered)
	if err != nil {
		return tokens.Request{}, err
	}
	r := tokens.Request{Methods: methods}
	if slices.Contains(methods, "password") {
		if r.Password, err = passwordSection(identity); err != nil {
			return tokens.Request{}, err
		}
	}
	if slices.Contains(methods, "token") {
		section, _ := identity.member("token")
		id, err := section.text("id")
		if err != nil || id == nil {
			return tokens.Request{}, fault.Missing("id", "token")
		}
		r.Token = *id
	}
	r.Sections = map[string]map[string]any{}
	for _, name := range methods {
		r.Sections[name], _ = identity.member(name)
	}
	r.Scope, err = scopeSection(auth)
	return r, err
}

func authMethods(identity object, offered []string) ([]string, error) {
	list, ok := identity["methods"].([]any)
	if !ok || len(list) == 0 {
		return nil, fault.Missing("methods", "identity")
	}
	var methods []string
	for _, m := range list {
		name, ok := m.(string)
		if !ok {
			return nil, fault.BadField("methods", m)
		}
		if _, there := identity[name]; !there {
			return nil, fault.Missing(name, "identity")
		}
		if !slices.Contains(methods, name) {
			methods = append(methods, name)
		}
	}
	for _, name := range methods {
		if !slices.Contains(offered, name) {
			return nil, fault.UnsupportedMethod{Offered: offered}
		}
	}
	return methods, nil
}

func passwordSection(identity object) (*tokens.Password, error) {
	section, _ := identity.member("password")
	user, ok := section.member("user")
	if !ok {
		return nil, fault.Missing("user", "password")
	}
	ref, err := refIn(user, "user", true)
	if err != nil {
		return nil, err
	}
	password, err := passwordIn(user, "password")
	if err != nil {
		return nil, err
	}
	return &tokens.Password{User: ref, Password: orDefault(password, "")}, nil
}

func scopeSection(auth object) (tokens.Scope, error) {
	value, there := auth["scope"]
	if !there {
		return tokens.Scope{}, nil
	}
	scope, _ := value.(map[string]any)
	var kinds []string
	for _, name := range []string{"project", "domain", "OS-TRUST:trust", "unscoped"} {
		if _, there := scope[name]; there {
			kinds = append(kinds, name)
		}
	}
	if len(kinds) != 1 {
		return tokens.Scope{}, fault.Missing("project, domain, OS-TRUST:trust or unscoped", "scope")
	}
	inner, ok := object(scope).member(kinds[0])
	switch kinds[0] {
	case "unscoped":
		return tokens.Scope{Kind: tokens.ScopeUnscoped}, nil
	case "OS-TRUST:trust":
		id, err := inner.text("id")
		if err != nil || id == nil || *id == "" {
			return tokens.Scope{}, fault.Missing("id", kinds[0])
		}
		return tokens.Scope{Kind: tokens.ScopeTrust, Ref: tokens.Ref{ID: *id}}, nil
	}
	if !ok {
		return tokens.Scope{}, fault.Missing("id or name", kinds[0])
	}
	if kinds[0] == "domain" {
		ref, err := refIn(inner, "domain", false)
		return tokens.Scope{Kind: tokens.ScopeDomain, Ref: ref}, err
	}
	ref, err := refIn(inner, "project", true)
	return tokens.Scope{Kind: tokens.ScopeProject, Ref: ref}, err
}

// shortIDs says which id in a request is longer than ids are. Names are as long as those of objects may be.
func shortIDs(r tokens.Request, most int) error {
	check := func(what string, ref tokens.Ref) error {
		for ; ; what, ref = what+".domain", *ref.Domain {
			if len(ref.ID) > most {
				return fault.TooLarge(what+".id", most)
			}
			if ref.Domain == nil {
				return nil
			}
		}
	}
	if r.Password != nil {
		if err := check("user", r.Password.User); err != nil {
			return err
		}
	}
	if r.Scope.Kind == tokens.ScopeDomain {
		return check("domain", r.Scope.Ref)
	}
	return check("project", r.Scope.Ref)
}

// refIn reads what names a user, project or domain: an id, or a name, which for what domains own needs the domain with it.
func refIn(o object, what string, owned bool) (tokens.Ref, error) {
	f := fields{o: o}
	ref := tokens.Ref{ID: orDefault(f.text("id"), ""), Name: orDefault(f.text("name"), "")}
	switch {
	case f.err != nil:
		return tokens.Ref{}, f.err
	case ref.ID != "":
		return tokens.Ref{ID: ref.ID}, nil
	case ref.Name == "":
		return tokens.Ref{}, fault.Missing("id or name", what)
	case !owned:
		return ref, nil
	}
	inner, ok := o.member("domain")
	if !ok {
		return tokens.Ref{}, fault.Missing("domain", what)
	}
	domain, err := refIn(inner, "domain", false)
	ref.Domain = &domain
	return ref, err
}
