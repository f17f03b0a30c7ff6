package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"authproxy/keystone"
)

// compile makes rules of one file, whose text is JSON or a map.
func compile(t testing.TB, rules any) (*Rules, error) {
	t.Helper()
	text, ok := rules.(string)
	if !ok {
		b, err := json.Marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	return Compile([]File{{Name: "policy.json", Text: []byte(text)}}, Options{})
}

func mustCompile(t testing.TB, rules any) *Rules {
	t.Helper()
	r, err := compile(t, rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// allowed asks and checks that the explanation agrees.
func allowed(t testing.TB, r Rule, c Credentials, target Target) bool {
	t.Helper()
	err := r.Check(t.Context(), c, target)
	explained, steps := r.Explain(t.Context(), c, target)
	if explained != (err == nil) {
		t.Errorf("Check says %v, Explain %v: %+v", err, explained, steps)
	}
	return err == nil
}

// someone has every attribute that a token can have.
func someone() Credentials {
	yes := true
	return Credentials{GroupIDs: []string{"g1", "g2"}, Token: &keystone.Token{
		User:    keystone.User{ID: "u", Name: "alice", Domain: keystone.Domain{ID: "ud", Name: "UD"}},
		Project: &keystone.Project{ID: "p", Name: "proj", Domain: keystone.Domain{ID: "pd", Name: "PD"}},
		Roles:   []keystone.Role{{Name: "Member"}, {Name: "cloud admin"}},
		Trust:   &keystone.Trust{ID: "t", TrustorUserID: "tor", TrusteeUserID: "tee"}, IsAdminProject: &yes,
	}}
}

func TestLanguage(t *testing.T) {
	inDomain := Credentials{Token: &keystone.Token{User: keystone.User{ID: "u"}, Domain: &keystone.Domain{ID: "d", Name: "D"}}}
	target := Target{"user_id": "u", "user.domain_id": "d", "user.enabled": "True", "user.nothing": "None", "role.name": "Member", "project_id": "p", "n": "7", "empty": ""}
	type test struct {
		rule any
		want bool
	}
	for who, tests := range map[string][]test{
		"someone": {
			{"", true}, {"@", true}, {"!", false},
			{"role:member", true}, {"role:MEMBER", true}, {"role:membe", false}, {"role:%(role.name)s", true}, {"role:%(none)s", false},
			{"role:ſomething", false},

			// not binds before and, and before or; words of the language in any case.
			{"@ or @ and !", true}, {"(@ or @) and !", false}, {"! and @ or @", true}, {"! and (@ or @)", false},
			{"not ! and !", false}, {"not (! and !)", true}, {"not not @", true}, {"not @ or @", true}, {"not (@ or @)", false},
			{"@ AND NOT ! Or !", true}, {"! or ! or @", true}, {"@ and @ and !", false}, {"((@))", true}, {"( ( @ ) and @ )", true},
			{"  @   and\t@\n", true}, {"! or @ and ! or @", true}, {"@ and ! or @ and !", false},

			// Left: attributes of the token.
			{"user_id:u", true}, {"user_id:U", false}, {"user_id:%(user_id)s", true}, {"user_id:%(project_id)s", false},
			{"project_id:p", true}, {"project_id:%(project_id)s", true}, {"domain_id:d", false}, {"domain_id:%(user.domain_id)s", false},
			{"user_name:alice", true}, {"user_domain_id:ud", true}, {"project_domain_id:pd", true},
			{"roles:Member", true}, {"roles:member", false}, {"group_ids:g2", true}, {"group_ids:g3", false}, {"is_admin:0", true}, {"is_admin:1", false}, {"is_admin:False", true},
			{"trust_id:t", true}, {"trustor_id:tor", true}, {"trustee_id:tee", true}, {"is_delegated_auth:True", true},
			{"token.user.id:u", true}, {"token.user.name:alice", true}, {"token.user.domain.id:ud", true}, {"token.user.domain.name:UD", true},
			{"token.project.id:p", true}, {"token.project.name:proj", true}, {"token.project.domain.id:pd", true}, {"token.project.domain.name:PD", true},
			{"token.domain.id:d", false}, {"token.is_admin_project:True", true},

			// Left: literals.
			{"'Member':%(role.name)s", true}, {`"Member":%(role.name)s`, true}, {"'member':%(role.name)s", false}, {"'':%(empty)s", true},
			{"True:%(user.enabled)s", true}, {"False:%(user.enabled)s", false}, {"None:%(user.nothing)s", true}, {"None:%(user.none)s", false},
			{"7:%(n)s", true}, {"8:%(n)s", false}, {"'7':%(n)s", true},

			// Right: a missing attribute fails the check, as in OpenStack also where the target has others.
			{"user_id:%(none)s", false}, {"not user_id:%(none)s", true}, {"'u-p':%(user_id)s-%(project_id)s", true}, {"'u-':%(user_id)s-%(none)s", false},
			{"'100%':100%%", true}, {"'%(user_id)s':%%(user_id)s", true}, {"user_id:u:v", false},

			// The older syntax.
			{[]any{}, true}, {[]any{[]any{}}, false}, {[]any{"@"}, true}, {[]any{"!"}, false}, {[]any{"!", "@"}, true},
			{[]any{[]any{"@", "!"}}, false}, {[]any{[]any{"@", "!"}, []any{"@", "@"}}, true}, {[]any{[]any{"!"}, []any{}, "role:member"}, true},
			{[]any{[]any{"role:cloud admin", "user_id:%(user_id)s"}}, true}, {[]any{[]any{"role:cloud admin", "user_id:x"}}, false},

			// References.
			{"rule:yes", true}, {"rule:no", false}, {"not rule:no", true}, {"rule:yes and rule:no", false}, {[]any{[]any{"rule:yes", "role:member"}}, true},
			// What is not there decides nothing, whatever stands around it.
			{"rule:gone", false}, {"not rule:gone", false}, {"not not rule:gone", false}, {"rule:gone or @", true}, {"@ or rule:gone", true},
			{"rule:gone and @", false}, {"not (rule:gone and !)", true}, {"not (rule:gone or !)", false}, {"not (rule:gone and @)", false}, {"not (rule:gone or @)", false},
		},
		"in domain": {
			{"domain_id:%(user.domain_id)s", true}, {"token.domain.id:d", true}, {"token.domain.name:D", true}, {"project_id:%(project_id)s", false},
			{"trust_id:None", false}, {"is_delegated_auth:False", true}, {"token.is_admin_project:True", false}, {"token.is_admin_project:None", false},
			{"roles:None", false}, {"group_ids:None", false}, {"user_domain_id:None", false}, {"role:member", false},
		},
		"nobody": {{"@", true}, {"user_id:%(empty)s", false}, {"role:member", false}, {"roles:member", false}, {"is_delegated_auth:False", false}},
	} {
		caller := map[string]Credentials{"someone": someone(), "in domain": inDomain, "nobody": {}}[who]
		for _, test := range tests {
			rules, err := compile(t, map[string]any{"x": test.rule, "yes": "@", "no": "!"})
			if err != nil {
				t.Errorf("%v: %v", test.rule, err)
				continue
			}
			if got := allowed(t, rules.Rule("x"), caller, target); got != test.want {
				t.Errorf("%s: %v: got %v, want %v", who, test.rule, got, test.want)
			}
		}
	}
}

// TestGuideExamples is the two examples of the configuration guide, from both sides.
func TestGuideExamples(t *testing.T) {
	rules := mustCompile(t, `{
		"identity:create_user": [["role:admin", "domain_id:%(user.domain_id)s"]],
		"identity:delete_user": [["role:admin", "domain_id:%(target.user.domain_id)s"]]
	}`)
	as := func(role string, domain *keystone.Domain, project *keystone.Project) Credentials {
		return Credentials{Token: &keystone.Token{User: keystone.User{ID: "u"}, Domain: domain, Project: project, Roles: []keystone.Role{{Name: role}}}}
	}
	d1, d2 := &keystone.Domain{ID: "d1"}, &keystone.Domain{ID: "d2"}
	for _, test := range []struct {
		c      Credentials
		domain string
		want   bool
	}{
		{as("admin", d1, nil), "d1", true},
		{as("admin", d1, nil), "d2", false},
		{as("admin", d2, nil), "d2", true},
		{as("member", d1, nil), "d1", false},
		{as("admin", nil, &keystone.Project{ID: "d1", Domain: *d1}), "d1", false},
		{as("admin", nil, nil), "d1", false},
	} {
		if got := allowed(t, rules.Rule("identity:create_user"), test.c, Target{"user.domain_id": test.domain, "target.user.domain_id": "d1"}); got != test.want {
			t.Errorf("create in %s by %+v: %v", test.domain, test.c.Token, got)
		}
		if got := allowed(t, rules.Rule("identity:delete_user"), test.c, Target{"target.user.domain_id": test.domain, "user.domain_id": "d1"}); got != test.want {
			t.Errorf("delete in %s by %+v: %v", test.domain, test.c.Token, got)
		}
	}
	for _, r := range []string{"identity:create_user", "identity:delete_user"} {
		if allowed(t, rules.Rule(r), as("admin", d1, nil), Target{}) {
			t.Errorf("%s is allowed without a target", r)
		}
	}
}

func TestDefaultRule(t *testing.T) {
	rules := mustCompile(t, map[string]any{"default": "role:member", "x": "rule:gone", "y": "not rule:gone"})
	for action, want := range map[string]bool{"x": true, "y": false, "z": true, "default": true} {
		if got := allowed(t, rules.Rule(action), someone(), nil); got != want {
			t.Errorf("%s: %v", action, got)
		}
	}
	if len(rules.Warnings()) != 2 || rules.Warnings()[0] != `policy.json: rule "x" refers to rule "gone", which is not there: the default rule decides` {
		t.Errorf("warnings %q", rules.Warnings())
	}
	named, err := Compile([]File{{"a", []byte(`{"default": "@", "fallback": "!"}`)}}, Options{DefaultRule: "fallback"})
	if err != nil || allowed(t, named.Rule("z"), someone(), nil) {
		t.Errorf("policy_default_rule is not followed: %v", err)
	}
	none := mustCompile(t, map[string]any{"x": "@"})
	if allowed(t, none.Rule("z"), someone(), nil) || !allowed(t, none.Rule("z"), Credentials{Admin: true}, nil) {
		t.Error("without a default rule an action without a rule is for the admin token alone")
	}
	if allowed(t, Rule{}, someone(), nil) {
		t.Error("the zero Rule allows")
	}
}

func TestLaterFilesWin(t *testing.T) {
	rules, err := Compile([]File{{"a", []byte(`{"x": "@", "y": "rule:z", "z": "@"}`)}, {"b", []byte(`{"x": "!", "z": "!"}`)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"x", "y", "z"} {
		if allowed(t, rules.Rule(action), someone(), nil) {
			t.Errorf("%s is that of the first file", action)
		}
	}
}

func TestBrokenRules(t *testing.T) {
	for rule, want := range map[string]string{
		`" "`:                         `rule "x": holds nothing but blanks`,
		`null`:                        `rule "x": is neither a text nor a list`,
		`true`:                        `rule "x": is neither a text nor a list`,
		`{}`:                          `rule "x": is neither a text nor a list`,
		`[1]`:                         `rule "x": an item of the list is neither a text nor a list of texts: 1`,
		`[["role:a", ["role:b"]]]`:    `an item of the list is neither a text nor a list of texts: [role:b]`,
		`[""]`:                        `"" is no check`,
		`["role:a and role:b", "x"]`:  `"x" is no check`,
		`"admin"`:                     `"admin" is no check: write @, !, role:NAME`,
		`"role:"`:                     `"role:" has nothing after the colon`,
		`"rule:"`:                     `"rule:" has nothing after the colon`,
		`":x"`:                        `"" is no attribute of a token; there are`,
		`"@ @"`:                       `"@" cannot stand where it does; and, or is missing before it`,
		`"rule:with blanks"`:          `"blanks" cannot stand where it does`,
		`"@ and"`:                     `ends where a check has to follow`,
		`"not"`:                       `ends where a check has to follow`,
		`"and @"`:                     `"and" stands where a check has to`,
		`"@ or or @"`:                 `"or" stands where a check has to`,
		`"()"`:                        `")" stands where a check has to`,
		`"(@"`:                        `a closing parenthesis is missing`,
		`"@)"`:                        `")" cannot stand where it does`,
		`"not @)"`:                    `")" cannot stand where it does`,
		`"'@'"`:                       `'@' is a quoted text, not a check`,
		`"'a':'b'"`:                   `'a':'b' is a quoted text, not a check`,
		`"user:x"`:                    `"user" is no attribute of a token`,
		`"Role:admin"`:                `"Role" is no attribute of a token`,
		`"not usr_id:x"`:              `"usr_id" is no attribute of a token`,
		`"'it's':x"`:                  `a quoted text cannot hold quotes or backslashes`,
		`"'a:b':x"`:                   `"'a" is no attribute of a token`,
		`"01:x"`:                      `"01" is no attribute of a token`,
		`"user_id:%(a"`:               `after % only (name)s or another % can stand`,
		`"user_id:%(a)"`:              `after % only (name)s or another % can stand`,
		`"user_id:%(a)d"`:             `after % only (name)s or another % can stand`,
		`"user_id:%()s"`:              `after % only (name)s or another % can stand`,
		`"user_id:100%"`:              `after % only (name)s or another % can stand`,
		`"user_id:%s"`:                `after % only (name)s or another % can stand`,
		`"http://h/x"`:                `"http://h/x" asks a server, which [DEFAULT] policy_remote_checks does not allow`,
		`"https://h/x"`:               `"https://h/x" asks a server`,
		`[["http://h/x"]]`:            `"http://h/x" asks a server`,
		`"rule:x"`:                    `rule "x" refers to itself: x → x`,
		`"not (@ and (rule:a or @))"`: `rule "a" refers to itself: a → b → x → a`,
		`[["@", "rule:a"]]`:           `rule "a" refers to itself: a → b → x → a`,
		`"` + strings.Repeat("(", 60) + `@` + strings.Repeat(")", 60) + `"`: `nests deeper than 50 levels`,
		`"` + strings.Repeat("not ", 60) + `@"`:                             `nests deeper than 50 levels`,
	} {
		r, err := compile(t, `{"a": "rule:b", "b": "@ and rule:x", "x": `+rule+`}`)
		if err == nil || !strings.HasPrefix(err.Error(), "policy.json: ") || !strings.Contains(err.Error(), want) || r != nil {
			t.Errorf("%.60s: got %v, want %q", rule, err, want)
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	for text, want := range map[string]string{
		``:                          "policy.json: is not a JSON object of rules: unexpected EOF",
		`[]`:                        "policy.json: is not a JSON object of rules",
		`{"a": "@"`:                 "policy.json: is not JSON: unexpected EOF",
		`{"a": "@",}`:               "policy.json: is not JSON: ",
		`{"a": }`:                   `policy.json: rule "a" is not JSON: `,
		`{"a": "@", "a": "!"}`:      `policy.json: rule "a" is there twice`,
		`{"a": "@", "\u0061": "!"}`: `policy.json: rule "a" is there twice`,
		`{"a": "@"} {}`:             "policy.json: goes on after the object of rules",
		`{a: "@"}`:                  "policy.json: is not JSON: ",
		"{\"a\": \"\xff\"}":         "policy.json: is not UTF-8",
		strings.Repeat(" ", 2<<20):  "policy.json: is longer than 1048576 bytes",
	} {
		if _, err := compile(t, text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
	_, err := Compile([]File{{"one", []byte(`{"a": "x", "b": "y", "c": "@"}`)}, {"two", []byte(`[`)}}, Options{})
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), `one: rule "b"`) || !strings.Contains(err.Error(), "two: ") {
		t.Errorf("not every fault is named: %v", err)
	}
	if _, err := compile(t, `{"default": "rule:gone"}`); err == nil || !strings.Contains(err.Error(), "gone") && !strings.Contains(err.Error(), "default → default") {
		t.Errorf("a default rule that falls back to itself: %v", err)
	}
}

// TestCostIsBounded: references that fan out are cheap to write and dear to follow.
func TestCostIsBounded(t *testing.T) {
	fan := map[string]any{"r0": "@"}
	for i := range 40 {
		fan[fmt.Sprintf("r%d", i+1)] = fmt.Sprintf("rule:r%d and rule:r%d", i, i)
	}
	if _, err := compile(t, fan); err == nil || !strings.Contains(err.Error(), "needs more than 10000 checks") {
		t.Errorf("fan: %v", err)
	}
	chain := map[string]any{"r0": "@"}
	for i := range 5000 {
		chain[fmt.Sprintf("r%d", i+1)] = fmt.Sprintf("rule:r%d", i)
	}
	if _, err := compile(t, chain); err == nil || !strings.Contains(err.Error(), "within each other") {
		t.Errorf("chain: %v", err)
	}
	if r := mustCompile(t, map[string]any{"x": strings.Repeat("user_id:x or ", 5000) + "@"}); !allowed(t, r.Rule("x"), someone(), nil) {
		t.Error("a long rule denies")
	}
}

func TestNeeds(t *testing.T) {
	rules := mustCompile(t, map[string]any{
		"x": "role:admin or rule:y", "y": "not (domain_id:%(target.user.domain_id)s and @)", "z": "role:%(user.name)s", "plain": "role:admin", "default": "user_id:%(user_id)s",
	})
	for _, test := range []struct {
		action, prefix string
		want           bool
	}{
		{"x", "target.", true}, {"x", "target.user.", true}, {"x", "user.", false}, {"x", "target.role.", false}, {"y", "target.", true},
		{"z", "user.", true}, {"z", "target.", false}, {"plain", "", false}, {"gone", "user_id", true},
	} {
		if got := rules.Rule(test.action).Needs(test.prefix); got != test.want {
			t.Errorf("%s, %s: %v", test.action, test.prefix, got)
		}
	}
	if (Rule{}).Needs("") {
		t.Error("the zero Rule needs something")
	}
}

func TestExplain(t *testing.T) {
	rules := mustCompile(t, map[string]any{
		"identity:x": "rule:admin or (rule:owner and not domain_id:%(user.domain_id)s) or rule:gone",
		"admin":      "role:admin", "owner": "user_id:%(user_id)s",
	})
	ok, steps := rules.Rule("identity:x").Explain(t.Context(), someone(), Target{"user_id": "v"})
	var got []string
	for _, s := range steps {
		got = append(got, fmt.Sprintf("%d %s = %s (%s)", s.Depth, s.Check, s.Verdict, s.Why))
	}
	want := []string{
		"0 identity:x = unknown (policy.json: rule:admin or (rule:owner and not domain_id:%(user.domain_id)s) or rule:gone)",
		"1 any of = unknown ()",
		"2 rule:admin = no ()",
		`3 role:admin = no (the roles are ["Member" "cloud admin"], asked for is "admin")`,
		"2 all of = no ()",
		"3 rule:owner = no ()",
		`4 user_id:%(user_id)s = no (user_id is "u", asked for is "v")`,
		"3 not = yes ()",
		"4 domain_id:%(user.domain_id)s = no (the target has no user.domain_id)",
		"2 rule:gone = unknown (there is no such rule, and no default rule)",
	}
	if ok || !slices.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", ok, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if ok, steps := rules.Rule("identity:x").Explain(t.Context(), Credentials{Admin: true}, nil); !ok || len(steps) != 1 {
		t.Errorf("admin token: %v %v", ok, steps)
	}
	if ok, steps := rules.Rule("identity:y").Explain(t.Context(), someone(), nil); ok || len(steps) != 1 || steps[0].Why == "" {
		t.Errorf("no rule: %v %v", ok, steps)
	}
}

// FuzzParse: what is read is written back to the same meaning, and no text makes the parser or a question run away.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "@", "role:admin or is_admin:1", "not (a:b or rule:x) and 'Member':%(role.name)s", "((@))", "rule:x", "True:%(user.enabled)s", "user_id:%%x%(a)s",
		"not not @", "@ AND (! OR @)", "https://h/%(a)s", `"a":b`, "@ or @ and !", "user_id:(x", "a)b:c",
	} {
		f.Add(seed)
	}
	remote := Remote{HTTPS: true}
	target := Target{"a": "u", "user_id": "u", "role.name": "Member"}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseText(text, remote)
		if err != nil {
			return
		}
		again, err := parseText(c.String(), remote)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, c.String(), err)
		}
		if again.String() != c.String() {
			t.Fatalf("%q becomes %q and then %q", text, c.String(), again.String())
		}
		if strings.Contains(c.String(), "https:") {
			return // must not be asked
		}
		ask := func(c check) verdict {
			return c.eval(&evaluation{ctx: t.Context(), caller: someone(), target: target})
		}
		if ask(c) != ask(again) {
			t.Fatalf("%q means %v, %q %v", text, ask(c), c.String(), ask(again))
		}
		x := explanation{evaluation: evaluation{ctx: t.Context(), caller: someone(), target: target}}
		if got := x.walk(c, 0); got != ask(c) {
			t.Fatalf("%q means %v, explained as %v", text, ask(c), got)
		}
	})
}

// FuzzCompile reads whole files.
func FuzzCompile(f *testing.F) {
	f.Add(string(defaultFile))
	f.Add(`{"a": [["rule:b", "@"], "role:x"], "b": "rule:c or !", "default": "not rule:a"}`)
	f.Add(`{"a": "rule:b", "b": "rule:a"}`)
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Compile([]File{{"f", []byte(text)}}, Options{})
		if (err == nil) != (rules != nil) {
			t.Fatal("neither rules nor an error")
		}
		if err != nil {
			return
		}
		for name := range rules.rules {
			allowed(t, rules.Rule(name), someone(), Target{"user_id": "u"})
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	rules := Default()
	c := Credentials{Token: &keystone.Token{User: keystone.User{ID: "u"}, Roles: []keystone.Role{{Name: "member"}, {Name: "service"}}}}
	target := Target{"user_id": "u"}
	b.ReportAllocs()
	for b.Loop() {
		if err := rules.Rule("identity:validate_token").Check(b.Context(), c, target); err != nil {
			b.Fatal(err)
		}
	}
}
