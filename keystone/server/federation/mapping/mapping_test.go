package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"authproxy/keystone/server/fault"
)

func rulesOf(t *testing.T, text string) []any {
	t.Helper()
	var rules []any
	if err := json.Unmarshal([]byte(text), &rules); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return rules
}

func TestApply(t *testing.T) {
	const user = `{"user": {"name": "{0}"}}`
	ephemeral := func(name string) User {
		return User{Name: name, Type: Ephemeral, Domain: &Domain{ID: FederatedDomain}}
	}
	attributes := map[string]string{"UserName": "bob", "Groups": "dev;ops;x\\;y", "Email": "bob@example.org", "HTTP_OIDC_SUB": "1", "none": " ; ;(null)", "Zoë": "é"}
	for name, test := range map[string]struct {
		rules  string
		user   User
		ids    []string
		names  []Group
		failed bool
	}{
		"a user and a group": {rules: `[{"remote": [{"type": "UserName"}], "local": [` + user + `, {"group": {"id": "g"}}]}]`, user: ephemeral("bob"), ids: []string{"g"}},
		"in one part":        {rules: `[{"remote": [{"type": "UserName"}], "local": [{"user": {"name": "{0}"}, "group": {"id": "g-{0}"}}]}]`, user: ephemeral("bob"), ids: []string{"g-bob"}},
		"not asserted":       {rules: `[{"remote": [{"type": "UserName"}, {"type": "Title"}], "local": [` + user + `]}]`, user: ephemeral("")},
		"no value":           {rules: `[{"remote": [{"type": "UserName"}, {"type": "none"}], "local": [` + user + `]}]`, user: ephemeral("")},
		"any one":            {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "any_one_of": ["ops", "z"]}], "local": [` + user + `]}]`, user: ephemeral("bob")},
		"a value with a semicolon": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "any_one_of": ["x;y"]}], "local": [` + user + `]}]`,
			user: ephemeral("bob")},
		"none of those":   {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "any_one_of": ["op", "OPS"]}], "local": [` + user + `]}]`, user: ephemeral("")},
		"any of nothing":  {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "any_one_of": []}], "local": [` + user + `]}]`, user: ephemeral("")},
		"none of nothing": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "not_any_of": []}], "local": [` + user + `]}]`, user: ephemeral("bob")},
		"not any, but is": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "not_any_of": ["ops"]}], "local": [` + user + `]}]`, user: ephemeral("")},
		"not any":         {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "not_any_of": ["root"]}], "local": [` + user + `]}]`, user: ephemeral("bob")},
		"not any of what is not asserted": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Title", "not_any_of": ["root"]}], "local": [` + user + `]}]`,
			user: ephemeral("")},
		"expression": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Email", "any_one_of": ["@example\\.org$"], "regex": true}], "local": [` + user + `]}]`,
			user: ephemeral("bob")},
		"expression that does not fit": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Email", "any_one_of": ["^example"], "regex": true}], "local": [` + user + `]}]`,
			user: ephemeral("")},
		"a text is no expression": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Email", "any_one_of": [".*"], "regex": false}], "local": [` + user + `]}]`,
			user: ephemeral("")},
		"not any expression": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "not_any_of": ["^o.s$"], "regex": true}], "local": [` + user + `]}]`,
			user: ephemeral("")},
		"places count what is put in": {rules: `[{"remote": [{"type": "Groups", "any_one_of": ["ops"]}, {"type": "UserName"}, {"type": "Email"}],
			"local": [{"user": {"name": "{0}", "email": "{1}"}}]}]`, user: User{Name: "bob", Email: "bob@example.org", Type: Ephemeral, Domain: &Domain{ID: FederatedDomain}}},
		"whitelist": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "whitelist": ["ops", "dev", "root"]}],
			"local": [` + user + `, {"groups": "{1}", "domain": {"id": "d"}}]}]`, user: ephemeral("bob"),
			names: []Group{{"dev", Domain{ID: "d"}, true}, {"ops", Domain{ID: "d"}, true}}},
		"blacklist": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "blacklist": ["ops"]}],
			"local": [` + user + `, {"groups": "{1}", "domain": {"name": "D"}}]}]`, user: ephemeral("bob"),
			names: []Group{{"dev", Domain{Name: "D"}, true}, {"x;y", Domain{Name: "D"}, true}}},
		"whitelist that leaves nothing": {rules: `[{"remote": [{"type": "UserName"}, {"type": "Groups", "whitelist": ["root"]}],
			"local": [` + user + `, {"groups": "{1}", "domain": {"id": "d"}}, {"group_ids": "{1}"}]}]`, user: ephemeral("bob")},
		"blacklist that leaves no name": {rules: `[{"remote": [{"type": "UserName", "blacklist": ["bob"]}], "local": [` + user + `]}]`, failed: true},
		"ids":                           {rules: `[{"remote": [{"type": "Groups"}], "local": [{"group_ids": "{0}"}, {"group_ids": "a"}, {"group": {"id": "ops"}}]}]`, user: ephemeral(""), ids: []string{"a", "dev", "ops", "x;y"}},
		"several for one place":         {rules: `[{"remote": [{"type": "Groups"}], "local": [{"user": {"name": "{0}"}}]}]`, failed: true},
		"several in a text":             {rules: `[{"remote": [{"type": "Groups"}], "local": [{"groups": "x-{0}", "domain": {"id": "d"}}]}]`, failed: true},
		"several for a domain":          {rules: `[{"remote": [{"type": "Groups"}], "local": [{"groups": "x", "domain": {"id": "{0}"}}]}]`, failed: true},
		"a group by name": {rules: `[{"remote": [{"type": "UserName"}], "local": [{"group": {"name": "of {0}", "domain": {"name": "{0}"}}}]}]`, user: ephemeral(""),
			names: []Group{{"of bob", Domain{Name: "bob"}, false}}},
		"braces":                {rules: `[{"remote": [{"type": "UserName"}], "local": [{"user": {"name": "{{{0}}}{{0}}"}}]}]`, user: ephemeral("{bob}{0}")},
		"values are no places":  {rules: `[{"remote": [{"type": "Zoë"}, {"type": "UserName"}], "local": [{"user": {"name": "{0}/{1}/{0}"}}]}]`, user: ephemeral("é/bob/é")},
		"names as headers have": {rules: `[{"remote": [{"type": "Oidc-Sub"}, {"type": "HTTP_USERNAME"}], "local": [{"user": {"id": "{0}", "name": "{1}"}}]}]`, user: User{ID: "1", Name: "bob", Type: Ephemeral, Domain: &Domain{ID: FederatedDomain}}},
		"a local user": {rules: `[{"remote": [{"type": "UserName"}], "local": [{"user": {"name": "{0}", "type": "local", "domain": {"name": "D"}}}]}]`,
			user: User{Name: "bob", Type: Local, Domain: &Domain{Name: "D"}}},
		"all rules that apply": {rules: `[{"remote": [{"type": "Title"}], "local": [{"group": {"id": "no"}}]}, {"remote": [{"type": "UserName"}], "local": [{"group": {"id": "b"}}]},
			{"remote": [{"type": "UserName"}], "local": [{"user": {"name": "first"}}, {"user": {"name": "second"}}, {"group": {"id": "a"}}, {"group": {"id": "b"}}]},
			{"remote": [{"type": "UserName"}], "local": [{"user": {"name": "third", "type": "local", "domain": {"id": "default"}}}]}]`, user: ephemeral("first"), ids: []string{"a", "b"}},
	} {
		rules, err := Parse(rulesOf(t, test.rules))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		assertion, err := NewAssertion(attributes)
		if err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(assertion)
		got, err := rules.Apply(assertion, func(format string, args ...any) {
			if line := fmt.Sprintf(format, args...); strings.Contains(line, "%!") {
				t.Errorf("%s: trace %s", name, line)
			}
		})
		if test.failed != errors.Is(err, ErrNotOne) || !test.failed && err != nil {
			t.Errorf("%s: got %+v, %v", name, got, err)
			continue
		}
		if test.failed {
			continue
		}
		if test.ids == nil {
			test.ids = []string{}
		}
		if test.names == nil {
			test.names = []Group{}
		}
		got.Applied = 0
		if want := (Properties{User: test.user, GroupIDs: test.ids, GroupNames: test.names}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
		if !reflect.DeepEqual(before, assertion) {
			t.Errorf("%s changed the assertion", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	remote := func(text string) string { return `[{"remote": [` + text + `], "local": []}]` }
	local := func(text string) string { return `[{"remote": [{"type": "a"}], "local": [` + text + `]}]` }
	long := strings.Repeat("x", maxText+1)
	many := func(n int, text string) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }
	for text, says := range map[string]string{
		`[]`: "rules", `["x"]`: "rules[0]", `[{}]`: "'local'", `[{"local": []}]`: "'remote'",
		`[{"remote": [], "local": []}]`: "rules[0].remote", `[{"remote": {}, "local": []}]`: "rules[0].remote", `[{"remote": [{"type": "x"}], "local": {}}]`: "rules[0].local",
		`[{"remote": [{"type": "x"}], "local": [], "more": 1}]`: "more",
		remote(`{}`): ".type", remote(`{"type": 1}`): ".type", remote(`{"type": ""}`): ".type", remote(`{"type": "` + long + `"}`): ".type", remote(`"x"`): "remote[0]",
		remote(`{"type": "x", "name": "y"}`): "name", remote(`{"type": "x", "any_one_of": "y"}`): "any_one_of", remote(`{"type": "x", "any_one_of": [1]}`): "any_one_of[0]",
		remote(`{"type": "x", "any_one_of": ["y"], "not_any_of": ["z"]}`):                        "only one",
		remote(`{"type": "x", "whitelist": ["y"], "blacklist": ["z"]}`):                          "only one",
		remote(`{"type": "x", "whitelist": ["y"], "regex": true}`):                               "regex",
		remote(`{"type": "x", "regex": true}`):                                                   "regex",
		remote(`{"type": "x", "any_one_of": ["y"], "regex": "yes"}`):                             "regex",
		remote(`{"type": "x", "any_one_of": ["(", "y"], "regex": true}`):                         "any_one_of[0]: is no regular",
		remote(`{"type": "x", "any_one_of": ["(?=a)"], "regex": true}`):                          "is no regular",
		remote(`{"type": "x", "any_one_of": ["(x{1000}){1000}"], "regex": true}`):                "is no regular",
		remote(`{"type": "x", "any_one_of": [` + many(30, `"[a-z]{999}"`) + `], "regex": true}`): "too much",
		remote(`{"type": "x", "any_one_of": [` + many(maxListed+1, `"a"`) + `]}`):                "any_one_of",
		remote(many(maxParts+1, `{"type": "x"}`)):                                                "remote",
		local(many(maxParts+1, `{}`)):                                                            "local",
		local(`"x"`):                                                                             "local[0]", local(`{"users": {}}`): "users", local(`{"user": "x"}`): ".user", local(`{"user": {"names": "x"}}`): "names",
		local(`{"user": {"name": 1}}`): ".name", local(`{"user": {"type": "other"}}`): ".type", local(`{"user": {"type": null}}`): ".type",
		local(`{"user": {"type": "local", "name": "x"}}`): "local user", local(`{"user": {"name": "x", "domain": {}}}`): ".domain",
		local(`{"user": {"name": "x", "domain": {"id": "a", "name": "b"}}}`): ".domain",
		local(`{"group": {}}`): ".group", local(`{"group": {"name": "x"}}`): ".group", local(`{"group": {"id": "x", "name": "y", "domain": {"id": "z"}}}`): ".group",
		local(`{"group": {"id": "x", "domain": {"id": "z"}}}`): ".group", local(`{"groups": "x"}`): "'groups' and 'domain'", local(`{"domain": {"id": "x"}}`): "'groups' and 'domain'",
		local(`{"groups": ["x"], "domain": {"id": "x"}}`): ".groups",
		local(`{"user": {"name": "{1}"}}`):                "{1} stands for nothing", local(`{"user": {"name": "{}"}}`): "after {", local(`{"user": {"name": "{x}"}}`): "after {",
		local(`{"user": {"name": "{0"}}`): "after {", local(`{"user": {"name": "0}"}}`): "after {", local(`{"user": {"name": "{00}"}}`): "after {", local(`{"user": {"name": "{-1}"}}`): "after {",
		local(`{"user": {"name": "{0.real}"}}`): "after {", local(`{"user": {"name": "{99999999}"}}`): "after {",
		`[{"remote": [{"type": "x", "any_one_of": []}], "local": [{"user": {"name": "{0}"}}]}]`: "{0} stands for nothing",
	} {
		_, err := Parse(rulesOf(t, text))
		invalid, ok := errors.AsType[fault.Invalid](err)
		if !ok || !strings.Contains(invalid.Message, says) || len(invalid.Message) > 2*maxText {
			t.Errorf("%.200s: got %.300v, want something about %s", text, err, says)
		}
	}
	if _, err := Parse(make([]any, maxRules+1)); err == nil {
		t.Error("too many rules are taken")
	}
}

func TestAssertions(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, ";": nil, "a": {"a"}, "a;b": {"a", "b"}, " a ; b;": {"a", "b"}, `a\;b`: {"a;b"}, `a\\;b`: {`a\;b`}, `a\`: {`a\`}, "(null)": nil, "a;(null)": {"a"}, "é;\u00a0": {"é"},
	} {
		if got := Split(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for what, attributes := range map[string]map[string]string{
		"two names": {"Oidc-Sub": "a", "OIDC_SUB": "b"}, "one of them empty": {"Oidc-Sub": "", "HTTP_OIDC_SUB": "b"},
		"much": {"a": strings.Repeat("x", maxAssertion+1)}, "many": {"a": strings.Repeat("x;", maxValues+1)},
	} {
		if a, err := NewAssertion(attributes); err == nil {
			t.Errorf("%s: %d attributes", what, len(a))
		}
	}
}

func FuzzMapping(f *testing.F) {
	f.Add(`[{"remote": [{"type": "A", "whitelist": ["x"]}, {"type": "B", "any_one_of": ["^y"], "regex": true}], "local": [{"user": {"name": "{0}"}}, {"group_ids": "{0}"}]}]`, "x;z", "y")
	f.Add(`[{"remote": [{"type": "A"}], "local": [{"groups": "{0}", "domain": {"id": "{{{0}}}"}}, {"user": {"id": "{0}", "type": "local"}}]}]`, `a\;b`, "")
	f.Add(`[{"remote": [{"type": "B", "not_any_of": ["a*"], "regex": true}, {"type": "a", "blacklist": []}], "local": [{"user": {"name": "\ud800{0}"}}]}]`, "\xff", "(null)")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		var list []any
		if json.Unmarshal([]byte(text), &list) != nil {
			return
		}
		rules, err := Parse(list)
		if err != nil {
			if _, ok := errors.AsType[fault.Invalid](err); !ok {
				t.Fatalf("%v is not the client's fault", err)
			}
			return
		}
		assertion, err := NewAssertion(map[string]string{"A": a, "B": b})
		if err != nil {
			return
		}
		first, err := rules.Apply(assertion, nil)
		again, errAgain := rules.Apply(assertion, func(string, ...any) {})
		if !reflect.DeepEqual(first, again) || (err == nil) != (errAgain == nil) {
			t.Fatalf("%+v, %v; again %+v, %v", first, err, again, errAgain)
		}
		if err != nil && (!errors.Is(err, ErrNotOne) || !reflect.DeepEqual(first, Properties{})) {
			t.Fatalf("%+v, %v", first, err)
		}
		if err == nil && first.User.Type != Ephemeral && first.User.Type != Local {
			t.Fatalf("%+v", first)
		}
	})
}
