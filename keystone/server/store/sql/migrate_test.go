package sql

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/tokens"
)

// TestMigrateRevoked takes along what was revoked before the revocation list was counted.
func TestMigrateRevoked(t *testing.T) {
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
	first, err := migration(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE TABLE schema_version (version INTEGER NOT NULL)`, `INSERT INTO schema_version VALUES (1)`, first,
		`INSERT INTO tokens VALUES ('b', 'PKI', 'audit-b', '', 'u', '', '', '', '', 1, 9, 2, '{}'), ('a', 'PKI', 'audit-a', '', 'u', '', '', '', '', 1, 9, 3, '{}'),
			('c', 'PKI', 'audit-c', '', 'u', '', '', '', '', 1, 9, NULL, '{}')`,
	} {
		if _, err := s.write.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := s.RevokedTokens(ctx, tokens.Steps{UpTo: 1}, time.UnixMicro(0))
	if err != nil || len(list) != 2 || list[0].ID != "a" || list[1].ID != "b" {
		t.Errorf("step 1: %v, %v, want a and b", list, err)
	}
	if n, err := s.RevokeTokens(ctx, tokens.Tokens{ID: "c"}, time.Unix(1, 0), time.UnixMicro(0)); n != 1 || err != nil {
		t.Errorf("revoked %d, %v", n, err)
	}
	list, err = s.RevokedTokens(ctx, tokens.Steps{After: 1, UpTo: 2}, time.UnixMicro(0))
	if err != nil || len(list) != 1 || list[0].ID != "c" {
		t.Errorf("step 2: %v, %v, want c", list, err)
	}
}

// TestListFromIndex: a delta costs what it holds, however many tokens there are, because an index alone answers it, in order.
func TestListFromIndex(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan, err := all(t.Context(), s, func(row scanner) (detail string, err error) {
		var id, parent, unused int
		return detail, row.Scan(&id, &parent, &unused, &detail)
	}, `EXPLAIN QUERY PLAN `+revokedTokens, 1, 2, 3)
	if err != nil || len(plan) != 1 || !strings.Contains(plan[0], "SEARCH tokens USING COVERING INDEX tokens_revoked_seq (revoked_seq>? AND revoked_seq<?)") {
		t.Errorf("plan %q, %v", plan, err)
	}
}
