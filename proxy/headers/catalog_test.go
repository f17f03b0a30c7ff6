package headers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"authproxy/keystone"
)

func TestCatalogHeader(t *testing.T) {
	both := func(region, url string) []keystone.Endpoint {
		return []keystone.Endpoint{
			{ID: "e1", Interface: "public", Region: region, RegionID: region, URL: url},
			{ID: "e2", Interface: "internal", Region: region, RegionID: region, URL: url + "/int"},
		}
	}
	tests := map[string]struct {
		token keystone.Token
		o     Options
		want  string // "" = no header
		said  CatalogReport
	}{
		"no catalog":       {},
		"an empty catalog": {token: keystone.Token{Catalog: keystone.Catalog{}}, want: `[]`},
		"v3, endpoints grouped by region": {
			token: keystone.Token{Catalog: keystone.Catalog{
				{ID: "s1", Type: "image", Name: "glance", Endpoints: append(both("R1", "http://a"),
					keystone.Endpoint{Interface: "Admin", Region: "R2", URL: "http://b?x=1&y=<2>"},
					keystone.Endpoint{Interface: "admin", Region: "R1", URL: "http://c"})},
				{Type: "empty"},
			}},
			want: `[{"type":"image","name":"glance","endpoints":[` +
				`{"region":"R1","publicURL":"http://a","internalURL":"http://a/int","adminURL":"http://c"},` +
				`{"region":"R2","adminURL":"http://b?x=1&y=<2>"}]},{"type":"empty","endpoints":[]}]`,
		},
		"v3, region by id only or not at all": {
			token: keystone.Token{Catalog: keystone.Catalog{{Type: "x", Endpoints: []keystone.Endpoint{
				{Interface: "public", RegionID: "R1", URL: "http://a"}, {Interface: "public", URL: "http://b"}}}}},
			want: `[{"type":"x","endpoints":[{"region":"R1","publicURL":"http://a"},{"publicURL":"http://b"}]}]`,
		},
		"v3, broken endpoints and services are left out": {
			token: keystone.Token{Catalog: keystone.Catalog{
				{Name: "no type", Endpoints: both("R", "http://x")},
				{Type: "x", Endpoints: []keystone.Endpoint{
					{Region: "R", URL: "http://no-interface"}, {Interface: "public", Region: "R"},
					{Interface: "secret", Region: "R", URL: "http://s"}, {Interface: "public", Region: "R", URL: "http://a"}}}}},
			want: `[{"type":"x","endpoints":[{"region":"R","publicURL":"http://a"}]}]`,
			said: CatalogReport{Skipped: 4},
		},
		"v3, not ASCII and control characters": {
			token: keystone.Token{Catalog: keystone.Catalog{{Type: "x", Name: "é\u007f\n😀\u2028\"\\"}}},
			want:  `[{"type":"x","name":"\u00e9\u007f\u000a\ud83d\ude00\u2028\"\\","endpoints":[]}]`,
		},
		"v2, as it came": {
			token: keystone.Token{V2Catalog: `[{"endpoints_links": [], "type":"x",` + "\r\n" + ` "name":"é", "endpoints":[{"versionId":"2"}]}]`},
			want:  `[{"endpoints_links":[],"type":"x","name":"\u00e9","endpoints":[{"versionId":"2"}]}]`,
		},
		"v2, not a list":  {token: keystone.Token{V2Catalog: `{}`}, said: CatalogReport{Broken: true}},
		"v2, not JSON":    {token: keystone.Token{V2Catalog: `[`}, said: CatalogReport{Broken: true}},
		"v2, only blanks": {token: keystone.Token{V2Catalog: ` `}, said: CatalogReport{Broken: true}},
		"not wanted":      {token: keystone.Token{Catalog: keystone.Catalog{}}, o: Options{OmitCatalog: true}},
		"as large as may be": {
			token: keystone.Token{V2Catalog: `[1,2,3]`}, o: Options{MaxCatalog: 7}, want: `[1,2,3]`},
		"too large": {
			token: keystone.Token{V2Catalog: `[1,2,3]`}, o: Options{MaxCatalog: 6}, said: CatalogReport{Size: 7, TooLarge: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			id, err := Prepare(&tt.token, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			id.Set(h)
			got, there := h["X-Service-Catalog"]
			if there != (tt.want != "") || there && got[0] != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if tt.want != "" {
				tt.said.Size = len(tt.want)
			}
			if id.Catalog() != tt.said {
				t.Errorf("report %+v, want %+v", id.Catalog(), tt.said)
			}
			service := http.Header{}
			if id, err = PrepareService(&tt.token, tt.o); err != nil {
				t.Fatal(err)
			}
			id.Set(service)
			if _, there := service["X-Service-Catalog"]; there {
				t.Error("the service token's catalog is set")
			}
		})
	}
}

// checkHeader fails unless text is a JSON list that every HTTP parser carries as it is.
func checkHeader(t *testing.T, text string) {
	t.Helper()
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			t.Fatalf("byte %#x at %d of %q", text[i], i, text)
		}
	}
	var list []any
	if err := json.Unmarshal([]byte(text), &list); err != nil || list == nil {
		t.Fatalf("not a JSON list (%v): %q", err, text)
	}
}

// v2Service is an entry of "serviceCatalog" in an access body of Identity API v2.0.
type v2Service struct {
	Type, Name string
	Endpoints  []struct{ Region, PublicURL, InternalURL, AdminURL string }
}

func FuzzCatalogV3(f *testing.F) {
	f.Add("image", "glance", "public", "R1", "http://a", "R2", "Internal")
	f.Add("x\x00", "é\xff", "ADMIN", "", "\r\n", "\u2028", "public")
	f.Fuzz(func(t *testing.T, typ, name, iface1, region1, url, region2, iface2 string) {
		token := keystone.Token{Catalog: keystone.Catalog{{Type: typ, Name: name, Endpoints: []keystone.Endpoint{
			{Interface: iface1, Region: region1, URL: url}, {Interface: iface2, RegionID: region2, URL: url}}}}}
		value, report := appendCatalog(nil, &token, 0)
		text := string(value)
		if report.Broken || report.TooLarge {
			t.Fatalf("left out: %+v", report)
		}
		checkHeader(t, text)
		var back []v2Service
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatal(err)
		}
		valid := func(text string) string { return string([]rune(text)) } // each byte that is no UTF-8 is one U+FFFD
		urls := 0
		for _, s := range back {
			if s.Type != valid(typ) || s.Name != valid(name) {
				t.Errorf("%q %q became %+v", typ, name, s)
			}
			for _, e := range s.Endpoints {
				if e.Region != valid(region1) && e.Region != valid(region2) {
					t.Errorf("region %q of %q and %q", e.Region, region1, region2)
				}
				for _, u := range []string{e.PublicURL, e.InternalURL, e.AdminURL} {
					if u == "" {
						continue
					}
					if urls++; u != valid(url) {
						t.Errorf("URL %q became %q", url, u)
					}
				}
			}
		}
		if urls > 2 {
			t.Errorf("%d URLs out of two", urls)
		}
	})
}

func FuzzCatalogV2(f *testing.F) {
	f.Add(`[]`)
	f.Add("[ {\"a\" : \"é\u007f😀\"} ,\r\n 1.50 ]")
	f.Add("[\"\xff\"]")
	f.Fuzz(func(t *testing.T, text string) {
		value, report := appendCatalog(nil, &keystone.Token{V2Catalog: text}, 0)
		line := string(value)
		if line == "" {
			if text != "" && !report.Broken {
				t.Fatalf("left out without saying so: %q", text)
			}
			return
		}
		checkHeader(t, line)
		// The same document: decoded, both say the same.
		var before, after any
		if err := decode(text, &before); err != nil {
			t.Fatalf("accepted %q: %v", text, err)
		}
		if err := decode(line, &after); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) {
			t.Errorf("%s became %s", a, b)
		}
	})
}

func decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// BenchmarkPrepare makes the header block of a token of a cloud with five services of three endpoints each.
func BenchmarkPrepare(b *testing.B) {
	token := v3Project()
	token.Catalog = nil
	for _, name := range []string{"identity", "compute", "image", "network", "volumev3"} {
		s := keystone.Service{ID: "800a92c487f8498eab26f225c7d62260", Type: name, Name: name}
		for _, face := range []string{"public", "internal", "admin"} {
			s.Endpoints = append(s.Endpoints, keystone.Endpoint{Interface: face, Region: "RegionOne", URL: "http://controller.example.com:8774/v2.1/393ee9bc"})
		}
		token.Catalog = append(token.Catalog, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Prepare(token, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
