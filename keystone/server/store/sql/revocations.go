package sql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"authproxy/keystone"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
)

func scanListState(row scanner) (state tokens.ListState, err error) {
	var issued int64
	err = row.Scan(&state.Sequence, &issued)
	state.Issued = fromMicros(issued)
	return state, err
}

func (s *Store) ListState(ctx context.Context) (tokens.ListState, error) {
	return one(ctx, s, "revocation list", "1", scanListState, `SELECT sequence, issued FROM revocation_list WHERE id = 1`)
}

func (s *Store) RenewList(ctx context.Context, seen, next tokens.ListState) (bool, error) {
	n, err := s.exec(ctx, `UPDATE revocation_list SET issued = ? WHERE id = 1 AND sequence = ? AND issued = ?`,
		micros(next.Issued), seen.Sequence, micros(seen.Issued))
	return n == 1, err
}

func (s *Store) AdvanceList(ctx context.Context, past int64, at time.Time) (state tokens.ListState, moved bool, err error) {
	err = s.Write(ctx, func(ctx context.Context) error {
		var err error
		if state, err = s.ListState(ctx); err != nil || state.Sequence > past {
			return err
		}
		next := state.Advance(past, at)
		n, err := s.exec(ctx, `UPDATE revocation_list SET sequence = ?, issued = ? WHERE id = 1 AND sequence = ?`,
			next.Sequence, micros(next.Issued), state.Sequence)
		if err == nil && n == 0 {
			err = fmt.Errorf("revocation list moved meanwhile: %w", fault.ErrBusy)
		}
		if err != nil {
			return err
		}
		// Who was at a step of a history that is gone gets all of them by the next delta.
		if _, err = s.exec(ctx, `UPDATE tokens SET revoked_seq = ? WHERE revoked_seq IS NOT NULL`, next.Sequence); err != nil {
			return err
		}
		ctx.Value(txKey{s}).(*transaction).list = next
		state, moved = next, true
		return nil
	})
	return state, moved, err
}

// whereTokens is the condition for tokens that are not revoked, expire after alive, and fit which.
func whereTokens(which tokens.Tokens, alive time.Time) (condition string, args []any, err error) {
	condition, args = `revoked_at IS NULL AND expires_at > ?`, []any{micros(alive)}
	for _, c := range []struct{ condition, value string }{
		{"id = ?", which.ID},
		{"user_id = ?", which.UserID},
		{"project_id = ?", which.ProjectID},
		{"domain_id = ?", which.DomainID},
		{"(user_domain_id = ? OR project_domain_id = ? OR domain_id = ?)", which.InDomain},
		{"user_id IN (SELECT user_id FROM memberships WHERE group_id = ?)", which.MemberOf},
		{"project_domain_id = ?", which.ProjectDomainID},
		{"project_id IN " + below, which.Below},
	} {
		if c.value == "" {
			continue
		}
		condition += " AND " + c.condition
		for range strings.Count(c.condition, "?") {
			args = append(args, c.value)
		}
	}
	if len(args) == 1 {
		return "", nil, fmt.Errorf("revoking tokens: which ones was not said")
	}
	return condition, args, nil
}

func (s *Store) TokenScopes(ctx context.Context, which tokens.Tokens, alive time.Time) ([]assignment.Scope, error) {
	condition, args, err := whereTokens(which, alive)
	if err != nil {
		return nil, err
	}
	return all(ctx, s, func(row scanner) (scope assignment.Scope, err error) {
		return scope, row.Scan(&scope.UserID, &scope.ProjectID, &scope.DomainID)
	}, `SELECT DISTINCT user_id, project_id, domain_id FROM tokens WHERE `+condition+` ORDER BY user_id, project_id, domain_id`, args...)
}

func (s *Store) RevokeTokens(ctx context.Context, which tokens.Tokens, at, alive time.Time) (n int, err error) {
	condition, args, err := whereTokens(which, alive)
	if err != nil {
		return 0, err
	}
	err = s.Write(ctx, func(ctx context.Context) error {
		t := ctx.Value(txKey{s}).(*transaction)
		before, next := tokens.ListState{}, t.list
		if next.Sequence == 0 {
			var err error
			if before, err = s.ListState(ctx); err != nil {
				return err
			}
			next = before.Step(at)
		}
		var err error
		if n, err = s.exec(ctx, `UPDATE tokens SET revoked_at = ?, revoked_seq = ? WHERE `+condition,
			append([]any{micros(at), next.Sequence}, args...)...); err != nil {
			return err
		}
		if n == 0 || t.list == next {
			return nil
		}
		// SQLite lets one writer in at a time. Where a database does not, two of them must not take the same step.
		moved, err := s.exec(ctx, `UPDATE revocation_list SET sequence = ?, issued = ? WHERE id = 1 AND sequence = ?`,
			next.Sequence, micros(next.Issued), before.Sequence)
		if err == nil && moved == 0 {
			err = fmt.Errorf("revocation list moved meanwhile: %w", fault.ErrBusy)
		}
		t.list = next
		return err
	})
	return n, err
}

const revokedTokens = `SELECT id, audit_id, expires_at FROM tokens WHERE revoked_seq > ? AND revoked_seq <= ? AND expires_at > ?
	ORDER BY revoked_seq, id`

func (s *Store) RevokedTokens(ctx context.Context, steps tokens.Steps, alive time.Time) ([]keystone.RevokedToken, error) {
	statement := revokedTokens
	args := []any{steps.After, steps.UpTo, micros(alive)}
	if steps.Most > 0 {
		statement += ` LIMIT ?`
		args = append(args, steps.Most)
	}
	return all(ctx, s, func(row scanner) (keystone.RevokedToken, error) {
		var t keystone.RevokedToken
		var expires int64
		err := row.Scan(&t.ID, &t.AuditID, &expires)
		t.Expires = fromMicros(expires)
		return t, err
	}, statement, args...)
}
