package sql

import (
	"context"
	"database/sql"
	"errors"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/filter"
	"authproxy/keystone/server/policies"
)

const policyColumns = `SELECT id, type, blob, extra FROM policies`

func scanPolicy(row scanner) (p policies.Policy, err error) {
	return p, row.Scan(&p.ID, &p.Type, &p.Blob, (*attributes)(&p.Extra))
}

func (s *Store) Policy(ctx context.Context, id string) (policies.Policy, error) {
	return one(ctx, s, "policy", id, scanPolicy, policyColumns+` WHERE id = ?`, id)
}

func (s *Store) Policies(ctx context.Context, where filter.List) ([]policies.Policy, error) {
	return listed(ctx, s, scanPolicy, policyColumns, where, map[string]string{"type": "type"}, "id", "")
}

func (s *Store) AddPolicy(ctx context.Context, p policies.Policy) error {
	return s.execOne(ctx, "policy", p.ID, `INSERT INTO policies (id, type, blob, extra) VALUES (?, ?, ?, ?)`, p.ID, p.Type, p.Blob, encode(p.Extra))
}

func (s *Store) PutPolicy(ctx context.Context, p policies.Policy) error {
	return s.execOne(ctx, "policy", p.ID, `UPDATE policies SET type = ?, blob = ?, extra = ? WHERE id = ?`, p.Type, p.Blob, encode(p.Extra), p.ID)
}

func (s *Store) RemovePolicy(ctx context.Context, id string) error {
	return s.execOne(ctx, "policy", id, `DELETE FROM policies WHERE id = ?`, id)
}

// atPlace finds the association in a place.
func atPlace(p policies.Place) (clause string, args []any) {
	switch {
	case p.EndpointID != "":
		return ` WHERE endpoint_id = ?`, []any{p.EndpointID}
	case p.RegionID != "":
		return ` WHERE service_id = ? AND region_id = ?`, []any{p.ServiceID, p.RegionID}
	}
	return ` WHERE service_id = ? AND region_id IS NULL`, []any{p.ServiceID}
}

func (s *Store) SetAssociation(ctx context.Context, a policies.Association) error {
	return s.Write(ctx, func(ctx context.Context) error {
		clause, args := atPlace(a.Place)
		if _, err := s.exec(ctx, `DELETE FROM policy_associations`+clause, args...); err != nil {
			return err
		}
		err := s.execOne(ctx, "policy association", a.PolicyID, `INSERT INTO policy_associations (policy_id, endpoint_id, service_id, region_id)
			VALUES (?, ?, ?, ?)`, a.PolicyID, nullable(a.EndpointID), nullable(a.ServiceID), nullable(a.RegionID))
		if errors.Is(err, errForeignKey) {
			return fault.NotFound{Kind: "policy", ID: a.PolicyID}
		}
		return err
	})
}

func (s *Store) PolicyAt(ctx context.Context, p policies.Place) (string, error) {
	clause, args := atPlace(p)
	return one(ctx, s, "policy association", p.EndpointID+p.ServiceID, scanText, `SELECT policy_id FROM policy_associations`+clause, args...)
}

func (s *Store) RemoveAssociation(ctx context.Context, a policies.Association) error {
	clause, args := atPlace(a.Place)
	return s.execOne(ctx, "policy association", a.PolicyID, `DELETE FROM policy_associations`+clause+` AND policy_id = ?`, append(args, a.PolicyID)...)
}

func (s *Store) Places(ctx context.Context, policyID string) ([]policies.Place, error) {
	return all(ctx, s, func(row scanner) (p policies.Place, err error) {
		var endpoint, service, region sql.NullString
		err = row.Scan(&endpoint, &service, &region)
		return policies.Place{EndpointID: endpoint.String, ServiceID: service.String, RegionID: region.String}, err
	}, `SELECT endpoint_id, service_id, region_id FROM policy_associations WHERE policy_id = ?`, policyID)
}
