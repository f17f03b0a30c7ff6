// Package federation keeps who else says who users are, and what comes of what they say (OS-FEDERATION, [federation] of
// keystone.conf).
package federation

import (
	"context"
	"fmt"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation/mapping"
	"authproxy/keystone/server/filter"
)

// The kinds of objects, as the API has them.
const (
	KindIdentityProvider = "identity_provider"
	KindProtocol         = "federation_protocol"
	KindMapping          = "mapping"
	KindServiceProvider  = "service_provider"
)

// Domain is the id and the name that tokens give the domain of users who are known by an identity provider alone. No domain has it.
const Domain = mapping.FederatedDomain

// IdentityProvider says who users are.
type IdentityProvider struct {
	ID          string
	Description *string // nil for none
	Enabled     bool
	// RemoteIDs are the names that it has for itself. No other identity provider has one of them.
	RemoteIDs []string
}

// Protocol is a way in which an identity provider does that, and the mapping for it.
type Protocol struct {
	IdentityProviderID string
	ID                 string // unique for the identity provider
	MappingID          string // of a mapping that was there once
}

// Mapping is rules that make users and groups of what is asserted.
type Mapping struct {
	ID    string
	Rules []any // as JSON has them; see package mapping
}

// ServiceProvider is another cloud, that takes this one's word for who users are.
type ServiceProvider struct {
	ID               string
	AuthURL          string
	SPURL            string
	Description      *string
	Enabled          bool
	RelayStatePrefix *string
}

// Store keeps these. Its errors are fault.NotFound, as the Not…Found functions make them, and fault.Conflict of the Kind….
// Lists filter on id and enabled, as far as an object has them, and are ordered by id.
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	IdentityProvider(ctx context.Context, id string) (IdentityProvider, error)
	IdentityProviders(ctx context.Context, where filter.List) ([]IdentityProvider, error)
	AddIdentityProvider(ctx context.Context, p IdentityProvider) error
	PutIdentityProvider(ctx context.Context, p IdentityProvider) error
	// RemoveIdentityProvider takes its protocols along.
	RemoveIdentityProvider(ctx context.Context, id string) error

	Protocol(ctx context.Context, identityProviderID, id string) (Protocol, error)
	Protocols(ctx context.Context, identityProviderID string, where filter.List) ([]Protocol, error)
	AddProtocol(ctx context.Context, p Protocol) error
	PutProtocol(ctx context.Context, p Protocol) error
	RemoveProtocol(ctx context.Context, identityProviderID, id string) error

	Mapping(ctx context.Context, id string) (Mapping, error)
	Mappings(ctx context.Context, where filter.List) ([]Mapping, error)
	AddMapping(ctx context.Context, m Mapping) error
	PutMapping(ctx context.Context, m Mapping) error
	RemoveMapping(ctx context.Context, id string) error

	ServiceProvider(ctx context.Context, id string) (ServiceProvider, error)
	ServiceProviders(ctx context.Context, where filter.List) ([]ServiceProvider, error)
	AddServiceProvider(ctx context.Context, p ServiceProvider) error
	PutServiceProvider(ctx context.Context, p ServiceProvider) error
	RemoveServiceProvider(ctx context.Context, id string) error
}

// The errors for what is not there.
func NoIdentityProvider(id string) error { return fault.NotFound{Kind: "Identity Provider", ID: id} }
func NoMapping(id string) error          { return fault.NotFound{Kind: "mapping", ID: id} }
func NoServiceProvider(id string) error  { return fault.NotFound{Kind: "Service Provider", ID: id} }
func NoProtocol(identityProviderID, id string) error {
	return fault.NotFound{ID: fmt.Sprintf("federated protocol %s for Identity Provider %s", id, identityProviderID)}
}

// Parse makes rules ready to be applied.
func (m Mapping) Parse() (*mapping.Rules, error) { return mapping.Parse(m.Rules) }
