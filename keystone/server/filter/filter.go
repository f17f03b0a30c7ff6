// Package filter is the filters that a list call of the Identity API v3 takes: ?name=x, ?enabled=0, ?name__startswith=y.
package filter

import (
	"net/url"
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

// List is conditions that all have to hold.
type List []Filter

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
