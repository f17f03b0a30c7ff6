package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// The upstream gets the first secret of the file and never one that a client made up; a change needs no restart.
func TestUpstreamGuard(t *testing.T) {
	seen := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer upstream.Close()
	const first, second = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	p := newPKI(t)
	for _, header := range []string{"X-Authproxy-Guard", "X-From-Front"} {
		file := write(t, filepath.Join(t.TempDir(), "secrets"), []byte("# ours\n"+first+"\n"+second+"\n"))
		r := offline(t, p, "--upstream", upstream.URL, "--upstream-guard-file", file, "--upstream-guard-header", strings.ToLower(header), "--anonymous", "GET /free")
		said := http.Header{header: {"guess"}, strings.ReplaceAll(header, "-", "_"): {"guess"}, strings.ToLower(strings.ReplaceAll(header, "-", ".")): {"guess"}}
		ask := func(path string) map[string][]string {
			t.Helper()
			if res := r.send(r.http, r.data+path, p.token("alice", auditA), said); res.StatusCode != 200 {
				t.Fatal(res.StatusCode)
			}
			got := map[string][]string{}
			for name, values := range <-seen {
				if folded := strings.ToLower(name); strings.Contains(folded, "guard") || strings.Contains(folded, "front") {
					got[name] = values
				}
			}
			return got
		}
		for _, path := range []string{"/", "/free"} {
			if got := ask(path); len(got) != 1 || len(got[header]) != 1 || got[header][0] != first {
				t.Errorf("%s: %v", path, got)
			}
		}
		write(t, file, []byte(second+"\n"))
		r.eventually("the new secret is sent", func() bool { return ask("/")[header][0] == second })
		write(t, file, []byte("short\n"))
		r.eventually("told of", func() bool {
			_, text := r.get(r.admin+"/status", "")
			return strings.Contains(text, "less than 24 characters")
		})
		if got := ask("/"); got[header][0] != second {
			t.Errorf("%v", got)
		}
		if log := r.logs.String(); strings.Contains(log, first) || strings.Contains(log, second) {
			t.Error("a secret is in the log")
		}
		r.stop()
		r.end()
	}
}
