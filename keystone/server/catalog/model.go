// Package catalog is the services of the cloud, where they are, and the catalog that a token carries ([catalog] of
// keystone.conf).
package catalog

import (
	"context"

	"authproxy/keystone/server/filter"
)

// Region is a place; regions form a tree.
type Region struct {
	ID          string // chosen by whoever makes it
	Description string
	ParentID    string
	Extra       map[string]any
}

// Service is a service of the cloud. Its name and description, where it has them, are in Extra.
type Service struct {
	ID      string
	Type    string
	Enabled bool
	Extra   map[string]any
}

// Name is the service's name, "" where it has none.
func (s Service) Name() string {
	name, _ := s.Extra["name"].(string)
	return name
}

// Endpoint is one address of a service.
type Endpoint struct {
	ID        string
	ServiceID string
	RegionID  string // "" for none
	Interface string // "public", "internal" or "admin"
	URL       string // may hold $(name)s and %(name)s, see Build
	Enabled   bool
	LegacyID  string // of the endpoint of the API v2.0 that it belongs to, "" where there is none; it does not change
	Extra     map[string]any
}

// Store keeps regions, services and endpoints. Its errors are fault.NotFound and fault.Conflict of the kinds "region",
// "service" and "endpoint".
type Store interface {
	// Write runs f in a transaction.
	Write(ctx context.Context, f func(ctx context.Context) error) error

	Region(ctx context.Context, id string) (Region, error)
	// Regions filters on parent_region_id and orders by id.
	Regions(ctx context.Context, where filter.List) ([]Region, error)
	AddRegion(ctx context.Context, r Region) error
	PutRegion(ctx context.Context, r Region) error
	// RemoveRegion takes the regions below it along. It returns fault.Forbidden while one of them has endpoints.
	RemoveRegion(ctx context.Context, id string) error

	Service(ctx context.Context, id string) (Service, error)
	// Services filters on type and name and orders by type.
	Services(ctx context.Context, where filter.List) ([]Service, error)
	AddService(ctx context.Context, s Service) error
	PutService(ctx context.Context, s Service) error
	// RemoveService takes its endpoints along.
	RemoveService(ctx context.Context, id string) error

	Endpoint(ctx context.Context, id string) (Endpoint, error)
	// Endpoints filters on interface, service_id, region_id and legacy_id and orders by service, region and interface.
	Endpoints(ctx context.Context, where filter.List) ([]Endpoint, error)
	AddEndpoint(ctx context.Context, e Endpoint) error
	PutEndpoint(ctx context.Context, e Endpoint) error
	RemoveEndpoint(ctx context.Context, id string) error
}
