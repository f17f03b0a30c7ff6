// Package keystone holds the vocabulary of OpenStack Identity that the proxy and the identity backend share.
//
// The names are those of the Identity API v3 reference. The package imports only the standard library and does no I/O;
// JSON and token text are the business of keystone/token.
package keystone

import "time"

// Token is what a validated token says, whichever body (v2 "access" or v3 "token") it came from.
//
// A Token that a cache hands out is shared between requests: treat it, and all that it points to, as read-only.
type Token struct {
	// Version is the body the token came from: 2 or 3.
	Version int
	// Methods are the authentication methods that led to the token ("password", "token", …); nil for v2.
	Methods []string
	// IssuedAt is zero where the body does not say.
	IssuedAt  time.Time
	ExpiresAt time.Time
	// AuditIDs holds the token's own audit id and, for a token got from another one, the id of the first in that chain.
	AuditIDs []string

	User User
	// Project, Domain and System are the scope: at most one of them is set, none for an unscoped token.
	Project *Project
	Domain  *Domain
	System  bool
	Roles   []Role
	// V2RoleIDs are the ids of the roles, where a v2 body tells them apart from the roles' names (metadata.roles).
	V2RoleIDs []string
	// IsAdminProject is nil where the body does not say.
	IsAdminProject *bool

	// Catalog is the service catalog of a v3 body; nil where the token carries none, empty where it carries an empty one.
	Catalog Catalog
	// V2Catalog is the serviceCatalog of a v2 body as JSON text, kept as it came; "" where there is none.
	V2Catalog string

	// Bind maps a mechanism ("kerberos", "x509") to the identity the token is bound to; nil for an unbound token. x509 stands
	// for a client certificate by its thumbprint, whether the body has it in bind or in oauth2_credential["x5t#S256"].
	Bind map[string]string
	// Trust is set for a token got through a trust (OS-TRUST).
	Trust *Trust
	// AccessRules are what a token got by an application credential may be used for; nil where it says nothing of that, empty
	// where it may be used for nothing.
	AccessRules []AccessRule
	// OAuth1 is set for a token got through an OAuth 1.0a access token (OS-OAUTH1).
	OAuth1 *OAuth1
}

// User is the subject of a token.
type User struct {
	ID   string
	Name string
	// Domain is the zero Domain for a v2 body and for some federated users.
	Domain Domain
	// Federated says that the user came through OS-FEDERATION.
	Federated bool
}

// Project is a project (v2: tenant) with the domain that owns it.
type Project struct {
	ID   string
	Name string
	// Domain is the zero Domain for a v2 body.
	Domain Domain
}

// Domain is a domain by id and name.
type Domain struct {
	ID   string
	Name string
}

// Role is a role by id and name. Tokens in the field sometimes leave out the id.
type Role struct {
	ID   string
	Name string
}

// Catalog is a service catalog in the shape of the Identity API v3.
type Catalog []Service

// Service is one entry of a Catalog.
type Service struct {
	ID        string
	Type      string
	Name      string
	Endpoints []Endpoint
}

// Endpoint is one URL of a Service. Interface is "public", "internal" or "admin".
type Endpoint struct {
	ID        string
	Interface string
	Region    string
	RegionID  string
	URL       string
}

// Trust is the delegation a token came from (OS-TRUST).
type Trust struct {
	ID            string
	Impersonation bool
	TrustorUserID string
	TrusteeUserID string
}

// AccessRule is a kind of request that an application credential is meant for (Identity API v3, "Application Credentials").
type AccessRule struct {
	// Service is a type of service, as in the catalog.
	Service string
	Method  string
	// Path is the path of the request, in which "*" and "{name}" stand for a segment, and "**" for anything.
	Path string
}

// OAuth1 is the delegation a token came from (OS-OAUTH1).
type OAuth1 struct {
	ConsumerID    string
	AccessTokenID string
}

// RevokedToken is one entry of a revocation list (GET /v3/auth/tokens/OS-PKI/revoked).
type RevokedToken struct {
	// ID is the hash of the token text, in hex, by whichever algorithm the list's Keystone uses.
	ID string
	// AuditID is empty in lists of older Keystones.
	AuditID string
	Expires time.Time
}
