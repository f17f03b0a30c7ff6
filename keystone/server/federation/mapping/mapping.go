// Package mapping says what the attributes that an identity provider asserts of a user come to here: a user and groups.
//
// Rules are those of OS-FEDERATION. A rule applies where all of its remote requirements do; what its local part makes of the
// attributes is then added to what the rules before it made.
//
//	{"remote": [{"type": "UserName"}, {"type": "orgPersonType", "any_one_of": ["Employee"]}],
//	 "local":  [{"user": {"name": "{0}"}}, {"group": {"id": "0cd5e9"}}]}
//
// {0} stands for the values of the first requirement that has neither any_one_of nor not_any_of, {1} for those of the second.
// What is only said by several values where one is needed, and what is said by none, maps nobody.
package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The two types of users: one that is known by the identity provider alone, and one that is stored here.
const (
	Ephemeral = "ephemeral"
	Local     = "local"
)

// FederatedDomain is the id and the name that the domain of Ephemeral users has in tokens. There is no such domain.
const FederatedDomain = "Federated"

// Bounds of what is matched at one login, in bytes and values.
const (
	maxAssertion = 64 << 10
	maxValues    = 2048
)

// Assertion is what is said of a user: the values of each attribute, by Fold of its name.
type Assertion map[string][]string

// Fold makes one name of those by which an attribute is known as a header, as a variable of CGI and in rules: Oidc-Claim-Email,
// HTTP_OIDC_CLAIM_EMAIL and OIDC_CLAIM_email.
func Fold(name string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToUpper(name), "-", "_"), "HTTP_")
}

// Split takes the values of an attribute apart at semicolons; "\;" stands for one in a value, as Shibboleth writes it. What is
// empty, or what Apache writes for a variable that is not set, is no value.
func Split(text string) (values []string) {
	var value strings.Builder
	end := func() {
		if v := strings.TrimSpace(value.String()); v != "" && v != "(null)" {
			values = append(values, v)
		}
		value.Reset()
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ';':
			i++
			value.WriteByte(';')
		case text[i] == ';':
			end()
		default:
			value.WriteByte(text[i])
		}
	}
	end()
	return values
}

// NewAssertion reads attributes, whose values are as Split takes them. Two names that are one to Fold are refused: somebody may have
// put in the second.
func NewAssertion(attributes map[string]string) (Assertion, error) {
	a, size, count := Assertion{}, 0, 0
	seen := map[string]bool{}
	for name, text := range attributes {
		folded := Fold(name)
		if seen[folded] {
			return nil, fmt.Errorf("the attribute %q is there under two names", folded)
		}
		seen[folded] = true
		values := Split(text)
		if len(values) > 0 {
			a[folded] = values
		}
		size, count = size+len(text), count+len(values)
	}
	if size > maxAssertion || count > maxValues {
		return nil, fmt.Errorf("attributes of %d bytes with %d values are more than %d or %d", size, count, maxAssertion, maxValues)
	}
	return a, nil
}

// Properties is whom an assertion is mapped to.
type Properties struct {
	// User has neither id nor name where no rule named one.
	User User `json:"user"`
	// GroupIDs are in order, each once.
	GroupIDs   []string `json:"group_ids"`
	GroupNames []Group  `json:"group_names"`
	// Applied counts the rules that did.
	Applied int `json:"-"`
}

// User is who somebody is here.
type User struct {
	ID     string  `json:"id,omitempty"`
	Name   string  `json:"name,omitempty"`
	Email  string  `json:"email,omitempty"`
	Type   string  `json:"type"`
	Domain *Domain `json:"domain,omitempty"`
}

// Group is a group by its name and domain.
type Group struct {
	Name   string `json:"name"`
	Domain Domain `json:"domain"`
	// Listed says that it is one of a list ("groups"), which may have names of groups that are not there.
	Listed bool `json:"-"`
}

// Domain is a domain by its id or by its name.
type Domain struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// ErrNotOne says that a rule applies but needs one value where there are none or several.
var ErrNotOne = errors.New("one value is needed")

// Apply maps an assertion. Trace, where it is not nil, gets a line for each step.
func (r *Rules) Apply(a Assertion, trace func(format string, args ...any)) (Properties, error) {
	if trace == nil {
		trace = func(string, ...any) {}
	}
	p := Properties{GroupIDs: []string{}, GroupNames: []Group{}}
	named := false
	for i, one := range r.rules {
		values, ok := one.match(a, func(format string, args ...any) { trace("rule %d: "+format, append([]any{i}, args...)...) })
		if !ok {
			continue
		}
		p.Applied++
		trace("rule %d applies", i)
		for _, l := range one.local {
			if l.user != nil && named {
				trace("rule %d: a user was named before, this one is left out", i)
			}
			if err := l.add(&p, values, &named); err != nil {
				return Properties{}, fmt.Errorf("rule %d: %w", i, err)
			}
		}
	}
	slices.Sort(p.GroupIDs)
	p.GroupIDs = slices.Compact(p.GroupIDs)
	if p.User.Type != Local {
		p.User.Type, p.User.Domain = Ephemeral, &Domain{ID: FederatedDomain}
	}
	return p, nil
}

// match says whether a rule applies, and gives the values that its places stand for.
func (r *rule) match(a Assertion, trace func(format string, args ...any)) (values [][]string, ok bool) {
	for _, q := range r.remote {
		asserted := a[q.name]
		if len(asserted) == 0 {
			trace("%s is not asserted", q.kind)
			return nil, false
		}
		switch q.want {
		case anyOneOf, notAnyOf:
			if q.meets(asserted) != (q.want == anyOneOf) {
				trace("%s is %q, which %s rules out", q.kind, asserted, q.want)
				return nil, false
			}
		case whitelist, blacklist:
			kept := []string{}
			for _, v := range asserted {
				if slices.Contains(q.values, v) == (q.want == whitelist) {
					kept = append(kept, v)
				}
			}
			trace("{%d} is %q, what %s leaves of %q", len(values), kept, q.want, asserted)
			values = append(values, kept)
		default:
			trace("{%d} is %q", len(values), asserted)
			values = append(values, asserted)
		}
	}
	return values, true
}

// meets says whether one of the asserted values is among those of the requirement.
func (q *requirement) meets(asserted []string) bool {
	for _, v := range asserted {
		if slices.Contains(q.values, v) {
			return true
		}
		for _, e := range q.expressions {
			if e.MatchString(v) {
				return true
			}
		}
	}
	return false
}

// add does what a part of a rule says.
func (l *local) add(p *Properties, values [][]string, named *bool) error {
	f := filler{values: values}
	if l.user != nil && !*named {
		*named = true
		u := User{ID: f.one(l.user.id), Name: f.one(l.user.name), Email: f.one(l.user.email), Type: l.user.kind, Domain: f.domain(l.user.domain)}
		p.User = u
	}
	if g := l.group; g != nil {
		if g.domain != nil {
			p.GroupNames = append(p.GroupNames, Group{Name: f.one(g.name), Domain: *f.domain(g.domain)})
		} else {
			p.GroupIDs = append(p.GroupIDs, f.one(g.id))
		}
	}
	for _, name := range f.all(l.groups) {
		p.GroupNames = append(p.GroupNames, Group{Name: name, Domain: *f.domain(l.domain), Listed: true})
	}
	p.GroupIDs = append(p.GroupIDs, f.all(l.groupIDs)...)
	return f.err
}

// filler puts values in their places and keeps the first error.
type filler struct {
	values [][]string
	err    error
}

// one is a text whose places have one value each.
func (f *filler) one(t template) string {
	var b strings.Builder
	for _, p := range t {
		if p.place < 0 {
			b.WriteString(p.text)
			continue
		}
		v := f.values[p.place]
		if len(v) != 1 {
			if f.err == nil {
				f.err = fmt.Errorf("{%d} has %d values: %w", p.place, len(v), ErrNotOne)
			}
			return ""
		}
		b.WriteString(v[0])
	}
	return b.String()
}

// all is the values of a place, where the text is that and nothing else; else it is the one text, and nothing for no text.
func (f *filler) all(t template) []string {
	switch {
	case len(t) == 0:
		return nil
	case len(t) == 1 && t[0].place >= 0:
		return f.values[t[0].place]
	}
	return []string{f.one(t)}
}

func (f *filler) domain(d *domain) *Domain {
	if d == nil {
		return nil
	}
	return &Domain{ID: f.one(d.id), Name: f.one(d.name)}
}
