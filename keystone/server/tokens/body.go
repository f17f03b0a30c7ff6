package tokens

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"authproxy/keystone"
)

// TimeFormat is how the Identity API v3 writes an instant, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// Body is the token of the Identity API v3 as JSON. A PKI token carries it signed, on one line.
type Body struct {
	Token bodyToken `json:"token"`
}

type bodyToken struct {
	Methods   []string         `json:"methods"`
	Extras    struct{}         `json:"extras"`
	Project   *bodyOwned       `json:"project,omitempty"`
	Domain    *bodyRef         `json:"domain,omitempty"`
	Trust     *bodyTrust       `json:"OS-TRUST:trust,omitempty"`
	OAuth1    *bodyOAuth1      `json:"OS-OAUTH1,omitempty"`
	User      bodyUser         `json:"user"`
	Roles     []bodyRef        `json:"roles,omitempty"`
	AuditIDs  []string         `json:"audit_ids"`
	Catalog   *[]catalogMember `json:"catalog,omitempty"`
	ExpiresAt string           `json:"expires_at"`
	IssuedAt  string           `json:"issued_at"`
	// Bind is who has to present the token, by mechanism.
	Bind map[string]string `json:"bind,omitempty"`
	// ServiceProviders are the clouds that take this one's word for who the user is.
	ServiceProviders []serviceProvider `json:"service_providers,omitempty"`
}

type serviceProvider struct {
	ID      string `json:"id"`
	AuthURL string `json:"auth_url"`
	SPURL   string `json:"sp_url"`
}

type bodyRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type bodyOwned struct {
	bodyRef
	Domain bodyRef `json:"domain"`
}

type bodyUser struct {
	bodyOwned
	Federation *bodyFederation `json:"OS-FEDERATION,omitempty"`
}

type catalogMember struct {
	Endpoints []endpointMember `json:"endpoints"`
	ID        string           `json:"id,omitempty"`
	Type      string           `json:"type"`
	Name      string           `json:"name"`
}

type endpointMember struct {
	ID        string  `json:"id,omitempty"`
	Interface string  `json:"interface"`
	RegionID  *string `json:"region_id"`
	URL       string  `json:"url"`
	Region    *string `json:"region"`
}

// CatalogJSON is a catalog as it stands in a token's body and in the answer to GET /v3/auth/catalog.
func CatalogJSON(c keystone.Catalog) any { return catalogMembers(c) }

func catalogMembers(c keystone.Catalog) []catalogMember {
	services := make([]catalogMember, 0, len(c))
	for _, s := range c {
		endpoints := make([]endpointMember, 0, len(s.Endpoints))
		for _, e := range s.Endpoints {
			m := endpointMember{ID: e.ID, Interface: e.Interface, URL: e.URL}
			if e.RegionID != "" {
				m.RegionID, m.Region = &e.RegionID, &e.Region
			}
			endpoints = append(endpoints, m)
		}
		services = append(services, catalogMember{Endpoints: endpoints, ID: s.ID, Type: s.Type, Name: s.Name})
	}
	return services
}

// encode writes the body compact, on one line, without the HTML escapes that Go would put in.
func (b *Body) encode() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(b); err != nil {
		return nil, fmt.Errorf("token body: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// WithoutCatalog is a token's body less its catalog.
func WithoutCatalog(body []byte) ([]byte, error) {
	var b Body
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("token body: %w", err)
	}
	b.Token.Catalog = nil
	return b.encode()
}

func formatTime(t time.Time) string { return t.UTC().Format(TimeFormat) }
