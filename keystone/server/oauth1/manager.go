package oauth1

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"authproxy/keystone/server/assignment"
	"authproxy/keystone/server/fault"
	"authproxy/keystone/server/id"
	"authproxy/keystone/server/patch"
)

// Window is how far the time in a signed request may be from ours. Requests are remembered longer, so that none counts twice.
const Window = 10 * time.Minute

// Manager is the rules about consumers and their tokens.
type Manager struct {
	Store      Store
	Assignment Assignment
	Tokens     Revoker
	Now        func() time.Time
	// RequestDuration and AccessDuration are how long tokens live; 0 is for ever ([oauth1] request_token_duration and
	// access_token_duration).
	RequestDuration, AccessDuration time.Duration
}

// Update is a change of a consumer; what is nil stays as it is.
type Update struct {
	Description *string
	Extra       map[string]any
}

// Consumer is the consumer with that id, without its secret.
func (m *Manager) Consumer(ctx context.Context, consumerID string) (Consumer, error) {
	c, err := m.Store.Consumer(ctx, consumerID)
	c.Secret = ""
	return c, err
}

// Consumers are all, ordered by id, without their secrets.
func (m *Manager) Consumers(ctx context.Context) ([]Consumer, error) {
	list, err := m.Store.Consumers(ctx)
	for i := range list {
		list[i].Secret = ""
	}
	return list, err
}

// CreateConsumer stores a new consumer and returns it with its id and its secret, which are its own.
func (m *Manager) CreateConsumer(ctx context.Context, c Consumer) (Consumer, error) {
	c.ID, c.Secret = id.New(), id.New()
	return c, m.Store.AddConsumer(ctx, c)
}

// UpdateConsumer changes a consumer and returns it without its secret.
func (m *Manager) UpdateConsumer(ctx context.Context, consumerID string, change Update) (Consumer, error) {
	var c Consumer
	err := m.Store.Write(ctx, func(ctx context.Context) (err error) {
		if c, err = m.Store.Consumer(ctx, consumerID); err != nil {
			return err
		}
		if change.Description != nil {
			c.Description = change.Description
		}
		c.Extra = patch.Merge(c.Extra, change.Extra)
		return m.Store.PutConsumer(ctx, c)
	})
	c.Secret = ""
	return c, err
}

// DeleteConsumer removes a consumer with its tokens and ends what was got by them.
func (m *Manager) DeleteConsumer(ctx context.Context, consumerID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.Store.RemoveConsumer(ctx, consumerID); err != nil {
			return err
		}
		return m.Tokens.RevokeConsumer(ctx, consumerID)
	})
}

// CreateRequestToken gives a consumer, who signed the request, a token to ask a user with.
func (m *Manager) CreateRequestToken(ctx context.Context, r Request, projectID string) (RequestToken, error) {
	s, err := m.parse(r)
	if err != nil {
		return RequestToken{}, err
	}
	if projectID == "" {
		return RequestToken{}, fault.Missing("requested_project_id", "request")
	}
	if err := m.check(ctx, s, ""); err != nil {
		return RequestToken{}, err
	}
	t := RequestToken{ID: id.New(), Secret: id.New(), ConsumerID: s.consumerID, ProjectID: projectID, RoleIDs: []string{}, ExpiresAt: m.end(m.RequestDuration)}
	return t, m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.once(ctx, s); err != nil {
			return err
		}
		if _, err := m.Assignment.Project(ctx, projectID); err != nil {
			return err
		}
		if err := m.Store.RemoveOAuth1Tokens(ctx, m.Now()); err != nil {
			return err
		}
		return m.Store.AddRequestToken(ctx, t)
	})
}

// Authorize grants what a request token is for, on behalf of a user who has these roles on its project, and returns the
// verifier that the user hands to the consumer.
func (m *Manager) Authorize(ctx context.Context, requestTokenID, userID string, roleIDs []string) (string, error) {
	if len(roleIDs) == 0 {
		return "", fault.Missing("roles", "request body")
	}
	roleIDs = slices.Compact(slices.Sorted(slices.Values(roleIDs)))
	verifier := id.New()
	return verifier, m.Store.Write(ctx, func(ctx context.Context) error {
		t, err := m.Store.RequestToken(ctx, requestTokenID)
		switch {
		case err != nil:
			return err
		case m.over(t.ExpiresAt):
			return fault.Unauthorized{Why: "request token is expired"}
		case t.UserID != "" && t.UserID != userID:
			return fault.Forbidden{Message: "The request token was authorized by another user."}
		}
		held, err := m.Assignment.GrantedRoles(ctx, assignment.Scope{UserID: userID, ProjectID: t.ProjectID})
		if err != nil {
			return err
		}
		for _, roleID := range roleIDs {
			if !slices.ContainsFunc(held, func(r assignment.Role) bool { return r.ID == roleID }) {
				return fault.Unauthorized{Why: fmt.Sprintf("authorizing user does not have role %.64q", roleID)}
			}
		}
		t.UserID, t.Verifier, t.RoleIDs = userID, verifier, roleIDs
		return m.Store.PutRequestToken(ctx, t)
	})
}

// CreateAccessToken exchanges a request token that a user authorized, in a request that is signed with it and holds the
// verifier. It does so once.
func (m *Manager) CreateAccessToken(ctx context.Context, r Request) (AccessToken, error) {
	s, err := m.parse(r)
	switch {
	case err != nil:
		return AccessToken{}, err
	case s.token == "":
		return AccessToken{}, fault.Missing("oauth_token", "request")
	case s.verifier == "":
		return AccessToken{}, fault.Missing("oauth_verifier", "request")
	}
	t, err := m.Store.RequestToken(ctx, s.token)
	switch {
	case err != nil:
		return AccessToken{}, refused(err, "no such request token")
	case t.ConsumerID != s.consumerID:
		return AccessToken{}, refused(nil, "request token of another consumer")
	}
	if err := m.check(ctx, s, t.Secret); err != nil {
		return AccessToken{}, err
	}
	var access AccessToken
	err = m.Store.Write(ctx, func(ctx context.Context) error {
		if err := m.once(ctx, s); err != nil {
			return err
		}
		t, err := m.Store.RequestToken(ctx, s.token)
		switch {
		case err != nil:
			return refused(err, "the request token is gone")
		case m.over(t.ExpiresAt):
			return refused(nil, "request token is expired")
		case t.UserID == "":
			return refused(nil, "no user has authorized the request token")
		case subtle.ConstantTimeCompare([]byte(t.Verifier), []byte(s.verifier)) != 1:
			return refused(nil, "wrong verifier")
		}
		access = AccessToken{ID: id.New(), Secret: id.New(), ConsumerID: t.ConsumerID, ProjectID: t.ProjectID, UserID: t.UserID,
			RoleIDs: t.RoleIDs, ExpiresAt: m.end(m.AccessDuration)}
		if err := m.Store.RemoveRequestToken(ctx, t.ID); err != nil {
			return err
		}
		return m.Store.AddAccessToken(ctx, access)
	})
	return access, err
}

// Login is the access token that a request is signed with.
func (m *Manager) Login(ctx context.Context, r Request) (AccessToken, error) {
	s, err := m.parse(r)
	switch {
	case err != nil:
		return AccessToken{}, err
	case s.token == "":
		return AccessToken{}, fault.Missing("oauth_token", "request")
	}
	t, err := m.Usable(ctx, s.token)
	switch {
	case err != nil:
		return AccessToken{}, refused(err, "no such access token")
	case t.ConsumerID != s.consumerID:
		return AccessToken{}, refused(nil, "access token of another consumer")
	}
	if err := m.check(ctx, s, t.Secret); err != nil {
		return AccessToken{}, err
	}
	return t, m.Store.Write(ctx, func(ctx context.Context) error { return m.once(ctx, s) })
}

// Usable is an access token that has not expired.
func (m *Manager) Usable(ctx context.Context, accessTokenID string) (AccessToken, error) {
	t, err := m.Store.AccessToken(ctx, accessTokenID)
	if err == nil && m.over(t.ExpiresAt) {
		err = fault.NotFound{Kind: "access token", ID: accessTokenID}
	}
	return t, err
}

// AccessToken is an access token of a user.
func (m *Manager) AccessToken(ctx context.Context, userID, accessTokenID string) (AccessToken, error) {
	t, err := m.Usable(ctx, accessTokenID)
	if err == nil && t.UserID != userID {
		err = fault.NotFound{Kind: "access token", ID: accessTokenID}
	}
	return t, err
}

// AccessTokens are those of a user that have not expired, ordered by id.
func (m *Manager) AccessTokens(ctx context.Context, userID string) ([]AccessToken, error) {
	list, err := m.Store.AccessTokens(ctx, userID)
	return slices.DeleteFunc(list, func(t AccessToken) bool { return m.over(t.ExpiresAt) }), err
}

// DeleteAccessToken removes an access token of a user and ends what was got by it.
func (m *Manager) DeleteAccessToken(ctx context.Context, userID, accessTokenID string) error {
	return m.Store.Write(ctx, func(ctx context.Context) error {
		if _, err := m.AccessToken(ctx, userID, accessTokenID); err != nil {
			return err
		}
		if err := m.Store.RemoveAccessToken(ctx, accessTokenID); err != nil {
			return err
		}
		return m.Tokens.RevokeAccessToken(ctx, accessTokenID)
	})
}

// parse reads a signed request. What does not name its consumer is fault.Invalid, any other fault fault.Unauthorized.
func (m *Manager) parse(r Request) (signed, error) {
	s, err := parse(r)
	switch {
	case errors.Is(err, errNotSigned), err == nil && s.consumerID == "":
		return signed{}, fault.Missing("oauth_consumer_key", "request")
	case err != nil:
		return signed{}, refused(nil, "signed request: %v", err)
	}
	if s.nonce == "" { // in plain text, which is worth as much as the secrets in it
		return s, nil
	}
	if off := time.Unix(s.saidAt, 0).Sub(m.Now()); off.Abs() > Window {
		return signed{}, refused(nil, "signed request: its time is %s off", off.Round(time.Second))
	}
	return s, nil
}

// check checks the signature of a request. It only reads: strangers get no further.
func (m *Manager) check(ctx context.Context, s signed, tokenSecret string) error {
	c, err := m.Store.Consumer(ctx, s.consumerID)
	if err != nil {
		return refused(err, "no such consumer")
	}
	if !s.matches(c.Secret, tokenSecret) {
		return refused(nil, "wrong signature")
	}
	return nil
}

// once remembers a request: another one like it is refused, by every server on the database.
func (m *Manager) once(ctx context.Context, s signed) error {
	if s.nonce == "" {
		return nil
	}
	fresh, err := m.Store.AddNonce(ctx, Nonce{ConsumerID: s.consumerID, Token: s.token, Nonce: s.nonce, SaidAt: s.saidAt})
	if err != nil {
		return refused(err, "the consumer is gone")
	}
	if !fresh {
		return refused(nil, "signed request came twice")
	}
	return m.removeNonces(ctx)
}

// removeNonces forgets requests that are refused for their age. Clocks of servers differ.
func (m *Manager) removeNonces(ctx context.Context) error {
	return m.Store.RemoveNonces(ctx, m.Now().Add(-2*Window).Unix())
}

// Flush deletes tokens that have ended and requests that are refused for their age.
func (m *Manager) Flush(ctx context.Context) error {
	return errors.Join(m.Store.RemoveOAuth1Tokens(ctx, m.Now()), m.removeNonces(ctx))
}

func (m *Manager) over(end time.Time) bool { return !end.IsZero() && !m.Now().Before(end) }

func (m *Manager) end(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return m.Now().Add(d).UTC().Truncate(time.Microsecond)
}

// refused is fault.Unauthorized, unless err is something other than an object that is not there.
func refused(err error, format string, args ...any) error {
	if err != nil && !fault.IsNotFound(err) {
		return err
	}
	return fault.Unauthorized{Why: fmt.Sprintf(format, args...)}
}
