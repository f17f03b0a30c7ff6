package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzPrefersHome: only who names the type gets the document.
func FuzzPrefersHome(f *testing.F) {
	for _, accept := range []string{"application/json-home", "application/json;q=0.5, Application/JSON-Home;q=0.6", "*/*", ",;,", `application/json-home;q="0`, "application/json-home;q=NaN"} {
		f.Add(accept)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		if prefersHome(http.Header{"Accept": {accept}}) && !strings.Contains(strings.ToLower(accept), homeType) {
			t.Errorf("%q", accept)
		}
	})
}

// FuzzAssignmentQuery: a filter that is in the query, and that a rule may have looked at, is in what is asked of the store, by its
// first value, or the request is refused.
func FuzzAssignmentQuery(f *testing.F) {
	for _, query := range []string{"", "user.id=a&scope.project.id=b", "user.id=&effective", "scope.domain.id=a&scope.domain.id=b",
		"scope.OS-INHERIT%3Ainherited_to=projects&effective=0", "group.id=g&effective"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		q, err := assignmentQuery(query)
		if err != nil {
			return
		}
		for name, got := range map[string]string{"user.id": q.UserID, "group.id": q.GroupID, "role.id": q.RoleID, "scope.project.id": q.ProjectID, "scope.domain.id": q.DomainID} {
			if want := query.Get(name); got != want || query.Has(name) != (got != "") {
				t.Errorf("%s: %s is %q, want %q", text, name, got, want)
			}
		}
		if query.Has("scope."+inheritedTo) != (q.Inherited != nil) || q.Inherited != nil && !*q.Inherited {
			t.Errorf("%s: inherited %v", text, q.Inherited)
		}
	})
}
