package sql

import (
	"context"
	"errors"
	"strings"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

// The projects above one, and those below one, at any depth and without itself.
const (
	above = `(WITH RECURSIVE above (id) AS (SELECT parent_id FROM projects WHERE id = ?
		UNION SELECT p.parent_id FROM projects p JOIN above a ON p.id = a.id) SELECT id FROM above WHERE id IS NOT NULL)`
	below = `(WITH RECURSIVE below (id) AS (SELECT id FROM projects WHERE parent_id = ?
		UNION SELECT p.id FROM projects p JOIN below b ON p.parent_id = b.id) SELECT id FROM below)`
)

func scanGrant(row scanner) (g assignment.Grant, err error) {
	return g, row.Scan(&g.UserID, &g.GroupID, &g.ProjectID, &g.DomainID, &g.RoleID, &g.Inherited)
}

const grantColumns = `user_id, group_id, project_id, domain_id, role_id, inherited`

// grantKey are the values of grantColumns.
func grantKey(g assignment.Grant) []any {
	return []any{g.UserID, g.GroupID, g.ProjectID, g.DomainID, g.RoleID, number(g.Inherited)}
}

const thisGrant = ` WHERE user_id = ? AND group_id = ? AND project_id = ? AND domain_id = ? AND role_id = ? AND inherited = ?`

func (s *Store) AddGrant(ctx context.Context, g assignment.Grant) error {
	_, err := s.exec(ctx, `INSERT INTO assignments (`+grantColumns+`) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, grantKey(g)...)
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "role", ID: g.RoleID}
	}
	return err
}

func (s *Store) HasGrant(ctx context.Context, g assignment.Grant) (bool, error) {
	found, err := all(ctx, s, scanInt, `SELECT 1 FROM assignments`+thisGrant, grantKey(g)...)
	return len(found) > 0, err
}

func (s *Store) RemoveGrant(ctx context.Context, g assignment.Grant) error {
	return s.execOne(ctx, "role", g.RoleID, `DELETE FROM assignments`+thisGrant, grantKey(g)...)
}

func (s *Store) Grants(ctx context.Context, q assignment.Query) ([]assignment.Grant, error) {
	clause, args := whereGrant(q)
	return all(ctx, s, scanGrant, `SELECT `+grantColumns+` FROM assignments`+clause+` ORDER BY `+grantColumns, args...)
}

func (s *Store) RolesOf(ctx context.Context, q assignment.Query) ([]assignment.Role, error) {
	clause, args := whereGrant(q)
	return all(ctx, s, scanRole, roleColumns+` WHERE id IN (SELECT role_id FROM assignments`+clause+`) ORDER BY name, id`, args...)
}

// whereGrant turns a query into " WHERE …" and its arguments.
func whereGrant(q assignment.Query) (clause string, args []any) {
	var conditions []string
	add := func(condition, value string) {
		if value == "" {
			return
		}
		conditions = append(conditions, condition)
		for range strings.Count(condition, "?") {
			args = append(args, value)
		}
	}
	user, project, domain := `user_id = ?`, `project_id = ?`, `domain_id = ?`
	if q.Effective {
		user = `(user_id = ? OR group_id IN (SELECT group_id FROM memberships WHERE user_id = ?))`
		project = `(inherited = 0 AND project_id = ? OR inherited = 1 AND (domain_id = (SELECT domain_id FROM projects WHERE id = ?)
			OR project_id IN ` + above + `))`
		domain = `inherited = 0 AND domain_id = ?`
	}
	add(user, q.UserID)
	add(`group_id = ?`, q.GroupID)
	if q.GroupIDs != nil {
		condition, ids := oneOf("group_id", q.GroupIDs)
		conditions, args = append(conditions, condition), append(args, ids...)
	}
	add(project, q.ProjectID)
	add(domain, q.DomainID)
	add(`role_id = ?`, q.RoleID)
	if q.Inherited != nil {
		conditions = append(conditions, `inherited = ?`)
		args = append(args, number(*q.Inherited))
	}
	if len(conditions) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}

// oneOf is the condition that a column has one of some values, and its arguments.
func oneOf(column string, values []string) (condition string, args []any) {
	if len(values) == 0 {
		return "1 = 0", nil
	}
	for _, v := range values {
		args = append(args, v)
	}
	return column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")", args
}

// toUser is the condition that a grant is to a user, by groups too.
const toUser = `(user_id = ? OR group_id IN (SELECT group_id FROM memberships WHERE user_id = ?))`

func (s *Store) ProjectsOfUser(ctx context.Context, userID string, inherit bool, where filter.List) ([]assignment.Project, error) {
	return s.projectsGranted(ctx, toUser, []any{userID, userID}, inherit, where)
}

func (s *Store) ProjectsOfGroups(ctx context.Context, groupIDs []string, inherit bool) ([]assignment.Project, error) {
	condition, args := oneOf("group_id", groupIDs)
	return s.projectsGranted(ctx, condition, args, inherit, nil)
}

// projectsGranted are the projects with a grant to those that the condition names.
func (s *Store) projectsGranted(ctx context.Context, to string, args []any, inherit bool, where filter.List) ([]assignment.Project, error) {
	return listed(ctx, s, scanProject, `WITH RECURSIVE
		mine (project_id, domain_id, inherited) AS (SELECT project_id, domain_id, inherited FROM assignments
			WHERE `+to+` AND inherited <= ?),
		below (id) AS (SELECT p.id FROM projects p JOIN mine m ON p.parent_id = m.project_id WHERE m.inherited = 1
			UNION SELECT p.id FROM projects p JOIN below b ON p.parent_id = b.id) `+projectColumns, where, projectFilters, "name, id",
		`(id IN (SELECT project_id FROM mine WHERE inherited = 0) OR id IN (SELECT id FROM below)
			OR domain_id IN (SELECT domain_id FROM mine WHERE inherited = 1))`, append(args, number(inherit))...)
}

func (s *Store) DomainsOfUser(ctx context.Context, userID string) ([]assignment.Domain, error) {
	return s.domainsGranted(ctx, toUser, userID, userID)
}

func (s *Store) DomainsOfGroups(ctx context.Context, groupIDs []string) ([]assignment.Domain, error) {
	condition, args := oneOf("group_id", groupIDs)
	return s.domainsGranted(ctx, condition, args...)
}

func (s *Store) domainsGranted(ctx context.Context, to string, args ...any) ([]assignment.Domain, error) {
	return all(ctx, s, scanDomain, domainColumns+` WHERE id IN (SELECT domain_id FROM assignments WHERE inherited = 0
		AND `+to+`) ORDER BY name, id`, args...)
}
