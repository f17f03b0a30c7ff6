package sql

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// migrations holds one file for each version of the schema, NNNN_name.sql, counted from 1.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Latest is the version of the schema that this program works with.
func Latest() int {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		panic("no migrations in the program")
	}
	return len(files)
}

// Version is the version of the database's schema, 0 for an empty database.
func (s *Store) Version(ctx context.Context) (int, error) {
	versions, err := all(ctx, s, scanInt, `SELECT version FROM schema_version`)
	switch {
	case err != nil && s.dialect.problem(err) == noTable:
		return 0, nil
	case err != nil:
		return 0, err
	case len(versions) == 0:
		return 0, nil
	}
	return versions[0], nil
}

// Check returns an error unless the schema is the one that this program works with.
func (s *Store) Check(ctx context.Context) error {
	version, err := s.Version(ctx)
	switch {
	case err != nil:
		return err
	case version == 0:
		return fmt.Errorf("database %s has no tables yet: run keystone-manage db_sync", s.name)
	case version < Latest():
		return fmt.Errorf("database %s is at version %d, this program needs %d: run keystone-manage db_sync", s.name, version, Latest())
	case version > Latest():
		return fmt.Errorf("database %s is at version %d, which is newer than this program knows (%d): run a newer keystone-all", s.name, version, Latest())
	}
	return nil
}

// Migrate brings the schema to the latest version. Each step is a transaction with its version number, so that one which was
// interrupted is begun anew by the next Migrate; two at a time wait for each other.
func (s *Store) Migrate(ctx context.Context) error {
	for {
		done, err := s.migrateOne(ctx)
		if done || err != nil {
			return err
		}
	}
}

func (s *Store) migrateOne(ctx context.Context) (done bool, err error) {
	level := s.dialect.isolation
	if s.dialect.migrating != "" {
		level = sql.LevelReadCommitted
	}
	err = s.transact(ctx, level, 0, func(ctx context.Context) error {
		tx := ctx.Value(txKey{s}).(*transaction)
		if s.dialect.migrating != "" {
			if _, err := tx.ExecContext(ctx, s.dialect.migrating); err != nil {
				return s.explain(err)
			}
		}
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)`); err != nil {
			return s.explain(err)
		}
		version, err := s.Version(ctx)
		if err != nil {
			return err
		}
		if version > Latest() {
			return s.Check(ctx)
		}
		if version == Latest() {
			done = true
			return nil
		}
		statements, err := migration(version + 1)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, statements); err != nil {
			return fmt.Errorf("migrating to version %d: %w", version+1, s.explain(err))
		}
		if _, err := s.exec(ctx, `DELETE FROM schema_version`); err != nil {
			return err
		}
		_, err = s.exec(ctx, `INSERT INTO schema_version (version) VALUES (?)`, version+1)
		return err
	})
	return done, err
}

func migration(version int) (string, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return "", err
	}
	for _, name := range files {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		if n, err := strconv.Atoi(number); err == nil && n == version {
			text, err := migrations.ReadFile(name)
			return string(text), err
		}
	}
	return "", fmt.Errorf("migration %d is missing from the program", version)
}

func scanInt(row scanner) (n int, err error) { return n, row.Scan(&n) }

func scanText(row scanner) (text string, err error) { return text, row.Scan(&text) }
