package catalog

import (
	"context"
	"maps"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/id"
)

// LegacyEndpoint is an endpoint of the API v2.0: up to three Endpoints that came and go together. Those that were made by the
// API v3 belong to none.
type LegacyEndpoint struct {
	ID        string
	ServiceID string
	RegionID  string
	Enabled   bool
	URLs      map[string]string // by interface
	Extra     map[string]any
}

var interfaces = []string{"public", "internal", "admin"}

// CreateLegacyEndpoint stores a new endpoint for each of its URLs, and its region where there is none.
func (m *Manager) CreateLegacyEndpoint(ctx context.Context, e LegacyEndpoint) (LegacyEndpoint, error) {
	e.ID = id.New()
	return e, m.Store.Write(ctx, func(ctx context.Context) error {
		for _, kind := range interfaces {
			if e.URLs[kind] == "" {
				continue
			}
			if _, err := m.CreateEndpoint(ctx, Endpoint{
				ServiceID: e.ServiceID, RegionID: e.RegionID, Interface: kind, URL: e.URLs[kind], Enabled: e.Enabled, LegacyID: e.ID, Extra: maps.Clone(e.Extra),
			}, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// LegacyEndpoints are those that the API v2.0 made.
func (m *Manager) LegacyEndpoints(ctx context.Context) ([]LegacyEndpoint, error) {
	all, err := m.Store.Endpoints(ctx, nil)
	if err != nil {
		return nil, err
	}
	list := []LegacyEndpoint{}
	at := map[string]int{}
	for _, e := range all {
		if e.LegacyID == "" {
			continue
		}
		i, there := at[e.LegacyID]
		if !there {
			i = len(list)
			at[e.LegacyID] = i
			list = append(list, LegacyEndpoint{
				ID: e.LegacyID, ServiceID: e.ServiceID, RegionID: e.RegionID, Enabled: e.Enabled, URLs: map[string]string{}, Extra: e.Extra,
			})
		}
		list[i].URLs[e.Interface] = e.URL
	}
	return list, nil
}

// DeleteLegacyEndpoint removes the endpoints that belong to one of the API v2.0.
func (m *Manager) DeleteLegacyEndpoint(ctx context.Context, legacyID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		parts, err := m.Store.Endpoints(ctx, filter.List{{Attribute: "legacy_id", Value: legacyID}})
		if err != nil {
			return err
		}
		if len(parts) == 0 || legacyID == "" {
			return fault.NotFound{Kind: "endpoint", ID: legacyID}
		}
		for _, e := range parts {
			if err := m.Store.RemoveEndpoint(ctx, e.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
