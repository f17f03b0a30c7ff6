package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"authproxy/keystone"
)

// allowed says whether the access rules of a token, if it has any, let it be used for this request.
func (v *Validator) allowed(t *keystone.Token, r Request) error {
	if t.AccessRules == nil {
		return nil
	}
	service := v.o.ServiceType
	switch {
	case service == "":
		return errors.New("the token has access rules, and service_type does not say which of them are for this service")
	case service == "identity" && r.Method == "GET" && strings.HasSuffix(r.Path, "/v3/auth/tokens"):
		return nil // every token may be validated
	case t.Catalog != nil && !slices.ContainsFunc(t.Catalog, func(s keystone.Service) bool { return s.Type == service }):
		return fmt.Errorf("the token's catalog has no service of type %q", service)
	case r.SkipAccessRules:
		return nil
	case climbs(r.Path):
		return errors.New("the path has a segment . or .., so that it can mean another one")
	}
	for _, rule := range t.AccessRules {
		if rule.Service == service && rule.Method == r.Method && matchPath(rule.Path, r.Path) {
			return nil
		}
	}
	return errors.New("no access rule of the token allows this request")
}

// climbs says whether a path has a segment that a service may resolve.
func climbs(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// matchPath matches a whole path against the pattern of an access rule: "*" and "{name}" stand for one or more characters other
// than "/", "**" for any characters, also none, and everything else for itself. A "{" without its "}" matches nothing. It takes
// time in proportion to the product of both lengths, whatever the pattern.
func matchPath(pattern, path string) bool {
	const (
		segment  = -1 - iota // one or more characters but "/"
		anything             // any characters
	)
	var steps []int // a byte, segment or anything
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case strings.HasPrefix(pattern[i:], "**"):
			steps = append(steps, anything)
			i++
		case c == '*':
			steps = append(steps, segment)
		case c == '{':
			end := strings.IndexByte(pattern[i:], '}')
			if end < 0 {
				return false
			}
			steps = append(steps, segment)
			i += end
		default:
			steps = append(steps, int(c))
		}
	}
	// at[n] says that the path so far can have taken n steps; within[n], that it may go on in the segment of step n-1.
	at, within := make([]bool, len(steps)+1), make([]bool, len(steps)+1)
	at[0] = true
	skipAnything(steps, at, anything)
	nextAt, nextWithin := make([]bool, len(at)), make([]bool, len(at))
	for i := range len(path) {
		c := path[i]
		clear(nextAt)
		clear(nextWithin)
		for n, step := range steps {
			switch {
			case step == segment && c != '/' && (at[n] || within[n+1]):
				nextAt[n+1], nextWithin[n+1] = true, true
			case step == anything && at[n]:
				nextAt[n] = true
			case step == int(c) && at[n]:
				nextAt[n+1] = true
			}
		}
		skipAnything(steps, nextAt, anything)
		at, within, nextAt, nextWithin = nextAt, nextWithin, at, within
	}
	return at[len(steps)]
}

func skipAnything(steps []int, at []bool, anything int) {
	for n, step := range steps {
		if step == anything && at[n] {
			at[n+1] = true
		}
	}
}
