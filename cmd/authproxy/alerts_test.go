package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAlertRules wants every metric that examples/alerts.yaml names to be one that a running proxy has, with every label value
// that it asks for; a rule with a name that is misspelled would never fire, and nobody would notice.
func TestAlertRules(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join("..", "..", "examples", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPKI(t)
	k := newKeystone(t, p)
	k.events = `{"events":[]}`
	upstream, _, _ := echoUpstream(t)
	r := begin(t, "--upstream", upstream.URL, "--config-file", k.config(t, ""))
	r.eventually("ready", func() bool { code, _ := r.get(r.admin+"/readyz", ""); return code == 200 })
	_, metrics := r.get(r.admin+"/metrics", "")
	var series []string // name{labels}
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, "#") {
			series = append(series, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	exists := func(name, label, value string) bool {
		return slices.ContainsFunc(series, func(s string) bool {
			at, labels, _ := strings.Cut(s, "{")
			return at == name && (label == "" || strings.Contains(labels, label+`="`+value+`"`))
		})
	}

	expressions := regexp.MustCompile(`(?m)^        expr: (?:>-\n +)?(.*)$`).FindAllStringSubmatch(string(rules), -1)
	if alerts := strings.Count(string(rules), "- alert: "); alerts < 8 || len(expressions) != alerts {
		t.Fatalf("%d alerts with %d expressions", alerts, len(expressions))
	}
	selector := regexp.MustCompile(`(authproxy_\w+)(?:\{(\w+)=~?"([^"]*)"\})?`)
	for _, e := range expressions {
		found := selector.FindAllStringSubmatch(e[1], -1)
		if len(found) == 0 {
			t.Errorf("%s: no metric of the proxy", e[1])
		}
		for _, m := range found {
			for value := range strings.SplitSeq(m[3], "|") {
				if !exists(m[1], m[2], value) {
					t.Errorf("%s: there is no %s{%s=%q}", e[1], m[1], m[2], value)
				}
			}
		}
	}
	// What is worth an alert has one.
	for _, name := range []string{"revocation_events_fresh", "revoked_tokens_total", "revocation_list_age_seconds", "signer_days_left", "entries_vanished_total", `result="replayed"`,
		"signer_unavailable", "revocation_stale", "identity_unavailable"} {
		if !strings.Contains(string(rules), name) {
			t.Errorf("no rule about %s", name)
		}
	}
}
