package sql

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// TestPrepared: statements are kept once they have run, outside of transactions at once and inside when it is committed, and what
// changes the tables meanwhile does no harm to them.
func TestPrepared(t *testing.T) {
	ctx := t.Context()
	s, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "k.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	number := func(r scanner) (n int, err error) { return n, r.Scan(&n) }
	count := func(ctx context.Context) (int, error) {
		list, err := all(ctx, s, number, `SELECT count(*) FROM things WHERE n < ?`, 100)
		if err != nil {
			return 0, err
		}
		return list[0], nil
	}
	want := func(what string, n, reading, writing int) {
		t.Helper()
		if got, err := count(ctx); err != nil || got != n {
			t.Errorf("%s: %d, %v; want %d", what, got, err, n)
		}
		if len(s.reading.kept) != reading || len(s.writing.kept) != writing {
			t.Errorf("%s: %d and %d kept, want %d and %d", what, len(s.reading.kept), len(s.writing.kept), reading, writing)
		}
	}
	if _, err := count(ctx); err == nil || len(s.reading.kept) != 0 {
		t.Errorf("without its table: %v, %d kept", err, len(s.reading.kept))
	}
	if _, err := s.exec(ctx, `CREATE TABLE things (n INTEGER)`); err != nil {
		t.Fatal(err)
	}
	want("made", 0, 1, 0) // a table cannot be made twice, so that is not kept
	add := func(n int, end error) {
		if err := s.Write(ctx, func(ctx context.Context) error {
			for range 2 {
				if _, err := s.exec(ctx, `INSERT INTO things (n) VALUES (?)`, n); err != nil {
					return err
				}
			}
			if _, err := count(ctx); err != nil {
				return err
			}
			return end
		}); !errors.Is(err, end) {
			t.Fatal(err)
		}
	}
	add(1, errUnique)
	want("rolled back", 0, 1, 0)
	add(2, nil)
	want("committed", 2, 1, 2)
	add(3, errUnique)
	want("rolled back, kept", 2, 1, 2)
	if _, err := s.write.ExecContext(ctx, `ALTER TABLE things ADD COLUMN m INTEGER`); err != nil {
		t.Fatal(err)
	}
	add(4, nil)
	want("table changed", 4, 1, 2)
	for n := range maxPrepared + 10 {
		if _, err := all(ctx, s, number, fmt.Sprintf(`SELECT %d FROM things`, n)); err != nil {
			t.Fatal(err)
		}
	}
	want("many", 4, maxPrepared, 2)
}
