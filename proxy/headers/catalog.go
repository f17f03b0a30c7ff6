package headers

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"authproxy/keystone"
	"authproxy/keystone/strictjson"
)

// CatalogReport says what became of a token's service catalog.
type CatalogReport struct {
	// Size is the length in bytes of the catalog as a header value; 0 where the token has none.
	Size int
	// TooLarge: the catalog went over Options.MaxCatalog and is left out.
	TooLarge bool
	// Broken: a v2 catalog that is not a JSON list; left out.
	Broken bool
	// Skipped counts the services without a type and the endpoints without a URL or a known interface, which are left out.
	Skipped int
}

// appendCatalog appends the value of X-Service-Catalog: a JSON list in ASCII on one line, or nothing for no header. An empty
// list is a value; an empty header would be none (Nova and Glance answer it with a 500).
func appendCatalog(b []byte, t *keystone.Token, limit int) ([]byte, CatalogReport) {
	var report CatalogReport
	from := len(b)
	switch {
	case t.V2Catalog != "":
		var ok bool
		if b, ok = appendOneLine(b, []byte(t.V2Catalog)); !ok || b[from] != '[' {
			return b[:from], CatalogReport{Broken: true}
		}
	case t.Catalog != nil:
		b, report.Skipped = appendV2(b, t.Catalog)
	}
	report.Size = len(b) - from
	if limit > 0 && report.Size > limit {
		report.TooLarge = true
		return b[:from], report
	}
	return b, report
}

// A region holds the URLs that a v2 endpoint has for it.
type region struct {
	name string
	urls [3]string // in the order of faces
}

// faces are the interfaces that v2 has a name for.
var faces = [3]string{"public", "internal", "admin"}

// appendV2 writes a v3 catalog in the shape that services expect whatever the token's own version: "serviceCatalog" of an access
// body of Identity API v2.0. Endpoints, one for each URL in v3, are grouped by region. Of two URLs for one interface and region
// the later wins. (encoding/json took longer over it than the JSON of the whole token takes to be read.)
func appendV2(b []byte, catalog keystone.Catalog) (_ []byte, skipped int) {
	var few [4]region
	b = append(b, '[')
	between := false
	for i := range catalog {
		s := &catalog[i]
		if s.Type == "" {
			skipped++
			continue
		}
		regions := few[:0]
		for j := range s.Endpoints {
			var ok bool
			if regions, ok = addEndpoint(regions, &s.Endpoints[j]); !ok {
				skipped++
			}
		}
		if between {
			b = append(b, ',')
		}
		between = true
		b = appendText(append(b, `{"type":`...), s.Type)
		if s.Name != "" {
			b = appendText(append(b, `,"name":`...), s.Name)
		}
		b = append(b, `,"endpoints":[`...)
		for k := range regions {
			if k > 0 {
				b = append(b, ',')
			}
			b = appendRegion(b, &regions[k])
		}
		b = append(b, ']', '}')
	}
	return append(b, ']'), skipped
}

// addEndpoint is false for an endpoint without a URL, or with an interface that v2 has no name for.
func addEndpoint(regions []region, e *keystone.Endpoint) ([]region, bool) {
	face := slices.IndexFunc(faces[:], func(name string) bool { return strings.EqualFold(name, e.Interface) })
	if e.URL == "" || face < 0 {
		return regions, false
	}
	name := e.Region
	if name == "" {
		name = e.RegionID // the same text in every Keystone that has both
	}
	at := slices.IndexFunc(regions, func(r region) bool { return r.name == name })
	if at < 0 {
		at = len(regions)
		regions = append(regions, region{name: name})
	}
	regions[at].urls[face] = e.URL
	return regions, true
}

func appendRegion(b []byte, r *region) []byte {
	b = append(b, '{')
	if r.name != "" {
		b = append(appendText(append(b, `"region":`...), r.name), ',')
	}
	for face, url := range r.urls {
		if url != "" {
			b = append(append(append(b, '"'), faces[face]...), `URL":`...)
			b = append(appendText(b, url), ',')
		}
	}
	b[len(b)-1] = '}' // for the last comma: a region has a URL
	return b
}

// appendText writes a JSON string in printable ASCII.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for {
		n := strictjson.Plain(text)
		b = append(b, text[:n]...)
		if text = text[n:]; text == "" {
			return append(b, '"')
		}
		if c := text[0]; c == '"' || c == '\\' {
			b = append(b, '\\', c)
			text = text[1:]
			continue
		}
		char, n := utf8.DecodeRuneInString(text)
		b = appendRune(b, char)
		text = text[n:]
	}
}

// appendOneLine writes a JSON text so that any HTTP parser carries it: no white space between tokens, and characters outside
// printable ASCII, which can only stand inside strings, as \u escapes. ok is false for what is not JSON.
func appendOneLine(b, text []byte) (_ []byte, ok bool) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil || compact.Len() == 0 {
		return b, false
	}
	for rest := compact.Bytes(); len(rest) > 0; {
		c, n := utf8.DecodeRune(rest)
		if ' ' <= c && c <= '~' {
			b = append(b, byte(c))
		} else {
			b = appendRune(b, c)
		}
		rest = rest[n:]
	}
	return b, true
}

// appendRune writes a character as \u escapes.
func appendRune(out []byte, c rune) []byte {
	if high, low := utf16.EncodeRune(c); c > 0xFFFF {
		return appendEscape(appendEscape(out, high), low)
	}
	return appendEscape(out, c)
}

func appendEscape(out []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	return append(out, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}
