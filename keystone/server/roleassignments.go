package server

import (
	"net/url"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const inheritedTo = "OS-INHERIT:inherited_to"

// assignmentRoutes are GET /v3/role_assignments: who has which role where, as it was granted or, with ?effective, as it comes out
// for each user.
func (s *Server) assignmentRoutes(r routes) {
	list := guard{action: "identity:list_role_assignments", filters: map[string]filter.Kind{
		"user.id": filter.Text, "group.id": filter.Text, "role.id": filter.Text,
		"scope.project.id": filter.Text, "scope.domain.id": filter.Text, "scope." + inheritedTo: filter.Text,
	}}
	r.on("GET HEAD", "/v3/role_assignments", list.protect(func(c *call) error {
		q, err := assignmentQuery(c.r.URL.Query())
		if err != nil {
			return err
		}
		found, err := s.Assignment.Assignments(c.ctx(), q)
		if err != nil {
			return err
		}
		found, truncated := bounded(c, "assignment", found)
		refs := references{c: c, named: flag(c.r.URL.Query(), "include_names"), seen: map[[2]string]map[string]any{}}
		bodies := make([]map[string]any, 0, len(found))
		for _, a := range found {
			body, err := refs.assignment(a)
			if err != nil {
				return err
			}
			bodies = append(bodies, body)
		}
		c.replyList("role_assignments", bodies, truncated)
		return nil
	}))
}

// assignmentQuery reads the filters. One that is there counts: where it is empty it is an error, never the lack of a filter,
// since a rule may have looked at it.
func assignmentQuery(query url.Values) (assignment.Query, error) {
	q := assignment.Query{Effective: flag(query, "effective")}
	for _, f := range []struct {
		name string
		into *string
	}{
		{"user.id", &q.UserID}, {"group.id", &q.GroupID}, {"role.id", &q.RoleID},
		{"scope.project.id", &q.ProjectID}, {"scope.domain.id", &q.DomainID},
	} {
		if !query.Has(f.name) {
			continue
		}
		if *f.into = query.Get(f.name); *f.into == "" {
			return q, fault.BadField(f.name, "")
		}
	}
	if name := "scope." + inheritedTo; query.Has(name) {
		if value := query.Get(name); value != "projects" {
			return q, fault.BadField(name, value)
		}
		inherited := true
		q.Inherited = &inherited
	}
	switch {
	case q.UserID != "" && q.GroupID != "":
		return q, fault.Invalid{Message: "Specify a user or group, not both"}
	case q.ProjectID != "" && q.DomainID != "":
		return q, fault.Invalid{Message: "Specify a domain or project, not both"}
	case q.Effective && q.GroupID != "":
		return q, fault.Invalid{Message: "Combining effective and group filter will always result in an empty list."}
	case q.Effective && q.DomainID != "" && q.Inherited != nil:
		return q, fault.Invalid{Message: "No role is inherited to a domain: effective, scope.domain.id and scope." + inheritedTo + " fit nothing together."}
	}
	return q, nil
}

// references are what a list of assignments says of users, groups, roles, projects and domains.
type references struct {
	c     *call
	named bool // with names, beyond Kilo
	seen  map[[2]string]map[string]any
}

func (r *references) assignment(a assignment.Assignment) (map[string]any, error) {
	scope, links := map[string]any{}, map[string]any{"assignment": r.c.base() + grantPath(a.Grant)}
	body := map[string]any{"scope": scope, "links": links}
	if a.Grant.Inherited {
		scope[inheritedTo] = "projects"
	}
	if a.Grant.GroupID != "" && a.UserID != "" {
		links["membership"] = r.c.base() + "/v3/groups/" + pathEscape(a.Grant.GroupID) + "/users/" + pathEscape(a.UserID)
	}
	for _, part := range []struct {
		into     map[string]any
		kind, id string
	}{
		{body, "user", a.UserID}, {body, "group", a.GroupID}, {body, "role", a.Grant.RoleID},
		{scope, "project", a.ProjectID}, {scope, "domain", a.DomainID},
	} {
		if part.id == "" {
			continue
		}
		ref, err := r.of(part.kind, part.id)
		if err != nil {
			return nil, err
		}
		part.into[part.kind] = ref
	}
	return body, nil
}

// of is {"id": …}, and where names are wanted {"id": …, "name": …, "domain": {…}}. What is not there any more has no name.
func (r *references) of(kind, id string) (map[string]any, error) {
	ref := map[string]any{"id": id}
	if !r.named {
		return ref, nil
	}
	key := [2]string{kind, id}
	if found, ok := r.seen[key]; ok {
		return found, nil
	}
	name, domainID, err := r.look(kind, id)
	if err != nil && !fault.IsNotFound(err) {
		return nil, err
	}
	if err == nil {
		ref["name"] = name
		if domainID != "" {
			if ref["domain"], err = r.of("domain", domainID); err != nil {
				return nil, err
			}
		}
	}
	r.seen[key] = ref
	return ref, nil
}

func (r *references) look(kind, id string) (name, domainID string, err error) {
	ctx, s := r.c.ctx(), r.c.s
	switch kind {
	case "user":
		u, err := s.Identity.User(ctx, id)
		return u.Name, u.DomainID, err
	case "group":
		g, err := s.Identity.Group(ctx, id)
		return g.Name, g.DomainID, err
	case "project":
		p, err := s.Assignment.Project(ctx, id)
		return p.Name, p.DomainID, err
	case "domain":
		d, err := s.Assignment.Domain(ctx, id)
		return d.Name, "", err
	}
	role, err := s.Assignment.Role(ctx, id)
	return role.Name, "", err
}

// grantPath is where a grant can be checked and taken back.
func grantPath(g assignment.Grant) string {
	path := "/v3/domains/" + pathEscape(g.DomainID)
	if g.ProjectID != "" {
		path = "/v3/projects/" + pathEscape(g.ProjectID)
	}
	if g.GroupID != "" {
		path += "/groups/" + pathEscape(g.GroupID)
	} else {
		path += "/users/" + pathEscape(g.UserID)
	}
	path += "/roles/" + pathEscape(g.RoleID)
	if g.Inherited {
		path = inheritPath(path) + "/inherited_to_projects"
	}
	return path
}
