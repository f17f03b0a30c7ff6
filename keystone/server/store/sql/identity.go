package sql

import (
	"context"
	"errors"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/identity"
)

const userColumns = `SELECT id, domain_id, name, enabled, default_project_id, password_hash, extra FROM users`

var userFilters = map[string]string{"domain_id": "domain_id", "name": "name", "enabled": "enabled"}

func scanUser(row scanner) (u identity.User, err error) {
	return u, row.Scan(&u.ID, &u.DomainID, &u.Name, &u.Enabled, &u.DefaultProjectID, &u.PasswordHash, (*attributes)(&u.Extra))
}

func (s *Store) User(ctx context.Context, id string) (identity.User, error) {
	return one(ctx, s, "user", id, scanUser, userColumns+` WHERE id = ?`, id)
}

func (s *Store) UserByName(ctx context.Context, domainID, name string) (identity.User, error) {
	return one(ctx, s, "user", name, scanUser, userColumns+` WHERE domain_id = ? AND name = ?`, domainID, name)
}

func (s *Store) Users(ctx context.Context, where filter.List) ([]identity.User, error) {
	return listed(ctx, s, scanUser, userColumns, where, userFilters, "name, id", "")
}

func (s *Store) AddUser(ctx context.Context, u identity.User) error {
	err := s.execOne(ctx, "user", u.ID, `INSERT INTO users (id, domain_id, name, enabled, default_project_id, password_hash, extra)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, u.ID, u.DomainID, u.Name, number(u.Enabled), u.DefaultProjectID, u.PasswordHash, encode(u.Extra))
	return missingDomain(err, u.DomainID)
}

func (s *Store) PutUser(ctx context.Context, u identity.User) error {
	return s.execOne(ctx, "user", u.ID, `UPDATE users SET name = ?, enabled = ?, default_project_id = ?, password_hash = ?, extra = ?
		WHERE id = ?`, u.Name, number(u.Enabled), u.DefaultProjectID, u.PasswordHash, encode(u.Extra), u.ID)
}

func (s *Store) RemoveUser(ctx context.Context, id string) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if err := s.execOne(ctx, "user", id, `DELETE FROM users WHERE id = ?`, id); err != nil {
			return err
		}
		if _, err := s.exec(ctx, `DELETE FROM assignments WHERE user_id = ?`, id); err != nil {
			return err
		}
		return s.removeDelegationsOf(ctx, `= ?`, id)
	})
}

// missingDomain names the domain that a row should have referred to.
func missingDomain(err error, id string) error {
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "domain", ID: id}
	}
	return err
}
