package sql

import (
	"context"
	"time"

	"authproxy/keystone/server/identity"
)

func (s *Store) Failures(ctx context.Context, of identity.Attempt) (identity.Failures, error) {
	list, err := all(ctx, s, func(row scanner) (f identity.Failures, err error) {
		var last int64
		err = row.Scan(&f.Count, &last)
		f.Last = fromMicros(last)
		return f, err
	}, `SELECT failures, last_at FROM login_failures WHERE who = ? AND address = ?`, of.Who, of.Address)
	if err != nil || len(list) == 0 {
		return identity.Failures{}, err
	}
	return list[0], nil
}

func (s *Store) AddFailure(ctx context.Context, of identity.Attempt, at, forget time.Time) error {
	_, err := s.exec(ctx, `INSERT INTO login_failures (who, address, failures, last_at) VALUES (?, ?, 1, ?)
		ON CONFLICT (who, address) DO UPDATE SET
			failures = CASE WHEN login_failures.last_at <= ? OR login_failures.last_at >= ? THEN 1 ELSE login_failures.failures + 1 END,
			last_at = excluded.last_at`,
		of.Who, of.Address, micros(at), micros(forget), micros(at.Add(at.Sub(forget))))
	return err
}

func (s *Store) ForgetFailures(ctx context.Context, of identity.Attempt) error {
	_, err := s.exec(ctx, `DELETE FROM login_failures WHERE who = ? AND address = ?`, of.Who, of.Address)
	return err
}

func (s *Store) ForgetUserFailures(ctx context.Context, userID string) error {
	_, err := s.exec(ctx, `DELETE FROM login_failures WHERE who = ?`, userID)
	return err
}

func (s *Store) RemoveFailures(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.exec(ctx, `DELETE FROM login_failures WHERE (who, address) IN (SELECT who, address FROM login_failures WHERE last_at <= ? LIMIT ?)`,
		micros(before), limit)
}
