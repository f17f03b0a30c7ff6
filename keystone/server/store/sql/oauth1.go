package sql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/oauth1"
)

const (
	consumerColumns     = `SELECT id, description, secret, extra FROM oauth1_consumers`
	requestTokenColumns = `SELECT id, secret, consumer_id, project_id, user_id, verifier, role_ids, expires_at FROM oauth1_request_tokens`
	accessTokenColumns  = `SELECT id, secret, consumer_id, project_id, user_id, role_ids, expires_at FROM oauth1_access_tokens`
)

// texts is a column that holds a JSON list of strings.
type texts []string

func (l *texts) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("list of ids: got %T", value)
	}
	return json.Unmarshal([]byte(text), (*[]string)(l))
}

func encodeTexts(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	text, err := json.Marshal(list)
	if err != nil { // strings always can be
		panic(fmt.Sprintf("list of ids: %v", err))
	}
	return string(text)
}

func scanConsumer(row scanner) (c oauth1.Consumer, err error) {
	var description sql.NullString
	err = row.Scan(&c.ID, &description, &c.Secret, (*attributes)(&c.Extra))
	if description.Valid {
		c.Description = &description.String
	}
	return c, err
}

func scanRequestToken(row scanner) (t oauth1.RequestToken, err error) {
	var expires sql.NullInt64
	err = row.Scan(&t.ID, &t.Secret, &t.ConsumerID, &t.ProjectID, &t.UserID, &t.Verifier, (*texts)(&t.RoleIDs), &expires)
	t.ExpiresAt = fromNullMicros(expires)
	return t, err
}

func scanAccessToken(row scanner) (t oauth1.AccessToken, err error) {
	var expires sql.NullInt64
	err = row.Scan(&t.ID, &t.Secret, &t.ConsumerID, &t.ProjectID, &t.UserID, (*texts)(&t.RoleIDs), &expires)
	t.ExpiresAt = fromNullMicros(expires)
	return t, err
}

func (s *Store) Consumer(ctx context.Context, id string) (oauth1.Consumer, error) {
	return one(ctx, s, "consumer", id, scanConsumer, consumerColumns+` WHERE id = ?`, id)
}

func (s *Store) Consumers(ctx context.Context) ([]oauth1.Consumer, error) {
	return all(ctx, s, scanConsumer, consumerColumns+` ORDER BY id`)
}

func (s *Store) AddConsumer(ctx context.Context, c oauth1.Consumer) error {
	return s.execOne(ctx, "consumer", c.ID, `INSERT INTO oauth1_consumers (id, description, secret, extra) VALUES (?, ?, ?, ?)`,
		c.ID, nullableText(c.Description), c.Secret, encode(c.Extra))
}

func (s *Store) PutConsumer(ctx context.Context, c oauth1.Consumer) error {
	return s.execOne(ctx, "consumer", c.ID, `UPDATE oauth1_consumers SET description = ?, secret = ?, extra = ? WHERE id = ?`,
		nullableText(c.Description), c.Secret, encode(c.Extra), c.ID)
}

func (s *Store) RemoveConsumer(ctx context.Context, id string) error {
	return s.execOne(ctx, "consumer", id, `DELETE FROM oauth1_consumers WHERE id = ?`, id)
}

func (s *Store) RequestToken(ctx context.Context, id string) (oauth1.RequestToken, error) {
	return one(ctx, s, "request token", id, scanRequestToken, requestTokenColumns+` WHERE id = ?`, id)
}

func (s *Store) AddRequestToken(ctx context.Context, t oauth1.RequestToken) error {
	err := s.execOne(ctx, "request token", t.ID, `INSERT INTO oauth1_request_tokens (id, secret, consumer_id, project_id, user_id, verifier,
		role_ids, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.Secret, t.ConsumerID, t.ProjectID, t.UserID, t.Verifier, encodeTexts(t.RoleIDs), nullMicros(t.ExpiresAt))
	return missingConsumer(err, t.ConsumerID)
}

func (s *Store) PutRequestToken(ctx context.Context, t oauth1.RequestToken) error {
	return s.execOne(ctx, "request token", t.ID, `UPDATE oauth1_request_tokens SET user_id = ?, verifier = ?, role_ids = ? WHERE id = ?`,
		t.UserID, t.Verifier, encodeTexts(t.RoleIDs), t.ID)
}

func (s *Store) RemoveRequestToken(ctx context.Context, id string) error {
	return s.execOne(ctx, "request token", id, `DELETE FROM oauth1_request_tokens WHERE id = ?`, id)
}

func (s *Store) AccessToken(ctx context.Context, id string) (oauth1.AccessToken, error) {
	return one(ctx, s, "access token", id, scanAccessToken, accessTokenColumns+` WHERE id = ?`, id)
}

func (s *Store) AccessTokens(ctx context.Context, userID string) ([]oauth1.AccessToken, error) {
	return all(ctx, s, scanAccessToken, accessTokenColumns+` WHERE user_id = ? ORDER BY id`, userID)
}

func (s *Store) AddAccessToken(ctx context.Context, t oauth1.AccessToken) error {
	err := s.execOne(ctx, "access token", t.ID, `INSERT INTO oauth1_access_tokens (id, secret, consumer_id, project_id, user_id, role_ids,
		expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		t.ID, t.Secret, t.ConsumerID, t.ProjectID, t.UserID, encodeTexts(t.RoleIDs), nullMicros(t.ExpiresAt))
	return missingConsumer(err, t.ConsumerID)
}

func (s *Store) RemoveAccessToken(ctx context.Context, id string) error {
	return s.execOne(ctx, "access token", id, `DELETE FROM oauth1_access_tokens WHERE id = ?`, id)
}

func (s *Store) RemoveOAuth1Tokens(ctx context.Context, expired time.Time) error {
	return s.Write(ctx, func(ctx context.Context) error {
		for _, table := range []string{"oauth1_request_tokens", "oauth1_access_tokens"} {
			if _, err := s.exec(ctx, `DELETE FROM `+table+` WHERE expires_at <= ?`, micros(expired)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) AddNonce(ctx context.Context, n oauth1.Nonce) (bool, error) {
	added, err := s.exec(ctx, `INSERT INTO oauth1_nonces (consumer_id, token, nonce, said_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		n.ConsumerID, n.Token, n.Nonce, n.SaidAt)
	return added == 1, missingConsumer(err, n.ConsumerID)
}

func (s *Store) RemoveNonces(ctx context.Context, before int64) error {
	_, err := s.exec(ctx, `DELETE FROM oauth1_nonces WHERE said_at < ?`, before)
	return err
}

// missingConsumer names the consumer that a row should have referred to.
func missingConsumer(err error, id string) error {
	if errors.Is(err, errForeignKey) {
		return fault.NotFound{Kind: "consumer", ID: id}
	}
	return err
}
