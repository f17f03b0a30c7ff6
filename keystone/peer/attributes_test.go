package peer

import (
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestAttributes(t *testing.T) {
	const front, client = "192.0.2.7:1234", "198.51.100.1:1234"
	for name, tt := range map[string]struct {
		from, prefix string
		header       http.Header
		want         map[string]string
		err          string
	}{
		"of a front":             {front, "OIDC_CLAIM_", http.Header{"Oidc_claim_sub": {"é"}, "Oidc_claim_a-b": {""}, "Cookie": {"x"}}, map[string]string{"Oidc_claim_sub": "é", "Oidc_claim_a-b": ""}, ""},
		"as a variable of CGI":   {front, "http_oidc_claim_", http.Header{"Oidc_claim_sub": {"1"}}, map[string]string{"Oidc_claim_sub": "1"}, ""},
		"with dashes":            {front, "Shib-", http.Header{"Shib-Eppn": {"1"}, "Shib": {"2"}}, map[string]string{"Shib-Eppn": "1"}, ""},
		"and a user":             {front, "Shib-", http.Header{"X-Remote-User": {"alice"}}, map[string]string{"REMOTE_USER": "alice"}, ""},
		"of a client":            {client, "Shib-", http.Header{"Shib-Eppn": {"1"}, "Shib_Eppn": {"2"}, "X-Remote-User": {"alice"}}, nil, ""},
		"of nowhere":             {"", "Shib-", http.Header{"Shib-Eppn": {"1"}}, nil, ""},
		"switched off":           {front, "", http.Header{"Shib-Eppn": {"1"}}, nil, ""},
		"none":                   {front, "Shib-", http.Header{"X-Remote-User": {""}}, map[string]string{}, ""},
		"twice":                  {front, "Shib-", http.Header{"Shib-Eppn": {"1", "1"}}, nil, "2 times"},
		"two users":              {front, "Shib-", http.Header{"X-Remote-User": {"a", "b"}}, nil, "more than one X-Remote-User"},
		"look-alike":             {front, "Shib-", http.Header{"Shib_eppn": {"1"}}, nil, "let"},
		"look-alike in the end":  {front, "Shib-", http.Header{"Shib-E_ppn": {"1"}}, nil, "let"},
		"look-alike with dashes": {front, "OIDC_CLAIM_", http.Header{"Oidc-Claim-Sub": {"1"}}, nil, "let"},
		"look-alike of CGI":      {front, "OIDC_CLAIM_", http.Header{"Http-Oidc_claim_sub": {"1"}}, nil, "let"},
		"look-alike, short":      {front, "ABCD", http.Header{"Http-Abcd": {"1"}}, nil, "let"},
		"not UTF-8":              {front, "Shib-", http.Header{"Shib-Eppn": {"\xe9"}}, nil, "UTF-8"},
	} {
		i := Identifier{Fronts: Fronts{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, UserHeader: "X-Remote-User", TypeHeader: "X-Auth-Type", AttributePrefix: tt.prefix}
		r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr, r.Header = tt.from, tt.header
		got, err := i.Attributes(r)
		if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %q, %v; want %q, %q", name, got, err, tt.want, tt.err)
		}
	}
}
