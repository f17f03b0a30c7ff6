package policy

import (
	"context"
	"strings"
)

// verdict is what a check comes to.
type verdict int8

const (
	no verdict = iota
	yes
	// unknown is the verdict of what cannot be decided. It stays unknown under not, so that no mistake opens a door.
	unknown
)

func (v verdict) String() string { return [...]string{"no", "yes", "unknown"}[v] }

func decided(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// evaluation is one question.
type evaluation struct {
	ctx    context.Context
	action string
	caller Credentials
	target Target
	remote Remote
	// failed are the causes of verdicts that are unknown.
	failed []error
}

// check is a node of a compiled rule. String writes it as a file would have it.
type check interface {
	eval(e *evaluation) verdict
	String() string
}

// always is "@" or "!".
type always bool

func (a always) eval(*evaluation) verdict { return decided(bool(a)) }
func (a always) String() string {
	if a {
		return "@"
	}
	return "!"
}

// anyOf holds where one of its checks does.
type anyOf []check

func (a anyOf) eval(e *evaluation) verdict {
	result := no
	for _, c := range a {
		switch c.eval(e) {
		case yes:
			return yes
		case unknown:
			result = unknown
		}
	}
	return result
}

func (a anyOf) String() string { return join(a, " or ") }

// allOf holds where all of its checks do.
type allOf []check

func (a allOf) eval(e *evaluation) verdict {
	result := yes
	for _, c := range a {
		switch c.eval(e) {
		case no:
			return no
		case unknown:
			result = unknown
		}
	}
	return result
}

func (a allOf) String() string { return join(a, " and ") }

// join writes the parts of an anyOf or allOf, with parentheses around those that bind less.
func join(parts []check, word string) string {
	var b strings.Builder
	for i, c := range parts {
		if i > 0 {
			b.WriteString(word)
		}
		b.WriteString(bracketed(c))
	}
	return b.String()
}

func bracketed(c check) string {
	switch c.(type) {
	case anyOf, allOf:
		return "(" + c.String() + ")"
	}
	return c.String()
}

// notCheck turns a verdict round.
type notCheck struct{ check }

func (n notCheck) eval(e *evaluation) verdict {
	switch n.check.eval(e) {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

func (n notCheck) String() string { return "not " + bracketed(n.check) }

// ruleCheck is the check of another rule.
type ruleCheck struct {
	name string
	to   *rule // nil where there is neither that rule nor a default
}

func (r *ruleCheck) eval(e *evaluation) verdict {
	if r.to == nil {
		return unknown
	}
	return r.to.check.eval(e)
}

func (r *ruleCheck) String() string { return "rule:" + r.name }

// roleCheck holds where the caller has a role.
type roleCheck struct{ name template }

func (r roleCheck) eval(e *evaluation) verdict {
	name, missing := r.name.fill(e.target)
	if missing != "" || e.caller.Token == nil {
		return no
	}
	name = strings.ToLower(name) // not EqualFold, to which ſ is s
	for _, role := range e.caller.Token.Roles {
		if strings.ToLower(role.Name) == name {
			return yes
		}
	}
	return no
}

func (r roleCheck) String() string { return "role:" + r.name.String() }

// matchCheck holds where an attribute of the caller, or a literal, is the text on the right.
type matchCheck struct {
	left  operand
	right template
}

func (m matchCheck) eval(e *evaluation) verdict {
	text, missing := m.right.fill(e.target)
	if missing != "" {
		return no
	}
	for _, v := range m.left.values(&e.caller) {
		if v == text {
			return yes
		}
	}
	return no
}

func (m matchCheck) String() string { return m.left.text + ":" + m.right.String() }
