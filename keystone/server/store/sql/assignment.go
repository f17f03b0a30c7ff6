package sql

import (
	"context"
	"errors"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const (
	domainColumns  = `SELECT id, name, enabled, extra FROM domains`
	projectColumns = `SELECT id, domain_id, name, description, enabled, extra FROM projects`
	roleColumns    = `SELECT id, name, extra FROM roles`
)

func scanDomain(row scanner) (d assignment.Domain, err error) {
	return d, row.Scan(&d.ID, &d.Name, &d.Enabled, (*attributes)(&d.Extra))
}

func scanProject(row scanner) (p assignment.Project, err error) {
	return p, row.Scan(&p.ID, &p.DomainID, &p.Name, &p.Description, &p.Enabled, (*attributes)(&p.Extra))
}

func scanRole(row scanner) (r assignment.Role, err error) {
	return r, row.Scan(&r.ID, &r.Name, (*attributes)(&r.Extra))
}

func (s *Store) Domain(ctx context.Context, id string) (assignment.Domain, error) {
	return one(ctx, s, "domain", id, scanDomain, domainColumns+` WHERE id = ?`, id)
}

func (s *Store) DomainByName(ctx context.Context, name string) (assignment.Domain, error) {
	return one(ctx, s, "domain", name, scanDomain, domainColumns+` WHERE name = ?`, name)
}

func (s *Store) Domains(ctx context.Context, list filter.List) ([]assignment.Domain, error) {
	clause, args := where(list, map[string]string{"name": "name", "enabled": "enabled"})
	return all(ctx, s, scanDomain, domainColumns+clause+` ORDER BY name, id`, args...)
}

func (s *Store) AddDomain(ctx context.Context, d assignment.Domain) error {
	return s.execOne(ctx, "domain", d.ID, `INSERT INTO domains (id, name, enabled, extra) VALUES (?, ?, ?, ?)`,
		d.ID, d.Name, number(d.Enabled), encode(d.Extra))
}

func (s *Store) PutDomain(ctx context.Context, d assignment.Domain) error {
	return s.execOne(ctx, "domain", d.ID, `UPDATE domains SET name = ?, enabled = ?, extra = ? WHERE id = ?`,
		d.Name, number(d.Enabled), encode(d.Extra), d.ID)
}

func (s *Store) RemoveDomain(ctx context.Context, id string) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if _, err := s.exec(ctx, `DELETE FROM grants WHERE domain_id = ?
			OR user_id IN (SELECT id FROM users WHERE domain_id = ?)
			OR project_id IN (SELECT id FROM projects WHERE domain_id = ?)`, id, id, id); err != nil {
			return err
		}
		if err := s.removeDelegationsOf(ctx, `IN (SELECT id FROM users WHERE domain_id = ?)`, id); err != nil {
			return err
		}
		return s.execOne(ctx, "domain", id, `DELETE FROM domains WHERE id = ?`, id)
	})
}

func (s *Store) Project(ctx context.Context, id string) (assignment.Project, error) {
	return one(ctx, s, "project", id, scanProject, projectColumns+` WHERE id = ?`, id)
}

func (s *Store) ProjectByName(ctx context.Context, domainID, name string) (assignment.Project, error) {
	return one(ctx, s, "project", name, scanProject, projectColumns+` WHERE domain_id = ? AND name = ?`, domainID, name)
}

func (s *Store) Projects(ctx context.Context, list filter.List) ([]assignment.Project, error) {
	clause, args := where(list, map[string]string{"domain_id": "domain_id", "name": "name", "enabled": "enabled"})
	return all(ctx, s, scanProject, projectColumns+clause+` ORDER BY name, id`, args...)
}

func (s *Store) AddProject(ctx context.Context, p assignment.Project) error {
	err := s.execOne(ctx, "project", p.ID, `INSERT INTO projects (id, domain_id, name, description, enabled, extra) VALUES (?, ?, ?, ?, ?, ?)`,
		p.ID, p.DomainID, p.Name, p.Description, number(p.Enabled), encode(p.Extra))
	return missingDomain(err, p.DomainID)
}

func (s *Store) PutProject(ctx context.Context, p assignment.Project) error {
	return s.execOne(ctx, "project", p.ID, `UPDATE projects SET name = ?, description = ?, enabled = ?, extra = ? WHERE id = ?`,
		p.Name, p.Description, number(p.Enabled), encode(p.Extra), p.ID)
}

func (s *Store) RemoveProject(ctx context.Context, id string) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if err := s.execOne(ctx, "project", id, `DELETE FROM projects WHERE id = ?`, id); err != nil {
			return err
		}
		_, err := s.exec(ctx, `DELETE FROM grants WHERE project_id = ?`, id)
		return err
	})
}

func (s *Store) Role(ctx context.Context, id string) (assignment.Role, error) {
	return one(ctx, s, "role", id, scanRole, roleColumns+` WHERE id = ?`, id)
}

func (s *Store) RoleByName(ctx context.Context, name string) (assignment.Role, error) {
	return one(ctx, s, "role", name, scanRole, roleColumns+` WHERE name = ?`, name)
}

func (s *Store) Roles(ctx context.Context, list filter.List) ([]assignment.Role, error) {
	clause, args := where(list, map[string]string{"name": "name"})
	return all(ctx, s, scanRole, roleColumns+clause+` ORDER BY name, id`, args...)
}

func (s *Store) AddRole(ctx context.Context, r assignment.Role) error {
	return s.execOne(ctx, "role", r.ID, `INSERT INTO roles (id, name, extra) VALUES (?, ?, ?)`, r.ID, r.Name, encode(r.Extra))
}

func (s *Store) PutRole(ctx context.Context, r assignment.Role) error {
	return s.execOne(ctx, "role", r.ID, `UPDATE roles SET name = ?, extra = ? WHERE id = ?`, r.Name, encode(r.Extra), r.ID)
}

func (s *Store) RemoveRole(ctx context.Context, id string) error {
	return s.execOne(ctx, "role", id, `DELETE FROM roles WHERE id = ?`, id)
}

func (s *Store) AddGrant(ctx context.Context, g assignment.Grant) error {
	_, err := s.exec(ctx, `INSERT INTO grants (user_id, project_id, domain_id, role_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		g.UserID, g.ProjectID, g.DomainID, g.RoleID)
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "role", ID: g.RoleID}
	}
	return err
}

const thisGrant = ` WHERE user_id = ? AND project_id = ? AND domain_id = ? AND role_id = ?`

func (s *Store) HasGrant(ctx context.Context, g assignment.Grant) (bool, error) {
	found, err := all(ctx, s, scanInt, `SELECT 1 FROM grants`+thisGrant, g.UserID, g.ProjectID, g.DomainID, g.RoleID)
	return len(found) > 0, err
}

func (s *Store) RemoveGrant(ctx context.Context, g assignment.Grant) error {
	return s.execOne(ctx, "role", g.RoleID, `DELETE FROM grants`+thisGrant, g.UserID, g.ProjectID, g.DomainID, g.RoleID)
}

func (s *Store) GrantedRoles(ctx context.Context, scope assignment.Scope) ([]assignment.Role, error) {
	return all(ctx, s, scanRole, roleColumns+` WHERE id IN (SELECT role_id FROM grants WHERE user_id = ? AND project_id = ? AND domain_id = ?)
		ORDER BY name, id`, scope.UserID, scope.ProjectID, scope.DomainID)
}

func (s *Store) ScopesOfRole(ctx context.Context, roleID string) ([]assignment.Scope, error) {
	return all(ctx, s, func(row scanner) (scope assignment.Scope, err error) {
		return scope, row.Scan(&scope.UserID, &scope.ProjectID, &scope.DomainID)
	}, `SELECT user_id, project_id, domain_id FROM grants WHERE role_id = ? ORDER BY user_id, project_id, domain_id`, roleID)
}

func (s *Store) ProjectsOfUser(ctx context.Context, userID string) ([]assignment.Project, error) {
	return all(ctx, s, scanProject, projectColumns+` WHERE id IN (SELECT project_id FROM grants WHERE user_id = ?) ORDER BY name, id`, userID)
}

func (s *Store) DomainsOfUser(ctx context.Context, userID string) ([]assignment.Domain, error) {
	return all(ctx, s, scanDomain, domainColumns+` WHERE id IN (SELECT domain_id FROM grants WHERE user_id = ?) ORDER BY name, id`, userID)
}

func (s *Store) UsersOfProject(ctx context.Context, projectID string) ([]string, error) {
	return all(ctx, s, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT DISTINCT user_id FROM grants WHERE project_id = ? ORDER BY user_id`, projectID)
}
