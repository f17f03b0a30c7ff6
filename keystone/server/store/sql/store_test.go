package sql

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/store/storetest"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestSchema(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "name with space ? # %41.db")
	s := open(t, path)
	check := func(want string) {
		t.Helper()
		if err := s.Check(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("no tables yet: run keystone-manage db_sync")
	if v, err := s.Version(ctx); v != 0 || err != nil {
		t.Errorf("empty database: version %d, %v", v, err)
	}
	if _, err := s.Domain(ctx, "x"); err == nil || !strings.Contains(err.Error(), "run keystone-manage db_sync") {
		t.Errorf("got %v, want a hint at db_sync", err)
	}
	for range 2 { // the second time changes nothing
		if err := s.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Version(ctx); v != Latest() || err != nil {
			t.Errorf("version %d, %v, want %d", v, err, Latest())
		}
		if err := s.Check(ctx); err != nil {
			t.Error(err)
		}
		if err := s.AddDomain(ctx, assignment.Domain{ID: "d", Name: "d"}); err != nil && !errors.As(err, new(fault.Conflict)) {
			t.Error(err)
		}
	}
	if _, err := s.exec(ctx, `UPDATE schema_version SET version = ?`, Latest()+1); err != nil {
		t.Fatal(err)
	}
	check("newer than this program knows")
	if err := s.Migrate(ctx); err == nil {
		t.Error("a newer database was migrated")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("database file: %v, %v, want mode 0600", info.Mode(), err)
	}
}

func TestMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keystone.db")
	failed := make(chan error)
	const programs = 4
	for range programs {
		go func() {
			s, err := OpenSQLite(t.Context(), path)
			if err == nil {
				err = errors.Join(s.Migrate(t.Context()), s.Close())
			}
			failed <- err
		}()
	}
	for range programs {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{":memory:", "would forget everything"},
		{filepath.Join(dir, "missing", "keystone.db"), "no such file or directory"},
		{dir, "is a directory"},
		{garbage, "damaged or not an SQLite file"},
	} {
		if s, err := OpenSQLite(t.Context(), test.path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.path, err, test.want)
			if s != nil {
				s.Close()
			}
		}
	}
}

// TestDiskFull has SQLite itself refuse more pages than there are, which is what a full disk looks like to it.
func TestDiskFull(t *testing.T) {
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.ExecContext(ctx, `PRAGMA max_page_count = 1`); err != nil {
		t.Fatal(err)
	}
	big := assignment.Domain{ID: "d", Name: "d", Extra: map[string]any{"description": strings.Repeat("x", 1<<20)}}
	if err := s.AddDomain(ctx, big); err == nil || !strings.Contains(err.Error(), "no space left on its disk") {
		t.Errorf("got %v, want no space left", err)
	}
	if _, err := s.write.ExecContext(ctx, `PRAGMA max_page_count = 100000`); err != nil {
		t.Fatal(err)
	}
	if err := s.AddDomain(ctx, big); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func TestLockedByAnotherProgram(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "keystone.db")
	s, other := open(t, path), open(t, path)
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.ExecContext(ctx, `PRAGMA busy_timeout = 1`); err != nil {
		t.Fatal(err)
	}
	err := other.Write(ctx, func(context.Context) error {
		return s.AddDomain(ctx, assignment.Domain{ID: "d", Name: "d"})
	})
	if !errors.Is(err, fault.ErrBusy) || !strings.Contains(err.Error(), "locked by another program") {
		t.Errorf("got %v, want fault.ErrBusy that says why", err)
	}
	if _, err := s.Domains(ctx, nil); err != nil {
		t.Errorf("readers are not kept waiting: %v", err)
	}
}

// TestDurability checks the settings that a kill and a power failure are survived by.
func TestDurability(t *testing.T) {
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "keystone.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.write.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s of the writer: got %v, %v, want %s", pragma, got, err, want)
		}
	}
	if _, err := s.read.ExecContext(ctx, `CREATE TABLE x (y INTEGER)`); err == nil {
		t.Error("a reading connection can write")
	}
}
