package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"authproxy/keystone/server/catalog"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
)

const (
	regionColumns   = `SELECT id, description, parent_id, extra FROM regions`
	serviceColumns  = `SELECT id, type, enabled, extra FROM services`
	endpointColumns = `SELECT id, service_id, region_id, interface, url, enabled, legacy_id, extra FROM endpoints`
)

func scanRegion(row scanner) (r catalog.Region, err error) {
	var parent sql.NullString
	err = row.Scan(&r.ID, &r.Description, &parent, (*attributes)(&r.Extra))
	r.ParentID = parent.String
	return r, err
}

func scanService(row scanner) (v catalog.Service, err error) {
	return v, row.Scan(&v.ID, &v.Type, &v.Enabled, (*attributes)(&v.Extra))
}

func scanEndpoint(row scanner) (e catalog.Endpoint, err error) {
	var region sql.NullString
	err = row.Scan(&e.ID, &e.ServiceID, &region, &e.Interface, &e.URL, &e.Enabled, &e.LegacyID, (*attributes)(&e.Extra))
	e.RegionID = region.String
	return e, err
}

func (s *Store) Region(ctx context.Context, id string) (catalog.Region, error) {
	return one(ctx, s, "region", id, scanRegion, regionColumns+` WHERE id = ?`, id)
}

func (s *Store) Regions(ctx context.Context, where filter.List) ([]catalog.Region, error) {
	return listed(ctx, s, scanRegion, regionColumns, where, map[string]string{"parent_region_id": "parent_id"}, "id", "")
}

func (s *Store) AddRegion(ctx context.Context, r catalog.Region) error {
	_, err := s.exec(ctx, `INSERT INTO regions (id, description, parent_id, extra) VALUES (?, ?, ?, ?)`,
		r.ID, r.Description, nullable(r.ParentID), encode(r.Extra))
	switch {
	case errors.Is(err, errUnique):
		return fault.Conflict{Kind: "region", Detail: fmt.Sprintf("Duplicate ID, %s.", r.ID)}
	case errors.Is(err, errForeignKey):
		return fault.NotFound{Kind: "region", ID: r.ParentID}
	}
	return err
}

func (s *Store) PutRegion(ctx context.Context, r catalog.Region) error {
	err := s.execOne(ctx, "region", r.ID, `UPDATE regions SET description = ?, parent_id = ?, extra = ? WHERE id = ?`,
		r.Description, nullable(r.ParentID), encode(r.Extra), r.ID)
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "region", ID: r.ParentID}
	}
	return err
}

func (s *Store) RemoveRegion(ctx context.Context, id string) error {
	err := s.execOne(ctx, "region", id, `DELETE FROM regions WHERE id = ?`, id)
	if errors.Is(err, errForeignKey) {
		return fault.Forbidden{Action: fmt.Sprintf("delete region %s while it or a region below it has endpoints", id)}
	}
	return err
}

func (s *Store) Service(ctx context.Context, id string) (catalog.Service, error) {
	return one(ctx, s, "service", id, scanService, serviceColumns+` WHERE id = ?`, id)
}

func (s *Store) Services(ctx context.Context, where filter.List) ([]catalog.Service, error) {
	return listed(ctx, s, scanService, serviceColumns, where, map[string]string{"type": "type", "name": "name"}, "type, name, id", "")
}

func (s *Store) AddService(ctx context.Context, v catalog.Service) error {
	return s.execOne(ctx, "service", v.ID, `INSERT INTO services (id, type, name, enabled, extra) VALUES (?, ?, ?, ?, ?)`,
		v.ID, v.Type, v.Name(), number(v.Enabled), encode(v.Extra))
}

func (s *Store) PutService(ctx context.Context, v catalog.Service) error {
	return s.execOne(ctx, "service", v.ID, `UPDATE services SET type = ?, name = ?, enabled = ?, extra = ? WHERE id = ?`,
		v.Type, v.Name(), number(v.Enabled), encode(v.Extra), v.ID)
}

func (s *Store) RemoveService(ctx context.Context, id string) error {
	return s.execOne(ctx, "service", id, `DELETE FROM services WHERE id = ?`, id)
}

func (s *Store) Endpoint(ctx context.Context, id string) (catalog.Endpoint, error) {
	return one(ctx, s, "endpoint", id, scanEndpoint, endpointColumns+` WHERE id = ?`, id)
}

func (s *Store) Endpoints(ctx context.Context, where filter.List) ([]catalog.Endpoint, error) {
	return listed(ctx, s, scanEndpoint, endpointColumns, where,
		map[string]string{"interface": "interface", "service_id": "service_id", "region_id": "region_id", "legacy_id": "legacy_id"}, "service_id, region_id, interface, id", "")
}

func (s *Store) AddEndpoint(ctx context.Context, e catalog.Endpoint) error {
	err := s.execOne(ctx, "endpoint", e.ID, `INSERT INTO endpoints (id, service_id, region_id, interface, url, enabled, legacy_id, extra)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.ServiceID, nullable(e.RegionID), e.Interface, e.URL, number(e.Enabled), e.LegacyID, encode(e.Extra))
	return s.endpointReference(ctx, err, e)
}

func (s *Store) PutEndpoint(ctx context.Context, e catalog.Endpoint) error {
	err := s.execOne(ctx, "endpoint", e.ID, `UPDATE endpoints SET service_id = ?, region_id = ?, interface = ?, url = ?, enabled = ?, extra = ?
		WHERE id = ?`, e.ServiceID, nullable(e.RegionID), e.Interface, e.URL, number(e.Enabled), encode(e.Extra), e.ID)
	return s.endpointReference(ctx, err, e)
}

func (s *Store) RemoveEndpoint(ctx context.Context, id string) error {
	return s.execOne(ctx, "endpoint", id, `DELETE FROM endpoints WHERE id = ?`, id)
}

// endpointReference names the service or region that an endpoint should have referred to.
func (s *Store) endpointReference(ctx context.Context, err error, e catalog.Endpoint) error {
	if !errors.Is(err, errForeignKey) {
		return err
	}
	if _, err := s.Service(ctx, e.ServiceID); err != nil {
		return err
	}
	return fault.NotFound{Kind: "region", ID: e.RegionID}
}
