package sql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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

// ofUser says in what a condition on a token's user is: the column of its own user, or what finds its parties.
type ofUser func(condition string) string

func itself(condition string) string { return "user_id " + condition }

// aParty is in a statement of its own, so that each can use an index.
func aParty(condition string) string {
	return "id IN (SELECT token_id FROM token_parties WHERE user_id " + condition + ")"
}

// byUser are the ways in which tokens can be a user's.
func byUser(which tokens.Tokens) []ofUser {
	if which.UserID == "" && which.MemberOf == "" && which.InDomain == "" {
		return []ofUser{itself}
	}
	return []ofUser{itself, aParty}
}

// whereTokens is the condition for tokens that are not revoked, expire after alive, and fit which.
func whereTokens(which tokens.Tokens, alive time.Time, of ofUser) (condition string, args []any, err error) {
	condition, args = `revoked_at IS NULL AND expires_at > ?`, []any{micros(alive)}
	inDomain := "(user_domain_id = ? OR project_domain_id = ? OR domain_id = ?)"
	if of("") != itself("") {
		inDomain = "id IN (SELECT token_id FROM token_parties WHERE domain_id = ?)"
	}
	for _, c := range []struct{ condition, value string }{
		{"id = ?", which.ID},
		{of("= ?"), which.UserID},
		{"project_id = ?", which.ProjectID},
		{"domain_id = ?", which.DomainID},
		{inDomain, which.InDomain},
		{of("IN (SELECT user_id FROM memberships WHERE group_id = ?)"), which.MemberOf},
		{"project_domain_id = ?", which.ProjectDomainID},
		{"project_id IN " + below, which.Below},
		{"trust_id = ?", which.TrustID},
		{"consumer_id = ?", which.ConsumerID},
		{"access_token_id = ?", which.AccessTokenID},
		{"identity_provider_id = ?", which.IdentityProviderID},
		{"protocol_id = ?", which.ProtocolID},
		{"id IN (SELECT token_id FROM token_groups WHERE group_id = ?)", which.GroupID},
		{"id IN (SELECT token_id FROM token_groups WHERE domain_id = ?)", which.GroupDomainID},
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
	scopes := func(query string, of ofUser) ([]assignment.Scope, error) {
		condition, args, err := whereTokens(which, alive, of)
		if err != nil {
			return nil, err
		}
		return all(ctx, s, func(row scanner) (scope assignment.Scope, err error) {
			return scope, row.Scan(&scope.UserID, &scope.ProjectID, &scope.DomainID)
		}, query+` WHERE `+condition, args...)
	}
	list, err := scopes(`SELECT DISTINCT user_id, project_id, domain_id FROM tokens`, itself)
	if err == nil && len(byUser(which)) > 1 {
		var more []assignment.Scope
		more, err = scopes(`SELECT DISTINCT party, project_id, domain_id FROM tokens
			JOIN (SELECT token_id, user_id AS party FROM token_parties) parties ON token_id = id`, func(condition string) string { return "party " + condition })
		list = append(list, more...)
	}
	slices.SortFunc(list, func(a, b assignment.Scope) int {
		return cmp.Or(strings.Compare(a.UserID, b.UserID), strings.Compare(a.ProjectID, b.ProjectID), strings.Compare(a.DomainID, b.DomainID))
	})
	return slices.Compact(list), err
}

func (s *Store) TokenAuditIDs(ctx context.Context, which tokens.Tokens, alive time.Time) ([]string, error) {
	condition, args, err := whereTokens(which, alive, itself)
	if err != nil {
		return nil, err
	}
	return all(ctx, s, scanText, `SELECT audit_id FROM tokens WHERE `+condition+` ORDER BY audit_id`, args...)
}

func (s *Store) RevokeTokens(ctx context.Context, which tokens.Tokens, at, alive time.Time) (n int, err error) {
	if _, _, err := whereTokens(which, alive, itself); err != nil {
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
		n = 0 // a transaction may be run again
		for _, of := range byUser(which) {
			condition, args, err := whereTokens(which, alive, of)
			if err != nil {
				return err
			}
			marked, err := s.exec(ctx, `UPDATE tokens SET revoked_at = ?, revoked_seq = ? WHERE `+condition,
				append([]any{micros(at), next.Sequence}, args...)...)
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
