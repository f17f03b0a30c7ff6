package sql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"authproxy/keystone"
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

// selection is a condition on the table of tokens.
type selection struct {
	clause string
	args   []any
}

// selections find the tokens that fit: those of a user or of a domain's users, and in a statement of its own, so that each can
// use an index, those that stand on them as parties.
func selections(which tokens.Tokens) (list []selection) {
	const ofDomain = "(user_domain_id = ? OR project_domain_id = ? OR domain_id = ?)"
	const party = "id IN (SELECT token_id FROM token_parties WHERE "
	for _, parties := range []bool{false, true} {
		user, inDomain := "user_id = ?", ofDomain
		if parties {
			if which.UserID == "" && which.InDomain == "" {
				break
			}
			if which.UserID != "" {
				user = party + "user_id = ?)"
			} else {
				inDomain = party + "domain_id = ?)"
			}
		}
		var clauses []string
		var one selection
		for _, c := range []struct{ clause, value string }{
			{"id = ?", which.ID},
			{user, which.UserID},
			{"project_id = ?", which.ProjectID},
			{"domain_id = ?", which.DomainID},
			{inDomain, which.InDomain},
			{"trust_id = ?", which.TrustID},
			{"consumer_id = ?", which.ConsumerID},
			{"access_token_id = ?", which.AccessTokenID},
		} {
			if c.value == "" {
				continue
			}
			clauses = append(clauses, c.clause)
			for range strings.Count(c.clause, "?") {
				one.args = append(one.args, c.value)
			}
		}
		if len(clauses) == 0 {
			return nil
		}
		one.clause = strings.Join(clauses, " AND ")
		list = append(list, one)
	}
	return list
}

func (s *Store) RevokeTokens(ctx context.Context, which tokens.Tokens, at, alive time.Time) (n int, err error) {
	some := selections(which)
	if len(some) == 0 {
		return 0, fmt.Errorf("revoking tokens: which ones was not said")
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
		n = 0 // a transaction may be run again
		for _, one := range some {
			marked, err := s.exec(ctx, `UPDATE tokens SET revoked_at = ?, revoked_seq = ? WHERE revoked_at IS NULL AND expires_at > ? AND `+
				one.clause, append([]any{micros(at), next.Sequence, micros(alive)}, one.args...)...)
			if err != nil {
				return err
			}
			n += marked
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
