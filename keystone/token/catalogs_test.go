package token

import (
	"reflect"
	"strings"
	"testing"
)

// withCatalog is a token of a project, and anything behind it.
func withCatalog(project, rest string) []byte {
	return []byte(v3With(`,"project":{"id":"` + project + `","name":"n","domain":{"id":"d","name":"D"}}` + rest))
}

const catalogOfOne = `,"catalog":[{"type":"image","name":"glance","id":"s","endpoints":[{"id":"e","interface":"public","url":"http://a"}]}]`

func TestCatalogsAreShared(t *testing.T) {
	var known Catalogs
	read := func(body []byte) any {
		t.Helper()
		got, err := known.DecodePayload(body)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := DecodePayload(body); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("read %+v,\nwithout what is known %+v (%v)", got, want, err)
		}
		return reflect.ValueOf(got.Catalog).Pointer()
	}
	first := read(withCatalog("p", catalogOfOne))
	if read(withCatalog("p", catalogOfOne+`,"extras":{}`)) != first {
		t.Error("the same catalog was read twice")
	}
	if read(withCatalog("p", " "+strings.Replace(catalogOfOne, ":", "\r\n: \t", 1))) != first {
		t.Error("white space before a catalog makes it another one")
	}
	for name, rest := range map[string]string{
		"another URL":    strings.Replace(catalogOfOne, "http://a", "http://b", 1),
		"one more":       strings.Replace(catalogOfOne, "}]}]", `}]},{"type":"x"}]`, 1),
		"empty":          `,"catalog":[]`,
		"white space":    strings.Replace(catalogOfOne, "[", "[ ", 1),
		"of no project":  catalogOfOne,
		"not the first":  catalogOfOne,
		"no catalog":     "",
		"null":           `,"catalog":null`,
		"only in extras": `,"extras":{"catalog":[]}`,
	} {
		body := withCatalog("p", rest)
		if name == "of no project" {
			body = []byte(v3With(rest))
		}
		if again := read(body); again == first && name != "not the first" {
			t.Errorf("%s: the first catalog", name)
		}
		first = read(withCatalog("p", catalogOfOne))
	}
}

// A long payload is not held in memory for the sake of a catalog.
func TestCatalogsHoldLittle(t *testing.T) {
	var known Catalogs
	body := withCatalog("p", catalogOfOne+`,"extras":{"x":"`+strings.Repeat("x", maxKept)+`"}`)
	if _, err := known.DecodePayload(body); err != nil {
		t.Fatal(err)
	}
	for i := range known.slots {
		if known.slots[i].Load() != nil {
			t.Fatal("the catalog is kept, and all of the payload with it")
		}
	}
}

// FuzzCatalogs: whatever was read before, a body says the same.
func FuzzCatalogs(f *testing.F) {
	one := string(withCatalog("p", catalogOfOne))
	f.Add(one, one)
	f.Add(one, strings.Replace(one, "}]}]", "}]}", 1))
	f.Add(one, strings.Replace(one, "}]}]", "}]}]]", 1))
	f.Add(string(withCatalog("p", `,"catalog":[]`)), string(withCatalog("p", `,"catalog":[],"catalog":[]`)))
	f.Add(string(withCatalog("p", `,"catalog":[1`)), string(withCatalog("p", `,"catalog":[12]`)))
	f.Fuzz(func(t *testing.T, before, body string) {
		var known Catalogs
		_, _ = known.DecodePayload([]byte(before))
		for range 2 {
			got, gotErr := known.DecodePayload([]byte(body))
			want, wantErr := DecodePayload([]byte(body))
			if !reflect.DeepEqual(got, want) || (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
				t.Fatalf("%+v, %v\nalone: %+v, %v", got, gotErr, want, wantErr)
			}
		}
	})
}
