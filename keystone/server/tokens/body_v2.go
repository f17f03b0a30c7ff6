package tokens

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"authproxy/keystone"
	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
)

// How the Identity API v2.0 writes the instants of a token, in UTC: when it ends in whole seconds, when it was issued without a zone.
const (
	expiresV2 = "2006-01-02T15:04:05Z"
	issuedV2  = "2006-01-02T15:04:05.000000"
)

// placeholder is what a signed token of the API v2.0 says its id is, since its text is not known before it is signed.
const placeholder = "placeholder"

// accessBody is the token of the Identity API v2.0.
type accessBody struct {
	Token          accessToken     `json:"token"`
	ServiceCatalog []accessService `json:"serviceCatalog"`
	User           accessUser      `json:"user"`
	Metadata       accessMetadata  `json:"metadata"`
	Trust          *accessTrust    `json:"trust,omitempty"`
}

type accessToken struct {
	IssuedAt string            `json:"issued_at"`
	Expires  string            `json:"expires"`
	ID       string            `json:"id"`
	Tenant   *accessTenant     `json:"tenant,omitempty"`
	AuditIDs []string          `json:"audit_ids"`
	Bind     map[string]string `json:"bind,omitempty"`
}

type accessTenant struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
}

type accessUser struct {
	Username   string       `json:"username"`
	RolesLinks []any        `json:"roles_links"`
	ID         string       `json:"id"`
	Roles      []accessRole `json:"roles"`
	Name       string       `json:"name"`
}

type accessRole struct {
	Name string `json:"name"`
}

type accessMetadata struct {
	IsAdmin int      `json:"is_admin"`
	Roles   []string `json:"roles"`
}

type accessTrust struct {
	ID            string `json:"id"`
	Impersonation bool   `json:"impersonation"`
	TrusteeUserID string `json:"trustee_user_id"`
	TrustorUserID string `json:"trustor_user_id"`
}

type accessService struct {
	Endpoints      []accessEndpoint `json:"endpoints"`
	EndpointsLinks []any            `json:"endpoints_links"`
	Type           string           `json:"type"`
	Name           string           `json:"name"`
}

// accessEndpoint is an endpoint of the API v2.0: what a service has in one region.
type accessEndpoint struct {
	ID          string `json:"id,omitempty"`
	Region      string `json:"region,omitempty"`
	PublicURL   string `json:"publicURL"`
	InternalURL string `json:"internalURL,omitempty"`
	AdminURL    string `json:"adminURL,omitempty"`
}

// BodyV2 is a token as the API v2.0 has it, {"access": {…}}, whichever API it was issued by. id is what it is to be called. That
// API knows the default domain alone: other tokens are fault.Unauthorized.
func (m *Manager) BodyV2(ctx context.Context, r *Record, id string) ([]byte, error) {
	t, err := r.Decode()
	if err != nil {
		return nil, err
	}
	var tenant *assignment.Project
	if t.Project != nil {
		p, err := m.Assignment.Project(ctx, t.Project.ID)
		if fault.IsNotFound(err) { // gone since the token was looked up
			return nil, fault.NotFound{Kind: "token"}
		}
		if err != nil {
			return nil, err
		}
		tenant = &p
	}
	return encodeV2(t, tenant, id)
}

// signedV2 is what a PKI or PKIZ token carries that is issued by the API v2.0.
func (m *Manager) signedV2(r *Record, tenant *assignment.Project) ([]byte, error) {
	t, err := r.Decode()
	if err != nil {
		return nil, err
	}
	return encodeV2(t, tenant, placeholder)
}

func encodeV2(t *keystone.Token, tenant *assignment.Project, id string) ([]byte, error) {
	if err := inDefaultDomain(t); err != nil {
		return nil, err
	}
	body := accessBody{
		Token: accessToken{
			ID: id, Expires: t.ExpiresAt.UTC().Format(expiresV2), IssuedAt: t.IssuedAt.UTC().Format(issuedV2), AuditIDs: t.AuditIDs, Bind: t.Bind,
		},
		User:           accessUser{ID: t.User.ID, Name: t.User.Name, Username: t.User.Name, Roles: []accessRole{}, RolesLinks: []any{}},
		Metadata:       accessMetadata{Roles: []string{}},
		ServiceCatalog: []accessService{},
	}
	if tenant != nil {
		body.Token.Tenant = &accessTenant{ID: tenant.ID, Name: tenant.Name, Description: tenant.Description, Enabled: tenant.Enabled}
	}
	for _, role := range t.Roles {
		body.User.Roles = append(body.User.Roles, accessRole{role.Name})
		body.Metadata.Roles = append(body.Metadata.Roles, role.ID)
	}
	for _, s := range t.Catalog {
		body.ServiceCatalog = append(body.ServiceCatalog, accessService{
			Type: s.Type, Name: s.Name, Endpoints: endpointsV2(s.Endpoints), EndpointsLinks: []any{},
		})
	}
	if t.Trust != nil {
		body.Trust = &accessTrust{t.Trust.ID, t.Trust.Impersonation, t.Trust.TrusteeUserID, t.Trust.TrustorUserID}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{"access": body}); err != nil {
		return nil, fmt.Errorf("v2.0 token body: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func inDefaultDomain(t *keystone.Token) error {
	if t.User.Domain.ID != assignment.DefaultDomainID || t.Domain != nil || t.Project != nil && t.Project.Domain.ID != assignment.DefaultDomainID {
		return fault.Unauthorized{Why: "the API v2.0 knows users and projects of the default domain alone"}
	}
	return nil
}

// endpointsV2 makes one endpoint of those in a region. Its id is that of the public one, else of the first.
func endpointsV2(all []keystone.Endpoint) []accessEndpoint {
	list := []accessEndpoint{}
	for _, e := range all {
		at := slices.IndexFunc(list, func(v accessEndpoint) bool { return v.Region == e.RegionID })
		if at < 0 {
			at = len(list)
			list = append(list, accessEndpoint{ID: e.ID, Region: e.RegionID})
		}
		switch v := &list[at]; e.Interface {
		case "public":
			v.PublicURL, v.ID = e.URL, e.ID
		case "internal":
			v.InternalURL = e.URL
		case "admin":
			v.AdminURL = e.URL
		}
	}
	return list
}

// EndpointsV2 are the endpoints in a token's catalog as the API v2.0 lists them by themselves.
func EndpointsV2(t *keystone.Token) []any {
	list := []any{}
	for _, s := range t.Catalog {
		for _, e := range endpointsV2(s.Endpoints) {
			list = append(list, map[string]any{
				"id": e.ID, "name": s.Name, "type": s.Type, "region": orNull(e.Region),
				"publicURL": orNull(e.PublicURL), "internalURL": orNull(e.InternalURL), "adminURL": orNull(e.AdminURL),
			})
		}
	}
	return list
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
