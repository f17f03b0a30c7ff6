// Package filter is the filters that a list call of the Identity API v3 takes: ?name=x, ?enabled=0, ?name__startswith=y.
package filter

import (
	"net/url"
	"strconv"
	"strings"
)

// Op is how an attribute is compared.
type Op int

// The comparisons of the Identity API. Those with Fold ignore upper and lower case of ASCII letters.
const (
	Equals Op = iota
	Contains
	StartsWith
	EndsWith
	ContainsFold
	StartsWithFold
	EndsWithFold
	// Absent is for an attribute that has no value. No query can ask for it.
	Absent
	// atMost is no comparison: Value is how many objects are wanted.
	atMost
)

var suffixes = map[string]Op{
	"contains": Contains, "startswith": StartsWith, "endswith": EndsWith,
	"icontains": ContainsFold, "istartswith": StartsWithFold, "iendswith": EndsWithFold,
}

// Filter is one condition on a text attribute, or on a boolean one (with Equals and Value "true" or "false").
type Filter struct {
	Attribute string
	Op        Op
	Value     string
}

// List is conditions that all have to hold, and perhaps a bound on how many objects are wanted.
type List []Filter

// AtMost is a bound on how many objects are wanted: the first n in their order.
func AtMost(n int) Filter { return Filter{Op: atMost, Value: strconv.Itoa(n)} }

// Most is how many objects are wanted, 0 for all.
func (l List) Most() int {
	for _, f := range l {
		if f.Op == atMost {
			n, _ := strconv.Atoi(f.Value) // AtMost made it
			return n
		}
	}
	return 0
}

// Kind is the type of an attribute that can be filtered on.
type Kind int

const (
	Text Kind = iota
	Boolean
)

// Parse takes the filters on the named attributes from a query and leaves out all else, unknown comparisons too, as Keystone
// does. "0" and "false" are false to a boolean attribute, any other value and none at all are true.
func Parse(query url.Values, attributes map[string]Kind) List {
	var list List
	for key, values := range query {
		name, suffix, inexact := strings.Cut(key, "__")
		kind, known := attributes[name]
		if !known || len(values) == 0 {
			continue
		}
		f := Filter{Attribute: name, Value: values[0]}
		if inexact {
			op, ok := suffixes[suffix]
			if !ok || kind == Boolean {
				continue
			}
			f.Op = op
		}
		if kind == Boolean {
			f.Value = "true"
			if v := strings.ToLower(values[0]); v == "0" || v == "false" {
				f.Value = "false"
			}
		}
		list = append(list, f)
	}
	return list
}

// Fits says whether an object, whose attributes are given by their names, meets all conditions.
func (l List) Fits(attribute func(name string) string) bool {
	for _, f := range l {
		if f.Op != atMost && !f.fits(attribute(f.Attribute)) {
			return false
		}
	}
	return true
}

func (f Filter) fits(text string) bool {
	value := f.Value
	switch f.Op {
	case ContainsFold, StartsWithFold, EndsWithFold:
		text, value = lower(text), lower(value)
	}
	switch f.Op {
	case Contains, ContainsFold:
		return strings.Contains(text, value)
	case StartsWith, StartsWithFold:
		return strings.HasPrefix(text, value)
	case EndsWith, EndsWithFold:
		return strings.HasSuffix(text, value)
	case Absent:
		return text == ""
	}
	return text == value
}

// lower makes small letters of the capital ones of ASCII.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
