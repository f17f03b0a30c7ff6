// Package sql keeps what the identity backend must remember in an SQL database: SQLite or PostgreSQL, by drivers in pure Go.
//
// SQLite runs in WAL mode with synchronous=FULL: a change that was acknowledged survives a kill of the process and a power
// failure. One connection writes (its transactions begin IMMEDIATE, so they queue rather than fail half way), several read.
//
// In PostgreSQL several programs write at a time. Their transactions are SERIALIZABLE, which comes to the same: one that another
// got in the way of is begun anew.
//
// The statements are the same for both: only dialect.go and postgresql.go know the difference.
package sql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/tokens"
)

// Store is a database that satisfies store.Store.
type Store struct {
	write, read *sql.DB
	// writing and reading keep statements of write and read; nil where the driver does.
	writing, reading *prepared
	dialect          dialect
	name             string // of the database, for messages
}

// OpenSQLite opens a database file and makes it where there is none. It does not look at the schema: see Check and Migrate.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	s, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	// The writer comes first: it is the one that may turn on WAL.
	for _, db := range []*sql.DB{s.write, s.read} {
		if err := db.PingContext(ctx); err != nil {
			return s.explain(err)
		}
	}
	return nil
}

// Close waits for what runs and closes the database.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// txKey is the key of the transaction in a context.
type txKey struct{ s *Store }

// transaction is what the context of a Write stands for.
type transaction struct {
	*sql.Tx
	// list is the state that this transaction brings the revocation list to; its zero value stands for none.
	list  tokens.ListState
	after []func()
	// spoilt is what ended the transaction, conflict or unreachable, even where whoever asked took the error for something else.
	spoilt error
}

// maxAttempts bounds how often a transaction is begun anew because of others, and with it the time, to some three seconds.
const maxAttempts = 30

// Write runs f in a transaction, which the context that f gets stands for. It is committed when f returns nil and rolled back
// otherwise. A Write inside a Write is part of the outer one.
//
// Where another transaction got in the way, f is called again, from the beginning: so it sets what is outside of it and never
// adds to it.
func (s *Store) Write(ctx context.Context, f func(ctx context.Context) error) error {
	return s.transact(ctx, s.dialect.isolation, s.dialect.timeout, f)
}

// transact is Write with an isolation level and the longest that it may take (0 for no limit).
func (s *Store) transact(ctx context.Context, level sql.IsolationLevel, timeout time.Duration, f func(ctx context.Context) error) error {
	if ctx.Value(txKey{s}) != nil {
		return f(ctx)
	}
	pause := time.Millisecond
	for attempt := 1; ; attempt++ {
		err := s.attempt(ctx, level, timeout, f)
		if err == nil || s.dialect.problem(err) != conflict {
			return err
		}
		if attempt == maxAttempts {
			return fmt.Errorf("database %s: other transactions got in the way %d times: %w: %w", s.name, attempt, fault.ErrBusy, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(pause)):
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// attempt runs f once.
func (s *Store) attempt(outside context.Context, level sql.IsolationLevel, timeout time.Duration, f func(ctx context.Context) error) (err error) {
	ctx, cancel := bounded(outside, timeout)
	defer cancel()
	defer func() { err = s.timedOut(outside, ctx, err) }()
	tx, err := s.write.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback() // does nothing after Commit
	t := &transaction{Tx: tx}
	err = f(context.WithValue(ctx, txKey{s}, t))
	if t.spoilt != nil {
		return t.spoilt
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return s.explain(err)
	}
	for _, f := range t.after {
		f()
	}
	return nil
}

// bounded is ctx with a time limit.
func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

// timedOut says what it means that the time limit, and not whoever asked, ended something.
func (s *Store) timedOut(outside, inside context.Context, err error) error {
	if err != nil && errors.Is(err, context.DeadlineExceeded) && inside.Err() != nil && outside.Err() == nil {
		return fmt.Errorf("database %s did not answer for %s: %w", s.name, s.dialect.timeout, fault.ErrUnreachable)
	}
	return err
}

// AfterCommit calls f when the transaction that ctx belongs to is on disk, and at once where there is none.
func (s *Store) AfterCommit(ctx context.Context, f func()) {
	if t, ok := ctx.Value(txKey{s}).(*transaction); ok {
		t.after = append(t.after, f)
		return
	}
	f()
}

// run runs a statement in a transaction.
func (s *Store) run(ctx context.Context, t *transaction, statement string, args []any) (sql.Result, error) {
	if stmt := s.writing.statement(ctx, t, statement); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.ExecContext(ctx, statement, args...)
}

// query runs a query in a transaction, or on the reading connections where t is nil.
func (s *Store) query(ctx context.Context, t *transaction, query string, args []any) (*sql.Rows, error) {
	p := s.reading
	if t != nil {
		p = s.writing
	}
	if stmt := p.statement(ctx, t, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	if t != nil {
		return t.QueryContext(ctx, query, args...)
	}
	return s.read.QueryContext(ctx, query, args...)
}

// exec runs one statement with ? for placeholders, in the transaction of ctx or in one of its own, and returns how many rows
// it touched. When it fails, the transaction can go on.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (n int, err error) {
	if !storable(args) {
		return 0, errNotText
	}
	inner := s.dialect.savepoints && ctx.Value(txKey{s}) != nil
	err = s.Write(ctx, func(ctx context.Context) error {
		t := ctx.Value(txKey{s}).(*transaction)
		if inner {
			if _, err := t.ExecContext(ctx, `SAVEPOINT one`); err != nil {
				return s.failed(t, err)
			}
		}
		result, err := s.run(ctx, t, s.dialect.rebind(statement), args)
		if err != nil {
			err = s.failed(t, err)
			if inner && t.spoilt == nil {
				if _, back := t.ExecContext(ctx, `ROLLBACK TO SAVEPOINT one`); back != nil {
					return s.failed(t, back)
				}
			}
			return err
		}
		if inner {
			if _, err := t.ExecContext(ctx, `RELEASE SAVEPOINT one`); err != nil {
				return s.failed(t, err)
			}
		}
		touched, err := result.RowsAffected()
		n = int(touched)
		return err
	})
	return n, err
}

// failed explains an error of a statement, and keeps one that ends the transaction.
func (s *Store) failed(t *transaction, err error) error {
	explained := s.explain(err)
	if p := s.dialect.problem(err); t != nil && t.spoilt == nil && (p == conflict || p == unreachable) {
		t.spoilt = explained
	}
	return explained
}

// storable says whether every text can be stored: UTF-8 without NUL, as PostgreSQL has it.
func storable(args []any) bool {
	for _, a := range args {
		if text, ok := a.(string); ok && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)) {
			return false
		}
	}
	return true
}

var errNotText = fault.Invalid{Message: "The request holds text that cannot be stored: it is not UTF-8, or has a NUL character in it."}

// execOne is exec for a statement that must touch the object of that kind and id; it is fault.NotFound if there is none, and
// fault.Conflict if its name or id is taken.
func (s *Store) execOne(ctx context.Context, kind, id, statement string, args ...any) error {
	n, err := s.exec(ctx, statement, args...)
	switch {
	case errors.Is(err, errUnique):
		return fault.Conflict{Kind: kind}
	case err == nil && n == 0:
		return fault.NotFound{Kind: kind, ID: id}
	}
	return err
}

// scanner is one row.
type scanner interface{ Scan(dest ...any) error }

// all runs a query and reads each row with scan. The result is empty, not nil, where there are no rows.
func all[T any](ctx context.Context, s *Store, scan func(scanner) (T, error), query string, args ...any) (list []T, err error) {
	if !storable(args) {
		return nil, errNotText
	}
	t, _ := ctx.Value(txKey{s}).(*transaction)
	inside, cancel := bounded(ctx, s.dialect.timeout)
	defer cancel()
	defer func() { err = s.timedOut(ctx, inside, err) }()
	rows, err := s.query(inside, t, s.dialect.rebind(query), args)
	if err != nil {
		return nil, s.failed(t, err)
	}
	defer rows.Close()
	list = []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, s.failed(t, err)
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed(t, err)
	}
	return list, nil
}

// listed runs a query for the objects that fit the filters, in an order and at most as many as the filters ask for. condition has
// to hold beside them, "" for none; args are the arguments of query and condition.
func listed[T any](ctx context.Context, s *Store, scan func(scanner) (T, error), query string, list filter.List, columns map[string]string,
	order, condition string, args ...any) ([]T, error) {
	clause, more := where(list, columns)
	if condition != "" {
		clause = " WHERE " + condition + strings.Replace(clause, " WHERE ", " AND ", 1)
	}
	args = append(args, more...)
	clause += " ORDER BY " + order
	if n := list.Most(); n > 0 {
		clause += " LIMIT ?"
		args = append(args, n)
	}
	return all(ctx, s, scan, query+clause, args...)
}

// one runs a query for the object of that kind and id (or name).
func one[T any](ctx context.Context, s *Store, kind, id string, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	var list []T
	var err error
	if storable(args) { // else there can be no such object
		list, err = all(ctx, s, scan, query, args...)
	}
	if err == nil && len(list) == 0 {
		err = fault.NotFound{Kind: kind, ID: id}
	}
	if err != nil {
		var none T
		return none, err
	}
	return list[0], nil
}

// explain adds what an operator can do to errors of the database, and turns broken constraints into errUnique and
// errForeignKey.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch s.dialect.problem(err) {
	case unique:
		return errUnique
	case foreignKey:
		return errForeignKey
	case noTable:
		return fmt.Errorf("database %s: %w (run keystone-manage db_sync)", s.name, err)
	case locked:
		return fmt.Errorf("database %s is locked by another program: %w: %w", s.name, fault.ErrBusy, err)
	case full:
		return fmt.Errorf("database %s: no space left on its disk: %w: %w", s.name, fault.ErrFull, err)
	case cannotOpen:
		return fmt.Errorf("database %s cannot be opened (do the directory and the permission to write there exist?): %w", s.name, err)
	case unreachable:
		return fmt.Errorf("database %s: %w: %w", s.name, fault.ErrUnreachable, err)
	case badText:
		return fmt.Errorf("database %s: %w: %w", s.name, errNotText, err)
	case notADatabase:
		return fmt.Errorf("database %s is damaged or not an SQLite file: %w", s.name, err)
	}
	return fmt.Errorf("database %s: %w", s.name, err)
}

var (
	errUnique     = errors.New("a row with this key is already there")
	errForeignKey = errors.New("a row that this one refers to is not there, or refers to it")
)

// attributes is a JSON object column.
type attributes map[string]any

func (a *attributes) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("extra attributes: got %T", value)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // a client gets its numbers back as it wrote them
	return d.Decode(a)
}

// encode is the value for a JSON object column.
func encode(extra map[string]any) string {
	if len(extra) == 0 {
		return "{}"
	}
	text, err := json.Marshal(extra)
	if err != nil { // it came from JSON
		panic(fmt.Sprintf("extra attributes: %v", err))
	}
	return string(text)
}

// number is the value for a boolean column.
func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nullable is the value for a column in which "" is NULL.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
