package sql

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/certs/certstest"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/store"
	"authproxy/keystone/server/store/postgrestest"
	"authproxy/keystone/server/store/storetest"
)

func connect(t *testing.T, url string) *Store {
	t.Helper()
	s, err := OpenPostgreSQL(t.Context(), PostgreSQL{URL: url, Pool: 4, Overflow: 12, IdleTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// migrated is a store with an up-to-date schema and one domain.
func migrated(t *testing.T, url string) *Store {
	t.Helper()
	s := connect(t, url)
	if err := errors.Join(s.Migrate(t.Context()), s.AddDomain(t.Context(), assignment.Domain{ID: "d", Name: "d"})); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPostgreSQL runs all that needs a server, but none of its own.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.New(t)
	t.Run("Suite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			s := connect(t, postgrestest.Schema(t, cluster.Dir))
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
	for name, run := range map[string]func(*testing.T, *postgrestest.Cluster){
		"Schema": testPostgresSchema, "MigrateAtOnce": testPostgresMigrateAtOnce, "MigrateInterrupted": testPostgresMigrateInterrupted,
		"OpenErrors": testPostgresOpenErrors, "AlwaysInTheWay": testPostgresAlwaysInTheWay, "Locked": testPostgresLocked,
		"TooLong": testPostgresTooLong, "Readers": testPostgresReaders,
	} {
		t.Run(name, func(t *testing.T) { run(t, cluster) })
	}
}

func testPostgresSchema(t *testing.T, cluster *postgrestest.Cluster) {
	ctx := t.Context()
	s := connect(t, cluster.Database(t))
	check := func(want string) {
		t.Helper()
		if err := s.Check(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("no tables yet: run keystone-manage db_sync")
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
	}
	if _, err := s.exec(ctx, `UPDATE schema_version SET version = ?`, Latest()+1); err != nil {
		t.Fatal(err)
	}
	check("newer than this program knows")
	if err := s.Migrate(ctx); err == nil {
		t.Error("a newer database was migrated")
	}
}

func testPostgresMigrateAtOnce(t *testing.T, cluster *postgrestest.Cluster) {
	url := cluster.Database(t)
	failed := make(chan error)
	const programs = 4
	for range programs {
		s := connect(t, url)
		go func() { failed <- s.Migrate(t.Context()) }()
	}
	for range programs {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if err := connect(t, url).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// testPostgresMigrateInterrupted ends a migration in the middle of a step, by its connection.
func testPostgresMigrateInterrupted(t *testing.T, cluster *postgrestest.Cluster) {
	ctx := t.Context()
	url := cluster.Database(t)
	s, other := connect(t, url), connect(t, url)
	if _, err := other.write.ExecContext(ctx, `CREATE TABLE schema_version (version INTEGER NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	holding, err := other.write.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer holding.Rollback()
	// The step waits where it writes the version, after it has made the tables.
	if _, err := holding.ExecContext(ctx, `LOCK TABLE schema_version IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() { failed <- s.Migrate(ctx) }()
	ended := 0
	for ended == 0 {
		if err := other.read.QueryRowContext(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&ended); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-failed; !errors.Is(err, fault.ErrUnreachable) {
		t.Errorf("got %v, want fault.ErrUnreachable", err)
	}
	if err := holding.Rollback(); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Version(ctx); v != 0 || err != nil {
		t.Errorf("half a migration left version %d, %v", v, err)
	}
	if err := errors.Join(s.Migrate(ctx), s.Check(ctx)); err != nil {
		t.Error(err)
	}
}

func testPostgresOpenErrors(t *testing.T, cluster *postgrestest.Cluster) {
	for url, want := range map[string]string{
		cluster.URL("none"):                                                                   `database "none" does not exist`,
		"postgresql://u:hunter2@/n?host=" + t.TempDir():                                       "cannot be reached",
		"postgresql://u:hunter2@127.0.0.1:1/n":                                                "cannot be reached",
		"postgresql://u:hunter2@h/n?sslmode=hunter2":                                          "sslmode is invalid",
		"postgresql://u:hunter2@h/n?sslrootcert=/none/hunter2":                                "unable to read CA file",
		cluster.URL("template1") + "&no_such_setting=hunter2":                                 "unrecognized configuration parameter",
		cluster.Database(t, "ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"): "has the encoding LATIN1",
	} {
		s, err := OpenPostgreSQL(t.Context(), PostgreSQL{URL: url})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "u:hunter2") {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}

// testPostgresAlwaysInTheWay: a transaction that never gets through ends, and the client may try again.
func testPostgresAlwaysInTheWay(t *testing.T, cluster *postgrestest.Cluster) {
	ctx := t.Context()
	s := migrated(t, cluster.Database(t))
	tries := 0
	err := s.Write(ctx, func(inside context.Context) error {
		tries++
		if _, err := s.Domain(inside, "d"); err != nil {
			return err
		}
		if err := s.PutDomain(ctx, assignment.Domain{ID: "d", Name: fmt.Sprint("outside ", tries)}); err != nil {
			return err
		}
		if err := s.PutDomain(inside, assignment.Domain{ID: "d", Name: "inside"}); err == nil {
			t.Error("a lost update")
		}
		return nil // an error that is passed over does not make it a success
	})
	if !errors.Is(err, fault.ErrBusy) || tries != maxAttempts {
		t.Errorf("after %d tries: %v, want fault.ErrBusy", tries, err)
	}
	if d, err := s.Domain(ctx, "d"); err != nil || d.Name != fmt.Sprint("outside ", maxAttempts) {
		t.Errorf("got %+v, %v", d, err)
	}
}

func testPostgresLocked(t *testing.T, cluster *postgrestest.Cluster) {
	url := cluster.Database(t)
	other, s := migrated(t, url), connect(t, url+"&lock_timeout=1")
	put := assignment.Domain{ID: "d", Name: "new"}
	if err := other.Write(t.Context(), func(inside context.Context) error {
		if err := other.PutDomain(inside, put); err != nil {
			return err
		}
		if err := s.PutDomain(t.Context(), put); !errors.Is(err, fault.ErrBusy) || !strings.Contains(err.Error(), "locked by another program") {
			t.Errorf("got %v, want fault.ErrBusy that says why", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutDomain(t.Context(), put); err != nil {
		t.Error(err)
	}
}

// testPostgresTooLong: what the database does not answer in time is an error of its own, and not the client's patience.
func testPostgresTooLong(t *testing.T, cluster *postgrestest.Cluster) {
	s := migrated(t, cluster.Database(t))
	s.dialect.timeout = time.Millisecond
	_, err := all(t.Context(), s, scanInt, `SELECT 1 FROM pg_sleep(60)`)
	if !errors.Is(err, fault.ErrUnreachable) || !strings.Contains(err.Error(), "did not answer for 1ms") {
		t.Errorf("query: %v, want fault.ErrUnreachable", err)
	}
	if _, err := s.exec(t.Context(), `DELETE FROM users USING pg_sleep(60)`); !errors.Is(err, fault.ErrUnreachable) {
		t.Errorf("transaction: %v, want fault.ErrUnreachable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Domain(ctx, "d"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func testPostgresReaders(t *testing.T, cluster *postgrestest.Cluster) {
	s := connect(t, cluster.Database(t))
	if _, err := s.read.ExecContext(t.Context(), `CREATE TABLE x (y INTEGER)`); err == nil {
		t.Error("a reading connection can write")
	}
}

// TestPostgreSQLStopped: while the server is away every call says so, and afterwards all goes on.
func TestPostgreSQLStopped(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cluster := postgrestest.New(t)
	s := migrated(t, cluster.Database(t))
	calls := func() []error {
		_, read := s.Domain(ctx, "d")
		return []error{read, s.PutDomain(ctx, assignment.Domain{ID: "d", Name: "new"}), s.Ping(ctx)}
	}
	for name, stop := range map[string]func(testing.TB){"stopped": cluster.Stop, "crashed": cluster.Crash} {
		var inside error
		err := s.Write(ctx, func(ctx context.Context) error {
			if err := s.AddDomain(ctx, assignment.Domain{ID: name, Name: name}); err != nil {
				return err
			}
			stop(t)
			_, inside = s.Domain(ctx, "d")
			return nil
		})
		if !errors.Is(err, fault.ErrUnreachable) || !errors.Is(inside, fault.ErrUnreachable) {
			t.Errorf("%s in a transaction: %v, within %v, want fault.ErrUnreachable", name, err, inside)
		}
		for range 3 {
			for i, err := range calls() {
				if !errors.Is(err, fault.ErrUnreachable) {
					t.Errorf("%s, call %d: %v, want fault.ErrUnreachable", name, i, err)
				}
			}
		}
		cluster.Start(t)
		for i, err := range calls() {
			if err != nil {
				t.Errorf("started again, call %d: %v", i, err)
			}
		}
		if _, err := s.Domain(ctx, name); !fault.IsNotFound(err) {
			t.Errorf("half a transaction was kept: %v", err)
		}
	}
}

// TestPostgreSQLOverTLS logs in with a password over a connection that the server's certificate vouches for.
func TestPostgreSQLOverTLS(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	server := ca.Issue(t, certstest.ECDSAP256, certstest.Template(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}))
	dir := t.TempDir()
	files := map[string][]byte{"ca.pem": ca.CertPEM(), "other.pem": certstest.New(t, certstest.Subject("Another CA")).CertPEM()}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(socket.Addr().String())
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	cluster := postgrestest.New(t)
	cluster.Exec(t, `CREATE USER keystone PASSWORD 'hun/ter2'`)
	cluster.Exec(t, `CREATE DATABASE keystone OWNER keystone`)
	cluster.Stop(t)
	cluster.Put(t, "server.pem", server.CertPEM)
	cluster.Put(t, "server.key", server.KeyPEM)
	cluster.Put(t, "pg_hba.conf", []byte("local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"))
	cluster.Set("listen_addresses=localhost", "port="+port, "ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key")
	cluster.Start(t)

	url := "postgresql://keystone:hun%2Fter2@localhost:" + port + "/keystone?sslmode="
	verify := "&sslrootcert=" + filepath.Join(dir, "ca.pem")
	for _, test := range []struct{ url, err string }{
		{url + "verify-full" + verify, ""},
		{url + "verify-ca" + verify, ""},
		{url + "require", ""},
		{url + "prefer", ""},
		{url + "disable", "no encryption"},
		{url + "verify-full&sslrootcert=" + filepath.Join(dir, "other.pem"), "certificate signed by unknown authority"},
		{strings.Replace(url, "localhost", "127.0.0.1", 1) + "verify-full" + verify, "127.0.0.1"},
		{strings.Replace(url, "hun", "xxx", 1) + "verify-full" + verify, "password authentication failed"},
	} {
		s, err := OpenPostgreSQL(t.Context(), PostgreSQL{URL: test.url, Pool: 1})
		if err == nil {
			err = errors.Join(s.Migrate(t.Context()), s.Check(t.Context()), s.Close())
		}
		if (err == nil) != (test.err == "") || err != nil && (!errors.Is(err, fault.ErrUnreachable) || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: got %v, want %q", test.url, err, test.err)
		}
	}
}
