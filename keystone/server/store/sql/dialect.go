package sql

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"authproxy/keystone/server/filter"
)

// problem is what an error of the database means.
type problem int

const (
	other problem = iota
	unique
	foreignKey
	noTable
	locked
	full
	cannotOpen
	notADatabase
	conflict    // with a transaction that runs at the same time: to be begun anew
	unreachable // the connection is lost, or none can be had
	badText     // the database has no place for this value
)

// dialect is how one database differs from another.
type dialect struct {
	// rebind turns ? placeholders into those of the database.
	rebind func(statement string) string
	// problem says what an error means.
	problem func(err error) problem
	// isolation is that of writing transactions: what one of them has read holds until it is committed.
	isolation sql.IsolationLevel
	// savepoints: a statement that fails spoils its transaction, unless there is a savepoint before it.
	savepoints bool
	// timeout is the longest that a transaction or a query may take; 0 for a database that does not hang.
	timeout time.Duration
	// migrating is run first in each transaction of a migration, which is READ COMMITTED then, so that it sees what another
	// program did until it is its turn; "" where writing transactions queue anyway.
	migrating string
}

// busyTimeout is how long, in milliseconds, a statement waits for another process (keystone-manage) to finish writing.
const busyTimeout = 10_000

func openSQLite(path string) (*Store, error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("[database] connection: a database in memory would forget everything at the end; name a file (sqlite:///PATH)")
	}
	// The file holds password hashes: it is made for its owner alone. SQLite gives its -wal and -shm files the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	open := func(pragmas ...string) (*sql.DB, error) {
		q := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{
			fmt.Sprintf("busy_timeout(%d)", busyTimeout), "foreign_keys(1)"}, pragmas...)}
		return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	}
	write, err := open("journal_mode(WAL)", "synchronous(FULL)")
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	write.SetMaxOpenConns(1)
	read, err := open("query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database: %w", err), write.Close())
	}
	readers := 2 + 2*runtime.GOMAXPROCS(0)
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	keep := func(db *sql.DB) *prepared { return &prepared{db: db, kept: map[string]*sql.Stmt{}} }
	return &Store{write: write, read: read, writing: keep(write), reading: keep(read), name: path, dialect: dialect{
		rebind:  func(statement string) string { return statement },
		problem: sqliteProblem,
	}}, nil
}

func sqliteProblem(err error) problem {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return other
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return unique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return foreignKey
	}
	switch e.Code() & 0xff { // the primary result code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return locked
	case sqlite3.SQLITE_FULL:
		return full
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return cannotOpen
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return notADatabase
	case sqlite3.SQLITE_ERROR:
		if strings.Contains(e.Error(), "no such table") {
			return noTable
		}
	}
	return other
}

// where turns filters into " WHERE …" and its arguments. columns maps each attribute to its column; a filter on another
// attribute is passed over. All of it is the SQL of SQLite and PostgreSQL alike, which is why it is not LIKE.
func where(list filter.List, columns map[string]string) (clause string, args []any) {
	var conditions []string
	for _, f := range list {
		column, ok := columns[f.Attribute]
		if !ok {
			continue
		}
		value := "?"
		switch f.Op {
		case filter.ContainsFold, filter.StartsWithFold, filter.EndsWithFold:
			column, value = "lower("+column+")", "lower(?)"
		}
		var condition string
		switch f.Op {
		case filter.Equals:
			condition = column + " = " + value
		case filter.Contains, filter.ContainsFold:
			condition = "replace(" + column + ", " + value + ", '') <> " + column
		case filter.StartsWith, filter.StartsWithFold:
			condition = "substr(" + column + ", 1, length(" + value + ")) = " + value
		case filter.EndsWith, filter.EndsWithFold:
			condition = "substr(" + column + ", length(" + column + ") - length(" + value + ") + 1) = " + value
		}
		if f.Op == filter.Absent {
			conditions = append(conditions, column+" IS NULL")
			continue
		}
		if f.Op != filter.Equals && f.Value == "" {
			continue // every text contains the empty one
		}
		conditions = append(conditions, condition)
		for range strings.Count(condition, "?") {
			args = append(args, argument(f))
		}
	}
	if len(conditions) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}

func argument(f filter.Filter) any {
	if f.Attribute == "enabled" {
		return number(f.Value == "true")
	}
	return f.Value
}
