package mapping

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"authproxy/keystone/server/fault"
)

// Bounds of rules. Regular expressions take time in proportion to their instructions and to the text, whatever they are.
const (
	maxRules        = 256
	maxParts        = 64   // of the remote and of the local side of a rule
	maxListed       = 1024 // values of a requirement
	maxText         = 1024 // bytes
	maxInstructions = 20000
)

// Rules are ready to be applied. They do not change.
type Rules struct{ rules []rule }

type rule struct {
	remote []requirement
	local  []local
}

// What a requirement wants of an attribute, by its name in rules.
const (
	anyOneOf  = "any_one_of"
	notAnyOf  = "not_any_of"
	whitelist = "whitelist"
	blacklist = "blacklist"
)

// requirement is about an attribute: that it is there, and what its values are or are not.
type requirement struct {
	kind, name string // as in the rule, and folded
	want       string // "" for being there
	values     []string
	// expressions are there instead of values where regex is true.
	expressions []*regexp.Regexp
}

// local is one part of the local side. What is nil it does not say.
type local struct {
	user     *user
	group    *group
	groups   template // names, in domain
	domain   *domain
	groupIDs template
}

type user struct {
	id, name, email template
	kind            string
	domain          *domain
}

// group is named by id, or by name and domain.
type group struct {
	id, name template
	domain   *domain
}

type domain struct{ id, name template }

// template is a text with places for values. nil is no text.
type template []part

// part is text, or where place is not negative the place of values.
type part struct {
	text  string
	place int
}

// Parse takes rules as JSON has them. Its errors are fault.Invalid and name the place.
func Parse(rules []any) (*Rules, error) {
	p := &parser{}
	if len(rules) == 0 || len(rules) > maxRules {
		p.fail("rules", "there have to be 1 to %d of them", maxRules)
	}
	r := &Rules{}
	for i, v := range rules {
		if p.err != nil {
			break
		}
		r.rules = append(r.rules, p.rule(fmt.Sprintf("rules[%d]", i), v))
	}
	if p.err != nil {
		return nil, p.err
	}
	return r, nil
}

// parser reads JSON values and keeps the first error.
type parser struct {
	err          error
	instructions int
	places       int // of the rule that is read
}

func (p *parser) fail(at, format string, args ...any) {
	if p.err == nil {
		p.err = fault.Invalid{Message: at + ": " + fmt.Sprintf(format, args...)}
	}
}

// object takes an object with no members but those.
func (p *parser) object(at string, v any, members ...string) map[string]any {
	o, ok := v.(map[string]any)
	if !ok {
		p.fail(at, "has to be an object")
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(members, name) {
			p.fail(at, "Additional properties are not allowed (%s was unexpected)", strconv.Quote(clip(name)))
		}
	}
	return o
}

// list takes a list of at least least and at most most values.
func (p *parser) list(at string, v any, least, most int) []any {
	l, ok := v.([]any)
	if !ok || len(l) < least || len(l) > most {
		p.fail(at, "has to be a list of %d to %d values", least, most)
		return nil
	}
	return l
}

func (p *parser) text(at string, v any) string {
	s, ok := v.(string)
	if !ok || s == "" || len(s) > maxText {
		p.fail(at, "has to be a text of 1 to %d bytes", maxText)
		return ""
	}
	return s
}

func (p *parser) rule(at string, v any) (r rule) {
	o := p.object(at, v, "remote", "local")
	for _, name := range []string{"local", "remote"} {
		if _, there := o[name]; !there {
			p.fail(at, "'%s' is a required property", name)
		}
	}
	if p.err != nil {
		return r
	}
	p.places = 0
	for i, v := range p.list(at+".remote", o["remote"], 1, maxParts) {
		q := p.requirement(fmt.Sprintf("%s.remote[%d]", at, i), v)
		if q.want != anyOneOf && q.want != notAnyOf {
			p.places++
		}
		r.remote = append(r.remote, q)
	}
	for i, v := range p.list(at+".local", o["local"], 0, maxParts) {
		r.local = append(r.local, p.local(fmt.Sprintf("%s.local[%d]", at, i), v))
	}
	return r
}

func (p *parser) requirement(at string, v any) (q requirement) {
	o := p.object(at, v, "type", "regex", anyOneOf, notAnyOf, whitelist, blacklist)
	q.kind = p.text(at+".type", o["type"])
	q.name = Fold(q.kind)
	for _, want := range []string{anyOneOf, notAnyOf, whitelist, blacklist} {
		if _, there := o[want]; !there {
			continue
		}
		if q.want != "" {
			p.fail(at, "only one of %s and %s can be there", q.want, want)
		}
		q.want = want
	}
	regex := false
	if v, there := o["regex"]; there {
		var ok bool
		if regex, ok = v.(bool); !ok || q.want != anyOneOf && q.want != notAnyOf {
			p.fail(at+".regex", "is true or false, and goes with %s or %s", anyOneOf, notAnyOf)
		}
	}
	if q.want == "" || p.err != nil {
		return q
	}
	for i, v := range p.list(at+"."+q.want, o[q.want], 0, maxListed) {
		at := fmt.Sprintf("%s.%s[%d]", at, q.want, i)
		text := p.text(at, v)
		if !regex {
			q.values = append(q.values, text)
		} else if e := p.expression(at, text); e != nil {
			q.expressions = append(q.expressions, e)
		}
	}
	return q
}

func (p *parser) expression(at, text string) *regexp.Regexp {
	if p.err != nil {
		return nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err == nil {
		var program *syntax.Prog
		if program, err = syntax.Compile(parsed.Simplify()); err == nil {
			p.instructions += len(program.Inst)
		}
	}
	if err == nil && p.instructions > maxInstructions {
		p.fail(at, "the regular expressions of the rules are too much together")
		return nil
	}
	var e *regexp.Regexp
	if err == nil {
		e, err = regexp.Compile(text)
	}
	if err != nil {
		p.fail(at, "is no regular expression of RE2: %v", err)
	}
	return e
}

func (p *parser) local(at string, v any) (l local) {
	o := p.object(at, v, "user", "group", "groups", "domain", "group_ids")
	if v, there := o["user"]; there {
		l.user = p.user(at+".user", v)
	}
	if v, there := o["group"]; there {
		l.group = p.group(at+".group", v)
	}
	l.groups, l.groupIDs = p.template(at+".groups", o, "groups"), p.template(at+".group_ids", o, "group_ids")
	l.domain = p.domain(at+".domain", o)
	if (l.groups == nil) != (l.domain == nil) {
		p.fail(at, "'groups' and 'domain' have to be there together")
	}
	return l
}

func (p *parser) user(at string, v any) *user {
	o := p.object(at, v, "id", "name", "email", "type", "domain")
	u := &user{id: p.template(at+".id", o, "id"), name: p.template(at+".name", o, "name"), email: p.template(at+".email", o, "email"),
		kind: Ephemeral, domain: p.domain(at+".domain", o)}
	if v, there := o["type"]; there {
		if u.kind, _ = v.(string); u.kind != Ephemeral && u.kind != Local {
			p.fail(at+".type", "has to be %q or %q", Ephemeral, Local)
		}
	}
	if u.kind == Local && u.id == nil && (u.name == nil || u.domain == nil) {
		p.fail(at, "a local user is named by id, or by name and domain")
	}
	return u
}

func (p *parser) group(at string, v any) *group {
	o := p.object(at, v, "id", "name", "domain")
	g := &group{id: p.template(at+".id", o, "id"), name: p.template(at+".name", o, "name"), domain: p.domain(at+".domain", o)}
	if (g.id == nil) == (g.name == nil) || (g.name == nil) != (g.domain == nil) {
		p.fail(at, "a group is named by id, or by name and domain")
	}
	return g
}

// domain takes the member "domain" of an object, nil where there is none.
func (p *parser) domain(at string, o map[string]any) *domain {
	v, there := o["domain"]
	if !there {
		return nil
	}
	inner := p.object(at, v, "id", "name")
	d := &domain{id: p.template(at+".id", inner, "id"), name: p.template(at+".name", inner, "name")}
	if (d.id == nil) == (d.name == nil) {
		p.fail(at, "a domain is named by id or by name")
	}
	return d
}

// template takes a text of an object, nil where there is none. In it, {{ and }} are braces.
func (p *parser) template(at string, o map[string]any, name string) (t template) {
	v, there := o[name]
	if !there {
		return nil
	}
	text := p.text(at, v)
	var plain strings.Builder
	end := func() {
		if plain.Len() > 0 {
			t = append(t, part{plain.String(), -1})
			plain.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c != '{' && c != '}':
			plain.WriteByte(c)
		case i+1 < len(text) && text[i+1] == c:
			plain.WriteByte(c)
			i++
		default:
			number, _, closed := strings.Cut(text[i+1:], "}")
			n, err := strconv.ParseUint(number, 10, 16)
			if c == '}' || !closed || err != nil || strconv.FormatUint(n, 10) != number {
				p.fail(at, "after { there has to be a number and }; for braces write {{ and }}")
				return nil
			}
			if int(n) >= p.places {
				p.fail(at, "{%d} stands for nothing: %d of the rule's requirements have neither %s nor %s", n, p.places, anyOneOf, notAnyOf)
				return nil
			}
			end()
			t = append(t, part{place: int(n)})
			i += len(number) + 1
		}
	}
	end()
	return t
}

// clip keeps messages readable.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
