package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/tokens"
	"authproxy/keystone/token"
)

const tokenColumns = `SELECT id, form, audit_id, chain_id, user_id, user_domain_id, project_id, project_domain_id, domain_id,
	trust_id, consumer_id, access_token_id, identity_provider_id, protocol_id, issued_at, expires_at, revoked_at, body FROM tokens`

var forms = map[string]token.Form{token.PKI.String(): token.PKI, token.PKIZ.String(): token.PKIZ, token.UUID.String(): token.UUID}

func scanToken(row scanner) (tokens.Record, error) {
	var r tokens.Record
	var form, body string
	var issued, expires int64
	var revoked sql.NullInt64
	var trustID, consumerID, accessTokenID, providerID, protocolID sql.NullString
	if err := row.Scan(&r.ID, &form, &r.AuditID, &r.ChainID, &r.UserID, &r.UserDomainID, &r.ProjectID, &r.ProjectDomainID, &r.DomainID,
		&trustID, &consumerID, &accessTokenID, &providerID, &protocolID, &issued, &expires, &revoked, &body); err != nil {
		return r, err
	}
	known := false
	if r.Form, known = forms[form]; !known {
		return r, fmt.Errorf("token %s is of unknown form %q", r.ID, form)
	}
	r.IssuedAt, r.ExpiresAt, r.Body = fromMicros(issued), fromMicros(expires), []byte(body)
	r.TrustID, r.ConsumerID, r.AccessTokenID = trustID.String, consumerID.String, accessTokenID.String
	r.IdentityProviderID, r.ProtocolID = providerID.String, protocolID.String
	if revoked.Valid {
		r.RevokedAt = fromMicros(revoked.Int64)
	}
	return r, nil
}

func (s *Store) AddToken(ctx context.Context, r tokens.Record) error {
	return s.execOne(ctx, "token", r.ID, `INSERT INTO tokens (id, form, audit_id, chain_id, user_id, user_domain_id, project_id,
		project_domain_id, domain_id, trust_id, consumer_id, access_token_id, identity_provider_id, protocol_id, issued_at, expires_at, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Form.String(), r.AuditID, r.ChainID, r.UserID, r.UserDomainID, r.ProjectID, r.ProjectDomainID, r.DomainID,
		nullable(r.TrustID), nullable(r.ConsumerID), nullable(r.AccessTokenID),
		nullable(r.IdentityProviderID), nullable(r.ProtocolID), micros(r.IssuedAt), micros(r.ExpiresAt), string(r.Body))
}

func (s *Store) AddParties(ctx context.Context, tokenID string, parties []tokens.Party) error {
	return s.Write(ctx, func(ctx context.Context) error {
		for _, p := range parties {
			if err := s.execOne(ctx, "token", tokenID, `INSERT INTO token_parties (token_id, user_id, domain_id) VALUES (?, ?, ?)`,
				tokenID, p.UserID, p.DomainID); errors.Is(err, errForeignKey) {
				return fault.NotFound{Kind: "token", ID: tokenID}
			} else if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) AddTokenGroups(ctx context.Context, tokenID string, groups []tokens.Group) error {
	return s.Write(ctx, func(ctx context.Context) error {
		for _, g := range groups {
			if err := s.execOne(ctx, "token", tokenID, `INSERT INTO token_groups (token_id, group_id, domain_id) VALUES (?, ?, ?)`,
				tokenID, g.ID, g.DomainID); errors.Is(err, errForeignKey) {
				return fault.NotFound{Kind: "token", ID: tokenID}
			} else if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) Token(ctx context.Context, id string) (tokens.Record, error) {
	return one(ctx, s, "token", id, scanToken, tokenColumns+` WHERE id = ?`, id)
}

func (s *Store) RemoveTokens(ctx context.Context, expired time.Time, limit int) (int, error) {
	return s.exec(ctx, `DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at <= ? LIMIT ?)`, micros(expired), limit)
}
