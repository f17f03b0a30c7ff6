package server_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"authproxy/keystone/server/store/postgrestest"
)

// clusterVariable names the directory of a PostgreSQL cluster that all tests are to keep their data in.
const clusterVariable = "AUTHPROXY_TEST_CLUSTER"

// connection is where a cloud keeps its data: a file of its own, or a schema of its own in the cluster.
func connection(t *testing.T, file string) string {
	if dir := os.Getenv(clusterVariable); dir != "" {
		return postgrestest.Schema(t, dir)
	}
	return "sqlite:///" + file
}

// TestOnPostgreSQL runs all tests of this package again, on PostgreSQL.
func TestOnPostgreSQL(t *testing.T) {
	if os.Getenv(clusterVariable) != "" {
		return
	}
	if os.Getenv("AUTHPROXY_TEST_SUITES") != "1" {
		t.Skip("takes long; AUTHPROXY_TEST_SUITES=1 runs it")
	}
	t.Parallel()
	cluster := postgrestest.New(t, "max_connections=500")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.shuffle=on")
	cmd.Env = append(os.Environ(), clusterVariable+"="+cluster.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Errorf("on PostgreSQL: %v\n%s", err, strings.TrimSpace(string(out)))
	}
}
