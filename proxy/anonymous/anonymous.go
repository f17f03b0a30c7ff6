// Package anonymous knows the requests that need no token: health checks, lists of versions, public objects, CORS preflights.
package anonymous

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"authproxy/proxy/paths"
)

// Preflight is the name of the rule for CORS preflights.
const Preflight = "preflight"

// Rules are those of one route. The nil Rules fit no request.
type Rules struct {
	rules     []rule
	preflight bool
}

type rule struct {
	text    string
	methods []string
	path    string
	below   bool // path ends in "/", and all beneath it fits, but not itself
}

// Parse reads rules, each of methods and a path: "GET|HEAD /healthcheck" for that path alone, "GET /public/*" for every path
// that begins with /public/. preflight adds one for CORS preflights. Without any, the Rules are nil.
func Parse(texts []string, preflight bool) (*Rules, error) {
	r := &Rules{preflight: preflight}
	for _, text := range texts {
		one, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("anonymous rule %q: %w", text, err)
		}
		r.rules = append(r.rules, one)
	}
	if len(r.rules) == 0 && !preflight {
		return nil, nil
	}
	return r, nil
}

func parse(text string) (rule, error) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return rule{}, errors.New("write methods, a blank and a path, as in GET|HEAD /healthcheck")
	}
	one := rule{text: strings.Join(fields, " "), methods: strings.Split(fields[0], "|")}
	for _, method := range one.methods {
		if method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return rule{}, fmt.Errorf("%q is no method; write them in capitals with | in between", method)
		}
		if method == http.MethodConnect {
			return rule{}, errors.New("CONNECT is never passed on")
		}
	}
	one.path = fields[1]
	if path, ok := strings.CutSuffix(one.path, "/*"); ok {
		one.path, one.below = path+"/", true
	}
	u := url.URL{Path: one.path}
	if path, ok := paths.Plain(&u); !ok || path != one.path || strings.ContainsAny(path, "*%?#") {
		return rule{}, errors.New(`the path must be written decoded, begin with "/" and have no query, no "//", no "." or ".." as a segment, no ";", "%" and no "*" but at its end, after a "/"`)
	}
	if one.below && one.path == "/" {
		return rule{}, errors.New("this is every path: nothing would need a token; delay_auth_decision leaves the decision to the service")
	}
	return one, nil
}

// Names are the rules by the names that Match gives.
func (r *Rules) Names() []string {
	if r == nil {
		return nil
	}
	var names []string
	for _, one := range r.rules {
		names = append(names, one.text)
	}
	if r.preflight {
		names = append(names, Preflight)
	}
	return names
}

// Match gives the name of the first rule that fits a request, "" where it needs a token. A path that can be read in more than
// one way fits no rule, nor does a request with a header that gives another path or method; the query counts for nothing.
func (r *Rules) Match(req *http.Request) string {
	if r == nil {
		return ""
	}
	path, ok := paths.Plain(req.URL)
	if !ok || overridden(req.Header) {
		return ""
	}
	for i := range r.rules {
		if one := &r.rules[i]; one.fits(req.Method, path) {
			return one.text
		}
	}
	if r.preflight && isPreflight(req) {
		return Preflight
	}
	return ""
}

func (r *rule) fits(method, path string) bool {
	if !slices.Contains(r.methods, method) {
		return false
	}
	if r.below {
		return strings.HasPrefix(path, r.path)
	}
	return path == r.path
}

// overridden says whether a header asks for another method or path than the request line does, which some services obey.
func overridden(h http.Header) bool {
	for name := range h {
		switch strings.ReplaceAll(strings.ToLower(name), "_", "-") {
		case "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-original-uri", "x-rewrite-url":
			return true
		}
	}
	return false
}

// isPreflight knows a CORS preflight (Fetch standard, section 3.2.2). Browsers put no credentials on it.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) == 1 && len(r.Header["Access-Control-Request-Method"]) == 1
}
