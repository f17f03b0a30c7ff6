package sql

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/keystone/server/assignment"
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

// TestListsInOrder: a list with a limit is read in its order, so what is left out costs nothing.
func TestListsInOrder(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, columns := range []string{userColumns, projectColumns, groupColumns} {
		for _, clause := range []string{"", " WHERE enabled = 1", " WHERE substr(name, 1, 1) = 'x'"} {
			if columns == groupColumns && strings.Contains(clause, "enabled") {
				continue
			}
			plan, err := all(t.Context(), s, func(row scanner) (detail string, err error) {
				var id, parent, unused int
				return detail, row.Scan(&id, &parent, &unused, &detail)
			}, `EXPLAIN QUERY PLAN `+columns+clause+` ORDER BY name, id LIMIT 10`)
			if err != nil || len(plan) != 1 || !strings.Contains(plan[0], "_name") {
				t.Errorf("%s%s: plan %q, %v", columns, clause, plan, err)
			}
		}
	}
}

// TestMigrateGrants takes the grants along that were made before there were groups.
func TestMigrateGrants(t *testing.T) {
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
	for _, statement := range []string{`CREATE TABLE schema_version (version INTEGER NOT NULL)`, `INSERT INTO schema_version VALUES (3)`} {
		if _, err := s.write.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	for version := range 3 {
		text, err := migration(version + 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.write.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.write.ExecContext(ctx, `INSERT INTO roles VALUES ('r', 'r', '{}');
		INSERT INTO domains VALUES ('d', 'd', 1, '{}');
		INSERT INTO projects VALUES ('p', 'd', 'p', '', 1, '{}');
		INSERT INTO grants VALUES ('u', 'p', '', 'r'), ('u', '', 'd', 'r')`); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	grants, err := s.Grants(ctx, assignment.Query{})
	if err != nil || len(grants) != 2 || grants[0] != (assignment.Grant{UserID: "u", DomainID: "d", RoleID: "r"}) ||
		grants[1] != (assignment.Grant{UserID: "u", ProjectID: "p", RoleID: "r"}) {
		t.Errorf("grants %+v, %v", grants, err)
	}
	if p, err := s.Project(ctx, "p"); err != nil || p.ParentID != "" {
		t.Errorf("project %+v, %v", p, err)
	}
}
