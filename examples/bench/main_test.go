package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun measures the peer that needs no other program, for a short time.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	results := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := run(t.Context(), []string{"-duration", "50ms", "-tokens", "2", "-connections", "4", "-rate", "200", "-only", "direct", "-results", results}, &out); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{out.String(), string(written)} {
		if !strings.Contains(text, "| direct, no proxy |") {
			t.Errorf("no row in\n%s", text)
		}
	}
}

// TestSpoil: each spoiled token differs from the good one and from the one before.
func TestSpoil(t *testing.T) {
	good := strings.Repeat("A", 100)
	seen := map[string]bool{good: true}
	for n := range 1000 {
		if bad := spoil(good, n); seen[bad] || len(bad) != len(good) {
			t.Fatalf("token %d is not new", n)
		} else {
			seen[bad] = true
		}
	}
}
