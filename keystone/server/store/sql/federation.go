package sql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/federation"
	"authproxy/keystone/server/filter"
)

const (
	identityProviderColumns = `SELECT id, description, enabled FROM identity_providers`
	protocolColumns         = `SELECT identity_provider_id, id, mapping_id FROM federation_protocols`
	mappingColumns          = `SELECT id, rules FROM mappings`
	serviceProviderColumns  = `SELECT id, auth_url, sp_url, description, enabled, relay_state_prefix FROM service_providers`
)

var (
	providerFilters = map[string]string{"id": "id", "enabled": "enabled"}
	idFilter        = map[string]string{"id": "id"}
)

// textOrNil reads a column in which NULL is nil.
func textOrNil(column sql.NullString) *string {
	if !column.Valid {
		return nil
	}
	return &column.String
}

func scanIdentityProvider(row scanner) (p federation.IdentityProvider, err error) {
	var description sql.NullString
	err = row.Scan(&p.ID, &description, &p.Enabled)
	p.Description, p.RemoteIDs = textOrNil(description), []string{}
	return p, err
}

func scanProtocol(row scanner) (p federation.Protocol, err error) {
	return p, row.Scan(&p.IdentityProviderID, &p.ID, &p.MappingID)
}

func scanMapping(row scanner) (m federation.Mapping, err error) {
	var rules string
	if err := row.Scan(&m.ID, &rules); err != nil {
		return m, err
	}
	d := json.NewDecoder(strings.NewReader(rules))
	d.UseNumber()
	if err := d.Decode(&m.Rules); err != nil {
		return m, fmt.Errorf("rules of mapping %s: %w", m.ID, err)
	}
	return m, nil
}

func scanServiceProvider(row scanner) (p federation.ServiceProvider, err error) {
	var description, prefix sql.NullString
	err = row.Scan(&p.ID, &p.AuthURL, &p.SPURL, &description, &p.Enabled, &prefix)
	p.Description, p.RelayStatePrefix = textOrNil(description), textOrNil(prefix)
	return p, err
}

// named is execOne with the error for an object that is not there.
func (s *Store) named(ctx context.Context, kind string, missing error, statement string, args ...any) error {
	err := s.execOne(ctx, kind, "", statement, args...)
	if fault.IsNotFound(err) {
		return missing
	}
	return err
}

func (s *Store) IdentityProvider(ctx context.Context, id string) (federation.IdentityProvider, error) {
	p, err := one(ctx, s, "Identity Provider", id, scanIdentityProvider, identityProviderColumns+` WHERE id = ?`, id)
	if err != nil {
		return p, err
	}
	p.RemoteIDs, err = all(ctx, s, scanText, `SELECT remote_id FROM identity_provider_remote_ids WHERE identity_provider_id = ? ORDER BY position`, id)
	return p, err
}

func (s *Store) IdentityProviders(ctx context.Context, where filter.List) ([]federation.IdentityProvider, error) {
	list, err := listed(ctx, s, scanIdentityProvider, identityProviderColumns, where, providerFilters, "id", "")
	if err != nil || len(list) == 0 {
		return list, err
	}
	at := make(map[string]int, len(list))
	for i, p := range list {
		at[p.ID] = i
	}
	pairs, err := all(ctx, s, func(row scanner) (pair [2]string, err error) { return pair, row.Scan(&pair[0], &pair[1]) },
		`SELECT identity_provider_id, remote_id FROM identity_provider_remote_ids ORDER BY position`)
	for _, pair := range pairs {
		if i, ok := at[pair[0]]; ok {
			list[i].RemoteIDs = append(list[i].RemoteIDs, pair[1])
		}
	}
	return list, err
}

func (s *Store) AddIdentityProvider(ctx context.Context, p federation.IdentityProvider) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if err := s.execOne(ctx, federation.KindIdentityProvider, p.ID, `INSERT INTO identity_providers (id, description, enabled) VALUES (?, ?, ?)`,
			p.ID, nullableText(p.Description), number(p.Enabled)); err != nil {
			return err
		}
		return s.addRemoteIDs(ctx, p)
	})
}

func (s *Store) PutIdentityProvider(ctx context.Context, p federation.IdentityProvider) error {
	return s.Write(ctx, func(ctx context.Context) error {
		if err := s.named(ctx, federation.KindIdentityProvider, federation.NoIdentityProvider(p.ID),
			`UPDATE identity_providers SET description = ?, enabled = ? WHERE id = ?`, nullableText(p.Description), number(p.Enabled), p.ID); err != nil {
			return err
		}
		if _, err := s.exec(ctx, `DELETE FROM identity_provider_remote_ids WHERE identity_provider_id = ?`, p.ID); err != nil {
			return err
		}
		return s.addRemoteIDs(ctx, p)
	})
}

func (s *Store) addRemoteIDs(ctx context.Context, p federation.IdentityProvider) error {
	for i, remoteID := range p.RemoteIDs {
		if err := s.execOne(ctx, federation.KindIdentityProvider, p.ID, `INSERT INTO identity_provider_remote_ids
			(remote_id, identity_provider_id, position) VALUES (?, ?, ?)`, remoteID, p.ID, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) RemoveIdentityProvider(ctx context.Context, id string) error {
	return s.named(ctx, federation.KindIdentityProvider, federation.NoIdentityProvider(id), `DELETE FROM identity_providers WHERE id = ?`, id)
}

func (s *Store) Protocol(ctx context.Context, identityProviderID, id string) (federation.Protocol, error) {
	p, err := one(ctx, s, "", id, scanProtocol, protocolColumns+` WHERE identity_provider_id = ? AND id = ?`, identityProviderID, id)
	if fault.IsNotFound(err) {
		err = federation.NoProtocol(identityProviderID, id)
	}
	return p, err
}

func (s *Store) Protocols(ctx context.Context, identityProviderID string, where filter.List) ([]federation.Protocol, error) {
	return listed(ctx, s, scanProtocol, protocolColumns, where, idFilter, "id", "identity_provider_id = ?", identityProviderID)
}

func (s *Store) AddProtocol(ctx context.Context, p federation.Protocol) error {
	err := s.execOne(ctx, federation.KindProtocol, p.ID, `INSERT INTO federation_protocols (identity_provider_id, id, mapping_id) VALUES (?, ?, ?)`,
		p.IdentityProviderID, p.ID, p.MappingID)
	if errors.Is(err, errForeignKey) {
		return federation.NoIdentityProvider(p.IdentityProviderID)
	}
	return err
}

func (s *Store) PutProtocol(ctx context.Context, p federation.Protocol) error {
	return s.named(ctx, federation.KindProtocol, federation.NoProtocol(p.IdentityProviderID, p.ID),
		`UPDATE federation_protocols SET mapping_id = ? WHERE identity_provider_id = ? AND id = ?`, p.MappingID, p.IdentityProviderID, p.ID)
}

func (s *Store) RemoveProtocol(ctx context.Context, identityProviderID, id string) error {
	return s.named(ctx, federation.KindProtocol, federation.NoProtocol(identityProviderID, id),
		`DELETE FROM federation_protocols WHERE identity_provider_id = ? AND id = ?`, identityProviderID, id)
}

func (s *Store) Mapping(ctx context.Context, id string) (federation.Mapping, error) {
	return one(ctx, s, "mapping", id, scanMapping, mappingColumns+` WHERE id = ?`, id)
}

func (s *Store) Mappings(ctx context.Context, where filter.List) ([]federation.Mapping, error) {
	return listed(ctx, s, scanMapping, mappingColumns, where, idFilter, "id", "")
}

func (s *Store) AddMapping(ctx context.Context, m federation.Mapping) error {
	return s.execOne(ctx, federation.KindMapping, m.ID, `INSERT INTO mappings (id, rules) VALUES (?, ?)`, m.ID, encodeList(m.Rules))
}

func (s *Store) PutMapping(ctx context.Context, m federation.Mapping) error {
	return s.named(ctx, federation.KindMapping, federation.NoMapping(m.ID), `UPDATE mappings SET rules = ? WHERE id = ?`, encodeList(m.Rules), m.ID)
}

func (s *Store) RemoveMapping(ctx context.Context, id string) error {
	return s.named(ctx, federation.KindMapping, federation.NoMapping(id), `DELETE FROM mappings WHERE id = ?`, id)
}

// encodeList is the value for a column of a JSON list.
func encodeList(list []any) string {
	text, err := json.Marshal(list)
	if err != nil { // it came from JSON
		panic(fmt.Sprintf("JSON list: %v", err))
	}
	return string(text)
}

func (s *Store) ServiceProvider(ctx context.Context, id string) (federation.ServiceProvider, error) {
	return one(ctx, s, "Service Provider", id, scanServiceProvider, serviceProviderColumns+` WHERE id = ?`, id)
}

func (s *Store) ServiceProviders(ctx context.Context, where filter.List) ([]federation.ServiceProvider, error) {
	return listed(ctx, s, scanServiceProvider, serviceProviderColumns, where, providerFilters, "id", "")
}

func (s *Store) AddServiceProvider(ctx context.Context, p federation.ServiceProvider) error {
	return s.execOne(ctx, federation.KindServiceProvider, p.ID, `INSERT INTO service_providers (id, auth_url, sp_url, description, enabled,
		relay_state_prefix) VALUES (?, ?, ?, ?, ?, ?)`,
		p.ID, p.AuthURL, p.SPURL, nullableText(p.Description), number(p.Enabled), nullableText(p.RelayStatePrefix))
}

func (s *Store) PutServiceProvider(ctx context.Context, p federation.ServiceProvider) error {
	return s.named(ctx, federation.KindServiceProvider, federation.NoServiceProvider(p.ID), `UPDATE service_providers SET auth_url = ?, sp_url = ?,
		description = ?, enabled = ?, relay_state_prefix = ? WHERE id = ?`,
		p.AuthURL, p.SPURL, nullableText(p.Description), number(p.Enabled), nullableText(p.RelayStatePrefix), p.ID)
}

func (s *Store) RemoveServiceProvider(ctx context.Context, id string) error {
	return s.named(ctx, federation.KindServiceProvider, federation.NoServiceProvider(id), `DELETE FROM service_providers WHERE id = ?`, id)
}
