package validate

import (
	"regexp"
	"strings"
	"testing"

	"authproxy/certs/certstest"
)

// TestW29AccessRulePaths: a rule's path is no regular expression.
func TestW29AccessRulePaths(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/v2/images", "/v2/images", true},
		{"/v2/images", "/v2/images/", false},
		{"/v2/images", "/v2/images\n", false},
		{"/v2/images", "/x/v2/images", false},
		{"/v2/images", "/v2/image", false},
		{"/x.y", "/x.y", true},
		{"/x.y", "/xAy", false},
		{"/a+", "/aa", false},
		{"/a|/b", "/a", false},
		{"/(a)", "/a", false},
		{"/(a)", "/(a)", true},
		{"/[ab]", "/a", false},
		{"/a$", "/a", false},
		{"/a\\", "/a", false},
		{"/v2/images/*", "/v2/images/1", true},
		{"/v2/images/*", "/v2/images/", false},
		{"/v2/images/*", "/v2/images/1/file", false},
		{"/v2/images/*", "/v2/images/1\n", true},
		{"/v2/*/file", "/v2/1/file", true},
		{"/v2/*/file", "/v2//file", false},
		{"/v2/{image}/file", "/v2/1/file", true},
		{"/v2/{image}/file", "/v2/1/2/file", false},
		{"/v2/{image_id}", "/v2/", false},
		{"/v2/{image", "/v2/{image", false},
		{"/v2/image}", "/v2/image}", true},
		{"/v2/{}", "/v2/1", true},
		{"/v2/a*b", "/v2/aXb", true},
		{"/v2/a*b", "/v2/abb", true},
		{"/v2/a*b", "/v2/ab", false},
		{"/v2/a*b", "/v2/a/b", false},
		{"/v2/*{x}", "/v2/12", true},
		{"/v2/*{x}", "/v2/1", false},
		{"/v2/**", "/v2/", true},
		{"/v2/**", "/v2/a/b/c", true},
		{"/v2/**", "/v2", false},
		{"/v2/**/file", "/v2/a/b/file", true},
		{"/v2/**/file", "/v2/file", false},
		{"/v2/***", "/v2/1", true},
		{"/v2/***", "/v2/", false},
		{"/v2/***", "/v2/a/", false},
		{"**", "", true},
		{"**", "/anything/at all", true},
		{"*", "", false},
		{"", "", true},
		{"", "/", false},
		{"/é/*", "/é/日", true},
	} {
		if got := matchPath(c.pattern, c.path); got != c.want {
			t.Errorf("%q on %q: %t, want %t", c.pattern, c.path, got, c.want)
		}
	}
	// A pattern that sends a matcher with backtracking to sleep.
	if matchPath(strings.Repeat("**a", 200), strings.Repeat("a", 4000)+"b") {
		t.Error("matched")
	}
}

// FuzzMatchPath compares with the regular expression that a pattern without special characters stands for.
func FuzzMatchPath(f *testing.F) {
	for _, pattern := range []string{"/v2/*", "/v2/**/x", "/{a}/b*c", "***", "**a**b", "{"} {
		f.Add(pattern, "/v2/a/x")
		f.Add(pattern, "aab")
	}
	words := regexp.MustCompile(`\{[^}]*\}|\*\*|\*|[^*{]+|\{`)
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 200 || len(path) > 2000 {
			return
		}
		var b strings.Builder
		for _, word := range words.FindAllString(pattern, -1) {
			switch {
			case word == "{":
				if matchPath(pattern, path) {
					t.Error("an open brace matches")
				}
				return
			case word == "**":
				b.WriteString(`(?s:.*)`)
			case word == "*" || word[0] == '{':
				b.WriteString(`[^/]+`)
			default:
				b.WriteString(regexp.QuoteMeta(word))
			}
		}
		re, err := regexp.Compile(`\A` + b.String() + `\z`)
		if err != nil || !isText(pattern) || !isText(path) {
			return // regexp reads runes, and replaces what is none
		}
		if got, want := matchPath(pattern, path), re.MatchString(path); got != want {
			t.Errorf("%q on %q: %t, %s says %t", pattern, path, got, re, want)
		}
	})
}

func isText(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// TestAccessRules: they are judged on every request, cached token or not, and only what a service token answers for is let off.
func TestAccessRules(t *testing.T) {
	f := newFixture(t, certstest.RSA)
	const rules = `,"application_credential":{"id":"a","access_rules":[{"service":"image","method":"GET","path":"/v2/images/*"},
		{"service":"compute","method":"POST","path":"/v2/images/*"}]}`
	const catalog = `,"catalog":[{"type":"image","endpoints":[]}]`
	restricted := f.pki(body("a", rules+catalog))
	for name, c := range map[string]struct {
		service, text, method, path string
		skip                        bool
		want                        Reason
	}{
		"allowed":                              {"image", restricted, "GET", "/v2/images/1", false, ""},
		"again, from the cache":                {"image", restricted, "GET", "/v2/images/2", false, ""},
		"another path":                         {"image", restricted, "GET", "/v2/images", false, AccessRules},
		"another method":                       {"image", restricted, "HEAD", "/v2/images/1", false, AccessRules},
		"a rule for another service":           {"image", restricted, "POST", "/v2/images/1", false, AccessRules},
		"beside a service token":               {"image", restricted, "POST", "/v2/images/1", true, ""},
		"the same without service_type":        {"", restricted, "POST", "/v2/images/1", true, AccessRules},
		"the same, not in the catalog":         {"compute", restricted, "POST", "/v2/images/1", true, AccessRules},
		"a path that climbs":                   {"image", restricted, "GET", "/v2/images/..", false, AccessRules},
		"service_type is not set":              {"", restricted, "GET", "/v2/images/1", false, AccessRules},
		"service_type is not in the catalog":   {"compute", restricted, "POST", "/v2/images/1", false, AccessRules},
		"no method, no path":                   {"image", restricted, "", "", false, AccessRules},
		"no rules":                             {"image", f.pki(body("b", `,"application_credential":{"id":"a"}`)), "PUT", "/x", false, ""},
		"no rules, no service_type":            {"", f.pki(body("b", `,"application_credential":{"id":"a"}`)), "PUT", "/x", false, ""},
		"rules null":                           {"image", f.pki(body("c", `,"application_credential":{"access_rules":null}`)), "PUT", "/x", false, ""},
		"an empty list allows nothing":         {"image", f.pki(body("d", `,"application_credential":{"access_rules":[]}`+catalog)), "GET", "/", false, AccessRules},
		"no catalog (auth_token fails)":        {"image", f.pki(body("e", rules)), "GET", "/v2/images/1", false, ""},
		"identity lets every token be checked": {"identity", restricted, "GET", "/v3/auth/tokens", false, ""},
		"but no more than that":                {"identity", restricted, "DELETE", "/v3/auth/tokens", false, AccessRules},
	} {
		t.Run(name, func(t *testing.T) {
			v := f.validator(func(o *Options) { o.ServiceType = c.service })
			for range 2 {
				wantRequest(t, v, Request{Token: c.text, Method: c.method, Path: c.path, SkipAccessRules: c.skip}, c.want)
			}
		})
	}
}
