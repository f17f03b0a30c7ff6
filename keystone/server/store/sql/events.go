package sql

import (
	"context"
	"time"

	"authproxy/keystone/server/id"
	"authproxy/keystone/server/tokens"
)

func (s *Store) AddEvent(ctx context.Context, e tokens.Event) error {
	_, err := s.exec(ctx, `INSERT INTO revocation_events (id, audit_id, user_id, role_id, project_id, domain_id, trust_id, consumer_id,
		access_token_id, issued_before, matters_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, COALESCE((SELECT MAX(expires_at) FROM tokens), 0))`,
		id.New(), e.AuditID, e.UserID, e.RoleID, e.ProjectID, e.DomainID, e.TrustID, e.ConsumerID, e.AccessTokenID, micros(e.IssuedBefore))
	return err
}

func (s *Store) Events(ctx context.Context, since, alive time.Time) ([]tokens.Event, error) {
	return all(ctx, s, func(row scanner) (e tokens.Event, err error) {
		var before int64
		err = row.Scan(&e.AuditID, &e.UserID, &e.RoleID, &e.ProjectID, &e.DomainID, &e.TrustID, &e.ConsumerID, &e.AccessTokenID, &before)
		e.IssuedBefore = fromMicros(before)
		return e, err
	}, `SELECT audit_id, user_id, role_id, project_id, domain_id, trust_id, consumer_id, access_token_id, issued_before
		FROM revocation_events WHERE issued_before > ? AND matters_until > ? ORDER BY issued_before, id`, micros(since), micros(alive))
}

func (s *Store) RemoveEvents(ctx context.Context, expired time.Time, limit int) (int, error) {
	return s.exec(ctx, `DELETE FROM revocation_events WHERE id IN (SELECT id FROM revocation_events WHERE matters_until <= ? LIMIT ?)`,
		micros(expired), limit)
}
