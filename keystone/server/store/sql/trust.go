package sql

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/trust"
)

const trustColumns = `SELECT id, trustor_user_id, trustee_user_id, project_id, impersonation, expires_at, remaining_uses,
	redelegation_count, redelegated_trust_id, extra FROM trusts`

func scanTrust(row scanner) (t trust.Trust, err error) {
	var project, redelegated sql.NullString
	var expires, uses sql.NullInt64
	err = row.Scan(&t.ID, &t.TrustorUserID, &t.TrusteeUserID, &project, &t.Impersonation, &expires, &uses,
		&t.RedelegationCount, &redelegated, (*attributes)(&t.Extra))
	t.ProjectID, t.RedelegatedTrustID, t.ExpiresAt = project.String, redelegated.String, fromNullMicros(expires)
	if uses.Valid {
		t.RemainingUses = &uses.Int64
	}
	return t, err
}

// nullMicros is the value for a column of times in which the zero time is NULL.
func nullMicros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return micros(t)
}

func fromNullMicros(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return fromMicros(n.Int64)
}

// withRoles reads the roles of trusts.
func (s *Store) withRoles(ctx context.Context, list []trust.Trust) ([]trust.Trust, error) {
	for i := range list {
		var err error
		if list[i].RoleIDs, err = all(ctx, s, scanText, `SELECT role_id FROM trust_roles WHERE trust_id = ? ORDER BY role_id`, list[i].ID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *Store) Trust(ctx context.Context, id string) (trust.Trust, error) {
	t, err := one(ctx, s, "trust", id, scanTrust, trustColumns+` WHERE id = ?`, id)
	if err != nil {
		return trust.Trust{}, err
	}
	list, err := s.withRoles(ctx, []trust.Trust{t})
	if err != nil {
		return trust.Trust{}, err
	}
	return list[0], nil
}

func (s *Store) Trusts(ctx context.Context, trustorUserID, trusteeUserID string) ([]trust.Trust, error) {
	clause, args := conditions("trustor_user_id", trustorUserID, "trustee_user_id", trusteeUserID)
	list, err := all(ctx, s, scanTrust, trustColumns+clause+` ORDER BY id`, args...)
	if err != nil {
		return nil, err
	}
	return s.withRoles(ctx, list)
}

// conditions makes " WHERE …" of pairs of a column and its value, of which those with "" do not count.
func conditions(pairs ...string) (clause string, args []any) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if clause == "" {
			clause = " WHERE "
		} else {
			clause += " AND "
		}
		clause += pairs[i] + " = ?"
		args = append(args, pairs[i+1])
	}
	return clause, args
}

func (s *Store) RedelegatedTrusts(ctx context.Context, id string) ([]string, error) {
	return all(ctx, s, scanText, `WITH RECURSIVE below (id) AS (
			SELECT id FROM trusts WHERE redelegated_trust_id = ?
			UNION SELECT trusts.id FROM trusts JOIN below ON trusts.redelegated_trust_id = below.id)
		SELECT id FROM below ORDER BY id`, id)
}

func (s *Store) AddTrust(ctx context.Context, t trust.Trust) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if t.RedelegatedTrustID != "" {
			if _, err := one(ctx, s, "trust", t.RedelegatedTrustID, scanText, `SELECT id FROM trusts WHERE id = ?`, t.RedelegatedTrustID); err != nil {
				return err
			}
		}
		var uses any
		if t.RemainingUses != nil {
			uses = *t.RemainingUses
		}
		err := s.execOne(ctx, "trust", t.ID, `INSERT INTO trusts (id, trustor_user_id, trustee_user_id, project_id, impersonation,
			expires_at, remaining_uses, redelegation_count, redelegated_trust_id, extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			t.ID, t.TrustorUserID, t.TrusteeUserID, nullable(t.ProjectID), number(t.Impersonation),
			nullMicros(t.ExpiresAt), uses, t.RedelegationCount, nullable(t.RedelegatedTrustID), encode(t.Extra))
		if errors.Is(err, errForeignKey) {
			return fault.NotFound{Kind: "project", ID: t.ProjectID}
		}
		for _, roleID := range t.RoleIDs {
			if err == nil {
				_, err = s.exec(ctx, `INSERT INTO trust_roles (trust_id, role_id) VALUES (?, ?)`, t.ID, roleID)
			}
		}
		return err
	})
}

func (s *Store) UseTrust(ctx context.Context, id string) (left bool, err error) {
	err = s.Write(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, `UPDATE trusts SET remaining_uses = remaining_uses - 1 WHERE id = ? AND remaining_uses > 0`, id)
		if err != nil || n > 0 {
			left = n > 0
			return err
		}
		t, err := s.Trust(ctx, id)
		left = t.RemainingUses == nil
		return err
	})
	return left && err == nil, err
}

func (s *Store) RemoveTrusts(ctx context.Context, expired time.Time, limit int) (int, error) {
	return s.exec(ctx, `DELETE FROM trusts WHERE id IN (SELECT id FROM trusts WHERE expires_at <= ? LIMIT ?)`, micros(expired), limit)
}

func (s *Store) RemoveTrust(ctx context.Context, id string) error {
	return s.execOne(ctx, "trust", id, `DELETE FROM trusts WHERE id = ?`, id)
}
