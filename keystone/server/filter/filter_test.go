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

func TestFits(t *testing.T) {
	attributes := map[string]string{"name": "Ähre One", "enabled": "true"}
	for want, lists := range map[bool][]List{
		true: {nil, {AtMost(1)}, {{"name", Equals, "Ähre One"}, {"enabled", Equals, "true"}}, {{"name", Contains, "hre"}}, {{"name", StartsWith, "Äh"}},
			{{"name", EndsWith, "One"}}, {{"name", ContainsFold, "HRE"}}, {{"name", StartsWithFold, "ÄHRE"}}, {{"name", EndsWithFold, "oNE"}}},
		false: {{{"name", Equals, "ähre One"}}, {{"name", Contains, "one"}}, {{"name", StartsWith, "hre"}}, {{"name", EndsWith, "on"}},
			{{"name", StartsWithFold, "ähre"}}, {{"name", Contains, "One"}, {"enabled", Equals, "false"}}, {{"other", Equals, "x"}}},
	} {
		for _, l := range lists {
			if got := l.Fits(func(name string) string { return attributes[name] }); got != want {
				t.Errorf("%v: %v", l, got)
			}
		}
	}
}
