package headers

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"authproxy/keystone"
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

// A v2Service is an entry of X-Service-Catalog, which services expect in the shape of Identity API v2.0
// ("serviceCatalog" of an access body) whatever the token's own version.
type v2Service struct {
	Type      string        `json:"type"`
	Name      string        `json:"name,omitempty"`
	Endpoints []*v2Endpoint `json:"endpoints"`
}

// A v2Endpoint holds the URLs of one region.
type v2Endpoint struct {
	Region      string `json:"region,omitempty"`
	PublicURL   string `json:"publicURL,omitempty"`
	InternalURL string `json:"internalURL,omitempty"`
	AdminURL    string `json:"adminURL,omitempty"`
}

// catalogOf gives the value of X-Service-Catalog: a JSON list in ASCII on one line, or "" for no header. An empty list
// is a value; an empty header would be none (Nova and Glance answer it with a 500).
func catalogOf(t *keystone.Token, limit int) (text string, report CatalogReport) {
	switch {
	case t.V2Catalog != "":
		var ok bool
		if text, ok = oneLine([]byte(t.V2Catalog)); !ok || text[0] != '[' {
			return "", CatalogReport{Broken: true}
		}
	case t.Catalog != nil:
		var services []v2Service
		services, report.Skipped = convert(t.Catalog)
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(services); err != nil {
			return "", CatalogReport{Broken: true}
		}
		text, _ = oneLine(buf.Bytes())
	default:
		return "", report
	}
	report.Size = len(text)
	if limit > 0 && len(text) > limit {
		report.TooLarge = true
		return "", report
	}
	return text, report
}

// convert turns a v3 catalog into the v2 shape: endpoints, one for each URL there, are grouped by region here. Of two
// URLs for one interface and region the later wins.
func convert(catalog keystone.Catalog) (services []v2Service, skipped int) {
	services = make([]v2Service, 0, len(catalog))
	for _, s := range catalog {
		if s.Type == "" {
			skipped++
			continue
		}
		out := v2Service{Type: s.Type, Name: s.Name, Endpoints: make([]*v2Endpoint, 0, 1)}
		regions := make(map[string]*v2Endpoint)
		for _, e := range s.Endpoints {
			region := e.Region
			if region == "" {
				region = e.RegionID // the same text in every Keystone that has both
			}
			group, ok := regions[region]
			if !ok {
				group = &v2Endpoint{Region: region}
			}
			if e.URL == "" || !group.set(e.Interface, e.URL) {
				skipped++
				continue
			}
			if !ok {
				regions[region] = group
				out.Endpoints = append(out.Endpoints, group)
			}
		}
		services = append(services, out)
	}
	return services, skipped
}

// set is false for an interface that v2 has no name for.
func (e *v2Endpoint) set(iface, url string) bool {
	switch strings.ToLower(iface) {
	case "public":
		e.PublicURL = url
	case "internal":
		e.InternalURL = url
	case "admin":
		e.AdminURL = url
	default:
		return false
	}
	return true
}

// oneLine rewrites a JSON text so that any HTTP parser carries it: no white space between tokens, and characters
// outside printable ASCII, which can only stand inside strings, as \u escapes. ok is false for what is not JSON.
func oneLine(text []byte) (line string, ok bool) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil || compact.Len() == 0 {
		return "", false
	}
	b := compact.Bytes()
	plain := true
	for _, c := range b {
		if c < ' ' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return string(b), true
	}
	out := make([]byte, 0, len(b)+len(b)/4)
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		switch {
		case ' ' <= c && c <= '~':
			out = append(out, byte(c))
		case c > 0xFFFF: // a surrogate pair
			c -= 0x10000
			out = appendEscape(out, 0xD800+(c>>10))
			out = appendEscape(out, 0xDC00+(c&0x3FF))
		default:
			out = appendEscape(out, c)
		}
		b = b[n:]
	}
	return string(out), true
}

func appendEscape(out []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	return append(out, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}
