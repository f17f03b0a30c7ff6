// Package postgrestest runs a PostgreSQL server of its own for tests.
package postgrestest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a server with its data in a directory of its own. It listens on a socket there, and on no port unless a setting
// says so.
type Cluster struct {
	// Dir holds the socket, and the data in Dir/data.
	Dir      string
	bin      string
	settings []string
	owner    *syscall.Credential // who it runs as; nil for the test's user
	running  *process
}

// process is a server that runs.
type process struct {
	*os.Process
	over chan struct{} // closed when it has ended
	err  error
}

// startTimeout is how long a server may take to be ready or to stop.
const startTimeout = time.Minute

// New makes a cluster and starts it; the test's end stops and removes it. Each setting is like "ssl=on". Where PostgreSQL is not
// installed the test is skipped, or fails where AUTHPROXY_REQUIRE_SERVICES=1 says so.
func New(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	bin := find()
	if bin == "" {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatal("PostgreSQL is not installed: neither initdb by PATH nor /usr/lib/postgresql/*/bin")
		}
		t.Skip("PostgreSQL is not installed")
	}
	dir, err := os.MkdirTemp("", "postgres") // the path of a socket is short, and t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Dir: dir, bin: bin, settings: settings}
	t.Cleanup(func() {
		c.Stop(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := c.chooseOwner(); err != nil {
		t.Fatal(err)
	}
	initdb := c.command("initdb", "--pgdata", c.data(), "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	c.Start(t)
	return c
}

// find is the directory of the newest server that is installed, "" for none.
func find() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	newest, version := "", 0
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	for _, path := range installed {
		bin := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && v > version {
			newest, version = bin, v
		}
	}
	return newest
}

// chooseOwner gives the directory to another user where this one is root, whom the server refuses to serve.
func (c *Cluster) chooseOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	var owner *user.User
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			owner = u
			break
		}
	}
	if owner == nil {
		return errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
	}
	uid, err := strconv.ParseUint(owner.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(owner.Gid, 10, 32)
	if err != nil {
		return err
	}
	c.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.Dir, int(uid), int(gid))
}

func (c *Cluster) data() string { return filepath.Join(c.Dir, "data") }

func (c *Cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir = c.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	// The server ends with the test, even where that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// Start starts a server that was stopped, and waits until it answers.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	args := []string{"-D", c.data(), "-k", c.Dir}
	for _, s := range append([]string{"listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=200", "logging_collector=off", "log_destination=stderr"}, c.settings...) {
		args = append(args, "-c", s)
	}
	cmd := c.command("postgres", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{over: make(chan struct{})}
	started, ready, said := make(chan error), make(chan struct{}), new(strings.Builder)
	go func() {
		defer close(p.over)
		runtime.LockOSThread() // Pdeathsig is sent when the thread ends that started the process
		err := cmd.Start()
		p.Process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stderr)
		for open := true; lines.Scan(); {
			if open {
				said.WriteString(lines.Text() + "\n")
			}
			if open && strings.Contains(lines.Text(), "ready to accept connections") {
				open = false
				close(ready)
			}
		}
		io.Copy(io.Discard, stderr)
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready:
		c.running = p
	case <-p.over:
		t.Fatalf("PostgreSQL ended: %v\n%s", p.err, said)
	case <-time.After(startTimeout):
		p.Kill()
		<-p.over
		t.Fatalf("PostgreSQL is not ready after %s:\n%s", startTimeout, said)
	}
}

// Stop ends all connections and stops the server, as an operator does.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	c.end(t, syscall.SIGINT)
}

// Crash stops the server as a power failure does, apart from what the disk loses.
func (c *Cluster) Crash(t testing.TB) {
	t.Helper()
	c.end(t, syscall.SIGQUIT)
}

func (c *Cluster) end(t testing.TB, by syscall.Signal) {
	t.Helper()
	p := c.running
	if p == nil {
		return
	}
	c.running = nil
	if err := p.Signal(by); err != nil {
		t.Error(err)
	}
	select {
	case <-p.over:
	case <-time.After(startTimeout):
		t.Errorf("PostgreSQL has not stopped after %s", startTimeout)
		p.Kill()
		<-p.over
	}
}

// Database makes an empty database and returns its URL. options are those of CREATE DATABASE.
func (c *Cluster) Database(t testing.TB, options ...string) string {
	t.Helper()
	name := newName()
	c.Exec(t, "CREATE DATABASE "+name+" "+strings.Join(options, " "))
	return c.URL(name)
}

// Schema makes an empty schema in the cluster with that directory, which may be another process's, and returns the URL by which
// it is all that is seen: as good as a database for most tests, and made much faster.
func Schema(t testing.TB, dir string) string {
	t.Helper()
	name := newName()
	execute(t, dir, "CREATE SCHEMA "+name)
	return address(dir, "postgres") + "&search_path=" + name
}

func newName() string { return "test_" + strings.ToLower(rand.Text()) }

// URL is that of a database, by the socket, for the superuser.
func (c *Cluster) URL(database string) string { return address(c.Dir, database) }

func address(dir, database string) string {
	return "postgresql://postgres@/" + database + "?" + url.Values{"host": {dir}}.Encode()
}

// Exec runs a statement as the superuser.
func (c *Cluster) Exec(t testing.TB, statement string) {
	t.Helper()
	execute(t, c.Dir, statement)
}

func execute(t testing.TB, dir, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, address(dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Put writes a file among the data, which only the server can read.
func (c *Cluster) Put(t testing.TB, name string, text []byte) {
	t.Helper()
	path := filepath.Join(c.data(), name)
	err := os.WriteFile(path, text, 0o600)
	if err == nil && c.owner != nil {
		err = os.Chown(path, int(c.owner.Uid), int(c.owner.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Set adds settings for the next Start.
func (c *Cluster) Set(settings ...string) { c.settings = append(c.settings, settings...) }
