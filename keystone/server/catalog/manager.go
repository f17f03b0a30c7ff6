package catalog

import (
	"context"
	"fmt"
	"log/slog"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

const maxName = 255

// Manager is the rules about regions, services and endpoints.
type Manager struct {
	Store Store
	// Variables are what endpoint URLs may ask for beside the user and project of a token ("public_port", …). They end up in
	// catalogs that everybody can read.
	Variables map[string]string
	// WithoutIDs leaves the ids out of the catalogs of tokens, as Keystone does where they come from a file.
	WithoutIDs bool
	Log        *slog.Logger
}

func (m *Manager) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// RegionUpdate is a change of a region; what is nil stays as it is.
type RegionUpdate struct {
	Description *string
	ParentID    *string // "" for none
	Extra       map[string]any
}

// ServiceUpdate is a change of a service; what is nil stays as it is.
type ServiceUpdate struct {
	Type    *string
	Enabled *bool
	Extra   map[string]any
}

// EndpointUpdate is a change of an endpoint; what is nil stays as it is.
type EndpointUpdate struct {
	ServiceID *string
	Interface *string
	URL       *string
	RegionID  *string // "" for none
	Enabled   *bool
	// MakeRegion makes the region where it does not exist, as the old attribute "region" asks for.
	MakeRegion bool
	Extra      map[string]any
}

// CreateRegion stores a new region, under an id of its own where r has none.
func (m *Manager) CreateRegion(ctx context.Context, r Region) (Region, error) {
	if r.ID == "" {
		r.ID = id.New()
	}
	if err := limit("id", r.ID); err != nil {
		return Region{}, err
	}
	return r, m.Store.Write(ctx, func(ctx context.Context) error {
		if r.ParentID != "" {
			if _, err := m.Store.Region(ctx, r.ParentID); err != nil {
				return err
			}
		}
		return m.Store.AddRegion(ctx, r)
	})
}

// UpdateRegion changes a region. Regions stay a tree: a parent below the region itself is fault.Invalid.
func (m *Manager) UpdateRegion(ctx context.Context, regionID string, change RegionUpdate) (Region, error) {
	var r Region
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if r, err = m.Store.Region(ctx, regionID); err != nil {
			return err
		}
		patch.Set(&r.Description, change.Description)
		patch.Set(&r.ParentID, change.ParentID)
		for above := r.ParentID; above != ""; {
			if above == regionID {
				return fault.Invalid{Message: fmt.Sprintf("Circular region parent: %s would be below itself", regionID)}
			}
			p, err := m.Store.Region(ctx, above)
			if err != nil {
				return err
			}
			above = p.ParentID
		}
		r.Extra = patch.Merge(r.Extra, change.Extra)
		return m.Store.PutRegion(ctx, r)
	})
	return r, err
}

// CreateService stores a new service under an id of its own.
func (m *Manager) CreateService(ctx context.Context, s Service) (Service, error) {
	if s.Type == "" {
		return Service{}, fault.Required("type")
	}
	if err := limit("type", s.Type); err != nil {
		return Service{}, err
	}
	s.ID = id.New()
	return s, m.Store.AddService(ctx, s)
}

// UpdateService changes a service.
func (m *Manager) UpdateService(ctx context.Context, serviceID string, change ServiceUpdate) (Service, error) {
	if change.Type != nil {
		if err := limit("type", *change.Type); err != nil {
			return Service{}, err
		}
	}
	var s Service
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if s, err = m.Store.Service(ctx, serviceID); err != nil {
			return err
		}
		patch.Set(&s.Type, change.Type)
		patch.Set(&s.Enabled, change.Enabled)
		s.Extra = patch.Merge(s.Extra, change.Extra)
		return m.Store.PutService(ctx, s)
	})
	return s, err
}

// CreateEndpoint stores a new endpoint under an id of its own; with makeRegion also its region, where there is none.
func (m *Manager) CreateEndpoint(ctx context.Context, e Endpoint, makeRegion bool) (Endpoint, error) {
	e.ID = id.New()
	return e, m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.checkEndpoint(ctx, e, makeRegion); err != nil {
			return err
		}
		return m.Store.AddEndpoint(ctx, e)
	})
}

// UpdateEndpoint changes an endpoint.
func (m *Manager) UpdateEndpoint(ctx context.Context, endpointID string, change EndpointUpdate) (Endpoint, error) {
	var e Endpoint
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if e, err = m.Store.Endpoint(ctx, endpointID); err != nil {
			return err
		}
		patch.Set(&e.ServiceID, change.ServiceID)
		patch.Set(&e.Interface, change.Interface)
		patch.Set(&e.URL, change.URL)
		patch.Set(&e.RegionID, change.RegionID)
		patch.Set(&e.Enabled, change.Enabled)
		e.Extra = patch.Merge(e.Extra, change.Extra)
		if err := m.checkEndpoint(ctx, e, change.MakeRegion); err != nil {
			return err
		}
		return m.Store.PutEndpoint(ctx, e)
	})
	return e, err
}

func (m *Manager) checkEndpoint(ctx context.Context, e Endpoint, makeRegion bool) error {
	switch e.Interface {
	case "public", "internal", "admin":
	case "":
		return fault.Required("interface")
	default:
		return fault.BadField("interface", e.Interface)
	}
	switch {
	case e.ServiceID == "":
		return fault.Required("service_id")
	case e.URL == "":
		return fault.Required("url")
	}
	if _, err := m.Store.Service(ctx, e.ServiceID); fault.IsNotFound(err) {
		return fault.Missing("endpoint service_id", "service table")
	} else if err != nil {
		return err
	}
	if e.RegionID == "" {
		return nil
	}
	_, err := m.Store.Region(ctx, e.RegionID)
	switch {
	case fault.IsNotFound(err) && makeRegion:
		if err := limit("region", e.RegionID); err != nil {
			return err
		}
		return m.Store.AddRegion(ctx, Region{ID: e.RegionID})
	case fault.IsNotFound(err):
		return fault.Missing("endpoint region_id", "region table")
	}
	return err
}

// The rest needs no rules.

func (m *Manager) Region(ctx context.Context, regionID string) (Region, error) {
	return m.Store.Region(ctx, regionID)
}
func (m *Manager) Regions(ctx context.Context, where filter.List) ([]Region, error) {
	return m.Store.Regions(ctx, where)
}
func (m *Manager) DeleteRegion(ctx context.Context, regionID string) error {
	return m.Store.RemoveRegion(ctx, regionID)
}
func (m *Manager) Service(ctx context.Context, serviceID string) (Service, error) {
	return m.Store.Service(ctx, serviceID)
}
func (m *Manager) Services(ctx context.Context, where filter.List) ([]Service, error) {
	return m.Store.Services(ctx, where)
}
func (m *Manager) DeleteService(ctx context.Context, serviceID string) error {
	return m.Store.RemoveService(ctx, serviceID)
}
func (m *Manager) Endpoint(ctx context.Context, endpointID string) (Endpoint, error) {
	return m.Store.Endpoint(ctx, endpointID)
}
func (m *Manager) Endpoints(ctx context.Context, where filter.List) ([]Endpoint, error) {
	return m.Store.Endpoints(ctx, where)
}
func (m *Manager) DeleteEndpoint(ctx context.Context, endpointID string) error {
	return m.Store.RemoveEndpoint(ctx, endpointID)
}

func limit(field, value string) error {
	if value == "" || len([]rune(value)) > maxName {
		return fault.BadField(field, value)
	}
	return nil
}
