package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// PostgreSQL says where a database is and how many connections to it there may be.
type PostgreSQL struct {
	// URL is postgresql://user:password@host:port/name?options, as libpq has it: sslmode, sslrootcert, target_session_attrs,
	// several hosts and so on.
	URL string
	// Pool is how many connections are kept open while there is little to do, Overflow how many more there may be. At least two
	// are open: one for those who write and one for those who read.
	Pool, Overflow int
	// IdleTimeout closes a connection that nobody used for so long; 0 is never.
	IdleTimeout time.Duration
}

const (
	// connectTimeout is how long one host may take to answer, where the URL has no connect_timeout.
	connectTimeout = 5 * time.Second
	// postgresTimeout is how long a transaction or a query may take, a wait for a connection and the network included.
	postgresTimeout = 30 * time.Second
	// migrationLock is the key of the advisory lock that a migration holds: one of our own, in the number space of the database.
	migrationLock = 0x6b657973746f6e65
)

// sessionDefaults keep a program that hangs in a transaction from keeping others out for long. The URL may say otherwise.
var sessionDefaults = map[string]string{
	"application_name":                    "keystone",
	"lock_timeout":                        "10s",
	"idle_in_transaction_session_timeout": "60s",
}

// OpenPostgreSQL connects to a database. It does not look at the schema: see Check and Migrate.
func OpenPostgreSQL(ctx context.Context, p PostgreSQL) (*Store, error) {
	s, err := openPostgreSQL(p)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	var encoding string
	if err := s.read.QueryRowContext(ctx, `SHOW server_encoding`).Scan(&encoding); err != nil {
		return nil, errors.Join(s.explain(err), s.Close())
	}
	if encoding != "UTF8" {
		return nil, errors.Join(fmt.Errorf("database %s has the encoding %s, which cannot hold every name: make one with ENCODING 'UTF8'", s.name, encoding), s.Close())
	}
	return s, nil
}

func openPostgreSQL(p PostgreSQL) (*Store, error) {
	config, err := pgx.ParseConfig(p.URL)
	if err != nil {
		return nil, fmt.Errorf("[database] connection: %w", withoutURL(err))
	}
	if u, err := url.Parse(p.URL); err == nil && !u.Query().Has("connect_timeout") {
		config.ConnectTimeout = connectTimeout
	}
	for name, value := range sessionDefaults {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	reading := config.Copy()
	reading.RuntimeParams["default_transaction_read_only"] = "on"
	// Readers and writers have connections of their own, so that neither waits for the other.
	open := func(config *pgx.ConnConfig, idle, most int) *sql.DB {
		db := stdlib.OpenDB(*config)
		db.SetMaxOpenConns(max(most, 1))
		db.SetMaxIdleConns(max(idle, 1))
		db.SetConnMaxIdleTime(p.IdleTimeout)
		return db
	}
	total := p.Pool + p.Overflow
	host := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if strings.HasPrefix(config.Host, "/") {
		host = config.Host
	}
	return &Store{
		write: open(config, p.Pool-p.Pool/2, total-total/2), read: open(reading, p.Pool/2, total/2),
		name: config.Database + " at " + host,
		dialect: dialect{
			rebind: dollars, problem: postgresProblem, isolation: sql.LevelSerializable, savepoints: true, timeout: postgresTimeout,
			migrating: fmt.Sprintf("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(%d)", int64(migrationLock)),
		},
	}, nil
}

// withoutURL is an error of the parser without the URL that it repeats, for a password may stand in many places there.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		if cause := e.Unwrap(); cause != nil {
			return cause
		}
		return errors.New("this is no URL of a PostgreSQL database; write postgresql://user:password@host/keystone")
	}
	return err
}

// dollars turns each ? into $1, $2 and so on. No statement has a ? in a text.
func dollars(statement string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(statement, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		statement = after
	}
}

// postgresProblem goes by the codes in appendix A of PostgreSQL's manual.
func postgresProblem(err error) problem {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return postgresCode(e.Code)
	}
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	if connect || network || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgx.ErrTxClosed) {
		return unreachable
	}
	return other
}

func postgresCode(code string) problem {
	switch code {
	case "23505":
		return unique
	case "23503":
		return foreignKey
	case "42P01":
		return noTable
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return conflict
	case "55P03", "57014": // lock_not_available, query_canceled
		return locked
	case "53100":
		return full
	case "22021", "22P05", "54000": // not in the encoding, not to be translated into it, or longer than an index takes
		return badText
	case "25P03", "25006": // idle_in_transaction_session_timeout, read_only_sql_transaction (a server that became a standby)
		return unreachable
	}
	switch code[:min(2, len(code))] {
	case "08", "28", "3D", "53", "57", "58": // connection, who we are, which database, resources, operator intervention, system
		return unreachable
	}
	return other
}
