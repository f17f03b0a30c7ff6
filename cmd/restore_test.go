package cmd

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authproxy/examples/cloud"
)

// TestDatabaseRestored: proxies take the lists of a restored database for replays, until its operator says that it was restored.
// If he does so before the server starts, they even go on refusing what only they know to be revoked.
func TestDatabaseRestored(t *testing.T) {
	for name, late := range map[string]bool{"said before the start": false, "said when it was noticed": true} {
		t.Run(name, func(t *testing.T) { testDatabaseRestored(t, late) })
	}
}

func testDatabaseRestored(t *testing.T, late bool) {
	c := newCloud(t, func(c *cloud.Cloud) { c.AuthtokenExtra = "revocation_events = off" }) // so that the list alone tells
	must(t, c.StartProxy(t.Context()))
	kept, lost, later := tokenOf(t, c), tokenOf(t, c), tokenOf(t, c)
	must(t, c.Revoke(t.Context(), kept))
	becomes(t, c, kept, http.StatusUnauthorized, 5*time.Second)

	copies := func(from, to string) {
		t.Helper()
		for _, tail := range []string{"", "-wal", "-shm"} {
			must(t, os.RemoveAll(c.File(to+tail)))
			if text, err := os.ReadFile(c.File(from + tail)); err == nil {
				must(t, os.WriteFile(c.File(to+tail), text, 0o600))
			}
		}
	}
	advance := func() {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), filepath.Join(c.Bin, "keystone-manage"), "--config-file", c.File("keystone.conf"), "revocation_advance").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "sequence number") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	must(t, c.Kill(cloud.KeystoneAll))
	copies("keystone.db", "backup.db")
	must(t, c.StartKeystone(t.Context()))
	for range 3 {
		must(t, c.Revoke(t.Context(), tokenOf(t, c)))
	}
	must(t, c.Revoke(t.Context(), lost))
	becomes(t, c, lost, http.StatusUnauthorized, 10*time.Second)

	must(t, c.Kill(cloud.KeystoneAll))
	copies("backup.db", "keystone.db")
	const replayed = `authproxy_revocation_polls_total{result="replayed"}`
	if !late {
		advance()
	}
	must(t, c.StartKeystone(t.Context()))
	if late {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		must(t, cloud.Until(ctx, func() (bool, error) { return metric(t, c, replayed) > 0, nil }))
		wantStatus(t, c, lost, http.StatusUnauthorized)
		advance()
	}
	must(t, c.Revoke(t.Context(), later))
	becomes(t, c, later, http.StatusUnauthorized, 10*time.Second)
	wantStatus(t, c, kept, http.StatusUnauthorized)
	if !late {
		wantStatus(t, c, lost, http.StatusUnauthorized)
		if n := metric(t, c, replayed); n != 0 {
			t.Errorf("%g lists were taken for replays", n)
		}
	}
	wantStatus(t, c, tokenOf(t, c), http.StatusOK)
	if n := metric(t, c, "authproxy_revocation_list_sequence"); n < 1e12 {
		t.Errorf("sequence %g", n)
	}
}
