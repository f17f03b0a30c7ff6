package filter

import (
	"net/url"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	attributes := map[string]Kind{"name": Text, "enabled": Boolean}
	for query, want := range map[string]List{
		"":                            nil,
		"name=x":                      {{"name", Equals, "x"}},
		"name=":                       {{"name", Equals, ""}},
		"name=a&name=b":               {{"name", Equals, "a"}},
		"name__contains=x":            {{"name", Contains, "x"}},
		"name__istartswith=x":         {{"name", StartsWithFold, "x"}},
		"name__endswith=x%25":         {{"name", EndsWith, "x%"}},
		"name__like=x":                nil,
		"name__=x":                    nil,
		"password=x&page=1":           nil,
		"enabled":                     {{"enabled", Equals, "true"}},
		"enabled=0":                   {{"enabled", Equals, "false"}},
		"enabled=False":               {{"enabled", Equals, "false"}},
		"enabled=no":                  {{"enabled", Equals, "true"}},
		"enabled__contains=t":         nil,
		"name__contains__contains=xx": nil,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := Parse(q, attributes); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", query, got, want)
		}
	}
}
