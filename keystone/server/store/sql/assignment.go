package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const (
	domainColumns  = `SELECT id, name, enabled, extra FROM domains`
	projectColumns = `SELECT id, domain_id, parent_id, name, description, enabled, extra FROM projects`
	roleColumns    = `SELECT id, name, extra FROM roles`
)

var (
	domainFilters  = map[string]string{"name": "name", "enabled": "enabled"}
	projectFilters = map[string]string{"domain_id": "domain_id", "name": "name", "enabled": "enabled", "parent_id": "parent_id"}
	roleFilters    = map[string]string{"name": "name"}
)

func scanDomain(row scanner) (d assignment.Domain, err error) {
	return d, row.Scan(&d.ID, &d.Name, &d.Enabled, (*attributes)(&d.Extra))
}

func scanProject(row scanner) (p assignment.Project, err error) {
	var parent sql.NullString
	err = row.Scan(&p.ID, &p.DomainID, &parent, &p.Name, &p.Description, &p.Enabled, (*attributes)(&p.Extra))
	p.ParentID = parent.String
	return p, err
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

func (s *Store) Domains(ctx context.Context, where filter.List) ([]assignment.Domain, error) {
	return listed(ctx, s, scanDomain, domainColumns, where, domainFilters, "name, id", "")
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
		if _, err := s.exec(ctx, `DELETE FROM assignments WHERE domain_id = ?
			OR user_id IN (SELECT id FROM users WHERE domain_id = ?)
			OR group_id IN (SELECT id FROM user_groups WHERE domain_id = ?)
			OR project_id IN (SELECT id FROM projects WHERE domain_id = ?)`, id, id, id, id); err != nil {
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

func (s *Store) Projects(ctx context.Context, where filter.List) ([]assignment.Project, error) {
	return listed(ctx, s, scanProject, projectColumns, where, projectFilters, "name, id", "")
}

func (s *Store) AddProject(ctx context.Context, p assignment.Project) error {
	err := s.execOne(ctx, "project", p.ID, `INSERT INTO projects (id, domain_id, parent_id, name, description, enabled, extra)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, p.ID, p.DomainID, nullable(p.ParentID), p.Name, p.Description, number(p.Enabled), encode(p.Extra))
	if !errors.Is(err, errForeignKey) {
		return err
	}
	if _, err := s.Domain(ctx, p.DomainID); err != nil {
		return err
	}
	return fault.NotFound{Kind: "project", ID: p.ParentID}
}

func (s *Store) PutProject(ctx context.Context, p assignment.Project) error {
	return s.execOne(ctx, "project", p.ID, `UPDATE projects SET name = ?, description = ?, enabled = ?, extra = ? WHERE id = ?`,
		p.Name, p.Description, number(p.Enabled), encode(p.Extra), p.ID)
}

func (s *Store) RemoveProject(ctx context.Context, id string) error {
	return s.Write(ctx, func(ctx context.Context) error {
		err := s.execOne(ctx, "project", id, `DELETE FROM projects WHERE id = ?`, id)
		if errors.Is(err, errForeignKey) {
			return fault.Forbidden{Action: fmt.Sprintf("delete project %s while there are projects below it", id)}
		}
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, `DELETE FROM assignments WHERE project_id = ?`, id)
		return err
	})
}

func (s *Store) ProjectsBelow(ctx context.Context, id string) ([]assignment.Project, error) {
	return all(ctx, s, scanProject, projectColumns+` WHERE id IN `+below+` ORDER BY name, id`, id)
}

func (s *Store) ProjectsAbove(ctx context.Context, id string) ([]assignment.Project, error) {
	found, err := all(ctx, s, scanProject, projectColumns+` WHERE id IN `+above, id)
	if err != nil || len(found) == 0 {
		return found, err
	}
	p, err := s.Project(ctx, id)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]assignment.Project, len(found))
	for _, f := range found {
		byID[f.ID] = f
	}
	upwards := make([]assignment.Project, 0, len(found))
	for p, ok := byID[p.ParentID]; ok && len(upwards) < len(found); p, ok = byID[p.ParentID] {
		upwards = append(upwards, p)
	}
	return upwards, nil
}

func (s *Store) Role(ctx context.Context, id string) (assignment.Role, error) {
	return one(ctx, s, "role", id, scanRole, roleColumns+` WHERE id = ?`, id)
}

func (s *Store) RoleByName(ctx context.Context, name string) (assignment.Role, error) {
	return one(ctx, s, "role", name, scanRole, roleColumns+` WHERE name = ?`, name)
}

func (s *Store) Roles(ctx context.Context, where filter.List) ([]assignment.Role, error) {
	return listed(ctx, s, scanRole, roleColumns, where, roleFilters, "name, id", "")
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
