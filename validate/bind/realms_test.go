package bind

import (
	"errors"
	"strings"
	"testing"
)

func TestRealms(t *testing.T) {
	realms, err := ParseRealms([]string{"EXAMPLE.ORG=", "CORP.EXAMPLE.ORG=corp", "A=B", "B=C"})
	if err != nil {
		t.Fatal(err)
	}
	for principal, want := range map[string]string{
		"alice@EXAMPLE.ORG":           "alice",
		"alice/admin@EXAMPLE.ORG":     "alice/admin",
		"alice@CORP.EXAMPLE.ORG":      "alice@corp",
		"alice@example.org":           "alice@example.org", // realms have case
		"alice@OTHER":                 "alice@OTHER",
		"alice@A":                     "alice@B",
		"alice@B":                     "alice@C",
		"alice@C":                     "", // would be taken for alice@B
		"alice@corp":                  "",
		"alice":                       "alice",
		"alice@OTHER@EXAMPLE.ORG":     "",
		`alice\@OTHER@EXAMPLE.ORG`:    "",
		`alice\/admin@EXAMPLE.ORG`:    "",
		"alice@EXAMPLE.ORG@OTHER.ORG": "",
	} {
		got, err := realms.Map(principal)
		if got != want || (want == "") != errors.Is(err, ErrRealm) {
			t.Errorf("%s → %q, %v; want %q", principal, got, err, want)
		}
	}
	for _, principal := range []string{"alice@A", "a@b@c", ""} {
		if got, err := Realms(nil).Map(principal); got != principal || err != nil {
			t.Errorf("no map: %s → %q, %v", principal, got, err)
		}
	}
}

func TestParseRealmsRefuses(t *testing.T) {
	for _, tt := range []struct{ items, want string }{
		{"EXAMPLE.ORG", "REALM= to take the realm off"},
		{"=corp", "REALM= to take the realm off"},
		{"alice@EXAMPLE.ORG=bob", "none of @"},
		{"A=B=C", "none of @"},
		{"A B=C", "no blank"},
		{"A=x,A=y", "mapped twice"},
		{"A=,B=", "realms A and B are mapped to one"},
		{"A=x,B=x", "realms A and B are mapped to one"},
	} {
		if realms, err := ParseRealms(strings.Split(tt.items, ",")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want an error with %q", tt.items, realms, err, tt.want)
		}
	}
}
