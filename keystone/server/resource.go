package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

// resource is a kind of object that clients create, read, change and delete in the one way that the Identity API has for all.
type resource[T any] struct {
	one, many string // "user", "users"
	// under is where the collection is below /v3/: "OS-EP-FILTER/" for that extension.
	under string
	// section is that of keystone.conf whose list_limit bounds lists, "" for the one of [DEFAULT].
	section string
	filters map[string]filter.Kind
	create  func(c *call, o object) (T, error)
	get     func(ctx context.Context, id string) (T, error)
	list    func(ctx context.Context, where filter.List) ([]T, error)
	update  func(c *call, id string, o object) (T, error)
	remove  func(ctx context.Context, id string) error
	// render is the object's own attributes, extra those that clients added.
	render func(T) (id string, attributes, extra map[string]any)
	// expand adds to the answer to GET what its query asks for; nil where it can ask for nothing.
	expand func(c *call, v T, body map[string]any) error
	// extraOnUpdate repeats the client's attributes under "extra" in the answer to PATCH, a habit of Keystone's that old
	// clients rely on.
	extraOnUpdate bool
	// visible refuses callers who may not see an object that the rule lets them at; nil for none.
	visible func(c *call, v T) error
	// noDelegated keeps delegated tokens from it.
	noDelegated bool
	// named says that clients choose the id, and create by PUT.
	named bool
	// links adds to the links of an object; nil for no more than the one to itself.
	links func(c *call, v T, links map[string]any)
}

// add puts the routes of a resource on a listener.
func add[T any](r routes, res resource[T]) {
	collection := "/v3/" + res.under + res.many
	single := collection + "/{id}"
	can := func(verb, name string) guard { return guard{action: "identity:" + verb + "_" + name} }
	create, list := can("create", res.one), can("list", res.many)
	create.member, list.filters = res.one, res.filters
	get, update, remove := can("get", res.one), can("update", res.one), can("delete", res.one)
	update.member = res.one
	get.objects, update.objects, remove.objects = res.inPath("id"), res.inPath("id"), res.inPath("id")
	on := func(methods, path string, g guard, h handler) {
		if res.noDelegated {
			h = noDelegated(h)
		}
		r.on(methods, path, g.protect(h))
	}
	if res.named {
		on("PUT", single, create, res.handleCreate)
	} else {
		on("POST", collection, create, res.handleCreate)
	}
	on("GET HEAD", collection, list, res.handleList)
	on("GET HEAD", single, get, res.handleGet)
	on("PATCH", single, update, res.handleUpdate)
	on("DELETE", single, remove, res.handleDelete)
}

func (res *resource[T]) handleCreate(c *call) error {
	o, err := res.read(c)
	if err != nil {
		return err
	}
	v, err := res.create(c, o)
	if err != nil {
		return err
	}
	c.object, _, _ = res.render(v)
	res.reply(c, http.StatusCreated, v)
	return nil
}

func (res *resource[T]) handleGet(c *call) error {
	v, err := res.get(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	if res.visible != nil {
		if err := res.visible(c, v); err != nil {
			return err
		}
	}
	body := res.body(c, v)
	if res.expand != nil {
		if err := res.expand(c, v, body); err != nil {
			return err
		}
	}
	c.reply(http.StatusOK, map[string]any{res.one: body})
	return nil
}

func (res *resource[T]) handleList(c *call) error { return res.answerList(c, res.list) }

// answerList answers with the objects that fit the query's filters, and says so where there are more than the limit.
func (res *resource[T]) answerList(c *call, list func(ctx context.Context, where filter.List) ([]T, error)) error {
	where := filter.Parse(c.r.URL.Query(), res.filters)
	limit := c.s.listLimit(res.section)
	if limit > 0 {
		where = append(where, filter.AtMost(limit+1))
	}
	found, err := list(c.ctx(), where)
	if err != nil {
		return err
	}
	found, truncated := bounded(c, res.section, found)
	if res.visible != nil {
		if found, err = res.shown(c, found); err != nil {
			return err
		}
	}
	c.replyList(res.many, res.bodies(c, found), truncated)
	return nil
}

// bounded is a list without what goes beyond the limit of its section.
func bounded[T any](c *call, section string, list []T) (within []T, truncated bool) {
	limit := c.s.listLimit(section)
	if limit > 0 && len(list) > limit {
		return list[:limit], true
	}
	return list, false
}

// shown is those of a list that the caller may see.
func (res *resource[T]) shown(c *call, list []T) ([]T, error) {
	shown := make([]T, 0, len(list))
	for _, v := range list {
		err := res.visible(c, v)
		if hidden(err) { // or gone meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		shown = append(shown, v)
	}
	return shown, nil
}

func (res *resource[T]) handleUpdate(c *call) error {
	o, err := res.read(c)
	if err != nil {
		return err
	}
	id := c.param("id")
	if given, there := o["id"]; there && given != id {
		return fault.Invalid{Message: "Cannot change ID"}
	}
	v, err := res.update(c, id, o)
	if err != nil {
		return err
	}
	body := res.body(c, v)
	if res.extraOnUpdate {
		_, _, extra := res.render(v)
		body["extra"] = nonNil(extra)
	}
	c.reply(http.StatusOK, map[string]any{res.one: body})
	return nil
}

func (res *resource[T]) handleDelete(c *call) error {
	if err := res.remove(c.ctx(), c.param("id")); err != nil {
		return err
	}
	return c.done()
}

// read takes the object out of a request: {"user": {…}}.
func (res *resource[T]) read(c *call) (object, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	o, ok := body.member(res.one)
	if !ok {
		return nil, fault.Missing(res.one, "request body")
	}
	return o, nil
}

// body is an object as clients see it.
func (res *resource[T]) body(c *call, v T) map[string]any {
	id, attributes, extra := res.render(v)
	body := maps.Clone(nonNil(extra))
	maps.Copy(body, attributes)
	body["id"] = id
	links := map[string]any{"self": c.base() + "/v3/" + res.under + res.many + "/" + pathEscape(id)}
	if res.links != nil {
		res.links(c, v, links)
	}
	body["links"] = links
	return body
}

func (res *resource[T]) reply(c *call, status int, v T) {
	c.reply(status, map[string]any{res.one: res.body(c, v)})
}

// replyList answers with those of a list that fit the query's filters, up to the limit.
func (res *resource[T]) replyList(c *call, list []T) {
	where := filter.Parse(c.r.URL.Query(), res.filters)
	fit := make([]T, 0, len(list))
	for _, v := range list {
		_, attributes, extra := res.render(v)
		if where.Fits(func(name string) string {
			value, ok := attributes[name]
			if !ok {
				value = extra[name]
			}
			if value == nil {
				return ""
			}
			return fmt.Sprint(value)
		}) {
			fit = append(fit, v)
		}
	}
	fit, truncated := bounded(c, res.section, fit)
	c.replyList(res.many, res.bodies(c, fit), truncated)
}

func (res *resource[T]) bodies(c *call, list []T) []map[string]any {
	bodies := make([]map[string]any, 0, len(list))
	for _, v := range list {
		bodies = append(bodies, res.body(c, v))
	}
	return bodies
}

// replyList answers with a list, and says so where it was cut.
func (c *call) replyList(many string, bodies []map[string]any, truncated bool) {
	body := map[string]any{many: bodies, "links": c.listLinks()}
	if truncated {
		body["truncated"] = true
	}
	c.reply(http.StatusOK, body)
}

// listLinks are the links of a list, which has one page.
func (c *call) listLinks() map[string]any {
	return map[string]any{"self": c.base() + c.r.URL.RequestURI(), "next": nil, "previous": nil}
}

// ownerDomain is the domain of a new user, group or project: the one asked for, else that of a domain-scoped token, else the default.
func (c *call) ownerDomain(o object) (string, error) {
	asked, err := o.text("domain_id")
	switch {
	case err != nil:
		return "", err
	case asked != nil:
		return *asked, nil
	case c.caller.Token != nil && c.caller.Token.Domain != nil:
		return c.caller.Token.Domain.ID, nil
	}
	return assignment.DefaultDomainID, nil
}

// sameDomain refuses a change of an object's domain.
func sameDomain(o object, domainID string) error {
	if given, there := o["domain_id"]; there && given != domainID {
		return fault.Invalid{Message: "Cannot change Domain ID"}
	}
	return nil
}

func nonNil(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// orDefault is *v, or the default where v is nil.
func orDefault[T any](v *T, def T) T {
	if v == nil {
		return def
	}
	return *v
}

// fields reads several members of an object and keeps the first error.
type fields struct {
	o   object
	err error
}

func (f *fields) text(name string) *string      { return keep(f, name, f.o.text) }
func (f *fields) clearable(name string) *string { return keep(f, name, f.o.clearable) }
func (f *fields) boolean(name string) *bool     { return keep(f, name, f.o.boolean) }

func keep[T any](f *fields, name string, get func(string) (*T, error)) *T {
	v, err := get(name)
	if f.err == nil {
		f.err = err
	}
	return v
}
