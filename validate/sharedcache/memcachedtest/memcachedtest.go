// Package memcachedtest starts real memcached servers for tests.
package memcachedtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Start runs memcached on a free port of 127.0.0.1 until the test ends, and gives its address. Without the program the test is
// skipped, or fails with AUTHPROXY_REQUIRE_SERVICES=1.
func Start(t testing.TB) (address string) {
	t.Helper()
	address, _ = StartStoppable(t)
	return address
}

// StartStoppable is Start with a way to end the server before the test does.
func StartStoppable(t testing.TB) (address string, stop func()) {
	t.Helper()
	program, err := exec.LookPath("memcached")
	if err != nil {
		if os.Getenv("AUTHPROXY_REQUIRE_SERVICES") == "1" {
			t.Fatalf("AUTHPROXY_REQUIRE_SERVICES=1, but %v", err)
		}
		t.Skip("there is no memcached here (Debian package memcached)")
	}
	ports := filepath.Join(t.TempDir(), "ports")
	args := []string{"-l", "127.0.0.1", "-p", "-1", "-U", "0", "-m", "64"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "MEMCACHED_PORT_FILENAME="+ports)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		if text, err := os.ReadFile(ports); err == nil {
			if port, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "TCP INET: "); ok {
				return "127.0.0.1:" + port, stop
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("memcached ended at once")
		case <-deadline:
			t.Fatal("memcached does not say its port")
		}
	}
}
