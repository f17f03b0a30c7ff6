package catalog

import "testing"

func TestExpand(t *testing.T) {
	variables := map[string]string{"tenant_id": "T", "empty": "", "percent": "%(tenant_id)s"}
	for _, test := range []struct {
		url, want string
		ok        bool
	}{
		{"http://h/", "http://h/", true},
		{"", "", true},
		{"http://h/$(tenant_id)s", "http://h/T", true},
		{"http://h/%(tenant_id)s/x", "http://h/T/x", true},
		{"$(tenant_id)s$(tenant_id)s", "TT", true},
		{"a%%b%%", "a%b%", true},
		{"%%(tenant_id)s", "%(tenant_id)s", true},
		{"$(percent)s", "%(tenant_id)s", true}, // what is filled in is not looked at again
		{"$(unknown)s", "", false},
		{"$(empty)s", "", false},
		{"$(tenant_id)", "", false},
		{"$(tenant_id)d", "", false},
		{"$(tenant_id", "", false},
		{"100%", "", false},
		{"%s", "", false},
		{"%()s", "", false},
		{"%a)s", "", false},
	} {
		got, ok := expand(test.url, func(name string) string { return variables[name] })
		if got != test.want || ok != test.ok {
			t.Errorf("%q: got %q, %v, want %q, %v", test.url, got, ok, test.want, test.ok)
		}
	}
}
