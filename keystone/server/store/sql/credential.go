package sql

import (
	"context"
	"database/sql"
	"errors"

	"authproxy/keystone/server/credential"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const credentialColumns = `SELECT id, user_id, project_id, type, blob, key_hash, extra FROM credentials`

var credentialFilters = map[string]string{"user_id": "user_id", "project_id": "project_id", "type": "type"}

func scanCredential(row scanner) (c credential.Credential, err error) {
	var project sql.NullString
	err = row.Scan(&c.ID, &c.UserID, &project, &c.Type, &c.Blob, &c.KeyHash, (*attributes)(&c.Extra))
	c.ProjectID = project.String
	return c, err
}

func (s *Store) Credential(ctx context.Context, id string) (credential.Credential, error) {
	return one(ctx, s, "credential", id, scanCredential, credentialColumns+` WHERE id = ?`, id)
}

func (s *Store) Credentials(ctx context.Context, where filter.List) ([]credential.Credential, error) {
	return listed(ctx, s, scanCredential, credentialColumns, where, credentialFilters, "id", "")
}

func (s *Store) AddCredential(ctx context.Context, c credential.Credential) error {
	err := s.execOne(ctx, "credential", c.ID, `INSERT INTO credentials (id, user_id, project_id, type, blob, key_hash, extra) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.ID, c.UserID, nullable(c.ProjectID), c.Type, c.Blob, c.KeyHash, encode(c.Extra))
	return missingProject(err, c.ProjectID)
}

func (s *Store) PutCredential(ctx context.Context, c credential.Credential) error {
	err := s.execOne(ctx, "credential", c.ID, `UPDATE credentials SET user_id = ?, project_id = ?, type = ?, blob = ?, key_hash = ?, extra = ? WHERE id = ?`,
		c.UserID, nullable(c.ProjectID), c.Type, c.Blob, c.KeyHash, encode(c.Extra), c.ID)
	return missingProject(err, c.ProjectID)
}

func (s *Store) RemoveCredential(ctx context.Context, id string) error {
	return s.execOne(ctx, "credential", id, `DELETE FROM credentials WHERE id = ?`, id)
}

// missingProject names the project that a row should have referred to.
func missingProject(err error, id string) error {
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "project", ID: id}
	}
	return err
}
