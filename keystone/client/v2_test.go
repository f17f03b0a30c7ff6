package client

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"authproxy/revocation"
)

// TestIdentityV2: logging in, validating and the revocation list by v2.0, where the operator says so and where the service has
// nothing else.
func TestIdentityV2(t *testing.T) {
	const versions = `{"versions":{"values":[{"id":"v2.0","links":[{"rel":"self","href":"http://elsewhere/v2.0/"}]}]}}`
	for _, tt := range []struct {
		name, version string
		first         []string // requests before the login
	}{
		{"chosen", "v2.0", nil},
		{"found", "", []string{"POST /v3/auth/tokens?nocatalog", "GET /"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t)
			id.login = fails(http.StatusNotFound) // of v3
			id.routes["/"] = text(versions)
			id.routes["/v2.0/tokens/5e"] = text(`{"access":{}}`)
			id.routes["/v2.0/tokens/revoked"] = text(`{"signed":"list"}`)
			o := id.options(t)
			o.Version, o.TrustID, o.ProjectName, o.ProjectDomainName = tt.version, "t", "", ""
			c := newClient(t, o)

			if body, err := c.Validate(t.Context(), "5e", true); err != nil || string(body) != `{"access":{}}` {
				t.Fatalf("%s, %v", body, err)
			}
			if _, err := c.Validate(t.Context(), "5/../e?", false); !errors.Is(err, ErrNotFound) {
				t.Errorf("unknown token: %v", err)
			}
			if _, err := c.Validate(t.Context(), strings.Repeat("x", maxURLToken+1), false); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "does not fit") {
				t.Errorf("long token: %v", err)
			}
			if a, err := c.FetchRevocationChanges(t.Context(), revocation.Have{Sequence: 7}); err != nil || string(a.Signed) != "list" {
				t.Errorf("list: %+v, %v", a, err)
			}
			want := append(tt.first, "POST /v2.0/tokens", "GET /v2.0/tokens/5e own-N", "GET /v2.0/tokens/5%2F..%2Fe%3F own-N", "GET /v2.0/tokens/revoked own-N")
			got := id.requests()
			for i := range got {
				got[i] = strings.NewReplacer("own-1", "own-N", "own-2", "own-N").Replace(got[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
			if body, want := id.bodies[len(id.bodies)-1], `{"auth":{"passwordCredentials":{"username":"glance","password":"pa55word"},"trust_id":"t"}}`; body != want {
				t.Errorf("login %s, want %s", body, want)
			}
		})
	}
}

func TestLoginBodyV2(t *testing.T) {
	for want, o := range map[string]Options{
		`{"auth":{"passwordCredentials":{"username":"u","password":"x"},"tenantName":"p"}}`: {Username: "u", ProjectName: "p"},
		`{"auth":{"passwordCredentials":{"userId":"1","password":"x"},"tenantId":"2"}}`:     {UserID: "1", Username: "u", ProjectID: "2", ProjectName: "p"},
	} {
		id := newIdentity(t)
		o.AuthURL, o.Password, o.CAFile, o.Version = id.URL, "x", id.caFile(t), "v2.0"
		token(t, newClient(t, o))
		if id.bodies[0] != want {
			t.Errorf("got %s, want %s", id.bodies[0], want)
		}
	}
}

// TestStaticToken: it is used as it stands, and when the service refuses it there is nothing to be done.
func TestStaticToken(t *testing.T) {
	id := newIdentity(t)
	id.routes["/v3/auth/tokens"] = text(`{"token":{}}`)
	c := newClient(t, Options{AuthURL: id.URL, CAFile: id.caFile(t), StaticToken: "s3cret"})
	if _, err := c.Validate(t.Context(), "5e", false); err != nil {
		t.Fatal(err)
	}
	id.set(func() { id.refused["s3cret"] = true })
	_, err := c.Validate(t.Context(), "5e", false)
	if !errors.Is(err, errStaticRefused) || !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("refused: %v", err)
	}
	if want := []string{"GET /v3/auth/tokens s3cret 5e", "GET /v3/auth/tokens s3cret 5e"}; !slices.Equal(id.requests(), want) {
		t.Errorf("got %q", id.requests())
	}
}
