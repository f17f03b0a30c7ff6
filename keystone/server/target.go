package server

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/policy"
)

// A rule may look at what the request is about. Where each name comes from is fixed, so that no request can pass one thing off
// as another (CVE-2026-42999):
//
//	user_id, project_id, …       the path, or a filter of a list call that the call then follows
//	user.domain_id, …            the object in the body, under the name that the API gives it
//	target.user.domain_id, …     the stored object that the path names
//	target.token.user_id, …      the token in X-Subject-Token

// target reads attributes of stored objects. Where an object is missing it returns fault.NotFound beside what it could read.
type target func(c *call) (policy.Target, error)

// guard is an action and where its target comes from, beside the path.
type guard struct {
	action string
	// filters are those of a list call.
	filters map[string]filter.Kind
	// member is the name of the object in the body.
	member string
	// fixed is what the API itself says of the target: v2.0 is about the default domain alone.
	fixed policy.Target
	// rule, if it is not "", has to hold beside that of the action.
	rule string
	// objects may be nil. It is asked only where the rule looks at stored objects.
	objects target
	// missingFirst answers 404 for what is missing before the rule is asked.
	missingFirst bool
}

// protect lets h answer callers who may do the action; objects may be nil.
func protect(action string, objects target, h handler) handler {
	return guard{action: action, objects: objects}.protect(h)
}

// protect lets h answer callers who may do the action.
//
// What is missing is answered with 403 to callers whom the rule denies without knowing the object, and with 404 to others. So
// who is not let at an object does not learn whether there is one. (Keystone answers 404 to all.)
func (g guard) protect(h handler) handler {
	return func(c *call) error {
		if err := c.authenticate(); err != nil {
			return err
		}
		if c.caller.Admin {
			return h(c)
		}
		if g.rule != "" {
			if denied := c.s.Policy.Rule(g.rule).Check(c.ctx(), c.caller, nil); denied != nil {
				return denied
			}
		}
		rule := c.s.Policy.Rule(g.action)
		t, err := g.target(c, rule)
		missing := fault.IsNotFound(err)
		if err != nil && (!missing || g.missingFirst) {
			return err
		}
		if denied := rule.Check(c.ctx(), c.caller, t); denied != nil {
			return denied
		}
		if missing {
			return err
		}
		return h(c)
	}
}

// target gathers what the rule may ask for; see above. Later sources win, though their names do not meet.
func (g guard) target(c *call, rule policy.Rule) (policy.Target, error) {
	t := policy.Target{}
	query := c.r.URL.Query()
	for name := range g.filters {
		if query.Has(name) {
			t[name] = query.Get(name) // the first value, which the filter takes too
		}
	}
	if g.member != "" && rule.Needs(g.member+".") {
		body, err := c.body()
		if err == nil { // else h finds the same
			if o, ok := body.member(g.member); ok {
				flatten(t, g.member, o)
			}
		}
	}
	maps.Copy(t, c.pathTarget())
	maps.Copy(t, g.fixed)
	if g.objects == nil || !rule.Needs("target.") {
		return t, nil
	}
	stored, err := g.objects(c)
	maps.Copy(t, stored)
	return t, err
}

// pathTarget is the variables of the path: user_id in /v3/users/{id}, project_id and user_id in /v3/projects/{id}/users/{user_id}.
func (c *call) pathTarget() policy.Target {
	t := policy.Target{}
	before := ""
	for piece := range strings.SplitSeq(c.route, "/") {
		if name, ok := strings.CutPrefix(piece, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			value := c.param(name)
			if name == "id" {
				name = idOf(before)
			}
			t[name] = value
		}
		before = piece
	}
	return t
}

// idOf names the id of an object of a collection: "users" has "user_id".
func idOf(many string) string {
	switch many {
	case "identity_providers":
		return "idp_id"
	case "service_providers":
		return "sp_id"
	}
	return singular(many) + "_id"
}

// singular is the name of one object of a collection: "policies" has "policy", "users" has "user".
func singular(many string) string {
	if stem, ok := strings.CutSuffix(many, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(many, "s")
}

// secrets are members that no rule gets to see.
var secrets = []string{"password", "original_password", "blob", "secret"}

// flatten adds the members of an object in the body as prefix.name, those of objects in it as prefix.name.name. Lists have no
// name, and a member with a dot in its name could pass for one of another object.
func flatten(t policy.Target, prefix string, o map[string]any) {
	for name, value := range o {
		if strings.Contains(name, ".") || slices.Contains(secrets, name) {
			continue
		}
		if inner, ok := value.(map[string]any); ok {
			flatten(t, prefix+"."+name, inner)
		} else if text, ok := python(value); ok {
			t[prefix+"."+name] = text
		}
	}
}

// python is a value of JSON as Python prints it, which is what rules compare.
func python(value any) (text string, ok bool) {
	switch v := value.(type) {
	case nil:
		return "None", true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// targetAttributes are those that rules see of a stored object. Of kinds that are not listed they see all that the server keeps
// itself. Attributes that clients added are left out, since whoever may change them could open doors.
var targetAttributes = map[string][]string{
	"role":    {"id", "name"},
	"user":    {"id", "name", "domain_id", "enabled", "default_project_id", "description"},
	"group":   {"id", "name", "domain_id", "description"},
	"domain":  {"id", "name", "enabled"},
	"project": {"id", "name", "domain_id", "enabled", "description"},
}

// target is target.<one>.<attribute> of the object with that id.
func (res *resource[T]) target(c *call, id string) (policy.Target, error) {
	v, err := res.get(c.ctx(), id)
	if err != nil {
		return nil, err
	}
	id, attributes, extra := res.render(v)
	t := policy.Target{}
	add := func(name string, value any) {
		if text, ok := python(value); ok {
			t["target."+res.one+"."+name] = text
		}
	}
	listed, ok := targetAttributes[res.one]
	if !ok {
		listed = slices.Collect(maps.Keys(attributes))
	}
	for _, name := range listed {
		if value, ok := attributes[name]; ok {
			add(name, value)
		} else if value, ok := extra[name]; ok {
			add(name, value)
		}
	}
	add("id", id)
	return t, nil
}

// inPath reads the object that a variable of the path names.
func (res *resource[T]) inPath(name string) target {
	return func(c *call) (policy.Target, error) { return res.target(c, c.param(name)) }
}

// allOf reads several objects. The error is that of the first that is missing.
func allOf(targets ...target) target {
	return func(c *call) (policy.Target, error) {
		all := policy.Target{}
		var missing error
		for _, read := range targets {
			t, err := read(c)
			if err != nil && !fault.IsNotFound(err) {
				return nil, err
			}
			if missing == nil {
				missing = err
			}
			maps.Copy(all, t)
		}
		return all, missing
	}
}

// ifThere reads an object that may be missing.
func ifThere(read target) target {
	return func(c *call) (policy.Target, error) {
		t, err := read(c)
		if fault.IsNotFound(err) {
			err = nil
		}
		return t, err
	}
}
