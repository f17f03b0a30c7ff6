package assignment

import (
	"context"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

// Assignment is a grant and what it comes to.
type Assignment struct {
	// Grant is what was granted, for links.
	Grant Grant
	// Who has the role, and where: as in Grant or, in an effective list, a member of its group and a project that inherits it.
	UserID    string
	GroupID   string
	ProjectID string
	DomainID  string
}

// Assignments are the grants that fit a query. With q.Effective there is one for each user and for each project that inherits:
// no groups, and nothing that only others inherit.
func (m *Manager) Assignments(ctx context.Context, q Query) ([]Assignment, error) {
	if q.Effective {
		if !m.Inherit && q.Inherited != nil && *q.Inherited {
			return []Assignment{}, nil
		}
		inherited := q.Inherited
		if q = m.effective(q); q.Inherited == nil {
			q.Inherited = inherited
		}
	}
	grants, err := m.Store.Grants(ctx, q)
	if err != nil {
		return nil, err
	}
	e := expansion{m: m, q: q, members: map[string][]string{}, reached: map[Grant][]string{}}
	list := []Assignment{}
	for _, g := range grants {
		if !q.Effective {
			list = append(list, Assignment{g, g.UserID, g.GroupID, g.ProjectID, g.DomainID})
			continue
		}
		users, err := e.users(ctx, g)
		if err != nil {
			return nil, err
		}
		for _, userID := range users {
			if !g.Inherited {
				list = append(list, Assignment{g, userID, "", g.ProjectID, g.DomainID})
				continue
			}
			projects, err := e.projects(ctx, g)
			if err != nil {
				return nil, err
			}
			for _, projectID := range projects {
				list = append(list, Assignment{g, userID, "", projectID, ""})
			}
		}
	}
	return list, nil
}

// expansion turns grants into who has a role where. It remembers what it has looked up.
type expansion struct {
	m       *Manager
	q       Query
	members map[string][]string // by group
	reached map[Grant][]string  // by a Grant that names the domain or project alone
}

// users are those who have the role.
func (e *expansion) users(ctx context.Context, g Grant) ([]string, error) {
	switch {
	case g.GroupID == "":
		return []string{g.UserID}, nil
	case e.q.UserID != "": // the query found the grant because the user is in the group
		return []string{e.q.UserID}, nil
	}
	if found, ok := e.members[g.GroupID]; ok {
		return found, nil
	}
	users, err := e.m.Users.Members(ctx, g.GroupID, nil)
	if err != nil && !fault.IsNotFound(err) { // else the group went away just now
		return nil, err
	}
	ids := make([]string, 0, len(users))
	for _, u := range users {
		ids = append(ids, u.ID)
	}
	e.members[g.GroupID] = ids
	return ids, nil
}

// projects are those that inherit the grant.
func (e *expansion) projects(ctx context.Context, g Grant) ([]string, error) {
	if e.q.ProjectID != "" {
		return []string{e.q.ProjectID}, nil
	}
	top := Grant{ProjectID: g.ProjectID, DomainID: g.DomainID}
	if found, ok := e.reached[top]; ok {
		return found, nil
	}
	var projects []Project
	var err error
	if g.DomainID != "" {
		projects, err = e.m.Store.Projects(ctx, filter.List{{Attribute: "domain_id", Value: g.DomainID}})
	} else {
		projects, err = e.m.Store.ProjectsBelow(ctx, g.ProjectID)
	}
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(projects))
	for _, p := range projects {
		ids = append(ids, p.ID)
	}
	e.reached[top] = ids
	return ids, nil
}
